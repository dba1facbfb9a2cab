"""`riverflow demo`: it ends well when told to end, and leaves nothing behind however it ends."""

from __future__ import annotations

import json
import re
import signal
import socket
import time
from pathlib import Path

import pytest

from .commands import ended, run, started, until


def test_once_prints_the_browsers_json_alone(tmp_path: Path) -> None:
    done = run(tmp_path, "demo", "--once")
    assert done.returncode == 0, done.stderr
    final = json.loads(done.stdout)
    assert final["status"] == "completed"
    assert final["data"] == final["ai_response"]["data"] | {
        "id": "mov_123",
        "database_id": 456,
        "recommendations": [{"title": "The Matrix", "rating": 8.7}, {"title": "Interstellar", "rating": 8.6}],
        "streaming": {"netflix": True, "prime": False, "hulu": False},
        "processed_at": final["data"]["processed_at"],
    }
    assert final["ai_response"]["data"]["title"] == "Inception"
    assert final["task_id"] == "movie_mov_123"
    assert final["callback_metadata"]["sources_checked"] == 3
    assert final["customer_data"] == {"user_id": "user_456", "preferences": "action,scifi"}


def test_the_timeline_is_told_beside_it_without_colour(tmp_path: Path) -> None:
    told = run(tmp_path, "demo", "--once").stderr
    kinds = re.findall(r"^ +\d+ .* ((?:run|stage|delivery|callback)\.\w+)", told, re.MULTILINE)
    assert kinds == [
        "run.accepted",
        "stage.completed",
        "run.ai_generated",
        "delivery.attempted",
        "callback.received",
        "stage.completed",
        "run.completed",
    ]
    assert told.count("▸ browser") == 2
    assert "\x1b" not in told


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda end: end.name)
def test_the_backend_does_not_outlive_it(tmp_path: Path, end: signal.Signals) -> None:
    with started(tmp_path, "demo") as process:
        told = until(process, "Ctrl-C stops everything")
        backend = int(re.findall(r"http://127\.0\.0\.1:(\d+)/webhooks/ai", told)[0])
        assert _listens(backend)
        process.send_signal(end)
        status = ended(process, 20)
    deadline = time.monotonic() + 10
    while _listens(backend):
        assert time.monotonic() < deadline, "the backend still listens"
    if end != signal.SIGKILL:
        assert status == 0
        assert list(tmp_path.iterdir()) == []


def test_a_port_that_is_taken_is_one_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = run(tmp_path, "demo", "--once", "--port", str(taken.getsockname()[1]))
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.strip().splitlines()[-1].startswith("error: cannot listen on 127.0.0.1 port")
    assert "Traceback" not in done.stderr


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
