"""`/v1/deliveries`: what was owed to whom, what became of it, and sending it again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec

from .. import _links, _payloads, codec
from .._callbacks import masked
from .._deliveries import MAX_REPLAYED, Replayed
from .._queries import moment
from ..errors import InvalidRequest
from ..models import ADMIN, READ, Delivery, Entry, Json, canonical_id
from ..ports import DeliveryFilter
from ._door import Call, Reply, Route, body_as

__all__ = ["ROUTES", "filter_of"]

MAX_LIMIT = 100
STATUSES = ("pending", "delivered", "dead", "expired")
Status = Literal["pending", "delivered", "dead", "expired"]


class DeliveryItem(msgspec.Struct, kw_only=True):
    """One body owed to one receiver. `attempt` is the number of the attempt that is due or running, or was the last;
    `due_at` when that is, or was; after `expires_at` nobody waits for it any more. Times are ISO 8601 in UTC."""

    id: str
    channel_id: str
    type: str
    event: str | None
    stage: str
    endpoint_id: str | None
    url: str
    status: Status
    attempt: int
    created_at: str
    due_at: str
    expires_at: str | None
    replayable: bool


class DeliveryEntry(msgspec.Struct, kw_only=True):
    """What happened to a delivery: an attempt (`delivery.attempted`), or that it was sent again, or given up.
    `request_headers` are those that an attempt was sent with, as far as they are known; signatures are not kept."""

    number: int
    at: str
    kind: str
    attempt: int | None
    data: Any
    request_headers: dict[str, str] | None = None


class DeliveryDetail(DeliveryItem, kw_only=True):
    """A delivery with its body, and all that happened to it, oldest first."""

    body: Any
    attempts: list[DeliveryEntry]


class DeliveryList(msgspec.Struct, kw_only=True):
    """Deliveries, newest first; the id of the last (first) is the next page's `starting_after` (`ending_before`)."""

    data: list[DeliveryItem]
    has_more: bool


class DeliveriesAsked(msgspec.Struct, kw_only=True):
    """Which deliveries: `status` may be a list (`dead,expired`), `run` is a channel id, `event` an event name or a type
    (`task.completed`); `since` (from) and `until` (before) are ISO 8601 or Unix seconds, of when they were made."""

    status: str | None = None
    run: str | None = None
    endpoint: str | None = None
    event: str | None = None
    since: str | None = None
    until: str | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=MAX_LIMIT)] = 50
    starting_after: str | None = None
    ending_before: str | None = None


