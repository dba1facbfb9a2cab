"""The rules of a run: which input is taken in which phase, and what follows.

Pure: no clock, no ids, no await. A decision is made here and carried out elsewhere; an input that the table does not
take is refused with the caller's error and changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import msgspec

from . import _payloads, codec
from .errors import Expired, NotFound, NotWaiting, RequestError
from .models import (
    Completed,
    Delivery,
    Entry,
    Failed,
    Json,
    Outcome,
    Output,
    Plan,
    Receipt,
    Record,
    Run,
    Target,
    Waiting,
    lane_of,
)
from .pipeline import FINALISE, HAND_OFF, Stage

__all__ = [
    "TABLE",
    "Answered",
    "Cancelled",
    "Decision",
    "Input",
    "Repeated",
    "Routing",
    "StageFinished",
    "TimedOut",
    "decide",
    "rebuild",
    "start",
]


# Inputs and results -------------------------------------------------------------------------------------


class StageFinished(msgspec.Struct, frozen=True):
    """The current stage's runner has returned."""

    outcome: Outcome


class Answered(msgspec.Struct, frozen=True):
    """A backend or handler has answered a hand-off. `stage` None is the plain callback URL: the first hand-off.
    `digest` is the SHA-256 of the canonical answer."""

    stage: str | None
    outcome: Completed | Failed
    digest: str
    via: str = "callback"


class TimedOut(msgspec.Struct, frozen=True):
    """The deadline of the waiting stage has come."""


class Cancelled(msgspec.Struct, frozen=True):
    """Somebody asked for the end of the run."""


Input = StageFinished | Answered | TimedOut | Cancelled


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """What follows from an input: the new record, what to write with it, and which stage to run next (None: the
    run waits or is done)."""

    record: Record
    entries: tuple[Entry, ...]
    deliveries: tuple[Delivery, ...] = ()
    closes: str | None = None
    run_next: Stage | None = None


class Repeated(msgspec.Struct, frozen=True):
    """The same answer came again: nothing changes, and it is acknowledged as the first was."""

    receipt: Receipt


class Routing(Protocol):
    """Who is to be told of what, as configured at this moment."""

    def targets(self, record: Record, type: str, event_name: str | None) -> tuple[Target, ...]: ...


# The verbs ----------------------------------------------------------------------------------------------


def start(run_id: str, project_id: str, plan: Plan, request: Json, now: float, warnings: list[str]) -> Decision:
    """Accept a run: its first entry holds the plan and the request."""
    first = plan.stages[0]
    hand_offs = plan.pipeline.hand_offs
    run = Run(
        id=run_id,
        project_id=project_id,
        workflow=plan.workflow,
        event_name=plan.event_name or (hand_offs[0].event_name if hand_offs else None),
        status="pending",
        stage=first.name,
        phase="running",
        version=1,
        generation=1,
        created_at=now,
    )
    accepted = Entry(
        kind="run.accepted",
        at=now,
        data=Json(codec.splice(plan=plan, request=request, warnings=warnings or None)),
    )
    return Decision(record=Record(run=run, plan=plan, request=request), entries=(accepted,), run_next=first)


def decide(record: Record, taken: Input, now: float, routing: Routing) -> Decision | Repeated:
    """Apply an input. Raises NotWaiting, Expired or NotFound where the run cannot take it."""
    rule = TABLE[record.run.phase, type(taken)]
    return rule(record, taken, now, routing)


def rebuild(run: Run, checkpoints: tuple[Entry, ...]) -> Record:
    """A record from a run's row and its checkpoint entries."""
    accepted = _accepted.decode(checkpoints[0].data)
    completed = tuple(e for e in checkpoints if e.kind == "stage.completed")
    received = tuple(e for e in checkpoints if e.kind == "callback.received")
    return Record(
        run=run,
        plan=accepted.plan,
        request=accepted.request,
        outputs=tuple(_output.decode(entry.data) for entry in completed),
        receipts=tuple(_receipt.decode(entry.data) for entry in received),
    )


