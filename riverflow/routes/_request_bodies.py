"""How requests and statistics look in the API: times as ISO 8601, JSON spliced as it is kept. Nothing is asked here."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from .. import _payloads
from .._queries import (
    DeliveryShown,
    Excerpt,
    Figures,
    RequestDetail,
    RequestPage,
    RequestRow,
    Stats,
)
from ..models import FailedTry, Json

__all__ = [
    "EXPORTED",
    "ExportQuery",
    "ListQuery",
    "ReplayRequest",
    "RequestList",
    "RequestResponse",
    "StatsQuery",
    "StatsResponse",
    "listed",
    "shown",
    "shown_stats",
]

EXPORTED = 10_000
"""Requests in an export that names no limit."""

Text = Annotated[str, msgspec.Meta(max_length=500)]
Time = Annotated[str, msgspec.Meta(max_length=40, description="ISO 8601 or Unix seconds.")]
Id = Annotated[str, msgspec.Meta(max_length=40)]
Statuses = Annotated[
    str,
    msgspec.Meta(
        max_length=200, description="Some of pending, ai_generated, completed, success, error, with commas between."
    ),
]
Tags = Annotated[
    str,
    msgspec.Meta(
        max_length=200,
        description="Some of live, test, pg, pg_test_mode, with commas between, or all; without it: live.",
    ),
]
Member = Annotated[str, msgspec.Meta(max_length=500, description="A member of the customer data: key=value.")]
Beginning = Annotated[str, msgspec.Meta(max_length=40, description="The beginning of a channel id.")]
Bucket = Annotated[
    int, msgspec.Meta(ge=60, description="Seconds of a period: a multiple of 60 that divides an hour, or of 3600.")
]


class ListQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which requests, and which page of them: `starting_after` is the `next` of the page before this one,
    `ending_before` goes back from the first channel id of the page after. What is left out does not choose."""

    status: Statuses | None = None
    tag: Tags | None = None
    workflow: Text | None = None
    event_name: Text | None = None
    provider: Text | None = None
    model: Text | None = None
    customer: Member | None = None
    since: Time | None = None
    until: Time | None = None
    channel_id: Beginning | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=100)] = 50
    starting_after: Id | None = None
    ending_before: Id | None = None


class ExportQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which requests, and as what."""

    format: Literal["csv", "json"] = "json"
    status: Statuses | None = None
    tag: Tags | None = None
    workflow: Text | None = None
    event_name: Text | None = None
    provider: Text | None = None
    model: Text | None = None
    customer: Member | None = None
    since: Time | None = None
    until: Time | None = None
    channel_id: Beginning | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=100_000)] = EXPORTED


class StatsQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which runs are counted, and in what periods. Without times, the last 24 hours."""

    since: Time | None = None
    until: Time | None = None
    bucket: Bucket = 3600
    tag: Tags | None = None
    status: Statuses | None = None
    workflow: Text | None = None
    event_name: Text | None = None
    provider: Text | None = None
    model: Text | None = None


class ReplayRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Which stage the new run begins with; without it the first."""

    stage: str | None = None


class TokensShown(msgspec.Struct, kw_only=True):
    """Tokens as the provider counted them."""

    prompt: int
    completion: int
    total: int


class FailedTryShown(msgspec.Struct, kw_only=True):
    """An attempt of a provider that failed, and its error's code."""

    provider: str
    model: str
    reason: str
    duration_ms: int


class RequestShown(msgspec.Struct, kw_only=True):
    """A request in short. `provider` and `model` are those that answered, before an answer those that are asked first;
    `duration_ms` is the time with providers, `total_ms` that from acceptance to the end."""

    channel_id: str
    workflow: str
    event_name: str | None
    status: str
    phase: str
    stage: str
    tag: str
    seed_batch: str
    provider: str | None
    model: str | None
    duration_ms: int | None
    total_ms: int | None
    tokens: TokensShown
    attempts: int
    failed: list[FailedTryShown]
    error: str | None
    created_at: str
    finished_at: str | None
    deadline_at: str | None
    replay_of: str | None
    customer_data: Any


