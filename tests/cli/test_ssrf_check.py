"""`riverflow ssrf-check` as an operator runs it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from riverflow.cli import run as run_here

from . import commands


class Done(NamedTuple):
    status: int
    out: str
    err: str


@pytest.fixture
def check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Done]:
    """`riverflow ssrf-check …` in this process, in an empty folder and with nothing of this environment's settings."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith(("RIVERFLOW_", "OPENAI_"))]:
        monkeypatch.delenv(name)

    def check(*arguments: str, **environ: str) -> Done:
        for name, value in environ.items():
            monkeypatch.setenv(name, value)
        return Done(run_here(["ssrf-check", *arguments]), *capsys.readouterr())

    return check


@pytest.mark.parametrize(
    ("url", "status", "said"),
    [
        ("https://93.184.216.34/hook", 0, "would be called: 1 of 1 addresses may be dialled"),
        ("https://127.0.0.1/", 1, "refused: the address is not public"),
        ("http://93.184.216.34/", 1, "refused: only https is allowed in production"),
        ("https://93.184.216.34:8443/", 1, "refused: port 8443 is neither 443 nor 80 nor one of the setting"),
        ("https://169.254.169.254/", 1, "refused: the address is link-local, multicast or a metadata service"),
        ("https://2130706433/", 1, "refused: the host is an IPv4 address in an unusual spelling"),
        ("https://no-such-name.invalid/", 1, "refused: the host name could not be resolved"),
    ],
)
def test_it_says_whether_and_why(check: Callable[..., Done], url: str, status: int, said: str) -> None:
    done = check(url)
    assert done.status == status, done.err
    assert said in done.out


def test_it_is_a_command(tmp_path: Path) -> None:
    done = commands.run(tmp_path, "ssrf-check", "https://127.0.0.1/")
    assert (done.returncode, done.stdout.splitlines()[-1]) == (1, "refused: the address is not public")


def test_it_shows_the_addresses_behind_a_name_and_what_opens_them(check: Callable[..., Done]) -> None:
    openings = {"RIVERFLOW_EGRESS_ALLOW": "127.0.0.0/8@p1, ::1@p1"}
    mine = check("--project", "p1", "--json", "https://localhost/", **openings)
    found = json.loads(mine.out)
    assert (mine.status, found["allowed"], found["mode"], found["host"]) == (0, True, "production", "localhost")
    assert {each["address"] for each in found["addresses"]} <= {"127.0.0.1", "::1"}
    assert {each["why"] for each in found["addresses"]} <= {
        "opened by egress_allow '127.0.0.0/8@p1'",
        "opened by egress_allow '::1@p1'",
    }
    other = check("--project", "p2", "https://127.0.0.1/", **openings)
    assert (other.status, other.out.splitlines()[-1]) == (1, "refused: the address is not public")


def test_it_reads_the_servers_own_settings(check: Callable[..., Done], tmp_path: Path) -> None:
    (tmp_path / "riverflow.toml").write_text('env = "development"\n')
    assert check("http://127.0.0.1:8000/hook").status == 0
    (tmp_path / "riverflow.toml").write_text("egress_ports = [8443]\n")
    assert check("https://93.184.216.34:8443/").status == 0
    assert check("--provider", "http://127.0.0.1:11434/v1").status == 0


def test_a_setting_that_cannot_be_meant_is_named(check: Callable[..., Done]) -> None:
    done = check("https://93.184.216.34/", RIVERFLOW_EGRESS_ALLOW="10.0.0.0/33")
    assert done.status == 1
    assert "egress_allow '10.0.0.0/33'" in done.err
