"""The npm `phoenix` client in three versions under Node against the Phoenix transport: joins, pushes, ends, and a cut
connection. Up to 1.8.14 it stays away after a close with 1000; 1.8.16 is back 10 ms after every close."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from riverflow.builtin.phoenix import PhoenixTransport
from riverflow.testing import FakeClock, serve
from riverflow.testing.channels import ScriptedChannels, app_of

NODE = Path(__file__).parents[2] / "node"
VERSIONS = ["phoenix-1.7", "phoenix", "phoenix-newest"]
"""Packages of tests/node/package.json; `phoenix` is the one ModelRiver's client 1.3.9 was built with."""

COMPLETED = {"status": "completed"}

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
def node() -> None:
    """Node and the pinned packages; on a build server they have to be there."""
    if shutil.which("node") is None:
        missing = "node is not installed"
    elif not all((NODE / "node_modules" / version).is_dir() for version in VERSIONS):
        missing = "run `npm ci` in tests/node"
    else:
        return
    if os.environ.get("CI") == "true":
        pytest.fail(missing)
    pytest.skip(missing)


@pytest.fixture(params=VERSIONS)
def phoenix(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def connections(phoenix: str) -> int:
    """How many connections a client has had some time after it was closed with 1000."""
    return 2 if phoenix == "phoenix-newest" else 1


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - a condition of the server, not of this test
            await asyncio.sleep(0.001)


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

    async def sees_after(self, opened: int) -> list[Any]:
        """All that it sees until some time after a close with 1000 it has had so many connections."""
        seen = await self.sees_until("after")
        while seen[-1] == ["after", opened - 1]:  # not back yet
            seen = seen[:-1] + await self.sees_until("after")
        assert seen[-1] == ["after", opened]
        return seen[:-1]


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

    def __init__(self, clock: FakeClock, channels: ScriptedChannels, port: int) -> None:
        self.clock = clock
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

    async def grace(self) -> None:
        """Wait until a socket waits to be closed after its final message, and let that time pass."""
        await until(lambda: (self.clock.next_due or 99) <= 1.0)
        await self.clock.advance(1.0)

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
    clock = FakeClock()
    channels = ScriptedChannels(clock)
    transport = PhoenixTransport(clock=clock, heartbeat=30, close_grace=1.0)
    async with serve(app_of(transport, channels)) as base_url:
        site = Site(clock, channels, urlsplit(base_url).port or 0)
        async with await asyncio.start_server(site.relay, "127.0.0.1", 0) as server:
            site.port = server.sockets[0].getsockname()[1]
            yield site
            site.cut()


@pytest.mark.parametrize("form", ["ai_response:{project}:{run}", "ai_response:{run}"])
async def test_it_joins_gets_each_message_once_and_is_not_told_again(site: Site, phoenix: str, form: str) -> None:
    run = site.channels.start()
    topic = form.format(project=site.channels.project.id, run=run)
    async with browser(**site.options(run, topic=topic, phoenix=phoenix)) as client:
        assert [await client.sees(), await client.sees()] == [["open", 1], ["joined", topic]]
        site.channels.tell(run, "stage.chunk", {"text": "a"})
        site.channels.tell(run, "run.ai_generated", {"status": "ai_generated"})
        site.channels.tell(run, "run.completed", COMPLETED)
        assert await client.sees_until("response") == [
            ["chunk", {"text": "a"}],
            ["response", {"status": "ai_generated"}],
        ]
        assert await client.sees() == ["response", COMPLETED]
        await site.grace()
        opened = connections(phoenix)
        seen = await client.sees_after(opened)
    back = [["open", n] for n in range(2, opened + 1)]
    assert seen == [["left", topic], ["close", 1000], *back]


@pytest.mark.parametrize("version", ["phoenix", "phoenix-newest"])
async def test_the_token_may_come_as_a_subprotocol(site: Site, version: str) -> None:
    run = site.channels.start()
    async with browser(**site.options(run, phoenix=version, auth="protocol")) as client:
        assert (await client.sees_until("joined"))[0] == ["open", 1]


@pytest.mark.parametrize("again", [False, True], ids=["one channel", "a new channel each time"])
async def test_a_late_comer_is_told_the_end_once(site: Site, phoenix: str, again: bool) -> None:
    run = site.channels.start()
    site.channels.tell(run, "run.failed", {"status": "error"})
    async with browser(**site.options(run, phoenix=phoenix, again=again)) as client:
        seen = await client.sees_until("response")
        await site.grace()
        seen += await client.sees_after(connections(phoenix))
    kinds = [kind for kind, _ in seen if kind != "open"]
    assert kinds == ["joined", "response", "left", "close"]


@pytest.mark.parametrize("token", ["nonsense", "other"])
async def test_a_refusal_is_told_once(site: Site, phoenix: str, token: str) -> None:
    run, other = site.channels.start(), site.channels.start()
    reason = "token_invalid" if token == "nonsense" else "unauthorized_project_access"
    token = site.channels.token(other) if token == "other" else token
    options = site.options(run, token=token, phoenix=phoenix)
    async with browser(**options) as client:
        assert await client.sees_until("left") == [["open", 1], ["refused", reason], ["left", options["topic"]]]
        await site.clock.advance(60)
        seen = await client.sees_after(connections(phoenix))
    assert [kind for kind, _ in seen if kind != "open"] == ["close"]


async def test_a_client_that_joins_whenever_it_is_back_is_refused_once_a_time(site: Site, phoenix: str) -> None:
    run = site.channels.start()
    async with browser(**site.options(run, token="nonsense", phoenix=phoenix, again=True)) as client:
        seen = await client.sees_until("left")
        await site.clock.advance(60)
        opened = connections(phoenix)
        seen += await client.sees_after(opened)
    assert [value for kind, value in seen if kind == "refused"] == ["token_invalid"] * opened


async def test_two_pages_of_one_token_do_not_chase_one_another(site: Site, phoenix: str) -> None:
    run = site.channels.start()
    options = site.options(run, phoenix=phoenix, again=True)
    async with browser(**options) as older:
        await older.sees_until("joined")
        async with browser(**options) as newer:
            await newer.sees_until("joined")
            assert (await older.sees())[0] == "left"
            site.channels.tell(run, "run.completed", COMPLETED)
            await newer.sees_until("response")
            await site.grace()
            assert (await newer.sees_after(connections(phoenix)))[0][0] == "left"
        # A client that comes back after every close, and joins then, does so once its socket's second is over.
        assert len(site.channels.used) == (3 if phoenix == "phoenix-newest" else 2)


@pytest.mark.parametrize("again", [False, True], ids=["one channel", "a new channel each time"])
@pytest.mark.parametrize("when", ["before the answer", "after it"])
async def test_after_a_cut_it_comes_back_with_the_same_token_and_misses_nothing(
    site: Site, phoenix: str, again: bool, when: str
) -> None:
    run = site.channels.start()
    async with browser(**site.options(run, phoenix=phoenix, again=again)) as client:
        await client.sees_until("joined")
        site.cut()
        if when == "before the answer":
            site.channels.tell(run, "run.completed", COMPLETED)
        seen = await client.sees_until("joined")
        if when == "after it":
            site.channels.tell(run, "run.completed", COMPLETED)
        seen += await client.sees_until("response")
        await site.grace()
        seen += await client.sees_after(1 + connections(phoenix))
    assert [value for kind, value in seen if kind == "response"] == [COMPLETED]
    assert [value for kind, value in seen if kind == "close"] == [1006, 1000]
