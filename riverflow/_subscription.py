"""One reader of one run: replayed from the log, then live, gaps repaired by number.

This module must not know who appends nor how frames travel.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable
from typing import Protocol, cast

from ._frames import News, frame_of, timeline_frame
from .errors import NotFound, StoreError, SubscriptionClosed
from .models import Frame
from .ports import EntryPage

__all__ = ["LiveSubscription", "Source"]

_PAGE = 1000
_UNREAD = -1


class Source(Protocol):
    """What a subscription needs of its hub."""

    @property
    def buffer(self) -> int:
        """How many frames may be left unread."""
        ...

    async def read(self, reader: LiveSubscription, after: int, limit: int) -> EntryPage:
        """One page of what the reader may see. Raises NotFound where the run is not (or no longer) there."""
        ...

    async def finished(self, reader: LiveSubscription) -> bool:
        """Whether the run has its final entry."""
        ...

    def forget(self, reader: LiveSubscription) -> None:
        """Feed this reader no longer."""
        ...


class LiveSubscription:
    """One reader of one run (ports.Subscription), for one task at a time.

    Three numbers tell where it stands: `latest` has been handed out, `_tail` is queued or passed over, `_known` is the
    highest heard of. Whatever lies between `_tail` and `_known` is a gap, and the log fills it.
    """

    __slots__ = (
        "_complete",
        "_known",
        "_look",
        "_queue",
        "_reason",
        "_source",
        "_tail",
        "_waiter",
        "everything",
        "latest",
        "project_id",
        "run_id",
        "since",
        "transport",
    )

    def __init__(
        self, source: Source, project_id: str, run_id: str, everything: bool, transport: str, since: float
    ) -> None:
        self.project_id = project_id
        self.run_id = run_id
        self.everything = everything
        self.latest = 0
        self.transport = transport
        self.since = since
        self._source = source
        self._tail = self._known = _UNREAD
        self._queue: deque[Frame] | None = None  # made for the first frame: a deque costs 600 bytes, most readers wait
        self._waiter: asyncio.Future[bool] | None = None
        self._look = False
        self._complete = False
        self._reason: str | None = None

    # The reader's side -----------------------------------------------------------------------------------

    async def next(self, timeout: float | None = None) -> Frame | None:
        """See ports.Subscription.next."""
        deadline = None if timeout is None else asyncio.get_running_loop().time() + timeout
        while not self._queue:
            if self._complete:
                raise StopAsyncIteration
            if self._reason is not None:
                raise SubscriptionClosed(self._reason)
            if self._look or self._known > self._tail:
                await self._catch_up()
            elif timeout == 0:
                return None
            elif not await (self._news() if deadline is None else self._news_before(deadline)):
                await self._catch_up()
                return self._pop() if self._queue else None
        return self._pop()

    def __aiter__(self) -> AsyncIterator[Frame]:
        return self

    def __anext__(self) -> Awaitable[Frame]:
        return cast("Awaitable[Frame]", self.next())  # without a timeout there is nothing else to return

    async def __aenter__(self) -> LiveSubscription:
        return self

    async def __aexit__(self, *exc: object) -> None:
        self.cut("left")

    # The source's side -------------------------------------------------------------------------------------

    async def open(self, after: int | None, known: News | None = None) -> None:
        """Read what the log holds for this reader: everything after a number, or the latest state. `known` is the whole
        of it, where that is known already and is asked for."""
        if after is None and not self.everything:
            await self._open_at_latest(known)
            return
        after = after or 0
        if known is None:
            known = await self._read(after)
            # A number from the future (of another run, say) would hide all that is still to come.
            after = min(after, known.last)
            if after and not known.frames and not self.everything and await self._source.finished(self):
                known = await self._read(after)  # it may have finished between the two reads
                self._complete = not known.frames
        self._tail = self.latest = after
        self.feed(known)

    def feed(self, news: News) -> None:
        """Take news. Numbers that are known are dropped; after a gap the log is read instead."""
        self._known = max(self._known, news.last)
        if news.first <= self._tail + 1 and news.last > self._tail:
            for frame in news.frames:
                if frame.number > self._tail:
                    self._push(frame)
            if not self._complete and self._reason is None:
                self._pass_on(news.last)
        if self._queue or self._known > self._tail:
            self._wake()

    def look(self) -> None:
        """Look into the log when next asked."""
        self._look = True
        self._wake()

    def cut(self, reason: str) -> None:
        """End the subscription early; nothing more is handed out."""
        if self._reason is None:
            self._reason = reason
            self._queue = None
            self._source.forget(self)
            self._wake()

    # Inside ----------------------------------------------------------------------------------------------

    @property
    def _page(self) -> int:
        """Half the buffer: a replay leaves room for what comes live."""
        return max(1, min(_PAGE, self._source.buffer // 2))

    async def _open_at_latest(self, known: News | None) -> None:
        latest: Frame | None = None
        tail = 0
        while True:
            news = known or await self._read(tail, _PAGE)
            latest = next((frame for frame in reversed(news.frames) if frame.event == "response"), latest)
            tail = news.last
            if known is not None or len(news.frames) < _PAGE:
                break
        if latest is not None:
            self._push(latest)
        self._tail = tail
        if latest is None:
            self.latest = tail

    async def _catch_up(self) -> None:
        """Read on after `_tail`. A log that does not answer cuts the reader: he comes back with his number."""
        self._look = False
        try:
            self.feed(await self._read(self._tail))
        except NotFound:
            self.cut("gone")
        except StoreError:
            self.cut("unavailable")

    async def _read(self, after: int, limit: int | None = None) -> News:
        """What a page of the log tells this reader: as far as it goes, where there is more than a page."""
        page = await self._source.read(self, after, limit or self._page)
        self._known = max(self._known, page.latest)
        frame = timeline_frame if self.everything else frame_of
        frames = [frame(entry, entry.number) for entry in page.entries]
        whole = len(frames) < (limit or self._page)
        return News(after + 1, page.latest if whole else frames[-1].number, frames)

    def _push(self, frame: Frame) -> None:
        if self._complete or self._reason is not None:
            return
        self._tail = frame.number
        if self._queue is None:
            self._queue = deque()
        if len(self._queue) >= self._source.buffer:
            self.cut("too_slow")
            return
        self._queue.append(frame)
        if frame.final:
            self._complete = True
            self._source.forget(self)

    def _pass_on(self, number: int) -> None:
        self._tail = number
        if not self._queue:
            self.latest = number

    def _pop(self) -> Frame:
        assert self._queue
        frame = self._queue.popleft()
        if self._queue:
            self.latest = frame.number
        else:
            self._queue = None
            self.latest = max(frame.number, self._tail)
        return frame

    def _news(self) -> asyncio.Future[bool]:
        """What `_wake` resolves."""
        self._waiter = asyncio.get_running_loop().create_future()
        return self._waiter

    async def _news_before(self, deadline: float) -> bool:
        """Wait to be woken; False when the deadline (of the loop's clock) came first."""
        loop = asyncio.get_running_loop()
        if loop.time() >= deadline:
            return False  # wake-ups that brought nothing have eaten the time
        waiter = self._news()
        timer = loop.call_at(deadline, _expire, waiter)
        try:
            return await waiter
        finally:
            timer.cancel()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(True)


def _expire(waiter: asyncio.Future[bool]) -> None:
    if not waiter.done():
        waiter.set_result(False)
