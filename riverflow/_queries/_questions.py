"""Asks the store what the console and the listing API want to know.

Every question is bounded: it answers in the same time over a thousand runs and over a million.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence

import msgspec

from .._attendance import Connection
from .._machine import rebuild
from ..errors import InvalidRequest, NotFound
from ..models import Delivery, Entry, Record, RunFilter, Standing
from ..ports import Clock, RunPage, Store
from ._calls import calls_of
from ._detail import RequestDetail, deliveries_of, entries_of, receipts_of, stages_of, tries_of
from ._excerpt import excerpt
from ._explain import explain
from ._figures import Stats, stats
from ._fixture import Fixture, fixture_of
from ._health import HEALTH_RUNS, HEALTH_SECONDS, ProviderHealth, health
from ._rows import RequestPage, RequestRow, row_of
from ._said import failure_of, message_of, warnings_of
from ._wanted import DEFAULT_TAGS

__all__ = ["MAX_PAGE", "MAX_PERIODS", "Overview", "Queries"]

MAX_PAGE = 100
MAX_PERIODS = 1500
_ENTRIES = 1000  # of one run's log on a page
_DAY = 86_400.0
_LIVE = RunFilter(tags=DEFAULT_TAGS)

SentHeaders = Callable[[str, Sequence[Delivery], Sequence[Entry]], Awaitable[Mapping[int, dict[str, str]]]]
"""The headers of a project's attempts, by the number of their entry."""


class Overview(msgspec.Struct, frozen=True, kw_only=True):
    """How things stand at `now` (Unix seconds): what has ended lately, what is under way, what is stuck.

    `queue_depth` counts the work that is due and that nobody has begun, `queue_age` is how long its oldest has waited
    (seconds), `dead_letters` counts deliveries that were given up. `standing.waiting` are the runs whose callback is
    pending. Everything but `stats` and `providers` counts runs of every tag.
    """

    now: float
    stats: Stats
    standing: Standing
    queue_depth: int
    queue_age: float
    dead_letters: int
    providers: tuple[ProviderHealth, ...]