class _Accepted(msgspec.Struct):
    plan: Plan
    request: Json


_accepted = msgspec.json.Decoder(_Accepted)
_output = msgspec.json.Decoder(Output)
_receipt = msgspec.json.Decoder(Receipt)


# Rules --------------------------------------------------------------------------------------------------


def _stage_finished(record: Record, taken: StageFinished, now: float, routing: Routing) -> Decision:
    outcome = taken.outcome
    stage = _stage(record)
    if isinstance(outcome, Waiting):
        return _hand_off(record, stage, outcome.event_name, outcome.timeout, now, routing, ())
    if isinstance(outcome, Failed):
        detail = codec.splice(code=outcome.code, message=outcome.message, details=outcome.details, meta=outcome.meta)
        entry = Entry(kind="stage.failed", at=now, stage=stage.name, attempt=record.run.generation, data=Json(detail))
        return _end_badly(record, outcome, now, routing, (entry,))
    return _stage_done(record, stage, outcome, now, routing, ())


def _answered(record: Record, taken: Answered, now: float, routing: Routing) -> Decision | Repeated:
    stage = _addressed(record, taken)
    if stage.name != record.run.stage:
        return _answered_too_late(record, taken, now, routing)
    deadline = record.run.deadline_at
    if deadline is not None and now > deadline:
        raise _too_late(stage, deadline)
    outcome = taken.outcome
    if isinstance(outcome, Completed):
        received = _receipt_entry(stage, "success", taken, now)
        return _stage_done(_with_receipt(record, received), stage, outcome, now, routing, (received,))
    received = _receipt_entry(stage, "error", taken, now, code=outcome.code, message=outcome.message)
    return _end_badly(_with_receipt(record, received), outcome, now, routing, (received,))


def _answered_too_late(record: Record, taken: Answered, now: float, routing: Routing) -> Repeated:
    """An answer to a stage that is not waiting: a repetition is acknowledged, all else is refused with the reason."""
    stage = _addressed(record, taken)
    receipt = next((r for r in record.receipts if r.stage == stage.name), None)
    if receipt is not None:
        if receipt.digest == taken.digest:
            return Repeated(receipt)
        raise NotWaiting(
            f"stage {stage.name!r} has already been answered, with another body; the first answer counts",
            code="already_answered",
            extra={"state": record.run.status},
        )
    run = record.run
    if run.phase == "done":
        if run.deadline_at is not None and run.finished_at is not None and run.finished_at >= run.deadline_at:
            raise _too_late(stage, run.deadline_at)
        raise NotWaiting(
            f"the run has ended with status {run.status!r} and takes no callback",
            code="run_ended",
            extra={"state": run.status},
        )
    raise NotWaiting(
        f"stage {stage.name!r} is not waiting for a callback (the run is at {run.stage!r})",
        extra={"state": run.status},
    )


def _timed_out(record: Record, taken: TimedOut, now: float, routing: Routing) -> Decision:
    stage, run = _stage(record), record.run
    waited = round((run.deadline_at or now) - _waiting_since(record), 3)
    entry = Entry(
        kind="callback.timed_out",
        at=now,
        stage=stage.name,
        data=Json(codec.splice(deadline_at=_payloads.iso(run.deadline_at or now))),
    )
    failure = Failed(
        code="callback_timeout",
        message=f"No callback was received for {stage.event_name or stage.name!r} within {waited:g} seconds",
        details=Json(codec.splice(stage=stage.name)),
    )
    return _end_badly(record, failure, now, routing, (entry,))


def _cancelled(record: Record, taken: Cancelled, now: float, routing: Routing) -> Decision:
    failure = Failed(code="cancelled", message="The run was cancelled")
    return _end_badly(record, failure, now, routing, (), forget_deadline=True)


def _ended(record: Record, taken: Input, now: float, routing: Routing) -> Decision:
    raise NotWaiting(
        f"the run has already ended with status {record.run.status!r}",
        code="run_ended",
        extra={"state": record.run.status},
    )


