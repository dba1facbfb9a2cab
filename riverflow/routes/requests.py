"""`/v1/requests` and `/v1/stats`: runs by filter, one run with everything about it, exports, figures, replay."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import msgspec

from .. import codec
from .._queries import FORMATS, Fixture, exported, moment, wanted
from ..errors import InvalidRequest, NotFound, Unprocessable
from ..models import ADMIN, READ, SUBMIT, canonical_id
from ._door import Call, Reply, Route, body_as
from ._request_bodies import (
    ExportQuery,
    ListQuery,
    ReplayRequest,
    RequestList,
    RequestResponse,
    StatsQuery,
    StatsResponse,
    listed,
    shown,
    shown_stats,
)
from .ai import AsyncResponse, accepted_reply, channel_id_of

__all__ = ["ROUTES"]


async def read_all(call: Call) -> Reply:
    params, asked = _asked(call, ListQuery)
    back = asked.ending_before is not None
    page = await call.engine.queries.requests(
        call.project_id,
        wanted(params),
        starting_after=_cursor("starting_after", asked.starting_after),
        ending_before=_cursor("ending_before", asked.ending_before),
        limit=asked.limit,
    )
    return Reply(codec.encode(listed(page, back=back)))


async def read(call: Call) -> Reply:
    detail = await call.engine.queries.request(call.project_id, channel_id_of(call))
    return Reply(codec.encode(shown(detail)))


async def export(call: Call) -> Reply:
    params, asked = _asked(call, ExportQuery)
    rows = call.engine.queries.every(call.project_id, wanted(params), limit=asked.limit)
    parts = exported(rows, asked.format)
    first = await anext(parts)  # what is wrong from the start gets its status
    headers = (
        (b"content-type", FORMATS[asked.format].encode()),
        (b"content-disposition", f'attachment; filename="requests.{asked.format}"'.encode()),
    )
    return Reply(headers=headers, parts=_from(first, parts))


async def fixture(call: Call) -> Reply:
    return Reply(codec.encode(await call.engine.queries.fixture(call.project_id, channel_id_of(call))))


async def replay(call: Call) -> Reply:
    asked: ReplayRequest = body_as(call, ReplayRequest, "replay", optional=True)
    accepted = await call.engine.replay(call.project_id, channel_id_of(call), asked.stage)
    return accepted_reply(call, accepted, call.base_url)


async def stats(call: Call) -> Reply:
    params, asked = _asked(call, StatsQuery)
    figures = await call.engine.queries.stats(
        call.project_id,
        since=moment("since", asked.since) if asked.since else None,
        until=moment("until", asked.until) if asked.until else None,
        bucket=asked.bucket,
        wanted=wanted({name: value for name, value in params.items() if name not in ("since", "until")}),
    )
    return Reply(codec.encode(shown_stats(figures)))


def _asked(call: Call, query: Any) -> tuple[dict[str, str], Any]:
    """The query's parameters, as they are and as their types say. One that is misspelt would choose nothing: it is
    refused. Raises InvalidRequest."""
    params = call.query()
    known = query.__struct_fields__
    for name in params:
        if name not in known:
            raise InvalidRequest(
                f"there is no parameter {name!r}; there are {', '.join(known)}",
                code="unknown_parameter",
                extra={"param": name},
            )
    try:
        return params, msgspec.convert(params, query, strict=False)
    except msgspec.ValidationError as error:
        raise InvalidRequest(str(error), code="invalid_parameter") from None


def _cursor(name: str, text: str | None) -> str | None:
    if text is None:
        return None
    cursor = canonical_id(text)
    if cursor is None:
        raise InvalidRequest(
            f"{name}: {text!r} is not a channel id (a UUID)", code="invalid_parameter", extra={"param": name}
        )
    return cursor


class PurgeRequest(msgspec.Struct, kw_only=True):
    """Whose runs are to be forgotten: one member of the customer data, and its value."""

    customer_data: dict[str, str | int | float | bool]


class Purged(msgspec.Struct, kw_only=True):
    """How many runs were forgotten, with their logs and deliveries."""

    message: str
    purged: int


async def erase(call: Call) -> Reply:
    channel_id = channel_id_of(call)
    if not await call.engine.purge.runs(call.project_id, [channel_id]):
        raise NotFound(f"no run {channel_id!r} in this project", code="channel_not_found")
    return Reply(codec.encode(Purged(message="success", purged=1)))


async def purge(call: Call) -> Reply:
    asked: PurgeRequest = body_as(call, PurgeRequest, "purge")
    if len(asked.customer_data) != 1:
        raise Unprocessable("name exactly one member of customer_data, and its value", code="one_member_required")
    ((key, value),) = asked.customer_data.items()
    text = value if isinstance(value, str) else codec.encode(value).decode()
    purged = await call.engine.purge.customer(call.project_id, key, text)
    return Reply(codec.encode(Purged(message="success", purged=purged)))


async def _from(first: bytes, parts: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for part in parts:
        yield part


ROUTES = (
    Route(
        method="GET",
        path="/v1/requests",
        verb=read_all,
        scope=READ,
        summary="Requests by filter, newest first.",
        query=ListQuery,
        gives=RequestList,
        errors=(400, 401, 403),
    ),
    Route(
        method="GET",
        path="/v1/requests/export",
        verb=export,
        scope=READ,
        summary="The newest requests of a filter as CSV or JSON.",
        query=ExportQuery,
        errors=(400, 401, 403),
    ),
    Route(
        method="GET",
        path="/v1/requests/{channel_id}",
        verb=read,
        scope=READ,
        summary="Everything about one request, and why it is where it is.",
        gives=RequestResponse,
        errors=(401, 403, 404),
    ),
    Route(
        method="GET",
        path="/v1/requests/{channel_id}/fixture",
        verb=fixture,
        scope=READ,
        summary="One request as a fixture that a test can answer from.",
        gives=Fixture,
        errors=(401, 403, 404),
    ),
    Route(
        method="POST",
        path="/v1/requests/{channel_id}/replay",
        verb=replay,
        scope=SUBMIT,
        summary="Start a new run that repeats this one, from its start or from a stage on.",
        takes=ReplayRequest,
        gives=AsyncResponse,
        rationed=True,
        errors=(400, 401, 403, 404, 413, 422, 429, 503),
    ),
    Route(
        method="DELETE",
        path="/v1/requests/{channel_id}",
        verb=erase,
        scope=ADMIN,
        summary="Forget one run with its log and deliveries; one that has not ended is cancelled first.",
        gives=Purged,
        errors=(401, 403, 404),
    ),
    Route(
        method="POST",
        path="/v1/purge",
        verb=purge,
        scope=ADMIN,
        summary="Forget all runs of one customer.",
        takes=PurgeRequest,
        gives=Purged,
        errors=(400, 401, 403, 413, 422),
    ),
    Route(
        method="GET",
        path="/v1/stats",
        verb=stats,
        scope=READ,
        summary="Ended runs in figures, by period.",
        query=StatsQuery,
        gives=StatsResponse,
        errors=(400, 401, 403),
    ),
)
