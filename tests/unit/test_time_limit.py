"""TimeLimit: what comes too late is ended, what anybody else ends is his business."""

from __future__ import annotations

import asyncio

import pytest

from riverflow.time_limit import TimeLimit

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def forever() -> None:
    await asyncio.Event().wait()


async def test_what_takes_too_long_is_cancelled() -> None:
    with pytest.raises(TimeoutError), TimeLimit(0) as limit:
        await forever()
    assert limit.over
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_what_comes_in_time_is_left_alone() -> None:
    with TimeLimit(0.001) as limit:
        pass
    with TimeLimit(60):
        await asyncio.sleep(0.002)  # a timer that was not taken down would fire here
    assert not limit.over


async def test_an_error_is_not_replaced() -> None:
    with pytest.raises(ValueError, match="mine"), TimeLimit(60):
        raise ValueError("mine")


async def test_an_error_that_answers_the_cancellation_is_not_replaced() -> None:
    async def stubborn() -> None:
        try:
            await forever()
        except asyncio.CancelledError:
            raise ValueError("mine") from None

    with pytest.raises(ValueError, match="mine"), TimeLimit(0) as limit:
        await stubborn()
    assert limit.over


async def test_a_cancellation_by_somebody_else_passes_through() -> None:
    begun = asyncio.Event()

    async def work() -> None:
        with TimeLimit(60):
            begun.set()
            await forever()

    task = asyncio.create_task(work())
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_the_outer_of_two_limits_is_the_one_that_is_over() -> None:
    with pytest.raises(TimeoutError), TimeLimit(0) as outer, TimeLimit(60) as inner:
        await forever()
    assert outer.over
    assert not inner.over


def test_it_is_set_in_a_task() -> None:
    async def no_task() -> None:
        loop = asyncio.get_running_loop()
        failed: asyncio.Future[BaseException] = loop.create_future()

        def outside() -> None:
            try:
                TimeLimit(1).__enter__()
            except RuntimeError as error:
                failed.set_result(error)

        loop.call_soon(outside)
        assert "task" in str(await failed)

    asyncio.run(no_task())