def _not_due(record: Record, taken: Input, now: float, routing: Routing) -> Decision:
    raise NotWaiting(f"the run is at {record.run.stage!r}, {record.run.phase}, and does not take this")


Rule = Callable[[Record, Any, float, Routing], Decision | Repeated]

TABLE: dict[tuple[str, type], Rule] = {
    ("running", StageFinished): _stage_finished,
    ("running", Answered): _answered_too_late,
    ("running", TimedOut): _not_due,
    ("running", Cancelled): _cancelled,
    ("waiting", StageFinished): _not_due,
    ("waiting", Answered): _answered,
    ("waiting", TimedOut): _timed_out,
    ("waiting", Cancelled): _cancelled,
    ("done", StageFinished): _ended,
    ("done", Answered): _answered_too_late,
    ("done", TimedOut): _ended,
    ("done", Cancelled): _ended,
}
"""Every phase of a run times every input."""


# Moves --------------------------------------------------------------------------------------------------


def _stage_done(
    record: Record, stage: Stage, outcome: Completed, now: float, routing: Routing, before: tuple[Entry, ...]
) -> Decision:
    output = Output(
        stage=stage.name,
        data=outcome.data,
        meta=outcome.meta,
        task_id=outcome.task_id,
        metadata=outcome.metadata,
    )
    entry = Entry(
        kind="stage.completed",
        at=now,
        stage=stage.name,
        attempt=record.run.generation,
        data=Json(codec.encode(output)),
    )
    record = msgspec.structs.replace(record, outputs=(*record.outputs, output))
    following = record.plan.pipeline.after(stage.name)
    entries = (*before, entry)
    closes = stage.name if record.run.phase == "waiting" else None
    if following.kind == FINALISE:
        return _end_well(record, following, now, routing, entries, closes)
    if following.kind == HAND_OFF:
        event_name = following.event_name or following.name
        return _hand_off(record, following, event_name, following.timeout, now, routing, entries, closes)
    run = _moved(record.run, stage=following.name, phase="running", deadline_at=None)
    return Decision(record=msgspec.structs.replace(record, run=run), entries=entries, closes=closes, run_next=following)


def _hand_off(
    record: Record,
    stage: Stage,
    event_name: str,
    timeout: float | None,
    now: float,
    routing: Routing,
    before: tuple[Entry, ...],
    closes: str | None = None,
) -> Decision:
    """Mint the callback and the deliveries that tell of it, in one breath; its clock starts here."""
    deadline = now + (timeout or record.plan.callback_timeout)
    first = record.run.status == "pending"
    run = _moved(record.run, status="ai_generated", stage=stage.name, phase="waiting", deadline_at=deadline)
    record = msgspec.structs.replace(record, run=run)
    entries = list(before)
    if first:
        message = _payloads.ai_generated(record, event_name)
        entries.append(Entry(kind="run.ai_generated", at=now, stage=stage.name, public=True, data=message))
    targets = routing.targets(record, "task.ai_generated", event_name)
    if not targets:
        warning = codec.splice(message=f"no handler and no enabled webhook endpoint takes {event_name!r}")
        entries.append(Entry(kind="stage.unattended", at=now, stage=stage.name, data=Json(warning)))
    body = _payloads.hand_off(record, stage, event_name, now) if targets else b""
    deliveries = _deliveries(record, stage, "task.ai_generated", event_name, body, targets, now, deadline)
    return Decision(record=record, entries=tuple(entries), deliveries=deliveries, closes=closes)


