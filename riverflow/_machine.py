"""The rules of a run: which input is taken in which phase, and what follows.

Pure: no clock, no ids, no await. A decision is made here and carried out elsewhere; an input that the table does not
take is refused with the caller's error and changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from . import _payloads, codec
from ._moves import Decision, Routing, current_stage, end_badly, hand_off, stage_done
from .errors import Expired, NotFound, NotWaiting, RequestError
from .models import (
    Completed,
    Entry,
    Failed,
    Json,
    Outcome,
    Output,
    Plan,
    Receipt,
    Record,
    Run,
    Waiting,
)
from .pipeline import HAND_OFF, Stage

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


class Repeated(msgspec.Struct, frozen=True):
    """The same answer came again: nothing changes, and it is acknowledged as the first was. `run` is as it stands."""

    receipt: Receipt
    run: Run


# The verbs ----------------------------------------------------------------------------------------------


def start(
    run_id: str, project_id: str, plan: Plan, request: Json, now: float, routing: Routing, warnings: list[str]
) -> Decision:
    """Accept a run: its first entry holds the plan and the request."""
    first = plan.stages[0]
    run = Run(
        id=run_id,
        project_id=project_id,
        workflow=plan.workflow,
        event_name=plan.event_name,
        status="pending",
        stage=first.name,
        phase="running",
        version=1,
        generation=1,
        created_at=now,
    )
    accepted = Entry(
        kind="run.accepted", at=now, data=Json(codec.splice(plan=plan, request=request, warnings=warnings or None))
    )
    record = Record(run=run, plan=plan, request=request)
    if first.kind == HAND_OFF:
        return hand_off(record, first, first.event_name or first.name, first.timeout, now, routing, (accepted,))
    return Decision(record=record, entries=(accepted,), run_next=first)


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
        begun=1 + sum((entry.attempt or 1) - 1 for entry in completed),
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
    stage = current_stage(record)
    if isinstance(outcome, Waiting):
        return hand_off(record, stage, outcome.event_name, outcome.timeout, now, routing, ())
    if isinstance(outcome, Failed):
        detail = codec.splice(code=outcome.code, message=outcome.message, details=outcome.details, meta=outcome.meta)
        entry = Entry(kind="stage.failed", at=now, stage=stage.name, attempt=record.attempt, data=Json(detail))
        return end_badly(record, outcome, now, routing, (entry,))
    return stage_done(record, stage, outcome, now, routing, ())


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
        return stage_done(_with_receipt(record, received), stage, outcome, now, routing, (received,))
    received = _receipt_entry(stage, "error", taken, now, code=outcome.code, message=outcome.message)
    return end_badly(_with_receipt(record, received), outcome, now, routing, (received,))


def _answered_too_late(record: Record, taken: Answered, now: float, routing: Routing) -> Repeated:
    """An answer to a stage that is not waiting: a repetition is acknowledged, all else is refused with the reason."""
    stage = _addressed(record, taken)
    receipt = next((r for r in record.receipts if r.stage == stage.name), None)
    if receipt is not None:
        if receipt.digest == taken.digest:
            return Repeated(receipt, record.run)
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
    stage, deadline_at = current_stage(record), record.run.deadline_at or now
    if now < deadline_at:
        return _not_due(record, taken, now, routing)
    deadline = _payloads.iso(deadline_at)
    entry = Entry(kind="callback.timed_out", at=now, stage=stage.name, data=Json(codec.splice(deadline_at=deadline)))
    failure = Failed(
        code="callback_timeout",
        message=f"No callback was received for {stage.event_name or stage.name!r} in time (it was due by {deadline})",
        details=Json(codec.splice(stage=stage.name, deadline_at=deadline)),
    )
    return end_badly(record, failure, now, routing, (entry,))


def _cancelled(record: Record, taken: Cancelled, now: float, routing: Routing) -> Decision:
    failure = Failed(code="cancelled", message="The run was cancelled")
    return end_badly(record, failure, now, routing, (), forget_deadline=True)


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


# Parts -----------------------------------------------------------------------------------------------


def _addressed(record: Record, taken: Answered) -> Stage:
    """The stage an answer is for; the plain URL means the first hand-off for ever."""
    pipeline = record.plan.pipeline
    if taken.stage is not None:
        if taken.stage not in pipeline:
            raise NotFound(f"this run has no stage {taken.stage!r}", code="unknown_stage")
        return pipeline[taken.stage]
    if pipeline.hand_offs:
        return pipeline.hand_offs[0]
    return current_stage(record)


def _receipt_entry(stage: Stage, form: str, taken: Answered, now: float, **said: Any) -> Entry:
    data = codec.splice(stage=stage.name, form=form, digest=taken.digest, via=taken.via, **said)
    return Entry(kind="callback.received", at=now, stage=stage.name, data=Json(data))


def _with_receipt(record: Record, received: Entry) -> Record:
    return msgspec.structs.replace(record, receipts=(*record.receipts, _receipt.decode(received.data)))


def _too_late(stage: Stage, deadline: float) -> RequestError:
    return Expired(
        f"the callback for stage {stage.name!r} was due by {_payloads.iso(deadline)}", code="callback_expired"
    )
