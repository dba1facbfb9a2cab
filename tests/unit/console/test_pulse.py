"""How open pages are told that something has changed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from riverflow.console._pulse import Pulse
from riverflow.errors import Overloaded

pytestmark = pytest.mark.anyio


class Hub:
    """Tells the pulse of what a test says."""

    told: Callable[[str | None], None] | None = None

    def watch(self, told: Callable[[str | None], None] | None) -> None:
        self.told = told


class Reader:
    """One EventSource, in process."""

    def __init__(self, pulse: Pulse, run_id: str | None, allowed: bool = True) -> None:
        self.sent: asyncio.Queue[bytes] = asyncio.Queue()
        self._leave = asyncio.Event()
        self._allowed = allowed
        self.serving = asyncio.create_task(pulse.serve({}, self._receive, self._send, run_id, "reader", self._still))

    async def _receive(self) -> dict[str, Any]:
        await self._leave.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Any) -> None:
        if message["type"] == "http.response.body":
            self.sent.put_nowait(message["body"])

    async def _still(self) -> bool:
        return self._allowed

    async def next(self) -> bytes:
        return await asyncio.wait_for(self.sent.get(), 5)

    async def leave(self) -> None:
        self._leave.set()
        await asyncio.wait_for(self.serving, 5)


async def test_the_log_is_watched_only_while_somebody_looks() -> None:
    hub = Hub()
    pulse = Pulse(hub, 15.0)  # type: ignore[arg-type]
    first, second = Reader(pulse, None), Reader(pulse, "run")
    assert (await first.next(), await second.next()) == (b"retry: 2000\n\n",) * 2
    assert hub.told is not None
    assert pulse.listeners == 2
    await first.leave()
    assert hub.told is not None
    await second.leave()
    assert hub.told is None
    assert pulse.listeners == 0


async def test_a_reader_of_one_run_hears_of_that_one_alone() -> None:
    hub = Hub()
    pulse = Pulse(hub, 15.0)  # type: ignore[arg-type]
    everything, one = Reader(pulse, None), Reader(pulse, "mine")
    await everything.next()
    await one.next()
    assert hub.told is not None
    hub.told("another")
    assert b"changed" in await everything.next()
    assert one.sent.empty()
    hub.told("mine")
    assert b"changed" in await one.next()
    hub.told(None)
    assert b"changed" in await one.next()
    await one.leave()
    await everything.leave()


async def test_many_changes_at_once_are_one_call_to_look() -> None:
    hub = Hub()
    pulse = Pulse(hub, 15.0)  # type: ignore[arg-type]
    reader = Reader(pulse, None)
    await reader.next()
    assert hub.told is not None
    for _ in range(100):
        hub.told("run")
    assert b"changed" in await reader.next()
    assert reader.sent.empty()
    await reader.leave()


async def test_who_may_no_longer_look_is_let_go_at_the_next_heartbeat() -> None:
    pulse = Pulse(Hub(), 0.01)  # type: ignore[arg-type]
    reader = Reader(pulse, None, allowed=False)
    await asyncio.wait_for(reader.serving, 5)
    staying = Reader(pulse, None)
    await staying.next()
    assert await staying.next() == b": still here\n\n"
    await staying.leave()


async def test_nor_is_he_kept_by_much_that_happens() -> None:
    hub = Hub()
    pulse = Pulse(hub, 0.5)  # type: ignore[arg-type]
    reader = Reader(pulse, None, allowed=False)
    assert hub.told is None
    await reader.next()

    async def busy() -> None:
        while not reader.serving.done():
            assert hub.told is not None
            hub.told("run")
            await reader.sent.get()

    writing = asyncio.create_task(busy())
    try:
        await asyncio.wait_for(reader.serving, 5)
    finally:
        writing.cancel()


async def test_one_login_has_so_many_pages_open_and_no_more() -> None:
    pulse = Pulse(Hub(), 15.0)  # type: ignore[arg-type]
    readers = [Reader(pulse, None) for _ in range(51)]
    with pytest.raises(Overloaded, match="open pages"):
        await asyncio.wait_for(readers[-1].serving, 5)
    assert pulse.listeners == 50
    for reader in readers[:-1]:
        await reader.next()
        await reader.leave()