class ReplayRequest(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Where to; where it is left out, to where it was to go."""

    url: str | None = None


class ReplayFilter(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Which deliveries to send again, as in the list; without a `status`, the dead ones."""

    status: Status | list[Status] | None = None
    run: str | None = None
    endpoint: str | None = None
    event: str | None = None
    since: str | float | None = None
    until: str | float | None = None


class ReplayAllRequest(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What to send again: what a `filter` takes (how many at most: the newest), or the deliveries of these `ids`; and
    where to."""

    filter: ReplayFilter | None = None
    ids: Annotated[list[str], msgspec.Meta(min_length=1, max_length=MAX_LIMIT)] | None = None
    url: str | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=MAX_REPLAYED)] = MAX_REPLAYED


class ReplayAllResponse(msgspec.Struct, kw_only=True):
    """What is sent again, by id; `skipped` says why others are not; `has_more`: call again for the older ones."""

    replayed: tuple[str, ...]
    skipped: dict[str, str]
    has_more: bool


async def read_all(call: Call) -> Reply:
    asked = call.query()
    page = await call.engine.deliveries.find(
        call.project_id,
        filter_of(asked),
        before=asked.get("starting_after") or None,
        after=asked.get("ending_before") or None,
        limit=_limit(asked.get("limit")),
    )
    listed = DeliveryList(data=[DeliveryItem(**_members(each)) for each in page.deliveries], has_more=page.has_more)
    return Reply(codec.encode(listed))


async def read(call: Call) -> Reply:
    delivery, entries = await call.engine.deliveries.one(call.project_id, call.param("delivery_id"))
    sent = await call.engine.queries.sent(call.project_id, (delivery,), entries)
    body = Json(_links.masked(masked(delivery.body)))
    detail = DeliveryDetail(**_members(delivery), body=body, attempts=[_shown(each, sent) for each in entries])
    return Reply(codec.encode(detail))


async def replay(call: Call) -> Reply:
    asked = body_as(call, ReplayRequest, "replay", optional=True)
    delivery = await call.engine.deliveries.replay(call.project_id, call.param("delivery_id"), asked.url)
    return Reply(codec.encode(DeliveryItem(**_members(delivery))))


async def replay_all(call: Call) -> Reply:
    asked = body_as(call, ReplayAllRequest, "replay")
    if (asked.filter is None) == (asked.ids is None):
        raise InvalidRequest("replay: give either a `filter` or `ids`", code="filter_or_ids_required")
    if asked.ids is not None:
        some = await call.engine.deliveries.replay_some(call.project_id, asked.ids, asked.url)
        return _replayed(some)
    return _replayed(await _replay_by_filter(call, asked, asked.filter or ReplayFilter()))


async def _replay_by_filter(call: Call, asked: ReplayAllRequest, said: ReplayFilter) -> Replayed:
    statuses = [said.status] if isinstance(said.status, str) else said.status or []
    texts = {name: getattr(said, name) for name in ("run", "endpoint", "event", "since", "until")}
    wanted = filter_of({name: str(value) for name, value in texts.items() if value is not None})
    wanted = msgspec.structs.replace(wanted, status=tuple(statuses))
    return await call.engine.deliveries.replay_all(call.project_id, wanted, asked.url, limit=asked.limit)


def _replayed(done: Replayed) -> Reply:
    return Reply(codec.encode(ReplayAllResponse(replayed=done.ids, skipped=done.skipped, has_more=done.has_more)))


def filter_of(asked: dict[str, str]) -> DeliveryFilter:
    """The filter in a list's parameters; an empty one does not choose. Raises InvalidRequest."""
    said = {name: value.strip() for name, value in asked.items() if value.strip()}
    statuses = tuple(dict.fromkeys(part.strip() for part in said.get("status", "").split(",") if part.strip()))
    for status in statuses:
        if status not in STATUSES:
            raise _wrong("status", f"{status!r} is none of {', '.join(STATUSES)}")
    run = said.get("run")
    run_id = canonical_id(run) if run is not None else None
    if run is not None and run_id is None:
        raise _wrong("run", f"{run!r} is not a channel id (a UUID)")
    return DeliveryFilter(
        status=statuses,  # type: ignore[arg-type]
        run_id=run_id,
        endpoint_id=said.get("endpoint"),
        event=said.get("event"),
        since=moment("since", said["since"]) if "since" in said else None,
        until=moment("until", said["until"]) if "until" in said else None,
    )


def _limit(text: str | None) -> int:
    if not text:
        return 50
    if not (text.isascii() and text.isdigit() and len(text) < 5 and 1 <= int(text) <= MAX_LIMIT):
        raise _wrong("limit", f"give a number from 1 to {MAX_LIMIT}")
    return int(text)


def _members(delivery: Delivery) -> dict[str, Any]:
    return {
        "id": delivery.id,
        "channel_id": delivery.run_id,
        "type": delivery.type,
        "event": delivery.event_name,
        "stage": delivery.stage,
        "endpoint_id": delivery.endpoint_id,
        "url": delivery.url,
        "status": delivery.status,
        "attempt": delivery.attempt,
        "created_at": _payloads.iso(delivery.created_at),
        "due_at": _payloads.iso(delivery.due_at),
        "expires_at": _payloads.iso(delivery.expires_at) if delivery.expires_at is not None else None,
        "replayable": delivery.status != "pending",
    }


def _shown(entry: Entry, sent: Mapping[int, dict[str, str]]) -> DeliveryEntry:
    return DeliveryEntry(
        number=entry.number,
        at=_payloads.iso(entry.at),
        kind=entry.kind,
        attempt=entry.attempt,
        data=entry.data,
        request_headers=sent.get(entry.number),
    )


def _wrong(name: str, said: str) -> InvalidRequest:
    return InvalidRequest(f"{name}: {said}", code="invalid_parameter", extra={"param": name})


ROUTES = (
    Route(
        method="GET",
        path="/v1/deliveries",
        verb=read_all,
        scope=READ,
        summary="Deliveries, newest first: what was owed to whom, and what became of it.",
        query=DeliveriesAsked,
        gives=DeliveryList,
        errors=(400, 401, 403),
    ),
    Route(
        method="GET",
        path="/v1/deliveries/{delivery_id}",
        verb=read,
        scope=READ,
        summary="One delivery with its body and its attempts.",
        gives=DeliveryDetail,
        errors=(401, 403, 404),
    ),
    Route(
        method="POST",
        path="/v1/deliveries/{delivery_id}/replay",
        verb=replay,
        scope=ADMIN,
        summary="Send a delivery again, with the same idempotency key; to another URL, where one is given.",
        takes=ReplayRequest,
        gives=DeliveryItem,
        errors=(400, 401, 403, 404, 409, 413, 422),
        rationed=True,
    ),
    Route(
        method="POST",
        path="/v1/deliveries/replay",
        verb=replay_all,
        scope=ADMIN,
        summary="Send again all deliveries that a filter takes, a thousand at a time, or some by their ids.",
        takes=ReplayAllRequest,
        gives=ReplayAllResponse,
        errors=(400, 401, 403, 409, 413, 422),
        rationed=True,
    ),
)
