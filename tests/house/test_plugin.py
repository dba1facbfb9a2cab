"""A plugin written outside the package, installed by an entry point, fills every port; and the ways it can go wrong."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from riverflow import Riverflow, hookimpl
from riverflow import hookspecs as specifications
from riverflow.errors import PluginError

OUTSIDE = Path(__file__).parent / "outside"
HOOKS = sorted(name for name in vars(specifications) if name.startswith("riverflow_"))


def install(site: Path, name: str, module: str, source: str) -> None:
    """What pip leaves of a distribution with one module and one entry point."""
    site.mkdir(exist_ok=True)
    (site / f"{module}.py").write_text(source)
    info = site / f"{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[riverflow]\n{name} = {module}\n")


def python(site: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("RIVERFLOW_", "OPENAI_"))}
    environ["PYTHONPATH"] = str(site)
    command = [sys.executable, *arguments]
    return subprocess.run(command, env=environ, cwd=site, capture_output=True, text=True, timeout=50, check=False)


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A directory of installed packages with the outside plugin in it."""
    site = tmp_path / "site"
    install(site, "outside", "riverflow_outside", (OUTSIDE / "riverflow_outside.py").read_text())
    return site


def test_an_installed_plugin_fills_every_port(site: Path, tmp_path: Path) -> None:
    (tmp_path / "river.db.toml").write_text('[plugins.walled]\nsalt = "sea"\n')
    shutil.copy(OUTSIDE / "drive.py", tmp_path)
    done = python(site, "-W", "error", str(tmp_path / "drive.py"), str(tmp_path / "river.db"))
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    told: list[str] = seen["told"]

    assert seen["polled"]["status"] == "success"  # provider, stage kind, transport, authenticator
    [choice] = seen["polled"]["data"]["stamped"]["choices"]
    assert choice["message"]["content"] == "hello"
    assert seen["polled"]["meta"]["used_provider"] == "parrot"
    assert seen["state"] == "success"
    assert seen["hello"] == "hello"  # route
    assert (tmp_path / "river.db.walled").exists()  # store
    assert "store:sea" in told  # with its own section of the configuration
    assert "pigeon:pigeon:loft:task.completed:True:['x-shout']" in told  # sender, signer
    assert {"stage:generate", "stage:stamp"} <= set(told)  # stage middleware
    assert told.index("enter") < told.index("entry:1:run.accepted") < told.index("leave")  # lifespan, entry
    assert [note for note in told if note.startswith("entry:")][:4] == [
        "entry:1:run.accepted",
        "entry:2:stage.completed",
        "entry:3:stage.completed",
        "entry:4:run.completed",
    ]
    assert {"listen", "publish:1", "publish:4"} <= set(told)  # notifier
    assert "drain" in told


def test_an_installed_plugin_adds_a_command(site: Path) -> None:
    done = python(site, "-m", "riverflow", "outside")
    assert (done.returncode, done.stdout) == (0, "from outside\n"), done.stderr


def test_the_outside_plugin_implements_every_hook_there_is() -> None:
    source = (OUTSIDE / "riverflow_outside.py").read_text()
    assert [hook for hook in HOOKS if f"def {hook}(" not in source] == []
    assert len(HOOKS) >= 13


def test_every_hook_is_documented_and_says_what_it_is_for() -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    table = {line.split("`")[1] for line in readme.splitlines() if line.startswith("| `riverflow_")}
    assert table == set(HOOKS)
    for hook in HOOKS:
        assert getattr(specifications, hook).__doc__, hook


# What goes wrong --------------------------------------------------------------------------------------------


class Providers:
    def __init__(self, *names: str) -> None:
        self._names = names

    @hookimpl
    def riverflow_providers(self) -> Mapping[str, Any]:
        return {name: lambda context: None for name in self._names}


class Others(Providers):
    pass


def build(tmp_path: Path, *plugins: object, **options: Any) -> Riverflow:
    defaults = {"database_url": f"sqlite:///{tmp_path}/house.db", "environ": {}, "discover_plugins": False}
    return Riverflow(plugins=plugins, **(defaults | options))


