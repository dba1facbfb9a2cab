"""`/v1/ai`: submit a request, look at it, follow its timeline, cancel it, reconnect a browser to it."""

from __future__ import annotations

import re
import uuid
from typing import Annotated, Any, Literal

import msgspec

from .. import _payloads, codec
from .._engine import Accepted
from .._idempotency import key_of
from .._intake import SubmitRequest
from ..errors import InvalidRequest, NotFound
from ..hops import check_hops
from ..models import READ, SUBMIT, Entry, canonical_id
from ._door import Call, Reply, Route

__all__ = ["ROUTES", "AsyncResponse", "accepted_reply", "channel_id_of"]


class SubmitHeaders(msgspec.Struct, frozen=True):
    """What a submission is read for beside its body. A request that is sent again with the same `Idempotency-Key` is
    answered again, and starts nothing."""

    idempotency_key: Annotated[str, msgspec.Meta(min_length=1, max_length=255, pattern="^[!-~]+$")] | None = None


class SubmitTells(msgspec.Struct, frozen=True):
    """What the answer says beside its body."""

    idempotent_replayed: Annotated[
        Literal["true"] | None, msgspec.Meta(description="The request has come before; this starts nothing.")
    ] = None


class AsyncResponse(msgspec.Struct, kw_only=True, omit_defaults=True):
    """The answer to an accepted request: how the browser reaches the result."""

    message: str
    status: str
    channel_id: str
    ws_token: str
    websocket_url: str
    websocket_channel: str
    project_id: str
    customer_data: Any
    warnings: list[str] | None = None


class ReconnectRequest(msgspec.Struct):
    """Which channel to come back to."""

    channel_id: str


class ReconnectResponse(msgspec.Struct, kw_only=True):
    """A fresh token for an existing channel."""

    channel_id: str
    project_id: str
    ws_token: str
    websocket_url: str
    websocket_channel: str


class StateResponse(msgspec.Struct, kw_only=True):
    """The newest message of a run (its other members are the message's own), with the run's dates and newest log
    number."""

    status: str
    channel_id: str
    workflow: str
    created_at: str
    finished_at: str | None
    latest: int


class TimelineQuery(msgspec.Struct, frozen=True):
    """Where to go on."""

    after: Annotated[int, msgspec.Meta(ge=0, le=10**18 - 1, description="The number of the last entry seen.")] = 0


class TimelineEntry(msgspec.Struct, kw_only=True):
    """One entry of a run's log. `at` is ISO 8601 in UTC; `public` entries are what the browser saw."""

    number: int
    at: str
    kind: str
    stage: str | None
    attempt: int | None
    public: bool
    data: Any


class TimelineResponse(msgspec.Struct, kw_only=True):
    """A run's log in order; pass `latest` as `after` to go on from here."""

    channel_id: str
    entries: list[TimelineEntry]
    latest: int


class CancelResponse(msgspec.Struct, kw_only=True):
    """The run has ended as `error` with code `cancelled`."""

    message: str
    channel_id: str
    status: str


_REPLAYED = ((b"idempotent-replayed", b"true"),)
_CANONICAL = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


def channel_id_of(call: Call) -> str:
    """The channel id in the path. Raises NotFound for what is no UUID: no run can have it."""
    text = call.param("channel_id")
    channel_id = text if _CANONICAL.fullmatch(text) else canonical_id(text)  # to read and write it anew takes 4 µs
    if channel_id is None:
        raise NotFound(f"{text!r} is not a channel id (a UUID)", code="invalid_channel_id")
    return channel_id


async def submit(call: Call) -> Reply:
    check_hops(call.scope["headers"])
    key = key_of(call.scope["headers"])
    public = call.public_url
    accepted = await call.engine.submit(call.project_id, call.body, public, key)
    return accepted_reply(call, accepted, public or call.base_url)