class Queries:
    """Questions about one store's runs. `lanes` is what this process can deliver to, `connections` are those to a
    run that this process knows of, `sent` knows what went out. A project id is always given; runs of another project do
    not exist for him who asks."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        *,
        lanes: Callable[[], Iterable[str]] = tuple,
        connections: Callable[[str], Sequence[Connection]] = lambda run_id: (),
        sent: SentHeaders | None = None,
    ) -> None:
        self._store = store
        self._clock = clock
        self._lanes = lanes
        self._connections = connections
        self._sent = sent

    async def requests(
        self,
        project_id: str,
        wanted: RunFilter = _LIVE,
        *,
        starting_after: str | None = None,
        ending_before: str | None = None,
        limit: int = 50,
    ) -> RequestPage:
        """A page of requests, newest first: those older than the id `starting_after`, or the nearest of those newer
        than the id `ending_before`. Raises InvalidRequest for a page over MAX_PAGE or two cursors."""
        if not 1 <= limit <= MAX_PAGE:
            raise InvalidRequest(f"limit: give 1 to {MAX_PAGE}", code="invalid_parameter", extra={"param": "limit"})
        if starting_after is not None and ending_before is not None:
            raise InvalidRequest(
                "give starting_after or ending_before, not both",
                code="invalid_parameter",
                extra={"param": "ending_before"},
            )
        page = await self._store.log.runs(project_id, wanted, before=starting_after, after=ending_before, limit=limit)
        return _page(page, starting_after, ending_before)

    async def every(self, project_id: str, wanted: RunFilter = _LIVE, *, limit: int) -> AsyncIterator[RequestRow]:
        """The newest `limit` requests one by one, read in pages: for an export."""
        cursor: str | None = None
        while limit > 0:
            page = await self._store.log.runs(project_id, wanted, before=cursor, limit=min(limit, 500))
            for run in page.runs:
                yield row_of(run)
            limit -= len(page.runs)
            cursor = page.searched_to or (page.runs[-1].id if page.runs else None)
            if cursor is None or not page.has_more:
                return

    async def request(self, project_id: str, channel_id: str) -> RequestDetail:
        """Everything about one request. Raises NotFound."""
        page = await self._store.log.entries_after(project_id, channel_id, 0, limit=_ENTRIES)
        if page is None:
            raise _missing(channel_id)
        stored, owed = await asyncio.gather(
            self._store.log.load(project_id, channel_id), self._store.queue.deliveries(project_id, channel_id)
        )
        if stored is None or not stored.checkpoints:
            raise _missing(channel_id)
        record = rebuild(stored.run, stored.checkpoints)
        sent = await self.sent(project_id, owed, page.entries)
        calls = calls_of(record, page.entries, {each.id for each in owed})
        deliveries = deliveries_of(owed, page.entries, sent, calls)
        now = self._clock.now()
        message = message_of(page.entries)
        return RequestDetail(
            row=row_of(record.run),
            why=explain(record, deliveries, failure_of(page.entries), now),
            warnings=warnings_of(page.entries),
            stages=stages_of(record, page.entries),
            tries=tries_of(page.entries),
            deliveries=deliveries,
            receipts=receipts_of(page.entries),
            entries=entries_of(page.entries),
            latest=page.latest,
            more=bool(page.entries) and page.entries[-1].number < page.latest,
            request=excerpt(bytes(record.request)),
            answer=excerpt(bytes(record.generated.data)) if record.generated is not None else None,
            message=excerpt(bytes(message)) if message is not None else None,
            connections=tuple(self._connections(channel_id)),
            cancellable=record.run.phase != "done",
            replayable=replayable(record),
            simulated=record.plan.simulated,
        )

    async def sent(
        self, project_id: str, deliveries: Sequence[Delivery], entries: Sequence[Entry]
    ) -> Mapping[int, dict[str, str]]:
        """The headers, as far as they are known, of the attempts among a run's entries, by number."""
        return await self._sent(project_id, deliveries, entries) if self._sent is not None else {}

    async def fixture(self, project_id: str, channel_id: str) -> Fixture:
        """One request as a file to answer from. Raises NotFound."""
        page = await self._store.log.entries_after(project_id, channel_id, 0, limit=_ENTRIES)
        stored = await self._store.log.load(project_id, channel_id)
        if page is None or stored is None:
            raise _missing(channel_id)
        return fixture_of(rebuild(stored.run, stored.checkpoints), tries_of(page.entries))

    async def stats(
        self,
        project_id: str,
        *,
        since: float | None = None,
        until: float | None = None,
        bucket: int = 3600,
        wanted: RunFilter = _LIVE,
    ) -> Stats:
        """Ended runs by period; without times, the last 24 hours up to now. `since` and `until` are moved outward to
        the borders of buckets. Raises InvalidRequest for a bucket that is none (a multiple of 60 seconds that divides
        an hour, or of 3600) and for over MAX_PERIODS of them."""
        _check_bucket(bucket)
        until = self._clock.now() if until is None else until
        since = until - _DAY if since is None else since
        begin, end = math.floor(since / bucket) * bucket, math.ceil(until / bucket) * bucket
        if end <= begin:
            raise InvalidRequest("until: it must come after since", code="invalid_parameter", extra={"param": "until"})
        if (end - begin) // bucket > MAX_PERIODS:
            raise InvalidRequest(
                f"bucket: over {MAX_PERIODS} periods; take a larger one",
                code="invalid_parameter",
                extra={"param": "bucket"},
            )
        totals = await self._store.log.totals(project_id, begin, end, bucket, wanted)
        return stats(totals, begin, end, bucket)

    async def overview(self, project_id: str, *, since: float | None = None, bucket: int = 3600) -> Overview:
        """How things stand now; `stats` reaches from `since` (None: a day ago) to now."""
        now, queue = self._clock.now(), self._store.queue
        figures, standing, depth, next_due, dead, providers = await asyncio.gather(
            self.stats(project_id, since=since, until=now, bucket=bucket),
            self._store.log.standing(project_id),
            queue.backlog(now),
            queue.next_due(now, self._lanes()),
            queue.dead_letters(project_id),
            self.providers(project_id),
        )
        return Overview(
            now=now,
            stats=figures,
            standing=standing,
            queue_depth=depth,
            queue_age=max(now - next_due, 0.0) if depth and next_due is not None else 0.0,
            dead_letters=dead,
            providers=providers,
        )

    async def providers(self, project_id: str) -> tuple[ProviderHealth, ...]:
        """How providers do: in the newest runs of the last hour, a thousand at most."""
        wanted = RunFilter(tags=DEFAULT_TAGS, since=self._clock.now() - HEALTH_SECONDS)
        page = await self._store.log.runs(project_id, wanted, limit=HEALTH_RUNS)
        return health(page.runs)


def replayable(record: Record) -> tuple[str, ...]:
    """The stages that a replay can begin with: the first, and each of those before which all have an output."""
    done = {output.stage for output in record.outputs}
    names: list[str] = []
    for stage in record.plan.stages:
        names.append(stage.name)
        if stage.name not in done:
            break
    return tuple(names)


def _page(page: RunPage, starting_after: str | None, ending_before: str | None) -> RequestPage:
    runs, onward = page.runs, page.searched_to
    stopped = None if onward is None else _seconds_of(onward)
    newest, oldest = (runs[0].id, runs[-1].id) if runs else (starting_after, ending_before)
    if ending_before is not None:  # towards the newer
        newer = (onward or newest) if page.has_more else None
        older = oldest if runs else None
    else:
        older = (onward or oldest) if page.has_more else None
        newer = newest if starting_after is not None else None
    return RequestPage(data=tuple(map(row_of, runs)), older=older, newer=newer, searched_back_to=stopped)


def _seconds_of(run_id: str) -> float:
    """The time that an id carries (RFC 9562, 5.7)."""
    return int(run_id.replace("-", "")[:12], 16) / 1000


def _check_bucket(bucket: int) -> None:
    if bucket < 60 or (bucket % 3600 and (bucket % 60 or 3600 % bucket)):
        raise InvalidRequest(
            "bucket: give seconds: a multiple of 60 that divides an hour (60, 300, 900 …), or a multiple of 3600",
            code="invalid_parameter",
            extra={"param": "bucket"},
        )


def _missing(channel_id: str) -> NotFound:
    return NotFound(f"no run {channel_id!r} in this project", code="channel_not_found")
