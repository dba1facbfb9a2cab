"""`riverflow serve`: answers at the root, ends promptly with readers connected, says in one line what is wrong."""

from __future__ import annotations

import base64
import re
import signal
import subprocess
from pathlib import Path

import httpx
import pytest
from websockets.sync.client import connect

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
    answer = httpx.post(f"{url}/v1/ai/async", json=body, headers=headers or BEARER, timeout=20)
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


def test_tokens_keys_and_approval_links_are_masked_in_the_log(tmp_path: Path) -> None:
    (tmp_path / "riverflow.toml").write_text(CONFIG)
    arguments = ("serve", "--port", "0", "--access-log", "--log-level", "debug")
    with started(tmp_path, *arguments, RIVERFLOW_API_KEY=KEY) as process:
        url = _address(process)
        accepted = _submit(url, "patient")
        token, socket = accepted["ws_token"], f"{accepted['websocket_url']}/websocket"
        with httpx.stream("GET", f"{url}/v1/ai/{accepted['channel_id']}/events?token={token}", timeout=20) as stream:
            assert any("ai_generated" in line for line in stream.iter_lines())
        with connect(f"{socket}?token={token}&vsn=2.0.0", additional_headers=BEARER):
            pass
        encoded = base64.b64encode(token.encode()).decode().rstrip("=")
        with connect(f"{socket}?vsn=2.0.0", subprotocols=["phoenix", f"base64url.bearer.phx.{encoded}"]):  # type: ignore[list-item]
            pass
        link = "rap_aLinkThatIsGoodForAnApproval"
        httpx.get(f"{url}/approve/{link}")
        process.send_signal(signal.SIGTERM)
        told = process.communicate(timeout=10)[0]
    assert "/events?token=***" in told
    assert "GET /approve/*** HTTP/1.1" in told
    assert "/socket/websocket?token=***&vsn=2.0.0" in told
    assert "GET /socket/websocket?vsn=2.0.0 HTTP/1.1" in told  # uvicorn does tell of requests and their headers
    assert "sec-websocket-protocol: phoenix" in told.lower()
    for secret in (token, encoded, link, KEY):
        assert secret not in told


HANGING = """
from threading import Event

from riverflow import Riverflow, Workflow

workflows = [Workflow(name="hangs", provider="echo", event_name="never_done")]
river = Riverflow(env="development", database_url="memory://", drain_timeout=0.2, workflows=workflows)


@river.on("never_done")
def hang(event):
    print("the handler hangs", flush=True)
    Event().wait()
"""


def test_a_plain_handler_that_hangs_does_not_keep_the_process(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(HANGING)
    with started(tmp_path, "serve", "mine:river", "--port", "0", RIVERFLOW_API_KEY=KEY) as process:
        _submit(_address(process), "hangs")
        until(process, "the handler hangs")
        process.send_signal(signal.SIGTERM)
        told = process.communicate(timeout=20)[0]
        assert process.returncode == 0
    assert "still running in its thread" in told


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