def accepted_reply(call: Call, accepted: Accepted, base: str) -> Reply:
    """The answer to whoever has started a run, and reaches riverflow at `base` (Call.base_url)."""
    way = _way_in(call, accepted, base)
    response = AsyncResponse(
        message="success",
        status="pending",
        customer_data=accepted.customer_data,
        warnings=accepted.warnings or None,
        **way,
    )
    return Reply(codec.encode(response), headers=_REPLAYED if accepted.repeated else ())


async def reconnect(call: Call) -> Reply:
    try:
        asked = msgspec.convert(codec.decode(call.body), ReconnectRequest)
        channel_id = str(uuid.UUID(asked.channel_id))
    except (msgspec.ValidationError, ValueError) as error:
        raise InvalidRequest(f"reconnect: give a channel_id (a UUID): {error}") from None
    accepted = await call.engine.reconnect(call.project_id, channel_id)
    return Reply(codec.encode(ReconnectResponse(**_way_in(call, accepted, call.base_url))))


async def state(call: Call) -> Reply:
    return Reply(await call.engine.state(call.project_id, channel_id_of(call)))


async def timeline(call: Call) -> Reply:
    channel_id = channel_id_of(call)
    after = call.query().get("after", "0")
    if not (after.isascii() and after.isdigit() and len(after) <= 18):
        raise InvalidRequest("after: give a log number", extra={"param": "after"})
    page = await call.engine.entries(call.project_id, channel_id, int(after))
    response = TimelineResponse(channel_id=channel_id, entries=[shown(e) for e in page.entries], latest=page.latest)
    return Reply(codec.encode(response))


async def cancel(call: Call) -> Reply:
    run = await call.engine.cancel(call.project_id, channel_id_of(call))
    return Reply(codec.encode(CancelResponse(message="success", channel_id=run.id, status=run.status)))


def shown(entry: Entry) -> TimelineEntry:
    """An entry as the timeline shows it."""
    return TimelineEntry(
        number=entry.number,
        at=_payloads.iso(entry.at),
        kind=entry.kind,
        stage=entry.stage,
        attempt=entry.attempt,
        public=entry.public,
        data=entry.data,
    )


def _way_in(call: Call, accepted: Accepted, base: str) -> dict[str, Any]:
    """`websocket_url` ends exactly in `/socket`: the client appends the rest (any other end breaks it)."""
    return {
        "channel_id": accepted.run.id,
        "project_id": call.project_id,
        "ws_token": accepted.token,
        "websocket_url": f"ws{base.removeprefix('http')}/socket",
        "websocket_channel": accepted.topic,
    }


ROUTES = (
    Route(
        method="POST",
        path="/v1/ai/async",
        verb=submit,
        scope=SUBMIT,
        summary="Start a workflow run; the result comes through the channel.",
        takes=SubmitRequest,
        gives=AsyncResponse,
        headers=SubmitHeaders,
        tells=SubmitTells,
        errors=(400, 401, 403, 404, 409, 413, 422, 503),
    ),
    Route(
        method="POST",
        path="/v1/ai/reconnect",
        verb=reconnect,
        scope=SUBMIT,
        summary="A fresh socket token for an existing run.",
        takes=ReconnectRequest,
        gives=ReconnectResponse,
        errors=(400, 401, 403, 404),
    ),
    Route(
        method="GET",
        path="/v1/ai/{channel_id}",
        verb=state,
        scope=READ,
        summary="The state of a run and, once there is one, its result.",
        gives=StateResponse,
        errors=(401, 403, 404),
    ),
    Route(
        method="GET",
        path="/v1/ai/{channel_id}/timeline",
        verb=timeline,
        scope=READ,
        summary="Everything that happened to a run, in order.",
        gives=TimelineResponse,
        query=TimelineQuery,
        errors=(400, 401, 403, 404),
    ),
    Route(
        method="POST",
        path="/v1/ai/{channel_id}/cancel",
        verb=cancel,
        scope=SUBMIT,
        summary="End a run as `error` with code `cancelled`.",
        gives=CancelResponse,
        errors=(401, 403, 404, 409),
    ),
)
