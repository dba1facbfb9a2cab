"""The npm `phoenix` client under Node against the Phoenix transport: joins, pushes, and a cut connection."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from riverflow.builtin.phoenix import PhoenixTransport
from riverflow.builtin.system import SystemClock
from riverflow.testing import serve
from riverflow.testing.channels import ScriptedChannels, app_of

NODE = Path(__file__).parents[2] / "node"

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
def node() -> None:
    """Node and the pinned packages; on a build server they have to be there."""
    if shutil.which("node") is None:
        missing = "node is not installed"
    elif not (NODE / "node_modules" / "phoenix").is_dir():
        missing = "run `npm ci` in tests/node"
    else:
        return
    if os.environ.get("CI") == "true":
        pytest.fail(missing)
    pytest.skip(missing)


class Browser:
    """A running client.mjs."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def sees(self) -> Any:
        assert self._process.stdout is not None
        line = await asyncio.wait_for(self._process.stdout.readline(), 20)
        return json.loads(line) if line else None

    async def sees_until(self, kind: str) -> list[Any]:
        """All that it sees, up to and with something of a kind."""
        seen = [await self.sees()]
        while seen[-1] is not None and seen[-1][0] != kind:
            seen.append(await self.sees())
        return seen


@asynccontextmanager
async def browser(**options: Any) -> AsyncIterator[Browser]:
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        "node", "client.mjs", json.dumps(options), cwd=NODE, stdin=pipe, stdout=pipe
    )
    try:
        yield Browser(process)
    finally:
        assert process.stdin is not None
        process.stdin.close()
        await process.wait()


class Site:
    """A served transport behind a proxy that can be cut."""

    def __init__(self, channels: ScriptedChannels, port: int) -> None:
        self.channels = channels
        self._target = port
        self._writers: set[asyncio.StreamWriter] = set()
        self.port = 0

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/socket"

    def options(self, run: str, **options: Any) -> dict[str, Any]:
        topic = f"ai_response:{self.channels.project.id}:{run}"
        return {"url": self.url, "token": self.channels.token(run), "topic": topic} | options

    def cut(self) -> None:
        """Break every connection without a close frame."""
        for writer in tuple(self._writers):
            writer.transport.abort()

    async def relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there = await asyncio.open_connection("127.0.0.1", self._target)
        self._writers |= {writer, there[1]}
        with suppress(ConnectionError):
            await asyncio.gather(_copy(reader, there[1]), _copy(there[0], writer))
        self._writers -= {writer, there[1]}


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65_536):
        writer.write(data)
    writer.close()


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    channels = ScriptedChannels(SystemClock())
    transport = PhoenixTransport(clock=SystemClock(), heartbeat=30, close_grace=0.3)
    async with serve(app_of(transport, channels)) as base_url:
        site = Site(channels, urlsplit(base_url).port or 0)
        async with await asyncio.start_server(site.relay, "127.0.0.1", 0) as server:
            site.port = server.sockets[0].getsockname()[1]
            yield site
            site.cut()


@pytest.mark.parametrize("form", ["ai_response:{project}:{run}", "ai_response:{run}"])
@pytest.mark.parametrize("auth", ["query", "protocol"])
async def test_it_joins_gets_each_message_once_and_stays_closed(site: Site, form: str, auth: str) -> None:
    run = site.channels.start()
    topic = form.format(project=site.channels.project.id, run=run)
    async with browser(**site.options(run, topic=topic, auth=auth)) as client:
        assert [await client.sees(), await client.sees()] == [["open", 1], ["joined", topic]]
        site.channels.tell(run, "stage.chunk", {"text": "a"})
        site.channels.tell(run, "run.ai_generated", {"status": "ai_generated"})
        site.channels.tell(run, "run.completed", {"status": "completed"})
        assert await client.sees_until("quiet") == [
            ["chunk", {"text": "a"}],
            ["response", {"status": "ai_generated"}],
            ["response", {"status": "completed"}],
            ["close", 1000],
            ["quiet", False],
        ]


async def test_a_late_comer_is_told_the_end(site: Site) -> None:
    run = site.channels.start()
    site.channels.tell(run, "run.failed", {"status": "error"})
    async with browser(**site.options(run)) as client:
        seen = await client.sees_until("quiet")
    assert [kind for kind, _ in seen] == ["open", "joined", "response", "close", "quiet"]


@pytest.mark.parametrize("token", ["", "nonsense", "other"])
async def test_a_refusal_is_told_once_and_not_retried(site: Site, token: str) -> None:
    run, other = site.channels.start(), site.channels.start()
    token = site.channels.token(other) if token == "other" else token
    reason = "token_invalid" if token in ("", "nonsense") else "unauthorized_project_access"
    async with browser(**site.options(run, token=token)) as client:
        seen = await client.sees_until("quiet")
    assert seen == [["open", 1], ["refused", reason], ["close", 1000], ["quiet", False]]


@pytest.mark.parametrize("again", [False, True], ids=["one channel", "a new channel each time"])
@pytest.mark.parametrize("when", ["before the answer", "after it"])
async def test_after_a_cut_it_comes_back_with_the_same_token_and_misses_nothing(
    site: Site, again: bool, when: str
) -> None:
    run = site.channels.start()
    async with browser(**site.options(run, again=again)) as client:
        assert (await client.sees_until("joined"))[-1][0] == "joined"
        site.cut()
        if when == "before the answer":
            site.channels.tell(run, "run.completed", {"status": "completed"})
        seen = await client.sees_until("joined")
        if when == "after it":
            site.channels.tell(run, "run.completed", {"status": "completed"})
        seen += await client.sees_until("quiet")
    assert [value for kind, value in seen if kind == "response"] == [{"status": "completed"}]
    assert [value for kind, value in seen if kind == "close"] == [1006, 1000]
    assert [value for kind, value in seen if kind == "open"] == [2]