async def start(river: Riverflow) -> None:
    async with river.lifespan():
        pass


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("plugins", "givers"),
    [((Providers("a"), Others("a")), ("Providers", "Others")), ((Providers("echo"),), ("Providers", "riverflow.echo"))],
    ids=["two guests", "a guest and a built-in"],
)
async def test_a_name_given_twice_names_both_givers(
    tmp_path: Path, plugins: tuple[object, ...], givers: tuple[str, str]
) -> None:
    with pytest.raises(PluginError) as clash:
        await start(build(tmp_path, *plugins))
    assert all(giver in str(clash.value) for giver in givers), str(clash.value)


@pytest.mark.anyio
async def test_an_unknown_store_says_what_there_is_and_what_to_install(tmp_path: Path) -> None:
    with pytest.raises(PluginError) as unknown:
        await start(build(tmp_path, database_url="postgresql://host/db"))
    assert all(part in str(unknown.value) for part in ("postgresql", "sqlite", "memory", "riverflow-postgres"))
    with pytest.raises(PluginError, match="sqlite"):
        await start(build(tmp_path, database_url="nosuch://host/db"))


def test_a_misspelt_hook_fails_at_start(tmp_path: Path) -> None:
    class Misspelt:
        @hookimpl
        def riverflow_provider(self) -> Mapping[str, Any]:
            return {}

    with pytest.raises(PluginError, match="riverflow_provider"):
        build(tmp_path, Misspelt())


@pytest.mark.anyio
async def test_a_hook_that_fails_or_answers_nonsense_is_named(tmp_path: Path) -> None:
    class Failing:
        @hookimpl
        def riverflow_signers(self) -> Mapping[str, Any]:
            raise OSError("no key file")

    class Nonsense:
        @hookimpl
        def riverflow_signers(self) -> Any:
            return ["mr"]

    class Asynchronous:
        @hookimpl
        def riverflow_signers(self) -> Any:
            return object()

    for plugin, said in ((Failing(), "no key file"), (Nonsense(), "mapping"), (Asynchronous(), "mapping")):
        with pytest.raises(PluginError) as refused:
            await start(build(tmp_path, plugin))
        assert said in str(refused.value)
        assert type(plugin).__name__ in str(refused.value)


def test_an_installed_plugin_that_does_not_import_is_named(tmp_path: Path) -> None:
    site = tmp_path / "site"
    install(site, "broken", "riverflow_broken", "import no_such_driver\n")
    done = python(site, "-c", "import riverflow; riverflow.Riverflow(environ={})")
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert "PluginError" in last
    assert "broken" in last
    assert "no_such_driver" in last


@pytest.mark.anyio
async def test_an_observer_that_fails_is_logged_by_name_and_disturbs_nobody(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    heard: list[str] = []

    class Clumsy:
        @hookimpl
        def riverflow_entry(self, entry: Any) -> None:
            raise RuntimeError("dropped it")

    class Listener:
        @hookimpl
        def riverflow_entry(self, run_id: str, entry: Any) -> None:
            heard.append(entry.kind)

    river = build(tmp_path, Clumsy(), Listener())
    async with river.lifespan():
        run = await river.submit(provider="echo", model="echo", prompt="hi")
        assert (await run.result())["status"] == "success"
    assert heard == ["run.accepted", "stage.completed", "run.completed"]
    assert "Clumsy" in caplog.text


def test_hook_implementations_take_no_async_functions_unnoticed() -> None:
    """The hooks of this package itself are plain functions: pluggy would take a coroutine for an answer."""
    import inspect
    import pkgutil

    import riverflow.builtin

    found: list[ModuleType] = [
        __import__(info.name, fromlist=["x"])
        for info in pkgutil.iter_modules(riverflow.builtin.__path__, "riverflow.builtin.")
    ]
    hooks = [value for module in found for name, value in vars(module).items() if name in HOOKS]
    assert len(hooks) > 10
    assert not [hook for hook in hooks if inspect.iscoroutinefunction(hook)]
