"""The sweeper: claims what is due, sleeps exactly as long as it may, and wakes when told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest

from riverflow._calls import Calls
from riverflow._sweeper import BATCH, RESERVE, Sweeper
from riverflow.errors import StoreUnavailable
from riverflow.models import Claim
from riverflow.ports import Queue
from riverflow.testing import FakeClock

pytestmark = pytest.mark.anyio

LEASE = 10.0


class Backlog:
    """The part of ports.Queue that the sweeper asks, over due times."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.due: list[float] = []
        self.claims: list[tuple[str, tuple[str, ...], int]] = []
        self.heartbeats: list[tuple[str, float, float]] = []
        self.broken = False
        self.allowed: list[Mapping[str, int]] = []
        self.skipped: list[tuple[str, ...]] = []

    async def claim_due(
        self, owner: str, now: float, *, lanes: Iterable[str], limit: int, allowed: Mapping[str, int]
    ) -> tuple[Claim, ...]:
        self._check()
        self.claims.append((owner, tuple(lanes), limit))
        self.allowed.append(allowed)
        ready = [at for at in self.due if at <= now][:limit]
        for at in ready:
            self.due.remove(at)
        return tuple(Claim(run_id=f"run at {at:g}", project_id="p") for at in ready)

    async def next_due(self, now: float, lanes: Iterable[str], *, skip: Iterable[str] = ()) -> float | None:
        self._check()
        self.skipped.append(tuple(skip))
        return min(self.due, default=None)

    async def heartbeat(self, owner: str, now: float, expires_at: float) -> None:
        self._check()
        self.heartbeats.append((owner, now, expires_at))

    def _check(self) -> None:
        if self.broken:
            raise StoreUnavailable("locked")


class Scene:
    def __init__(self) -> None:
        self.clock = FakeClock()
        self.start = self.clock.now()
        self.queue = Backlog(self.clock)
        self.room = 1000
        self.taken: list[str] = []
        self.overrun: list[str] = []
        self.calls = Calls(lambda call_id, run_id: self.overrun.append(f"{call_id} of {run_id}"))
        self.sweeper = Sweeper(
            cast("Queue", self.queue),
            self.clock,
            owner="proc_1",
            lease=LEASE,
            lanes=lambda: ["http", "local:new_movie"],
            room=lambda: self.room,
            take=lambda claim: self.taken.append(claim.run_id),
            calls=self.calls,
        )

    @asynccontextmanager
    async def running(self, work: Callable[[], Any]) -> AsyncIterator[None]:
        task = asyncio.create_task(work())
        await self.clock.wait_for_sleepers(1)
        yield
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled(), "it works until it is cancelled"
        assert self.clock.timers == 0, "and leaves nothing behind"

    def due_in(self, seconds: float) -> str:
        self.queue.due.append(self.start + seconds)
        return f"run at {self.start + seconds:g}"


@pytest.fixture
def scene() -> Scene:
    return Scene()


async def test_what_is_due_is_claimed_for_this_process_and_taken(scene: Scene) -> None:
    overdue, now = scene.due_in(-5), scene.due_in(0)
    scene.due_in(3)
    async with scene.running(scene.sweeper.run):
        assert scene.taken == [overdue, now]
        assert scene.queue.claims == [("proc_1", ("http", "local:new_movie"), BATCH)]


async def test_it_sleeps_until_the_next_due_time_and_asks_nothing_before(scene: Scene) -> None:
    later = scene.due_in(3)
    async with scene.running(scene.sweeper.run):
        assert scene.clock.next_due == 3
        await scene.clock.advance(2.999)
        assert len(scene.queue.claims) == 1
        await scene.clock.advance(0.001)
        assert scene.taken == [later]


async def test_a_call_that_is_not_answered_in_time_is_ended_once(scene: Scene) -> None:
    async with scene.running(scene.sweeper.run):
        for name, seconds in (("slow", 4), ("slower", 6), ("quick", 4.5)):
            scene.calls.begin(name, "run_1", scene.start + seconds)
        scene.sweeper.notice(scene.start + 4)
        await scene.clock.advance(3.9)
        assert scene.overrun == []
        await scene.clock.advance(0.1)
        assert scene.overrun == ["slow of run_1"]
        scene.calls.end("quick")
        assert scene.clock.next_due == 0.5, "the next deadline, of whatever is called then"
        await scene.clock.advance(0.5)
        assert scene.clock.next_due == 1.5
        await scene.clock.advance(1.5)
        assert scene.overrun == ["slow of run_1", "slower of run_1"]
        scene.calls.end("slower")
        assert scene.clock.next_due == LEASE


