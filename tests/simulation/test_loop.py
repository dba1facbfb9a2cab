"""The simulated event loop: time jumps, order is the seed's, the dead do nothing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from typing import Any

import pytest

from riverflow.testing.simulation.loop import Life, Runaway, SimulatedLoop, Stalled


def run(main: Coroutine[Any, Any, Any], **options: Any) -> Any:
    loop = SimulatedLoop(**({"seed": 1} | options))
    try:
        return loop.run_until_complete(main)
    finally:
        loop.close()


def test_time_is_not_waited_for() -> None:
    async def main() -> float:
        async with asyncio.timeout(1e6):
            await asyncio.sleep(86_400)
        return asyncio.get_running_loop().time()

    began = time.monotonic()
    assert run(main()) == 86_400
    assert time.monotonic() - began < 5


def test_timers_go_off_in_their_order() -> None:
    told: list[int] = []

    async def wait(seconds: int) -> None:
        await asyncio.sleep(seconds)
        told.append(seconds)

    async def main() -> None:
        await asyncio.gather(*(wait(seconds) for seconds in (3, 1, 2, 5, 4)))

    run(main(), window=50)
    assert told == [1, 2, 3, 4, 5]


def order(seed: int, window: int) -> list[int]:
    told: list[int] = []

    async def work(number: int) -> None:
        for _ in range(3):
            await asyncio.sleep(0)
        told.append(number)

    async def main() -> None:
        async with asyncio.TaskGroup() as group:
            for number in range(8):
                group.create_task(work(number))

    run(main(), seed=seed, window=window)
    return told


def test_without_a_window_who_came_first_is_first() -> None:
    assert {tuple(order(seed, 0)) for seed in range(5)} == {tuple(range(8))}


def test_with_a_window_the_seed_says_who_is_first() -> None:
    orders = [order(seed, 40) for seed in range(10)]
    assert orders == [order(seed, 40) for seed in range(10)]
    assert len({tuple(each) for each in orders}) > 5


def test_whoever_is_killed_does_nothing_more_until_it_is_buried() -> None:
    told: list[str] = []

    async def live() -> None:
        try:
            async with asyncio.timeout(10):
                await asyncio.create_task(asyncio.sleep(100))
        finally:
            told.append("finally")

    async def main() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, SimulatedLoop)
        life = Life()
        task = loop.create_task(live(), context=life.context)
        await asyncio.sleep(5)
        life.over = True
        await asyncio.sleep(1000)
        assert told == []
        loop.revive(life)
        task.cancel()
        await asyncio.wait([task])
        assert told == ["finally"]

    run(main())


def test_a_killed_process_takes_what_it_began_with_it() -> None:
    told: list[str] = []

    async def child() -> None:
        await asyncio.sleep(1)
        told.append("child")

    async def parent() -> None:
        asyncio.get_running_loop().call_later(1, told.append, "timer")
        await asyncio.create_task(child())

    async def main() -> None:
        loop, life = asyncio.get_running_loop(), Life()
        task = loop.create_task(parent(), context=life.context)
        await asyncio.sleep(0.5)
        life.over = True
        await asyncio.sleep(5)
        assert told == []
        loop.revive(life)  # type: ignore[attr-defined]
        await asyncio.wait([task])

    run(main())


def test_waiting_for_nothing_is_told() -> None:
    async def main() -> None:
        await asyncio.get_running_loop().create_future()

    task = main()
    with pytest.raises(Stalled):
        run(task)


def test_running_without_end_is_told() -> None:
    async def main() -> None:
        while True:  # noqa: ASYNC110 - it shall not end
            await asyncio.sleep(0)

    with pytest.raises(Runaway, match="1000 callbacks"):
        run(main(), limit=1000)


def test_there_are_no_threads() -> None:
    async def main() -> None:
        await asyncio.get_running_loop().run_in_executor(None, print)

    with pytest.raises(RuntimeError, match="no threads"):
        run(main())
