"""The conformance suite of ports.Notifier.

It asks only what the port promises: news may be lost on the way, so none is counted, and tests tell until heard.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import pytest

from ...ports import Notifier

__all__ = ["NotifierSuite"]

_PATIENCE = 10.0
_RUN = "0190a000-0000-7000-8000-000000000001"
_OTHER = "0190a000-0000-7000-8000-000000000002"


class NotifierSuite:
    """Subclass it in a test module, and give it two notifiers that two processes would have::

        class TestMine(NotifierSuite):
            @pytest.fixture
            async def pair(self):
                one, other = MyNotifier(URL), MyNotifier(URL)
                yield one, other
                await one.aclose()
                await other.aclose()

    Override `news` where something else than `publish` is the news (a commit, say).
    """

    pytestmark = pytest.mark.anyio

    @pytest.fixture
    def anyio_backend(self) -> str:
        return "asyncio"

    @pytest.fixture
    def pair(self) -> tuple[Notifier, Notifier]:
        """The notifiers of two processes; to be overridden."""
        raise NotImplementedError("override the fixture `pair`")

    @pytest.fixture
    def news(self, pair: tuple[Notifier, Notifier]) -> Callable[[str], Awaitable[None]]:
        """Makes news of a run in the first process."""

        async def publish(run_id: str) -> None:
            pair[0].publish(run_id, 1)

        return publish

    async def test_news_of_one_process_wakes_the_other(
        self, pair: tuple[Notifier, Notifier], news: Callable[[str], Awaitable[None]]
    ) -> None:
        async with _listening(pair[1]) as heard:
            for run_id in (_RUN, _OTHER, _RUN):
                await _tell_until_heard(news, run_id, heard)

    async def test_every_listener_is_woken(
        self, pair: tuple[Notifier, Notifier], news: Callable[[str], Awaitable[None]]
    ) -> None:
        async with _listening(pair[1]) as one, _listening(pair[1]) as two:
            await _tell_until_heard(news, _RUN, one)
            await _tell_until_heard(news, _RUN, two)

    async def test_publishing_to_nobody_does_no_harm(self, pair: tuple[Notifier, Notifier]) -> None:
        for number in range(1, 101):
            pair[0].publish(_RUN, number)

    async def test_listening_goes_on_until_it_is_cancelled(self, pair: tuple[Notifier, Notifier]) -> None:
        task = asyncio.create_task(pair[0].listen(lambda run_id: None))
        done, _ = await asyncio.wait([task], timeout=0.05)
        assert not done
        task.cancel()
        await asyncio.wait([task], timeout=_PATIENCE)
        assert task.cancelled()

    async def test_one_listener_may_leave_while_another_stays(
        self, pair: tuple[Notifier, Notifier], news: Callable[[str], Awaitable[None]]
    ) -> None:
        async with _listening(pair[1]) as stays:
            async with _listening(pair[1]):
                pass
            await _tell_until_heard(news, _RUN, stays)

    async def test_closing_twice_is_closing(self, pair: tuple[Notifier, Notifier]) -> None:
        await pair[0].aclose()
        await pair[0].aclose()


@asynccontextmanager
async def _listening(notifier: Notifier) -> AsyncIterator[asyncio.Queue[str | None]]:
    heard: asyncio.Queue[str | None] = asyncio.Queue()
    task = asyncio.create_task(notifier.listen(heard.put_nowait))
    try:
        yield heard
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def _tell_until_heard(
    news: Callable[[str], Awaitable[None]], run_id: str, heard: asyncio.Queue[str | None]
) -> None:
    while not heard.empty():
        heard.get_nowait()
    async with asyncio.timeout(_PATIENCE):
        while True:
            await news(run_id)
            with suppress(TimeoutError):
                # None is "something has changed": as good as the run's own name.
                while await asyncio.wait_for(heard.get(), 0.5) not in (run_id, None):
                    pass
                return