def _end_well(
    record: Record, stage: Stage, now: float, routing: Routing, before: tuple[Entry, ...], closes: str | None
) -> Decision:
    status = "completed" if record.run.event_name is not None else "success"
    run = _moved(record.run, status=status, stage=stage.name, phase="done", deadline_at=None, finished_at=now)
    record = msgspec.structs.replace(record, run=run)
    final = Entry(kind="run.completed", at=now, stage=stage.name, public=True, data=_payloads.completed(record))
    targets = routing.targets(record, "task.completed", run.event_name)
    body = _payloads.task_completed(record, now) if targets else b""
    deliveries = _deliveries(record, stage, "task.completed", run.event_name, body, targets, now, None)
    return Decision(record=record, entries=(*before, final), deliveries=deliveries, closes=closes)


def _end_badly(
    record: Record,
    failure: Failed,
    now: float,
    routing: Routing,
    before: tuple[Entry, ...],
    *,
    forget_deadline: bool = False,
) -> Decision:
    stage = _stage(record)
    closes = stage.name if record.run.phase == "waiting" else None
    deadline = None if forget_deadline else record.run.deadline_at
    run = _moved(record.run, status="error", phase="done", deadline_at=deadline, finished_at=now)
    record = msgspec.structs.replace(record, run=run)
    message = _payloads.failed(record, failure)
    final = Entry(kind="run.failed", at=now, stage=stage.name, public=True, data=message)
    targets = routing.targets(record, "task.failed", run.event_name)
    body = _payloads.task_failed(record, failure, now) if targets else b""
    deliveries = _deliveries(record, record.plan.stages[-1], "task.failed", run.event_name, body, targets, now, None)
    return Decision(record=record, entries=(*before, final), deliveries=deliveries, closes=closes)


# Parts --------------------------------------------------------------------------------------------------


def _deliveries(
    record: Record,
    stage: Stage,
    type: str,
    event_name: str | None,
    body: bytes,
    targets: tuple[Target, ...],
    now: float,
    expires_at: float | None,
) -> tuple[Delivery, ...]:
    """One delivery per target. Its id follows from run, stage and place, so that no restart can mint a second one;
    it has no dots (Standard Webhooks signs `id.timestamp.body`)."""
    place = record.plan.stages.index(stage)
    head = f"msg_{record.run.id.replace('-', '')}_{place}"
    return tuple(
        Delivery(
            id=f"{head}_{number}",
            run_id=record.run.id,
            project_id=record.run.project_id,
            stage=stage.name,
            type=type,
            event_name=event_name,
            url=target.url,
            lane=lane_of(target.url),
            endpoint_id=target.endpoint_id,
            body=_payloads.written(body, target),
            created_at=now,
            due_at=now,
            expires_at=expires_at,
        )
        for number, target in enumerate(targets)
    )


def _moved(run: Run, **changes: Any) -> Run:
    return msgspec.structs.replace(run, version=run.version + 1, **changes)


def _stage(record: Record) -> Stage:
    return record.plan.pipeline[record.run.stage]


def _addressed(record: Record, taken: Answered) -> Stage:
    """The stage an answer is for; the plain URL means the first hand-off for ever."""
    pipeline = record.plan.pipeline
    if taken.stage is not None:
        if taken.stage not in pipeline:
            raise NotFound(f"this run has no stage {taken.stage!r}", code="unknown_stage")
        return pipeline[taken.stage]
    if pipeline.hand_offs:
        return pipeline.hand_offs[0]
    return _stage(record)


def _receipt_entry(stage: Stage, form: str, taken: Answered, now: float, **said: Any) -> Entry:
    data = codec.splice(stage=stage.name, form=form, digest=taken.digest, via=taken.via, **said)
    return Entry(kind="callback.received", at=now, stage=stage.name, data=Json(data))


def _with_receipt(record: Record, received: Entry) -> Record:
    return msgspec.structs.replace(record, receipts=(*record.receipts, _receipt.decode(received.data)))


def _too_late(stage: Stage, deadline: float) -> RequestError:
    return Expired(
        f"the callback for stage {stage.name!r} was due by {_payloads.iso(deadline)}", code="callback_expired"
    )


def _waiting_since(record: Record) -> float:
    stage = _stage(record)
    return (record.run.deadline_at or 0.0) - (stage.timeout or record.plan.callback_timeout)
