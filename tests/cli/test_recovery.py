"""`riverflow serve` as an operator sees it fail and stop: a disk that is full, a stop with work and readers in hand."""

from __future__ import annotations

import re
import resource
import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from subprocess import Popen
from threading import Event
from typing import Any

import httpx
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from .commands import started, until

KEY = "a-key-of-this-test"
BEARER = {"authorization": f"Bearer {KEY}"}

SLOW = """
import asyncio
import pathlib

from riverflow import Riverflow, Stage, Workflow

stages = (Stage(name="slow", kind="slow"), Stage(name="finalise", kind="finalise"))
workflows = [Workflow(name="slow", provider="echo", pipeline=stages), Workflow(name="plain", provider="echo")]
river = Riverflow(env="development", drain_timeout=0.5, workflows=workflows)


@river.stage("slow")
async def slow(context):
    print("begun as attempt", context.attempt, flush=True)
    while not pathlib.Path("go").exists():
        await asyncio.sleep(0.02)
    return {"attempt": context.attempt}
"""


def address(process: Popen[str]) -> str:
    return re.findall(r"serves (http://\S+)", until(process, " serves "))[0]


def submit(url: str, workflow: str, prompt: str = "hello") -> httpx.Response:
    body = {"workflow": workflow, "messages": [{"role": "user", "content": prompt}]}
    return httpx.post(f"{url}/v1/ai/async", json=body, headers=BEARER, timeout=20)


def soon(condition: Callable[[], Any], within: float = 20.0) -> Any:
    """What it answers as soon as that is true."""
    give_up = time.monotonic() + within
    while not (answer := condition()):
        assert time.monotonic() < give_up
        time.sleep(0.05)
    return answer


def state(url: str, channel_id: str) -> dict[str, Any]:
    shown: dict[str, Any] = httpx.get(f"{url}/v1/ai/{channel_id}", headers=BEARER, timeout=20).json()
    return shown


def read_events(url: str, there: Event) -> str:
    """All that an EventSource is sent; raises where it is cut rather than ended."""
    with httpx.stream("GET", url, timeout=30) as stream:
        there.set()
        return stream.read().decode()


def read_socket(url: str, topic: str, there: Event) -> int | None:
    """The code that a Phoenix socket is closed with."""
    with connect(url) as socket:
        socket.send(f'["1","1","{topic}","phx_join",{{}}]')
        with suppress(ConnectionClosed):
            while socket.recv(timeout=30):
                there.set()
        return socket.close_code


def test_a_stop_hands_back_what_it_cannot_finish_and_sends_readers_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(SLOW)
    with ThreadPoolExecutor(2) as readers:
        with started(tmp_path, "serve", "mine:river", "--port", "0", RIVERFLOW_API_KEY=KEY) as process:
            url = address(process)
            accepted = submit(url, "slow").json()
            channel_id, token = accepted["channel_id"], accepted["ws_token"]
            assert "attempt 1" in until(process, "begun as")
            there = Event(), Event()
            by_sse = readers.submit(read_events, f"{url}/v1/ai/{channel_id}/events?token={token}", there[0])
            socket = f"{accepted['websocket_url']}/websocket?token={token}&vsn=2.0.0"
            by_socket = readers.submit(read_socket, socket, accepted["websocket_channel"], there[1])
            assert all(each.wait(10) for each in there)
            before = time.monotonic()
            process.send_signal(signal.SIGTERM)
            assert process.wait(10) == 0
            assert time.monotonic() - before < 5
        assert "data:" not in by_sse.result().replace("retry:", "")  # ended, with nothing invented
        assert by_socket.result() == 1012  # "service restart": every client comes back after it
    (tmp_path / "go").touch()
    with started(tmp_path, "serve", "mine:river", "--port", "0", RIVERFLOW_API_KEY=KEY) as process:
        url = address(process)
        ended = soon(lambda: (shown := state(url, channel_id))["status"] == "success" and shown)
        assert ended["data"] == {"attempt": 1}
        entries = httpx.get(f"{url}/v1/ai/{channel_id}/timeline", headers=BEARER).json()["entries"]
        kinds = [entry["kind"] for entry in entries]
        assert kinds == ["run.accepted", "stage.interrupted", "stage.completed", "run.completed"]
        again = read_events(f"{url}/v1/ai/{channel_id}/events?token={token}", Event())
        assert again.count("event: response") == 1


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="limits of another process can be set on Linux only")
def test_a_full_disk_is_told_and_outlived(tmp_path: Path) -> None:
    """No file may grow any more, then it may again: the same process goes on, and what it accepted is whole."""
    (tmp_path / "mine.py").write_text(SLOW)
    with started(tmp_path, "serve", "mine:river", "--port", "0", RIVERFLOW_API_KEY=KEY) as process:
        url = address(process)
        before = submit(url, "slow").json()["channel_id"]
        until(process, "begun as")
        assert httpx.get(f"{url}/health").json() == {"status": "ok"}
        largest = max(path.stat().st_size for path in tmp_path.glob("riverflow.db*"))
        _, hard = resource.prlimit(process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (largest, hard))
        answers = [submit(url, "plain", "x" * 20_000) for _ in range(3)]
        refused = soon(lambda: (answer := submit(url, "plain", "x" * 20_000)).status_code != 200 and answer)
        assert refused.status_code == 503
        assert int(refused.headers["retry-after"]) >= 1
        assert "riverflow.db" not in refused.text
        unwell = soon(lambda: (answer := httpx.get(f"{url}/health")).status_code == 503 and answer)
        assert (unwell.json()["message"], "retry-after" in unwell.headers) == ("try again later", True)
        assert state(url, before)["status"] == "pending"  # what is written can still be read
        (tmp_path / "go").touch()  # the stage ends while nothing can be written
        told = until(process, "could not be given back")
        assert re.search(r"the database \S*riverflow\.db: (disk I/O error|database or disk is full)", told)
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (hard, hard))
        soon(lambda: httpx.get(f"{url}/health").status_code == 200)
        after = submit(url, "plain").json()["channel_id"]
        accepted = [answer.json()["channel_id"] for answer in answers if answer.status_code == 200]
        for channel_id in (before, after, *accepted):
            soon(lambda channel_id=channel_id: state(url, channel_id)["status"] == "success")
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
