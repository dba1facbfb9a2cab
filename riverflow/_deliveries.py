"""The verbs of deliveries: find them, look at one with its attempts, send them again.

What is sent again is due in the store like any other delivery; nothing is sent from here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence

import msgspec

from . import codec
from ._directory import ENDPOINT, Directory, Stored
from ._intake import remote_url
from .config import Settings
from .errors import Conflict, InvalidRequest, NotFound, Unprocessable
from .models import Delivery, Entry, Json, Target
from .ports import Clock, DeliveryFilter, DeliveryPage, Queue, RunLog, Store

__all__ = ["MAX_REPLAYED", "Deliveries", "Replayed", "Told"]

MAX_REPLAYED = 1000  # deliveries that one call sends again
AT_ONCE = 100  # of them in one group
TAIL = 100  # entries at the end of a run's log that a list looks at
_BEYOND = 2**62  # no log has so many entries

_SHOWN = frozenset({"delivery.attempted", "delivery.replayed", "delivery.exhausted", "endpoint.disabled"})

Told = Callable[[str, Sequence[Entry], int], None]
"""Tells who follows a run of its new entries, the first of which has this number."""


class Replayed(msgspec.Struct, frozen=True, kw_only=True):
    """What was sent again, by id; what was not, by id with the reason; and whether the filter takes more."""

    ids: tuple[str, ...]
    skipped: dict[str, str]
    has_more: bool


class _About(msgspec.Struct):
    delivery_id: str


_about = msgspec.json.Decoder(_About)


class Deliveries:
    """The deliveries of one store. `told` and `notice(due_at)` are where an engine runs beside it."""

    def __init__(
        self,
        store: Store,
        directory: Directory,
        settings: Settings,
        clock: Clock,
        *,
        told: Told = lambda run_id, entries, first: None,
        notice: Callable[[float], None] = lambda due_at: None,
    ) -> None:
        self._queue: Queue = store.queue
        self._log: RunLog = store.log
        self._directory = directory
        self._settings = settings
        self._clock = clock
        self._told = told
        self._notice = notice

    async def find(
        self,
        project_id: str,
        wanted: DeliveryFilter,
        *,
        before: str | None = None,
        after: str | None = None,
        limit: int = 100,
    ) -> DeliveryPage:
        """Deliveries newest first, without their bodies; see ports.Queue.find_deliveries. Raises InvalidRequest for two
        cursors, or one that is no delivery's id."""
        if before is not None and after is not None:
            raise _wrong("ending_before", "give starting_after or ending_before, not both")
        for name, cursor in (("starting_after", before), ("ending_before", after)):
            if cursor is not None:
                await self._known(project_id, name, cursor)
        return await self._queue.find_deliveries(project_id, wanted, before=before, after=after, limit=limit)

    async def one(self, project_id: str, delivery_id: str) -> tuple[Delivery, tuple[Entry, ...]]:
        """A delivery with its entries in the run's log, oldest first. Raises NotFound."""
        delivery = await self._found(project_id, delivery_id)
        entries: list[Entry] = []
        after = 0
        while True:
            page = await self._log.entries_after(project_id, delivery.run_id, after)
            if page is None or not page.entries:
                break
            after = page.entries[-1].number
            entries += [entry for entry in page.entries if entry.kind in _SHOWN]
            if after >= page.latest:
                break
        return delivery, tuple(entry for entry in entries if _about.decode(entry.data).delivery_id == delivery_id)

    async def last_attempts(self, project_id: str, runs: Mapping[str, str]) -> dict[str, Entry]:
        """The newest attempt of each of these deliveries (their runs by their ids), where it is among the newest `TAIL`
        entries of its run: what a list needs, at a price that does not grow with the logs."""
        names = tuple(dict.fromkeys(runs.values()))
        tails = dict(zip(names, await asyncio.gather(*(self._tail(project_id, name) for name in names)), strict=True))
        found: dict[str, Entry] = {}
        for delivery_id, run_id in runs.items():
            for entry in reversed(tails[run_id]):
                if entry.kind == "delivery.attempted" and _about.decode(entry.data).delivery_id == delivery_id:
                    found[delivery_id] = entry
                    break
        return found

    async def _tail(self, project_id: str, run_id: str) -> Sequence[Entry]:
        newest = await self._log.entries_after(project_id, run_id, _BEYOND)
        if newest is None:
            return ()
        page = await self._log.entries_after(project_id, run_id, max(newest.latest - TAIL, 0), limit=TAIL)
        return page.entries if page is not None else ()

    async def replay(self, project_id: str, delivery_id: str, url: str | None = None) -> Delivery:
        """Send a delivery that has ended again, from its first attempt and with the same idempotency key; to another
        `url`, where one is given. Raises NotFound, Unprocessable (a URL that may not be called) and Conflict (it is
        still being tried, or its endpoint takes nothing)."""
        target = await self._target(project_id, url)
        delivery = await self._found(project_id, delivery_id)
        reason = await self._send_again(delivery, target)
        if reason is not None:
            raise Conflict(f"delivery {delivery_id}: {reason}", code="not_replayable")
        return await self._found(project_id, delivery_id)

    async def replay_all(
        self, project_id: str, wanted: DeliveryFilter, url: str | None = None, *, limit: int = MAX_REPLAYED
    ) -> Replayed:
        """Send again what a filter takes (where it names no status: what is dead), the newest `limit` of it, oldest
        first. Raises Unprocessable."""
        if "pending" in wanted.status:
            raise Unprocessable("what is pending is still being tried; choose dead, expired or delivered")
        wanted = wanted if wanted.status else msgspec.structs.replace(wanted, status=("dead",))
        target = await self._target(project_id, url)
        page = await self._queue.find_deliveries(project_id, wanted, limit=min(limit, MAX_REPLAYED))
        done = await self._send_all_again(page.deliveries[::-1], target)
        return msgspec.structs.replace(done, has_more=page.has_more)

    async def replay_some(self, project_id: str, ids: Sequence[str], url: str | None = None) -> Replayed:
        """Send these again, each at most once. Raises Unprocessable."""
        target = await self._target(project_id, url)
        names = tuple(dict.fromkeys(ids))
        found = await asyncio.gather(*(self._queue.delivery(project_id, name) for name in names))
        missing = {name: "there is no such delivery" for name, each in zip(names, found, strict=True) if each is None}
        done = await self._send_all_again([each for each in found if each is not None], target)
        return msgspec.structs.replace(done, skipped=missing | done.skipped)

    async def _send_all_again(self, deliveries: Sequence[Delivery], target: Target | None) -> Replayed:
        reasons: list[str | None] = []
        for place in range(0, len(deliveries), AT_ONCE):
            some = deliveries[place : place + AT_ONCE]
            reasons += await asyncio.gather(*(self._send_again(delivery, target) for delivery in some))
        outcomes = list(zip(deliveries, reasons, strict=True))
        return Replayed(
            ids=tuple(delivery.id for delivery, reason in outcomes if reason is None),
            skipped={delivery.id: reason for delivery, reason in outcomes if reason is not None},
            has_more=False,
        )

    async def _known(self, project_id: str, name: str, delivery_id: str) -> None:
        """Raises InvalidRequest for a cursor from which there is no way on: its page would be empty, like the last."""
        try:
            await self._found(project_id, delivery_id)
        except NotFound:
            raise _wrong(name, f"{name}: there is no delivery {delivery_id!r}") from None

    async def _found(self, project_id: str, delivery_id: str) -> Delivery:
        delivery = await self._queue.delivery(project_id, delivery_id)
        if delivery is None:
            raise NotFound(f"no delivery {delivery_id!r} in this project", code="delivery_not_found")
        return delivery

    async def _target(self, project_id: str, url: str | None) -> Target | None:
        """Where a URL leads: to the endpoint that is registered for it, which then signs, else to the URL itself."""
        if url is None:
            return None
        remote_url(url, self._settings, "url")
        endpoints = (await self._directory.all(project_id, ENDPOINT)).values()
        registered = [stored.value for stored in endpoints if stored.value.url == url]
        enabled = [endpoint for endpoint in registered if endpoint.enabled]
        if registered and not enabled:
            raise Conflict(f"the endpoint {registered[0].id} of this URL is disabled; enable it first", code="disabled")
        return Target(url=url, endpoint_id=enabled[0].id if enabled else None)

    async def _send_again(self, delivery: Delivery, to: Target | None) -> str | None:
        """None, or why it cannot be sent."""
        if to is None and (reason := await self._unreachable(delivery)):
            return reason
        now = self._clock.now()
        data = codec.splice(
            delivery_id=delivery.id,
            type=delivery.type,
            event=delivery.event_name,
            endpoint_id=to.endpoint_id if to is not None else delivery.endpoint_id,
            url=to.url if to is not None else delivery.url,
            was=delivery.status,
        )
        entry = Entry(kind="delivery.replayed", at=now, stage=delivery.stage, data=Json(data))
        number = await self._queue.requeue(delivery.project_id, delivery.id, now, to=to, entry=entry)
        if number is None:
            return "it is still being tried"
        self._told(delivery.run_id, (entry,), number)
        self._notice(now)
        return None

    async def _unreachable(self, delivery: Delivery) -> str | None:
        if delivery.endpoint_id is None:
            return None
        stored: Stored | None = (await self._directory.all(delivery.project_id, ENDPOINT)).get(delivery.endpoint_id)
        if stored is None:
            return f"its endpoint {delivery.endpoint_id} was deleted; give another url"
        if not stored.value.enabled:
            return f"its endpoint {delivery.endpoint_id} is disabled; enable it, or give another url"
        return None


def _wrong(param: str, message: str) -> InvalidRequest:
    return InvalidRequest(message, code="invalid_parameter", extra={"param": param})
