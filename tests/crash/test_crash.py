"""`kill -9` at each durable append of every flow: nothing is lost, nothing is finished twice."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sqlite3
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from riverflow.testing import StubOpenAI, serve

from .scene import FLOWS, KEY, Scene

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

TESTS = Path(__file__).parents[1]
BEARER = {"authorization": f"Bearer {KEY}"}
FINAL = {"run.completed", "run.failed"}
WITHIN = 20.0


class Backend:
    """A backend that calls back until it has an answer, whoever serves by then."""

    def __init__(self) -> None:
        self.received: list[tuple[str, str]] = []  # event, webhook-id
        self.statuses: list[int] = []
        self.app = Starlette(routes=[Route("/hook", self._take, methods=["POST"])])
        self._address = ""
        self._moved = asyncio.Event()

    def serve_at(self, address: str) -> None:
        """Where riverflow answers now."""
        self._address = address
        self._moved.set()

    async def _take(self, request: Request) -> JSONResponse:
        payload = await request.json()
        self.received.append((payload["event"], request.headers["webhook-id"]))
        calling = BackgroundTask(self._call_back, httpx.URL(payload["callback_url"]).path, payload["event"])
        return JSONResponse({"received": True}, background=calling)

    async def _call_back(self, path: str, event: str) -> None:
        async with httpx.AsyncClient(headers=BEARER, timeout=WITHIN, trust_env=False) as client:
            while True:
                self._moved.clear()
                try:
                    answer = await client.post(self._address + path, json={"data": {"by": event}})
                except httpx.TransportError:
                    await self._moved.wait()
                else:
                    self.statuses.append(answer.status_code)
                    return


class Life:
    """One server process. It prints its address, then what it has written."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.address = ""
        self._process = process

    async def line(self) -> str:
        """The next line that it prints."""
        assert self._process.stdout is not None
        async with asyncio.timeout(WITHIN):
            return (await self._process.stdout.readline()).decode().strip()

    async def killed(self) -> None:
        """Wait until it has killed itself."""
        async with asyncio.timeout(WITHIN):
            assert await self._process.wait() == -signal.SIGKILL

    async def end(self) -> None:
        if self._process.returncode is None:
            self._process.kill()
        await self._process.communicate()


class Stage:
    """The test's side: stub provider and backend on their ports, and the scene between them."""

    def __init__(self, scene: Scene, provider: StubOpenAI, backend: Backend) -> None:
        self.scene = scene
        self.provider = provider
        self.backend = backend

    @asynccontextmanager
    async def first_life(self, label: str = "none", side: str = "after") -> AsyncIterator[Life]:
        """Serve in a process of its own, which kills itself at the label."""
        scene = self.scene
        arguments = (scene.flow, str(scene.database.parent), scene.provider, scene.backend, label, side)
        life = Life(
            await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "crash.server", *arguments),
                stdout=asyncio.subprocess.PIPE,
                cwd=TESTS,
                env={**os.environ, "PYTHONPATH": str(TESTS)},
            )
        )
        try:
            life.address = await life.line()
            self.backend.serve_at(life.address)
            yield life
        finally:
            await life.end()

    @asynccontextmanager
    async def second_life(self) -> AsyncIterator[httpx.AsyncClient]:
        """Serve the same file again, without a fault."""
        async with serve(self.scene.app()) as address:
            self.backend.serve_at(address)
            async with httpx.AsyncClient(
                base_url=f"{address}/river", headers=BEARER, timeout=WITHIN, trust_env=False
            ) as client:
                yield client


@asynccontextmanager
async def set_up(flow: str, folder: Path) -> AsyncIterator[Stage]:
    provider, backend = StubOpenAI("an answer"), Backend()
    async with serve(provider) as provider_url, serve(backend.app) as backend_url:
        yield Stage(Scene(flow, str(folder), f"{provider_url}/v1", f"{backend_url}/hook"), provider, backend)


async def _submit(address: str) -> dict[str, Any] | None:
    asked = {"workflow": "work", "messages": [{"role": "user", "content": "hello"}]}
    async with httpx.AsyncClient(headers=BEARER, timeout=WITHIN, trust_env=False) as client:
        try:
            answer = await client.post(f"{address}/river/v1/ai/async", json=asked)
        except httpx.TransportError:
            return None  # killed before it could answer
    assert answer.status_code == 200
    accepted: dict[str, Any] = answer.json()
    return accepted


def _stored(scene: Scene) -> list[str]:
    with sqlite3.connect(scene.database) as db:
        found = [row[0] for row in db.execute("SELECT id FROM runs")]
    db.close()
    return found


