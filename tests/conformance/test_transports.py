"""The built-in transports under the shipped suite, and SQLite's notifier under its own."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from riverflow.builtin import phoenix, sse
from riverflow.builtin.sqlite import open_sqlite
from riverflow.builtin.system import SystemClock
from riverflow.config import Settings
from riverflow.models import Append, Entry, Run
from riverflow.ports import Context, Notifier, Store, Transport
from riverflow.testing import FakeClock, make_context
from riverflow.testing.suites.notifier import NotifierSuite
from riverflow.testing.suites.transport import Events, Refused, TransportSuite


class TestPhoenix(TransportSuite):
    def make(self, context: Context) -> Transport:
        return phoenix.riverflow_transports()["phoenix"](context)

    async def read(self, base_url: str, channel_id: str, token: str, after: int | None = None) -> Events:
        url = f"{base_url.replace('http', 'ws')}/socket/websocket?vsn=2.0.0&token={token}"
        async with connect(url, compression=None) as client:
            payload = {} if after is None else {"after": after}
            await client.send(json.dumps(["1", "1", f"ai_response:{channel_id}", "phx_join", payload]))
            try:
                async for text in client:
                    _, _, _, event, payload = json.loads(text)
                    if event == "phx_reply" and payload["status"] == "error":
                        raise Refused(payload["response"]["reason"])
                    if not event.startswith("phx_"):
                        yield event, payload
            except ConnectionClosed:
                return


class TestSse(TransportSuite):
    def make(self, context: Context) -> Transport:
        return sse.riverflow_transports()["sse"](context)

    async def read(self, base_url: str, channel_id: str, token: str, after: int | None = None) -> Events:
        params: dict[str, Any] = {"token": token} | ({} if after is None else {"after": after})
        url = f"{base_url}/v1/ai/{channel_id}/events"
        async with httpx.AsyncClient() as client, client.stream("GET", url, params=params) as response:
            if response.status_code != 200:
                raise Refused(response.status_code)
            rest = b""
            async for chunk in response.aiter_bytes():
                *blocks, rest = (rest + chunk).split(b"\n\n")  # not by lines: httpx splits them at U+2028 too
                for block in blocks:
                    fields = dict(line.split(b": ", 1) for line in block.split(b"\n"))
                    if b"data" in fields:
                        yield fields[b"event"].decode(), json.loads(fields[b"data"])


class TestSqliteNotifier(NotifierSuite):
    @pytest.fixture
    async def stores(self, tmp_path: Path) -> AsyncIterator[list[Store]]:
        settings = Settings(database_url=f"sqlite:///{tmp_path}/river.db")
        stores = [open_sqlite(make_context(settings=settings, clock=SystemClock())) for _ in range(2)]
        for store in stores:
            await store.open()
        yield stores
        await asyncio.gather(*(store.aclose() for store in stores))

    @pytest.fixture
    def pair(self, stores: list[Store]) -> tuple[Notifier, Notifier]:
        first, second = (store.notifier for store in stores)
        assert first is not None
        assert second is not None
        return first, second

    @pytest.fixture
    def news(self, stores: list[Store]) -> Callable[[str], Awaitable[None]]:
        return news_from(stores[0])


def news_from(store: Store) -> Callable[[str], Awaitable[None]]:
    """Makes news of a run by a commit."""
    versions: dict[str, int] = {}

    async def append(run_id: str) -> None:
        before = versions.get(run_id)
        versions[run_id] = version = (before or 0) + 1
        run = Run(
            id=run_id,
            project_id="p",
            workflow="w",
            event_name=None,
            status="pending",
            stage="generate",
            phase="running",
            version=version,
            generation=1,
            created_at=1.0,
        )
        entry = Entry(kind="run.accepted", at=1.0)
        await store.log.append(Append(run=run, owner="one", entries=(entry,), expected_version=before))

    return append


@pytest.mark.anyio
async def test_sqlites_notifier_looks_often_only_while_others_write(tmp_path: Path) -> None:
    clock = FakeClock()
    settings = Settings(database_url=f"sqlite:///{tmp_path}/river.db")
    ours, others = (open_sqlite(make_context(settings=settings, clock=clock)) for _ in range(2))
    await asyncio.gather(ours.open(), others.open())
    assert ours.notifier is not None
    heard: asyncio.Queue[str | None] = asyncio.Queue()
    listening = asyncio.create_task(ours.notifier.listen(heard.put_nowait))

    async def pause() -> float | None:
        await clock.wait_for_sleepers()
        return clock.next_due

    assert await pause() == 0.25
    await news_from(ours)("run_of_ours")
    await clock.advance(0.25)
    assert await pause() == 0.25  # its own commits are no news
    await news_from(others)("run_of_others")
    await clock.advance(0.25)
    assert await asyncio.wait_for(heard.get(), 5) == "run_of_others"
    assert await pause() == pytest.approx(0.025)
    await clock.advance(59)
    assert await pause() == pytest.approx(0.025)
    await clock.advance(1)
    due = await pause()
    for _ in range(3):  # a question may have been under way when the minute was over
        if due == pytest.approx(0.025):
            await clock.advance(0.025)
            due = await pause()
    assert due == pytest.approx(0.25)
    listening.cancel()
    await asyncio.wait([listening])
    await asyncio.gather(ours.aclose(), others.aclose())