class RequestList(msgspec.Struct, kw_only=True):
    """A page of requests, newest first. With `has_more`, `next` is the cursor to go on with in the same direction.
    `searched_back_to` is set where a search by customer data has stopped early: it goes on from `next`."""

    data: list[RequestShown]
    has_more: bool
    next: str | None
    searched_back_to: str | None = None


class StageBody(msgspec.Struct, kw_only=True):
    """A place in the run's pipeline: `done`, `running`, `waiting`, `failed`, `ahead`, or `left_out` for good."""

    name: str
    kind: str
    event_name: str | None
    state: str
    began_at: str | None
    ended_at: str | None
    copied: bool


class TryBody(msgspec.Struct, kw_only=True):
    """An attempt of a provider."""

    stage: str
    provider: str
    model: str
    duration_ms: int
    success: bool
    reason: str | None


class AttemptBody(msgspec.Struct, kw_only=True):
    """An attempt of a delivery, and what came of it. `request_headers` are those that are known to have been sent:
    signatures are not kept (`…`), nor is a header that cannot be told from what is."""

    number: int
    attempt: int
    at: str
    duration_ms: int
    outcome: str
    url: str
    status: int | None
    error: str | None
    message: str | None
    request_headers: dict[str, str] | None
    response_headers: dict[str, str] | None
    response: str | None
    next_attempt_at: str | None


class DeliveryBody(msgspec.Struct, kw_only=True):
    """One body owed to one target, with its attempts. A `body` over 64 kB is cut, and then a text. Not `owed` is the
    call of an in-process handler that is under way or went well: `/v1/deliveries` has none of these."""

    id: str
    type: str
    event: str | None
    stage: str
    url: str
    endpoint_id: str | None
    status: str
    attempt: int
    created_at: str
    due_at: str
    expires_at: str | None
    body: Any
    attempts: list[AttemptBody]
    owed: bool


class ConnectionBody(msgspec.Struct, kw_only=True):
    """A browser or other reader that was connected to this process, until when it was (null: it is)."""

    transport: str
    since: str
    until: str | None


class ReceiptBody(msgspec.Struct, kw_only=True):
    """An answer to a stage that was taken."""

    at: str
    stage: str
    form: str
    via: str


class EntryBody(msgspec.Struct, kw_only=True):
    """One entry of the run's log. `data` over 64 kB is cut, and then a text."""

    number: int
    at: str
    kind: str
    stage: str | None
    attempt: int | None
    public: bool
    data: Any


class RequestResponse(RequestShown, kw_only=True):
    """Everything about one request. `why` says in one sentence why it is where it is; `request` is what the caller
    sent, `answer` the provider's answer, `message` the newest message of the channel; `latest` is the newest number of
    its log, of which `entries` are the first."""

    why: str
    warnings: list[str]
    stages: list[StageBody]
    tries: list[TryBody]
    deliveries: list[DeliveryBody]
    receipts: list[ReceiptBody]
    entries: list[EntryBody]
    latest: int
    request: Any
    answer: Any
    message: Any
    subscribers: int
    connections: list[ConnectionBody]
    replayable: list[str]
    simulated: bool


class FiguresBody(msgspec.Struct, kw_only=True):
    """Ended runs in figures. `success_rate` is from 0 to 1; latencies are from acceptance to the end, within 9 %."""

    runs: int
    by_status: dict[str, int]
    success_rate: float | None
    p50_ms: float | None
    p95_ms: float | None
    tokens: TokensShown


class PeriodBody(FiguresBody, kw_only=True):
    """The figures of the period that begins `at` then."""

    at: str


class StatsResponse(msgspec.Struct, kw_only=True):
    """Ended runs from `since` to before `until`, whole and by periods of `bucket` seconds."""

    since: str
    until: str
    bucket: int
    whole: FiguresBody
    periods: list[PeriodBody]


def listed(page: RequestPage, *, back: bool) -> RequestList:
    """A page as an answer."""
    cursor = page.newer if back else page.older
    return RequestList(
        data=[RequestShown(**_row(row)) for row in page.data],
        has_more=cursor is not None,
        next=cursor,
        searched_back_to=_iso(page.searched_back_to),
    )


