"""`riverflow serve`: answers at the root, ends promptly with readers connected, says in one line what is wrong."""

from __future__ import annotations

import re
import signal
import subprocess
from pathlib import Path

import httpx
import pytest

from .commands import run, started, until

KEY = "a-key-of-this-test"
BEARER = {"authorization": f"Bearer {KEY}"}

CONFIG = """
env = "development"

[[workflows]]
name = "patient"
event_name = "never_answered"
provider = "echo"
"""

IN_CODE = """
from riverflow import Identity, Riverflow, Workflow

river = Riverflow(env="development", workflows=[Workflow(name="plain", provider="echo")])
guarded = Riverflow(authenticator=lambda scope: None)
"""


def _address(process: subprocess.Popen[str]) -> str:
    return re.findall(r"serves (http://\S+)", until(process, " serves "))[0]


def _submit(url: str, workflow: str, **headers: str) -> dict[str, str]:
    body = {"workflow": workflow, "messages": [{"role": "user", "content": "hello"}]}
    answer = httpx.post(f"{url}/v1/ai/async", json=body, headers=headers or BEARER)
    assert answer.status_code == 200, answer.text
    accepted: dict[str, str] = answer.json()
    return accepted


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT], ids=lambda stop: stop.name)
def test_it_ends_promptly_with_a_reader_connected(tmp_path: Path, stop: signal.Signals, workers: str) -> None:
    (tmp_path / "riverflow.toml").write_text(CONFIG)
    with started(tmp_path, "serve", "--port", "0", "--workers", workers, RIVERFLOW_API_KEY=KEY) as process:
        url = _address(process)
        accepted = _submit(url, "patient")
        events = f"{url}/v1/ai/{accepted['channel_id']}/events"
        with httpx.stream("GET", events, headers=BEARER, timeout=20) as stream:
            lines = stream.iter_lines()
            assert any("ai_generated" in line for line in lines)
            process.send_signal(stop)
            list(lines)  # httpx raises where the stream is cut rather than ended
        assert process.wait(5) == 0, process.stdout.read() if process.stdout else ""


def test_a_river_of_ones_own_with_a_key_made_up(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(IN_CODE)
    with started(tmp_path, "serve", "mine:river", "--port", "0") as process:
        told = until(process, " serves ")
        url = re.findall(r"serves (http://\S+)", told)[0]
        key = re.findall(r"API key for this run: (\S+)", told)[0]
        accepted = _submit(url, "plain", authorization=f"Bearer {key}")
        assert accepted["websocket_url"] == f"ws{url.removeprefix('http')}/socket"
        assert httpx.get(f"{url}/openapi.json").status_code == 200


def test_an_authenticator_stands_for_a_key(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(IN_CODE)
    with started(tmp_path, "serve", "mine:guarded", "--port", "0") as process:
        assert "API key" not in until(process, " serves ")


@pytest.mark.parametrize(
    ("arguments", "environ", "says"),
    [
        ([], {}, "set RIVERFLOW_API_KEY"),
        (["--config", "none.toml"], {}, "configuration file none.toml: No such file"),
        (["--config", "bad.toml"], {}, "unknown setting 'prot'"),
        ([], {"RIVERFLOW_ENV": "testing"}, "RIVERFLOW_ENV"),
        (["nowhere:river"], {}, "cannot import 'nowhere'"),
        (["bad:river"], {}, "'bad:river' names no Riverflow"),
        ([], {"RIVERFLOW_API_KEY": KEY, "RIVERFLOW_DATABASE_URL": "sqlite:////no/such/folder/a.db"}, "/no/such/folder"),
        ([], {"RIVERFLOW_API_KEY": KEY, "RIVERFLOW_DATABASE_URL": "postgresql://db"}, "install riverflow-postgres"),
    ],
)
def test_what_cannot_work_is_one_line(tmp_path: Path, arguments: list[str], environ: dict[str, str], says: str) -> None:
    (tmp_path / "bad.toml").write_text("prot = 8000\n")
    (tmp_path / "bad.py").write_text("river = 'a string'\n")
    done = run(tmp_path, "serve", "--port", "0", *arguments, **environ)
    assert done.returncode == 1
    assert done.stdout == ""
    assert re.fullmatch(r"error: .*\n", done.stderr), done.stderr
    assert says in done.stderr
    assert KEY not in done.stderr


def test_a_worker_that_cannot_start_ends_all(tmp_path: Path) -> None:
    environ = {"RIVERFLOW_API_KEY": KEY, "RIVERFLOW_DATABASE_URL": "sqlite:////no/such/folder/a.db"}
    done = run(tmp_path, "serve", "--port", "0", "--workers", "2", **environ)
    assert done.returncode == 1
    assert "/no/such/folder" in done.stderr
    assert "Traceback" not in done.stderr


def test_wrong_usage_is_two(tmp_path: Path) -> None:
    assert run(tmp_path, "serve", "mine:river", "--config", "a.toml").returncode == 2
    assert run(tmp_path, "serve", "--port", "many").returncode == 2
    assert run(tmp_path, "nonsense").returncode == 2
