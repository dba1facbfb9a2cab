"""The command line itself: version, plugins and their commands, and what it says where its extra is missing."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

import pytest

from riverflow import __main__
from riverflow._plugins import BUILT_IN

from .commands import run

GUEST = """
import click
from riverflow import hookimpl

@click.command()
def greet():
    click.echo("hello from a guest")

@hookimpl
def riverflow_commands():
    return [greet]
"""


def _install(folder: Path, source: str) -> dict[str, str]:
    """A distribution with one plugin, as a wheel's installation leaves it; the environment in which it is found."""
    (folder / "guest.py").write_text(source)
    info = folder / "riverflow_guest-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: riverflow-guest\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[riverflow]\nguest = guest\n")
    return {"PYTHONPATH": str(folder)}


def test_version(tmp_path: Path) -> None:
    assert run(tmp_path, "--version").stdout == f"riverflow {metadata.version('riverflow')}\n"


def test_plugins_and_their_hooks(tmp_path: Path) -> None:
    done = run(tmp_path, "plugins", **_install(tmp_path, GUEST))
    listed = dict(line.split(maxsplit=1) for line in done.stdout.splitlines())
    assert {f"riverflow.{name}" for name in BUILT_IN} < set(listed)
    assert listed["riverflow.sqlite"] == "stores"
    assert listed["guest"] == "commands"


def test_a_guests_command(tmp_path: Path) -> None:
    environ = _install(tmp_path, GUEST)
    assert run(tmp_path, "greet", **environ).stdout == "hello from a guest\n"
    assert "greet" in run(tmp_path, "--help", **environ).stdout


def test_a_guest_may_not_take_a_name(tmp_path: Path) -> None:
    environ = _install(tmp_path, GUEST.replace("@click.command()", '@click.command("serve")'))
    done = run(tmp_path, "--help", **environ)
    assert (done.returncode, done.stderr) == (1, "error: riverflow_commands: there is a command 'serve' already\n")


def test_a_plugin_that_does_not_load_is_named(tmp_path: Path) -> None:
    done = run(tmp_path, "plugins", **_install(tmp_path, "raise RuntimeError('out of order')\n"))
    assert done.returncode == 1
    assert done.stderr == "error: plugin 'guest' (guest) failed to load: out of order\n"


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(__main__, "find_spec", lambda name: None if name == "click" else object())
    with pytest.raises(SystemExit) as ended:
        __main__.main()
    assert ended.value.code == 1
    assert capsys.readouterr().err == "error: the command line is an extra: pip install 'riverflow[server]'\n"
