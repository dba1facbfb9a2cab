"""One run as a page shows it: its stages, what was tried, what was owed to whom, who answered.

It arranges what the log and the queue say; it asks neither, and reads no clock.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Literal

import msgspec

from .. import _callbacks, _links
from .._attendance import Connection
from ..models import (
    RECEIPTS,
    Delivery,
    DeliveryStatus,
    Entry,
    MaybeJson,
    ProviderAttempt,
    Record,
    Run,
    is_local,
)
from ._excerpt import Excerpt, excerpt
from ._rows import RequestRow

__all__ = [
    "AttemptShown",
    "DeliveryShown",
    "EntryShown",
    "ReceiptShown",
    "RequestDetail",
    "StageShown",
    "TryShown",
    "deliveries_of",
    "entries_of",
    "receipts_of",
    "stages_of",
    "tries_of",
]

StageState = Literal["done", "running", "waiting", "failed", "ahead", "left_out"]


class EntryShown(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of the log; `data` is JSON, cut where it is large."""

    number: int
    at: float
    kind: str
    stage: str | None
    attempt: int | None
    public: bool
    data: Excerpt


class StageShown(msgspec.Struct, frozen=True, kw_only=True):
    """A place in the run's pipeline. `began_at` and `ended_at` are None where that has not come; `left_out` is what a
    failure has kept from beginning, `copied` a stage whose output a replay has taken over."""

    name: str
    kind: str
    event_name: str | None
    state: StageState
    began_at: float | None
    ended_at: float | None
    copied: bool = False


class TryShown(msgspec.Struct, frozen=True, kw_only=True):
    """A provider's attempt: `reason` is the code of one that failed. Attempts follow one another; between rounds over
    the fallbacks there are waits, so their sum may be less than the stage took."""

    stage: str
    provider: str
    model: str
    duration_ms: int
    success: bool
    reason: str | None = None