async def test_it_looks_once_a_lease_for_the_work_of_processes_that_died(scene: Scene) -> None:
    async with scene.running(scene.sweeper.run):
        assert scene.clock.next_due == LEASE
        await scene.clock.advance(LEASE)
        await scene.clock.advance(LEASE)
        assert len(scene.queue.claims) == 3
        scene.due_in(1000)
        await scene.clock.advance(LEASE)
        assert scene.clock.next_due == LEASE


@pytest.mark.parametrize("turns", range(8))
async def test_it_stops_though_it_is_being_woken_at_that_moment(scene: Scene, turns: int) -> None:
    task = asyncio.create_task(scene.sweeper.run())
    await scene.clock.wait_for_sleepers(1)
    scene.sweeper.notice(scene.start + 1)
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    ended, _ = await asyncio.wait([task], timeout=5)
    task.cancel()
    assert ended == {task}
    assert task.cancelled()


async def test_notice_of_something_earlier_wakes_it_in_time(scene: Scene) -> None:
    async with scene.running(scene.sweeper.run):
        soon = scene.due_in(4)
        scene.sweeper.notice(scene.start + 4)
        await scene.clock.advance(0)
        assert scene.clock.next_due == 4
        await scene.clock.advance(4)
        assert scene.taken == [soon]


async def test_notice_while_time_moves_on_wakes_it_when_that_is_due(scene: Scene) -> None:
    """The lease is renewed at a third of it, which is no whole number of a float's steps at today's Unix time."""
    async with scene.running(scene.sweeper.run):
        soon = scene.due_in(5)

        async def notice() -> None:
            await scene.clock.sleep(LEASE / 3)
            scene.sweeper.notice(scene.start + 5)

        async with asyncio.TaskGroup() as group:
            group.create_task(notice())
            await scene.clock.advance(5)
        assert scene.taken == [soon]


async def test_notice_of_something_later_does_not_wake_it(scene: Scene) -> None:
    scene.due_in(2)
    async with scene.running(scene.sweeper.run):
        scene.sweeper.notice(scene.start + 5)
        await scene.clock.advance(1.9)
        assert len(scene.queue.claims) == 1


async def test_notice_while_it_sweeps_is_not_lost(scene: Scene) -> None:
    first = scene.due_in(0)
    taken: list[str] = scene.taken

    class Noticing(list[str]):
        def append(self, run_id: str) -> None:
            taken.append(run_id)
            if run_id == first:  # comes between the claim and the sleep, and the queue does not know of it yet
                scene.sweeper.notice(scene.start + 1)

    scene.taken = Noticing()
    async with scene.running(scene.sweeper.run):
        assert scene.clock.next_due == 1


async def test_a_full_batch_is_followed_by_another_at_once(scene: Scene) -> None:
    for _ in range(2 * BATCH + 50):
        scene.due_in(-1)
    async with scene.running(scene.sweeper.run):
        assert len(scene.taken) == 2 * BATCH + 50
        assert len(scene.queue.claims) == 3


async def test_it_claims_no_more_than_there_is_room_for(scene: Scene) -> None:
    for _ in range(3 + RESERVE + 2):
        scene.due_in(-1)
    scene.room = 3
    took: list[str] = scene.taken

    class Filling(list[str]):
        def append(self, run_id: str) -> None:
            took.append(run_id)
            scene.room -= 1

    scene.taken = Filling()
    async with scene.running(scene.sweeper.run):
        assert scene.queue.claims[0] == ("proc_1", ("http", "local:new_movie"), 3)
        # Without room no delivery is claimed any more, but a few runs are: deadlines do not wait for slow providers.
        assert set(scene.queue.claims[1:]) <= {("proc_1", (), RESERVE)}
        assert len(took) == 3 + RESERVE
        assert scene.clock.next_due == 1, "without room it does not spin on what is due"
        scene.room = 10
        scene.sweeper.notice(scene.clock.now())
        await scene.clock.advance(0)
        assert len(took) == 3 + RESERVE + 2


