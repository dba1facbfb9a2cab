"""The channel hub: which reader is told of which run's entries.

This module must not write to the log nor know a wire; it is told of entries only after they are durable.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence

from ._attendance import Attendance, Connection
from ._frames import News, news_of
from ._recent import Recent
from ._subscription import LiveSubscription
from .errors import NotFound, Overloaded
from .models import Entry
from .ports import EntryPage, RunLog

__all__ = ["Hub"]

_READS = 64  # log reads at once, so that a wake-up of thousands of readers does not bury everybody else's


class Hub:
    """Brings the entries of runs to their readers.

    `buffer` bounds how many frames one reader may leave unread; one more, and he is cut with the reason
    `too_slow`, to come back with his number. `recent` (None: the log is asked always) answers a reader who comes while
    his run is young; it is only for runs whose other writers wake this hub.
    """

    def __init__(
        self,
        log: RunLog,
        *,
        buffer: int = 256,
        recent: Recent | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._log = log
        self._now = now
        self._attendance = Attendance()
        self._recent = recent
        self._buffer = buffer
        self._readers: dict[str, set[LiveSubscription]] = {}
        self._reads = asyncio.Semaphore(_READS)
        self._closed: str | None = None
        self._watch: Callable[[str | None], None] | None = None

    @property
    def readers(self) -> int:
        """How many subscriptions are open."""
        return sum(map(len, self._readers.values()))

    def connections(self, run_id: str) -> tuple[Connection, ...]:
        """Who listens to a run here, and who did, in the order of coming."""
        here = (_connection(reader) for reader in self._readers.get(run_id, ()))
        return tuple(sorted((*self._attendance.of(run_id), *here), key=lambda each: each.since))

    def born(self, project_id: str, run_id: str) -> None:
        """A run is about to be told of from its first entry on."""
        if self._recent is not None:
            self._recent.born(project_id, run_id)

    def watch(self, told: Callable[[str | None], None] | None) -> None:
        """Call this with each run that has news (None: some run has), or (None) nobody any more. It must return at
        once."""
        self._watch = told

    def tell(self, run_id: str, entries: Sequence[Entry], first: int) -> None:
        """Entries were just appended, the first of them under that number: readers who are there are told, for those
        still to come they are remembered. Frames are built once for all."""
        if self._watch is not None:
            self._watch(run_id)
        if self._recent is not None:
            self._recent.note(run_id, entries, first)
        readers = self._readers.get(run_id)
        if readers is None:
            return
        public: News | None = None
        whole: News | None = None
        for reader in tuple(readers):
            if reader.everything:
                whole = whole or news_of(entries, first, everything=True)
                reader.feed(whole)
            else:
                public = public or news_of(entries, first, everything=False)
                reader.feed(public)

    def wake(self, run_id: str | None) -> None:
        """The readers of that run (None: all) shall look into the log: somebody else has written."""
        if self._recent is not None:
            self._recent.forget(run_id)
        if self._watch is not None:
            self._watch(run_id)
        for readers in self._readers.values() if run_id is None else [self._readers.get(run_id, set())]:
            for reader in readers:
                reader.look()

    async def subscribe(
        self,
        project_id: str,
        channel_id: str,
        *,
        after: int | None = None,
        everything: bool = False,
        transport: str = "",
    ) -> LiveSubscription:
        """See ports.Channels.subscribe. Raises NotFound, StoreError, and Overloaded once the hub is closed."""
        if self._closed is not None:
            raise Overloaded(f"no new readers: {self._closed}")
        reader = LiveSubscription(self, project_id, channel_id, everything, transport, self._now())
        # Registered before the log is read: what is appended meanwhile is either in the page or fed.
        self._readers.setdefault(channel_id, set()).add(reader)
        try:
            known: News | None = None
            if self._recent is not None and not (after or everything):
                known = self._recent.news(project_id, channel_id)
            await reader.open(after, known)
        except BaseException:
            self._drop(reader)
            raise
        if self._watch is not None:
            self._watch(channel_id)
        return reader

    def close(self, reason: str) -> None:
        """Cut every reader and take no new ones."""
        self._closed = reason
        for readers in list(self._readers.values()):
            for reader in tuple(readers):
                reader.cut(reason)

    # For subscriptions (their Source) ------------------------------------------------------------------------

    @property
    def buffer(self) -> int:
        return self._buffer

    async def read(self, reader: LiveSubscription, after: int, limit: int) -> EntryPage:
        """One page of what the reader may see. Raises NotFound where the run is not (or no longer) there."""
        async with self._reads:
            page = await self._log.entries_after(
                reader.project_id, reader.run_id, after, limit=limit, public=not reader.everything
            )
        if page is None:
            raise NotFound("there is no such channel")
        return page

    async def finished(self, reader: LiveSubscription) -> bool:
        """Whether the run has its final entry."""
        async with self._reads:
            stored = await self._log.load(reader.project_id, reader.run_id)
        return stored is not None and stored.run.phase == "done"

    def forget(self, reader: LiveSubscription) -> None:
        """Feed this reader no longer."""
        if self._drop(reader):
            self._attendance.left(reader.run_id, _connection(reader, self._now()))
            if self._watch is not None:
                self._watch(reader.run_id)

    def _drop(self, reader: LiveSubscription) -> bool:
        readers = self._readers.get(reader.run_id)
        if readers is None or reader not in readers:
            return False
        readers.discard(reader)
        if not readers:
            del self._readers[reader.run_id]
        return True


def _connection(reader: LiveSubscription, until: float | None = None) -> Connection:
    return Connection(transport=reader.transport, since=reader.since, until=until)