class AttemptShown(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt of a delivery, ended at `at`. `status` is the HTTP status of the answer, `error` the code where there
    was none; `request_headers` are those that are known (None: nothing was sent to a URL), the answer's None where they
    were not kept; `response` is the beginning of the answer's body."""

    number: int
    attempt: int
    at: float
    duration_ms: int
    outcome: str
    url: str
    status: int | None = None
    error: str | None = None
    message: str | None = None
    request_headers: dict[str, str] | None = None
    response_headers: dict[str, str] | None = None
    response: str | None = None
    next_attempt_at: str | None = None

    @property
    def began_at(self) -> float:
        return self.at - self.duration_ms / 1000

    @property
    def ok(self) -> bool:
        return self.outcome == "delivered"


class DeliveryShown(msgspec.Struct, frozen=True, kw_only=True):
    """One body owed to one target, with its attempts in order. `attempt` is the number of the one that is due or
    running, or was the last. Not `owed` is the call of an in-process handler that is under way or went well: it is no
    delivery yet, and none is left of it."""

    id: str
    type: str
    event_name: str | None
    stage: str
    url: str
    endpoint_id: str | None
    status: DeliveryStatus
    attempt: int
    created_at: float
    due_at: float
    expires_at: float | None
    body: Excerpt
    attempts: tuple[AttemptShown, ...]
    owed: bool = True

    @property
    def in_process(self) -> bool:
        """Whether a handler is told, and no URL."""
        return is_local(self.url)

    @property
    def can_replay(self) -> bool:
        return self.owed and self.status != "pending"


class ReceiptShown(msgspec.Struct, frozen=True, kw_only=True):
    """An answer to a hand-off that was taken: by `callback`, by a `handler`, or taken over by a `replay`."""

    at: float
    stage: str
    form: str
    via: str


class RequestDetail(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that is known of one run.

    `why` says in one sentence why it is where it is. `request` is what the caller sent, `answer` the provider's own
    answer, `message` the newest message that the browser was sent (the result, once it has ended). `latest` is the
    newest number of the log; `more` says that entries after the last one here were left out. `connections` are the
    readers that are or were connected to this process, as long as it remembers. `replayable` names the stages that a
    replay can begin with. `simulated`: the playground answers for the backend, and nobody else is told anything.
    """

    row: RequestRow
    why: str
    warnings: tuple[str, ...]
    stages: tuple[StageShown, ...]
    tries: tuple[TryShown, ...]
    deliveries: tuple[DeliveryShown, ...]
    receipts: tuple[ReceiptShown, ...]
    entries: tuple[EntryShown, ...]
    latest: int
    more: bool
    request: Excerpt
    answer: Excerpt | None
    message: Excerpt | None
    connections: tuple[Connection, ...]
    cancellable: bool
    replayable: tuple[str, ...]
    simulated: bool = False

    @property
    def subscribers(self) -> int:
        """How many are connected to this process now."""
        return sum(each.until is None for each in self.connections)


class _Meta(msgspec.Struct):
    attempts: list[ProviderAttempt] = []


class _WithMeta(msgspec.Struct):
    meta: MaybeJson = None


class _Attempted(msgspec.Struct):
    delivery_id: str
    url: str
    outcome: str
    duration_ms: int = 0
    status: int | None = None
    error: str | None = None
    message: str | None = None
    response_headers: dict[str, str] | None = None
    response: str | None = None
    next_attempt_at: str | None = None


class _Received(msgspec.Struct):
    stage: str
    form: str
    via: str = "callback"


_NOTHING: Mapping[int, dict[str, str]] = MappingProxyType({})
_with_meta = msgspec.json.Decoder(_WithMeta)
_meta = msgspec.json.Decoder(_Meta)
_attempted = msgspec.json.Decoder(_Attempted)
_received = msgspec.json.Decoder(_Received)


def entries_of(entries: Sequence[Entry]) -> tuple[EntryShown, ...]:
    return tuple(
        EntryShown(
            number=entry.number,
            at=entry.at,
            kind=entry.kind,
            stage=entry.stage,
            attempt=entry.attempt,
            public=entry.public,
            data=excerpt(bytes(entry.data)),
        )
        for entry in entries
    )


def stages_of(record: Record, entries: Sequence[Entry]) -> tuple[StageShown, ...]:
    """The plan's stages with their times. A stage begins when the one before it ends."""
    run, plan = record.run, record.plan
    ended = {entry.stage: entry.at for entry in entries if entry.kind == "stage.completed"}
    copied = {entry.stage for entry in entries if _is_copied(entry)}
    shown, began, reached = [], run.created_at, True
    for stage in plan.stages:
        state = _state(run, stage.name, stage.name in ended, reached)
        ended_at = ended.get(stage.name) or (run.finished_at if state in ("done", "failed") else None)
        shown.append(
            StageShown(
                name=stage.name,
                kind=stage.kind,
                event_name=stage.event_name,
                state=state,
                began_at=began if reached else None,
                ended_at=ended_at,
                copied=stage.name in copied,
            )
        )
        reached = reached and stage.name in ended
        began = ended_at if ended_at is not None else began
    return tuple(shown)


def _is_copied(entry: Entry) -> bool:
    """Whether a stage's output was taken over by a replay: no attempt has made it."""
    return entry.kind == "stage.completed" and entry.attempt is None


def _state(run: Run, stage: str, ended: bool, reached: bool) -> StageState:
    if ended:
        return "done"
    if not reached:
        return "left_out" if run.phase == "done" else "ahead"
    if run.phase == "done":
        return "failed" if run.status == "error" else "done"
    return "waiting" if run.phase == "waiting" else "running"


def tries_of(entries: Sequence[Entry]) -> tuple[TryShown, ...]:
    """What providers were asked, in order."""
    tries: list[TryShown] = []
    for entry in entries:
        if entry.kind not in ("stage.completed", "stage.failed") or _is_copied(entry):
            continue
        meta = _with_meta.decode(entry.data).meta
        for attempt in _meta.decode(meta).attempts if meta is not None else ():
            tries.append(
                TryShown(
                    stage=entry.stage or "",
                    provider=attempt.provider,
                    model=attempt.model,
                    duration_ms=attempt.duration_ms,
                    success=attempt.success,
                    reason=attempt.reason,
                )
            )
    return tuple(tries)


def receipts_of(entries: Sequence[Entry]) -> tuple[ReceiptShown, ...]:
    return tuple(
        ReceiptShown(at=entry.at, stage=said.stage, form=said.form, via=said.via)
        for entry in entries
        if entry.kind in RECEIPTS and (said := _received.decode(entry.data))
    )


def deliveries_of(
    deliveries: Sequence[Delivery],
    entries: Sequence[Entry],
    sent: Mapping[int, dict[str, str]] = _NOTHING,
    calls: Sequence[Delivery] = (),
) -> tuple[DeliveryShown, ...]:
    """The run's deliveries and its calls of in-process handlers, oldest first, each with its attempts; `sent` are the
    headers of these by entry."""
    called = {each.id for each in calls}
    attempts: dict[str, list[AttemptShown]] = {}
    for entry in entries:
        if entry.kind == "delivery.attempted":
            said = _attempted.decode(entry.data)
            attempts.setdefault(said.delivery_id, []).append(_attempt(entry, said, sent.get(entry.number)))
    return tuple(
        DeliveryShown(
            id=each.id,
            type=each.type,
            event_name=each.event_name,
            stage=each.stage,
            url=each.url,
            endpoint_id=each.endpoint_id,
            status=each.status,
            attempt=each.attempt,
            created_at=each.created_at,
            due_at=each.due_at,
            expires_at=each.expires_at,
            body=excerpt(_links.masked(_callbacks.masked(each.body))),
            attempts=tuple(attempts.get(each.id, ())),
            owed=each.id not in called,
        )
        for each in sorted((*deliveries, *calls), key=lambda each: each.created_at)
    )


def _attempt(entry: Entry, said: _Attempted, sent: dict[str, str] | None) -> AttemptShown:
    return AttemptShown(
        number=entry.number,
        attempt=entry.attempt or 1,
        at=entry.at,
        duration_ms=said.duration_ms,
        outcome=said.outcome,
        url=said.url,
        status=said.status,
        error=said.error,
        message=said.message,
        request_headers=sent,
        response_headers=said.response_headers,
        response=said.response,
        next_attempt_at=said.next_attempt_at,
    )