async def test_a_store_that_does_not_answer_is_asked_again(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    due = scene.due_in(-1)
    scene.queue.broken = True
    async with scene.running(scene.sweeper.run):
        assert scene.taken == []
        assert scene.clock.next_due == 1
        scene.queue.broken = False
        await scene.clock.advance(1)
        assert scene.taken == [due]
    assert "does not answer" in caplog.text


async def test_the_lease_is_renewed_three_times_while_it_lasts(scene: Scene) -> None:
    async with scene.running(scene.sweeper.keep_lease):
        for _ in range(6):
            await scene.clock.advance(LEASE / 3)
    times = [now - scene.start for _, now, _ in scene.queue.heartbeats]
    assert times == pytest.approx([LEASE / 3 * n for n in range(1, 7)])
    assert all(until - now == LEASE and owner == "proc_1" for owner, now, until in scene.queue.heartbeats)


async def test_a_renewal_that_fails_does_not_end_the_renewing(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    async with scene.running(scene.sweeper.keep_lease):
        scene.queue.broken = True
        await scene.clock.advance(LEASE / 3)
        scene.queue.broken = False
        await scene.clock.advance(LEASE / 3)
    assert len(scene.queue.heartbeats) == 1
    assert "lease" in caplog.text


async def test_nothing_is_claimed_on_a_lease_that_has_run_out(scene: Scene) -> None:
    """A clock that is set forth ends the lease of a process that lives: what it has in hand would be anybody's, its own
    sweeper's before all."""
    scene.due_in(3)
    async with scene.running(scene.sweeper.run):
        assert [now - scene.start for _, now, _ in scene.queue.heartbeats] == [0]
        await scene.clock.advance(3)
        assert len(scene.queue.heartbeats) == 1, "while it lasts, renewing is not the sweeper's"
        scene.due_in(4)
        scene.sweeper.notice(scene.start + 4)
        await scene.clock.leap(LEASE)
        assert [now - scene.start for _, now, _ in scene.queue.heartbeats] == [0, 3 + LEASE]
        assert len(scene.taken) == 2


class Receivers:
    """The part of the breakers that the sweeper asks: one receiver with room for two, one whose breaker is open."""

    def __init__(self) -> None:
        self.opening: float | None = 7.0
        self.taken: list[tuple[Mapping[str, int], Mapping[str, int]]] = []

    def allowed(self) -> Mapping[str, int]:
        return {"ep_two": 2, "ep_open": 0}

    def closed(self) -> list[str]:
        return ["ep_open"]

    def next_opening(self) -> float | None:
        return self.opening

    def took(self, allowed: Mapping[str, int], taken: Mapping[str, int]) -> None:
        self.taken.append((allowed, taken))


async def test_receivers_are_given_no_more_than_they_can_take(scene: Scene) -> None:
    receivers = Receivers()
    scene.sweeper = Sweeper(
        cast("Queue", scene.queue),
        scene.clock,
        owner="proc_1",
        lease=LEASE,
        lanes=lambda: ["http"],
        room=lambda: scene.room,
        take=lambda claim: scene.taken.append(claim.run_id),
        receivers=receivers,
    )
    scene.due_in(-1)
    async with scene.running(scene.sweeper.run):
        assert scene.queue.allowed == [{"ep_two": 2, "ep_open": 0}]
        assert scene.queue.skipped == [("ep_open",)], "what waits for the other does not wake it"
        assert receivers.taken == [({"ep_two": 2, "ep_open": 0}, {})]
        assert scene.clock.next_due == 7.0, "but that it opens does"
        receivers.opening = None
        await scene.clock.advance(7)
        assert len(scene.queue.claims) == 2
        assert scene.clock.next_due == LEASE


async def test_without_room_receivers_are_told_nothing(scene: Scene) -> None:
    """Then no delivery is claimed at all: that none was taken says nothing of what there is."""
    receivers = Receivers()
    scene.sweeper._receivers = receivers
    scene.room = 0
    await scene.sweeper.sweep()
    assert receivers.taken == []
