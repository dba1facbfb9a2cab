"""The fake clock: who wakes when, and that nothing moves by itself."""

from __future__ import annotations

import asyncio

import pytest

from riverflow.testing import FakeClock

pytestmark = pytest.mark.anyio


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


async def test_it_stands_still(clock: FakeClock) -> None:
    before = clock.now(), clock.monotonic()
    await asyncio.sleep(0.002)
    assert (clock.now(), clock.monotonic()) == before


async def test_advance_moves_both_times(clock: FakeClock) -> None:
    start = clock.now()
    await clock.advance(2.5)
    assert clock.now() - start == 2.5
    assert clock.monotonic() == 2.5


async def test_sleepers_wake_in_order_each_at_its_time(clock: FakeClock) -> None:
    woken: list[tuple[str, float]] = []

    async def sleeper(name: str, seconds: float) -> None:
        await clock.sleep(seconds)
        woken.append((name, clock.monotonic()))

    async with asyncio.TaskGroup() as group:
        for name, seconds in [("c", 3.0), ("a", 1.0), ("b", 2.0), ("a2", 1.0)]:
            group.create_task(sleeper(name, seconds))
        await clock.wait_for_sleepers(4)
        await clock.advance(10)
    assert woken == [("a", 1.0), ("a2", 1.0), ("b", 2.0), ("c", 3.0)]


async def test_a_sleeper_that_is_not_due_sleeps_on(clock: FakeClock) -> None:
    task = asyncio.create_task(clock.sleep(5))
    await clock.advance(4.999)
    assert not task.done()
    assert clock.next_due == pytest.approx(0.001)
    await clock.advance(0.001)
    assert task.done()


async def test_one_advance_carries_a_chain_of_sleeps(clock: FakeClock) -> None:
    moments: list[float] = []

    async def chain() -> None:
        for seconds in (1, 2, 3):
            await clock.sleep(seconds)
            moments.append(clock.monotonic())

    task = asyncio.create_task(chain())
    await clock.advance(10)
    assert task.done()
    assert moments == [1, 3, 6]


@pytest.mark.parametrize("before", [10 / 3, 0.1, 0.7, 43 / 12, 1])
async def test_who_sleeps_for_the_rest_until_a_time_wakes_at_that_time(clock: FakeClock, before: float) -> None:
    """Wherever he begins: `before` is no whole number of the steps that Unix time has in a float."""
    wake_at = clock.now() + 5

    async def sleeper() -> float:
        await clock.sleep(before)
        await clock.sleep(wake_at - clock.now())
        return clock.now()

    task = asyncio.create_task(sleeper())
    await clock.advance(5)
    assert task.done()
    assert await task == wake_at == clock.now()


@pytest.mark.parametrize("seconds", [0.1, 0.3, 0.7, 1.4, 10 / 3])
async def test_who_sleeps_until_a_fraction_from_now_wakes_with_it(clock: FakeClock, seconds: float) -> None:
    wake_at = clock.now() + seconds
    task = asyncio.create_task(clock.sleep(wake_at - clock.now()))
    await clock.advance(seconds)
    assert task.done()
    assert clock.now() == wake_at


async def test_who_is_woken_half_a_step_beyond_the_end_has_slept_as_long_as_asked(clock: FakeClock) -> None:
    """By monotonic time too: a loop that waits until such a time ends, and does not ask for the rest again."""
    waking: list[float] = []

    async def sleeper() -> None:
        until = clock.monotonic() + 5 + 1e-7
        while (left := until - clock.monotonic()) > 0:
            await clock.sleep(left)
            waking.append(clock.monotonic() - until)

    task = asyncio.create_task(sleeper())
    await clock.advance(5)
    assert task.done()
    assert waking == [0]


async def test_a_cancelled_sleeper_leaves_no_timer(clock: FakeClock) -> None:
    task = asyncio.create_task(clock.sleep(5))
    await clock.wait_for_sleepers(1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert clock.timers == 0
    assert clock.next_due is None


@pytest.mark.parametrize("seconds", [0, -1])
async def test_a_sleep_of_nothing_needs_no_advance(clock: FakeClock, seconds: float) -> None:
    await asyncio.wait_for(clock.sleep(seconds), 5)


async def test_waiting_for_sleepers_ends_when_they_have_come(clock: FakeClock) -> None:
    waiting = asyncio.create_task(clock.wait_for_sleepers(2))
    sleepers = [asyncio.create_task(clock.sleep(1))]
    await clock.advance(0)
    assert not waiting.done()
    sleepers.append(asyncio.create_task(clock.sleep(1)))
    await asyncio.wait_for(waiting, 5)
    await clock.advance(1)
    await asyncio.gather(*sleepers)


async def test_waiting_in_vain_says_how_many_there_are(clock: FakeClock) -> None:
    with pytest.raises(TimeoutError, match=r"0 sleepers after 0\.01 s; waited for 1"):
        await clock.wait_for_sleepers(1, timeout=0.01)


async def test_time_does_not_go_back(clock: FakeClock) -> None:
    with pytest.raises(ValueError, match="forward"):
        await clock.advance(-1)


async def test_leaping_wakes_who_fell_due_once_and_afterwards() -> None:
    clock = FakeClock()
    woken: list[float] = []

    async def every_second() -> None:
        while True:
            await clock.sleep(1)
            woken.append(clock.monotonic())

    task = asyncio.create_task(every_second())
    await clock.wait_for_sleepers(1)
    await clock.leap(86_400)
    assert woken == [86_400]
    await clock.advance(1)
    assert woken == [86_400, 86_401]
    with pytest.raises(ValueError, match="forward"):
        await clock.leap(-1)
    task.cancel()
    await asyncio.wait([task])