async def _heard(accepted: dict[str, Any], address: str) -> list[str]:
    """What a browser hears that comes back to the socket with its token, until it is closed with 1000."""
    url = f"{address.replace('http', 'ws', 1)}/socket/websocket?token={accepted['ws_token']}&vsn=2.0.0"
    statuses = []
    async with connect(url, proxy=None) as socket, asyncio.timeout(WITHIN):
        await socket.send(json.dumps(["1", "1", accepted["websocket_channel"], "phx_join", {}]))
        try:
            while True:
                _, _, _, event, payload = json.loads(await socket.recv())
                if event == "response":
                    statuses.append(payload["status"])
        except ConnectionClosed:
            assert socket.close_code == 1000
    return statuses


async def _timeline(client: httpx.AsyncClient, channel_id: str) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = (await client.get(f"/v1/ai/{channel_id}/timeline")).json()["entries"]
    return entries


def _judge(entries: list[dict[str, Any]]) -> None:
    """One final entry, numbers without holes, and each stage completed once."""
    assert [entry["number"] for entry in entries] == list(range(1, len(entries) + 1))
    assert [entry["kind"] for entry in entries if entry["kind"] in FINAL] == ["run.completed"]
    done = [entry["stage"] for entry in entries if entry["kind"] == "stage.completed"]
    assert len(done) == len(set(done))


@pytest.mark.parametrize("flow", FLOWS)
async def test_the_list_of_appends_is_whole(tmp_path: Path, flow: str) -> None:
    """Without a fault a flow writes exactly what FLOWS lists: no append is left out below."""
    async with set_up(flow, tmp_path) as stage:
        async with stage.first_life() as life:
            assert await _submit(life.address) is not None
            written = [await life.line() for _ in FLOWS[flow]]
        assert sorted(written) == sorted(FLOWS[flow])


@pytest.mark.parametrize("side", ["before", "after"])
@pytest.mark.parametrize(("flow", "label"), [(flow, label) for flow, labels in FLOWS.items() for label in labels])
async def test_killed_at(tmp_path: Path, flow: str, label: str, side: str) -> None:
    async with set_up(flow, tmp_path) as stage:
        async with stage.first_life(label, side) as life:
            accepted = await _submit(life.address)
            await life.killed()
        runs = _stored(stage.scene)
        assert len(runs) == (0 if (label, side) == ("accepted", "before") else 1)
        async with stage.second_life() as client:
            if not runs:
                assert accepted is None
                return
            if accepted is None:  # written, but the answer was lost: whoever knows the channel can come back to it
                answer = await client.post("/v1/ai/reconnect", json={"channel_id": runs[0]})
                accepted = answer.json()
            assert accepted["channel_id"] == runs[0]
            heard = await _heard(accepted, str(client.base_url).rstrip("/"))
            assert heard[-1] == "completed"
            assert heard.count("completed") == 1
            await _finish(stage, client, runs[0])
            _judge(await _timeline(client, runs[0]))
    _count(stage, (label, side))


async def _finish(stage: Stage, client: httpx.AsyncClient, channel_id: str) -> None:
    """Where a handler hears of the completion, wait until it has, so that all calls are counted."""
    if stage.scene.flow != "stages":
        return
    async with asyncio.timeout(WITHIN), client.stream("GET", f"/v1/ai/{channel_id}/timeline/events") as response:
        async for line in response.aiter_lines():
            if line.startswith("data: ") and '"kind":"delivery.attempted"' in line and '"stage":"finalise"' in line:
                return


def _count(stage: Stage, killed: tuple[str, str]) -> None:
    """What was done twice: only that whose end was not yet durable."""
    scene, backend = stage.scene, stage.backend
    assert len(stage.provider.requests) == 1 + (killed == ("done:generate", "before"))
    if scene.flow != "remote":
        answering = "answer:enrich" if scene.flow == "local" else "answer:enrichment"
        enriched = scene.noted("local_enrichment")
        assert len(enriched) == 1 + (killed == (answering, "before"))
        assert len({call["key"] for call in enriched}) == 1
        assert len({call["attempt"] for call in enriched}) == len(enriched)
    if scene.flow == "stages":
        assert len(scene.noted("score")) == 1 + (killed == ("done:score", "before"))
        heard = scene.noted("task.completed")
        assert len(heard) == 1 + (killed == ("settle:finalise", "before"))
        assert len({call["key"] for call in heard}) == 1
    for event in {event for event, _ in backend.received}:
        assert len({key for name, key in backend.received if name == event}) == 1
    assert set(backend.statuses) <= {200}
