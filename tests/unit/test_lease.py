"""The lease: renewed in time, and what becomes of work that nobody here knows of."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

import pytest

from riverflow._lease import Lease
from riverflow.errors import StoreUnavailable
from riverflow.ports import Queue
from riverflow.testing import FakeClock

pytestmark = pytest.mark.anyio


class Names:
    """The part of ports.Queue that a lease asks."""

    def __init__(self) -> None:
        self.beats: list[str] = []
        self.released: list[str] = []
        self.broken = False

    async def heartbeat(self, owner: str, now: float, expires_at: float) -> None:
        if self.broken:
            raise StoreUnavailable("locked")
        assert expires_at == now + 10
        self.beats.append(owner)

    async def release(self, owner: str) -> None:
        if self.broken:
            raise StoreUnavailable("locked")
        self.released.append(owner)


class Scene:
    def __init__(self) -> None:
        self.clock = FakeClock()
        self.queue = Names()
        self.lease = Lease(cast("Queue", self.queue), self.clock, "proc_1", 10.0)
        self.at_work = asyncio.Event()
        self.cleared = 0

    @asynccontextmanager
    async def clearing(self) -> AsyncIterator[None]:
        names = iter(["proc_2", "proc_3"])

        def count() -> None:
            self.cleared += 1

        task = asyncio.create_task(self.lease.clear_doubts(lambda: next(names), self.in_hand, count))
        yield
        task.cancel()
        await asyncio.wait([task])

    async def in_hand(self) -> None:
        await self.at_work.wait()


@pytest.fixture
def scene() -> Scene:
    return Scene()


async def test_without_a_doubt_nothing_changes(scene: Scene) -> None:
    async with scene.clearing():
        await scene.clock.advance(100)
        await scene.lease.renew()
    assert (scene.lease.owner, scene.queue.beats, scene.queue.released) == ("proc_1", ["proc_1"], [])


async def test_after_a_doubt_what_is_left_under_the_old_name_is_given_back_once_all_in_hand_is_done(
    scene: Scene,
) -> None:
    async with scene.clearing():
        scene.lease.doubt()
        await scene.clock.wait_for_sleepers(1)
        assert scene.lease.owner == "proc_2"
        assert scene.queue.beats == ["proc_2"]  # before anything is held under it
        await scene.lease.renew()
        assert scene.queue.beats[1:] == ["proc_2", "proc_1"]  # what is in hand is still held under the old one
        await scene.clock.advance(10)
        assert scene.queue.released == []
        scene.at_work.set()
        await scene.clock.advance(0)
        assert scene.queue.released == ["proc_1"]
        assert scene.cleared == 1
        await scene.lease.renew()
        assert scene.queue.beats[3:] == ["proc_2"]


async def test_a_store_that_does_not_answer_is_asked_until_it_does(scene: Scene) -> None:
    scene.at_work.set()
    async with scene.clearing():
        scene.queue.broken = True
        scene.lease.doubt()
        await scene.clock.wait_for_sleepers(1)
        await scene.clock.advance(3)
        assert scene.lease.owner == "proc_1"
        scene.queue.broken = False
        await scene.clock.advance(1)
        assert scene.lease.owner == "proc_2"
        await scene.clock.advance(10)
        assert scene.queue.released == ["proc_1"]


async def test_a_doubt_that_comes_meanwhile_is_cleared_after_it(scene: Scene) -> None:
    scene.at_work.set()
    async with scene.clearing():
        scene.lease.doubt()
        await scene.clock.wait_for_sleepers(1)
        scene.lease.doubt()
        await scene.clock.advance(20)
        assert scene.queue.released == ["proc_1", "proc_2"]
        assert scene.lease.owner == "proc_3"


async def test_a_stop_in_between_gives_both_names_back(scene: Scene) -> None:
    async with scene.clearing():
        scene.lease.doubt()
        await scene.clock.wait_for_sleepers(1)
    await scene.lease.release()
    assert sorted(scene.queue.released) == ["proc_1", "proc_2"]