def shown(detail: RequestDetail) -> RequestResponse:
    """One request as an answer."""
    return RequestResponse(
        **_row(detail.row),
        why=detail.why,
        warnings=list(detail.warnings),
        stages=[
            StageBody(**_fields(each) | {"began_at": _iso(each.began_at), "ended_at": _iso(each.ended_at)})
            for each in detail.stages
        ],
        tries=[TryBody(**_fields(each)) for each in detail.tries],
        deliveries=[_delivery(each) for each in detail.deliveries],
        receipts=[ReceiptBody(**_fields(each) | {"at": _iso(each.at)}) for each in detail.receipts],
        entries=[
            EntryBody(**_fields(each) | {"at": _iso(each.at), "data": _json(each.data)}) for each in detail.entries
        ],
        latest=detail.latest,
        request=_json(detail.request),
        answer=_json(detail.answer),
        message=_json(detail.message),
        subscribers=detail.subscribers,
        connections=[
            ConnectionBody(transport=each.transport, since=_payloads.iso(each.since), until=_iso(each.until))
            for each in detail.connections
        ],
        replayable=list(detail.replayable),
        simulated=detail.simulated,
    )


def shown_stats(stats: Stats) -> StatsResponse:
    """Statistics as an answer."""
    return StatsResponse(
        since=_payloads.iso(stats.since),
        until=_payloads.iso(stats.until),
        bucket=stats.bucket,
        whole=FiguresBody(**_figures(stats.whole)),
        periods=[PeriodBody(at=_payloads.iso(each.at), **_figures(each.figures)) for each in stats.periods],
    )


def _row(row: RequestRow) -> dict[str, Any]:
    return {
        **{name: getattr(row, name) for name in _PLAIN},
        "seed_batch": row.seed_batch,
        "tokens": _tokens(row.prompt_tokens, row.completion_tokens),
        "failed": [_failed(each) for each in row.failed],
        "created_at": _payloads.iso(row.created_at),
        "finished_at": _iso(row.finished_at),
        "deadline_at": _iso(row.deadline_at),
    }


_PLAIN = (
    "channel_id",
    "workflow",
    "event_name",
    "status",
    "phase",
    "stage",
    "tag",
    "provider",
    "model",
    "duration_ms",
    "total_ms",
    "attempts",
    "error",
    "replay_of",
    "customer_data",
)


def _failed(each: FailedTry) -> FailedTryShown:
    return FailedTryShown(**_fields(each))


def _delivery(each: DeliveryShown) -> DeliveryBody:
    return DeliveryBody(
        id=each.id,
        type=each.type,
        event=each.event_name,
        stage=each.stage,
        url=each.url,
        endpoint_id=each.endpoint_id,
        status=each.status,
        attempt=each.attempt,
        created_at=_payloads.iso(each.created_at),
        due_at=_payloads.iso(each.due_at),
        expires_at=_iso(each.expires_at),
        body=_json(each.body),
        attempts=[AttemptBody(**_fields(attempt) | {"at": _iso(attempt.at)}) for attempt in each.attempts],
        owed=each.owed,
    )


def _figures(figures: Figures) -> dict[str, Any]:
    return {
        "runs": figures.runs,
        "by_status": figures.by_status,
        "success_rate": figures.success_rate,
        "p50_ms": figures.p50_ms,
        "p95_ms": figures.p95_ms,
        "tokens": _tokens(figures.prompt_tokens, figures.completion_tokens),
    }


def _tokens(prompt: int, completion: int) -> TokensShown:
    return TokensShown(prompt=prompt, completion=completion, total=prompt + completion)


def _fields(struct: msgspec.Struct) -> dict[str, Any]:
    return msgspec.structs.asdict(struct)


def _iso(at: float | None) -> str | None:
    return None if at is None else _payloads.iso(at)


def _json(text: Excerpt | None) -> Any:
    """JSON as it is kept; what was cut is none any more, and a text."""
    if text is None:
        return None
    return Json(text.text.encode()) if text.whole else text.text
