"""Every example does what its docstring promises, on a real server and without a network."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Timer
from typing import Any

import httpx
import pytest

from riverflow import Endpoint, Riverflow, Workflow
from riverflow.testing import serve

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
KEY = "secret"
BEARER = {"authorization": f"Bearer {KEY}"}
SECRET = "whsec_cml2ZXJmbG93LWV4YW1wbGUtc2VjcmV0LTMyYnl0ZXM="


@contextmanager
def started(folder: Path, ready: str, *command: str, **environ: str) -> Iterator[str]:
    """A process that says its URL in a line matching `ready`; the URL. Killed on leaving."""
    process = subprocess.Popen(
        command,
        cwd=folder,
        env={**os.environ, "PYTHONUNBUFFERED": "1", **environ},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    overdue = Timer(50, process.kill)  # ends a wait for a line that never comes
    overdue.start()
    try:
        with process:
            try:
                assert process.stdout is not None
                told = ""
                for line in process.stdout:
                    told += line
                    if found := re.search(ready, line):
                        yield found[1]
                        return
                raise AssertionError(told)
            finally:
                process.kill()
    finally:
        overdue.cancel()


@contextmanager
def app(folder: Path, name: str, **environ: str) -> Iterator[httpx.Client]:
    """An example as its docstring says to run it, but with a port and a database of its own."""
    command = [sys.executable, "-m", "uvicorn", f"examples.{name}:app", "--app-dir", str(ROOT), "--port", "0"]
    environ = {"RIVERFLOW_ENV": "development", "RIVERFLOW_API_KEY": KEY, **environ}
    with (
        started(folder, r"running on (http://\S+)", *command, **environ) as url,
        httpx.Client(base_url=url, timeout=20) as client,
    ):
        yield client


def test_each_is_short() -> None:
    files = [path for path in EXAMPLES.rglob("*") if path.suffix in (".py", ".mjs")]
    assert len(files) >= 10
    for path in files:
        assert len(path.read_text().splitlines()) < 80, path


def test_starlette(tmp_path: Path) -> None:
    with app(tmp_path, "starlette_app") as client:
        result = client.get("/suggest", params={"q": "Something with dreams?"}).json()
        assert result["status"] == "completed"
        assert result["data"]["asked"] == "Something with dreams?"
        assert result["data"]["for"] == "user_456"
        assert client.get(f"/river/v1/ai/{result['channel_id']}", headers=BEARER).json()["data"] == result["data"]


def test_fastapi(tmp_path: Path) -> None:
    with app(tmp_path, "fastapi_app") as client:
        accepted = client.post("/suggestions", json={"mood": "rainy"}).json()
        events = f"/river/v1/ai/{accepted['channel_id']}/events"
        with client.stream("GET", events, params={"token": accepted["ws_token"]}) as stream:
            messages = [json.loads(line.removeprefix("data: ")) for line in stream.iter_lines() if "data: " in line]
        assert [message["status"] for message in messages] == ["ai_generated", "completed"]
        assert messages[-1]["data"] == {
            "title": "Inception",
            "year": 2010,
            "id": "mov_123",
            "streaming": {"netflix": True},
        }
        assert messages[-1]["customer_data"] == {"mood": "rainy"}


def test_litestar(tmp_path: Path) -> None:
    with app(tmp_path, "litestar_app") as client:
        result = client.get("/summary").json()
        assert (result["status"], result["content"]) == ("success", "In short: a refund for order 12345")
        events = f"/river/v1/ai/{result['channel_id']}/timeline/events"
        with client.stream("GET", events, headers=BEARER) as stream:
            assert any("delivery.attempted" in line for line in stream.iter_lines())
        delivered = client.get("/delivered").json()[result["channel_id"]]
        assert (delivered["type"], delivered["data"]) == ("task.completed", result["data"])
        assert client.post("/webhooks/ai", json=delivered, headers={"mr-signature": "00"}).status_code == 401


def test_django(tmp_path: Path) -> None:
    with app(tmp_path, "django_app") as client:
        result = client.get("/suggest/", params={"q": "Étude"}).json()
        assert result["data"] == {"title": "Inception", "asked": "Étude", "id": "mov_123"}
        assert result["task_id"] == "movie_mov_123"
        assert client.get("/river/openapi.json").status_code == 200


def test_multi_stage(tmp_path: Path) -> None:
    with app(tmp_path, "multi_stage") as client:
        article = client.get("/article", params={"topic": "Water is wet."}).json()
        assert article["status"] == "completed"
        assert article["stages"] == ["generate", "validate", "enrich", "format"]
        assert article["data"]["words"] == 3
        assert article["data"]["html"].startswith("<p>Water is wet.</p><ul><li>")
        assert client.get("/article", params={"topic": "rubbish"}).json() == {
            "status": "error",
            "data": None,
            "stages": ["generate"],
        }


def test_deferred(tmp_path: Path) -> None:
    with app(tmp_path, "deferred", RIVERFLOW_PUBLIC_URL="https://public.example/river") as client:
        channel_id = client.post("/drafts").json()["channel_id"]
        events = f"/river/v1/ai/{channel_id}/timeline/events"
        with client.stream("GET", events, headers=BEARER) as stream:
            told = (line for line in stream.iter_lines() if line.startswith("event: "))
            assert "event: delivery.attempted" in told
            draft = client.get("/waiting").json()[channel_id]
            assert draft["draft"] == "Dear customer, …"
            assert draft["callback_url"] == f"https://public.example/river/v1/callback/{channel_id}"
            answer = client.post(
                httpx.URL(draft["callback_url"]).path, json={"data": {"text": "Approved."}}, headers=BEARER
            )
            assert answer.status_code == 200, answer.text
            assert "event: run.completed" in told
            assert "event: delivery.attempted" in told  # task.completed, told to `publish`
        assert client.get(f"/river/v1/ai/{channel_id}", headers=BEARER).json()["data"] == {"text": "Approved."}
        assert client.get("/waiting").json() == {}


def test_approval(tmp_path: Path) -> None:
    with app(tmp_path, "approval", RIVERFLOW_PUBLIC_URL="https://public.example/river") as client:
        channel_id = client.post("/announcements").json()["channel_id"]
        events = f"/river/v1/ai/{channel_id}/timeline/events"
        with client.stream("GET", events, headers=BEARER) as stream:
            told = (line for line in stream.iter_lines() if line.startswith("event: "))
            assert "event: delivery.attempted" in told  # approval.requested, told to `ask`
            link = httpx.URL(client.get("/asked").json()[channel_id])
            page = client.get(link.path)
            assert page.status_code == 200
            assert "We have moved" in page.text
            (waiting,) = client.get("/river/v1/approvals", headers=BEARER).json()["data"]
            assert waiting["channel_id"] == channel_id
            edited = '{"title": "We have moved!", "text": "Come and see us."}'
            decided = client.post(link.path, data={"decision": "approve", "data": edited})
            assert decided.status_code == 200, decided.text
            assert "event: run.completed" in told
        data = client.get(f"/river/v1/ai/{channel_id}", headers=BEARER).json()["data"]
        assert (data["title"], data["url"]) == ("We have moved!", "https://example.com/news/1")


def by_uvicorn(name: str) -> list[str]:
    return [sys.executable, "-m", "uvicorn", f"{name}:app", "--app-dir", str(EXAMPLES), "--port", "0"]


RECEIVERS = [
    pytest.param(by_uvicorn("receiver_fastapi"), "json", id="fastapi"),
    pytest.param(by_uvicorn("receiver_django"), "json", id="django"),
    pytest.param(
        [sys.executable, "-m", "flask", "--app", str(EXAMPLES / "receiver_flask"), "run", "--port", "0"],
        "json",
        id="flask",
    ),
    pytest.param(["node", str(EXAMPLES / "receiver_node.mjs")], "json", id="node"),
    pytest.param([sys.executable, str(EXAMPLES / "receiver_flask_style.py")], "python-json", id="flask-style"),
]
AWKWARD = {
    "rating": 8.0,
    "huge": 1e21,
    "small": 1e-7,
    "name": "Amélie – 東京 \u2028",
    "10": 1,
    "9": {"b": 1, "a": [None, True]},
}


@pytest.mark.anyio
@pytest.mark.parametrize(("command", "encoding"), RECEIVERS)
async def test_a_receiver_verifies_and_calls_back(tmp_path: Path, command: list[str], encoding: Any) -> None:
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed")
    environ = {"MODELRIVER_WEBHOOK_SECRET": SECRET, "MODELRIVER_API_KEY": KEY, "PORT": "0"}
    with started(tmp_path, r"(http://[\w.:]+)", *command, **environ) as origin:
        url = f"{origin}/webhooks/ai"
        final = await _through(tmp_path, Endpoint(url=url, secret=SECRET, encoding=encoding))
        assert final["status"] == "completed", final
        assert final["data"] == AWKWARD | {"id": "mov_123", "streaming": {"netflix": True, "prime": False}}
        assert final["task_id"] == "movie_mov_123"
        async with httpx.AsyncClient() as stranger:
            refused = await stranger.post(url, json={"type": "x"}, headers={"mr-signature": "0" * 64})
        assert refused.status_code == 401


async def _through(folder: Path, endpoint: Endpoint) -> dict[str, Any]:
    """The final message of a run that this endpoint enriches."""
    workflow = Workflow(name="movie", event_name="new_movie", provider="echo", callback_timeout=15, sample_data=AWKWARD)
    river = Riverflow(
        database_url=f"sqlite:///{folder}/river.db",
        env="development",
        api_key=KEY,
        workflows=[workflow],
        endpoints=[endpoint],
        discover_plugins=False,
        environ={},
    )
    async with serve(river) as url, httpx.AsyncClient(base_url=url, headers=BEARER, timeout=20) as client:
        body = {"workflow": "movie", "messages": [], "response_format": {"type": "object"}}
        accepted = (await client.post("/v1/ai/async", json=body)).json()
        stream = (await client.get(f"/v1/ai/{accepted['channel_id']}/events")).text
    # Not by httpx's lines: they break at U+2028 too, which an event stream does not (WHATWG HTML, 9.2.5).
    messages = [line.removeprefix("data: ") for line in stream.split("\n") if line.startswith("data: ")]
    final: dict[str, Any] = json.loads(messages[-1])
    return final


def test_the_plugin_template(tmp_path: Path) -> None:
    """Its own suite passes, and riverflow finds it under the entry point that its pyproject.toml names."""
    template = EXAMPLES / "plugin-template"
    environ = {**os.environ, "PYTHONPATH": f"{template}:{tmp_path}", "PYTEST_ADDOPTS": "-p no:cacheprovider"}
    suite = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:xdist",
        str(template / "tests"),
        "--rootdir",
        str(template),
    ]
    tested = subprocess.run(suite, env=environ, cwd=tmp_path, capture_output=True, text=True, timeout=50, check=False)
    assert tested.returncode == 0, tested.stdout + tested.stderr
    assert " passed" in tested.stdout

    table = (template / "pyproject.toml").read_text()
    points = re.findall(r'\[project\.entry-points\.riverflow\]\n(\w+) = "(\w+)"', table)
    info = tmp_path / "riverflow_parrot-0.1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: riverflow-parrot\nVersion: 0.1.0\n")
    (info / "entry_points.txt").write_text("[riverflow]\n" + "".join(f"{name} = {value}\n" for name, value in points))
    listing = [sys.executable, "-m", "riverflow", "plugins"]
    listed = subprocess.run(listing, env=environ, cwd=tmp_path, capture_output=True, text=True, timeout=50, check=True)
    assert re.search(r"^parrot +providers$", listed.stdout, re.MULTILINE)
