"""The rules of a run: which input is taken in which phase, and what follows.

Pure: no clock, no ids, no await. A decision is made here and carried out elsewhere; an input that the table does not
take is refused with the caller's error and changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import msgspec

from . import _holds, _operations, _payloads, _simulation, _summaries, codec
from ._inputs import (
    Answered,
    CallLost,
    CallOver,
    Cancelled,
    Extended,
    Input,
    Progressed,
    Repeated,
    SetBack,
    StageFinished,
    TimedOut,
)
from ._messages import AcceptedEntry, ReceivedEntry
from ._moves import Decision, Routing, call_lost, call_over, current_stage, end_badly, hand_off, stage_done
from .errors import Expired, NotFound, NotWaiting, RequestError
from .models import (
    RECEIPTS,
    Completed,
    Entry,
    Failed,
    Json,
    Output,
    Plan,
    Receipt,
    Record,
    Run,
    Waiting,
)
from .pipeline import APPROVAL, HAND_OFF, Stage

__all__ = [
    "TABLE",
    "Answered",
    "CallLost",
    "CallOver",
    "Cancelled",
    "Decision",
    "Extended",
    "Input",
    "Progressed",
    "Repeated",
    "Routing",
    "SetBack",
    "StageFinished",
    "TimedOut",
    "accepted",
    "decide",
    "rebuild",
    "start",
]


# The verbs ----------------------------------------------------------------------------------------------


def start(
    run_id: str, project_id: str, plan: Plan, request: Json, now: float, routing: Routing, warnings: list[str]
) -> Decision:
    """Accept a run and begin with its first stage."""
    record, entry = accepted(run_id, project_id, plan, request, now, warnings)
    first = plan.stages[0]
    if first.kind == HAND_OFF:
        return hand_off(record, first, first.event, first.timeout, now, routing, (entry,))
    return Decision(record=record, entries=(entry,), run_next=first)


def accepted(
    run_id: str, project_id: str, plan: Plan, request: Json, now: float, warnings: list[str]
) -> tuple[Record, Entry]:
    """A run as it is at the door, and its first entry, which holds the plan and the request."""
    run = Run(
        id=run_id,
        project_id=project_id,
        workflow=plan.workflow,
        event_name=plan.event_name,
        status="pending",
        stage=plan.stages[0].name,
        phase="running",
        version=1,
        generation=1,
        created_at=now,
        summary=_summaries.accepted(plan),
    )
    said = AcceptedEntry(plan=plan, request=request, warnings=warnings or None)
    accepted = Entry(kind="run.accepted", at=now, data=Json(codec.encode(said)))
    return Record(run=run, plan=plan, request=request), accepted


def decide(record: Record, taken: Input, now: float, routing: Routing) -> Decision | Repeated:
    """Apply an input. Raises NotWaiting, Expired or NotFound where the run cannot take it."""
    rule = TABLE[record.run.phase, type(taken)]
    return rule(record, taken, now, routing)


def rebuild(run: Run, checkpoints: tuple[Entry, ...]) -> Record:
    """A record from a run's row and its checkpoint entries."""
    accepted = _accepted.decode(checkpoints[0].data)
    completed = tuple(e for e in checkpoints if e.kind == "stage.completed")
    received = tuple(e for e in checkpoints if e.kind in RECEIPTS)
    interrupted = sum(e.kind == "stage.interrupted" for e in checkpoints)
    return Record(
        run=run,
        plan=accepted.plan,
        request=accepted.request,
        outputs=tuple(_output.decode(entry.data) for entry in completed),
        receipts=tuple(_receipt.decode(entry.data) for entry in received),
        begun=1 + interrupted + sum(1 if e.attempt is None else e.attempt for e in completed) - len(completed),
    )


class _Accepted(msgspec.Struct):
    plan: Plan
    request: Json


_accepted = msgspec.json.Decoder(_Accepted)
_output = msgspec.json.Decoder(Output)
_receipt = msgspec.json.Decoder(Receipt)


# Rules --------------------------------------------------------------------------------------------------


def _stage_finished(record: Record, taken: StageFinished, now: float, routing: Routing) -> Decision:
    if record.run.is_called:
        return _not_due(record, taken, now, routing)
    outcome = taken.outcome
    stage = current_stage(record)
    if isinstance(outcome, Waiting):
        if stage.kind == APPROVAL:
            return _holds.hold(record, stage, outcome, now, routing)
        return hand_off(record, stage, outcome.event_name, outcome.timeout, now, routing, ())
    if isinstance(outcome, Failed):
        detail = codec.splice(code=outcome.code, message=outcome.message, details=outcome.details, meta=outcome.meta)
        entry = Entry(kind="stage.failed", at=now, stage=stage.name, attempt=record.attempt, data=Json(detail))
        return end_badly(record, outcome, now, routing, (entry,))
    return stage_done(record, stage, outcome, now, routing, ())


def _set_back(record: Record, taken: SetBack, now: float, routing: Routing) -> Decision:
    """Nothing but an entry: the generation of the next beginning counts as an attempt, except after a stop."""
    run = msgspec.structs.replace(record.run, version=record.run.version + 1)
    moved = msgspec.structs.replace(record, run=run, begun=record.begun + (taken.error is None))
    if taken.error is None:
        kind, said = "stage.interrupted", codec.splice(message="its process was stopped; the next one begins it again")
    else:
        kind, said = "stage.retrying", codec.splice(error=taken.error, next_attempt_at=_payloads.iso(now + taken.delay))
    entry = Entry(kind=kind, at=now, stage=run.stage, attempt=record.attempt, data=Json(said))
    return Decision(record=moved, entries=(entry,))


def _answered(record: Record, taken: Answered, now: float, routing: Routing) -> Decision | Repeated:
    stage, deadline = _addressed(record, taken), record.run.deadline_at
    if stage.name != record.run.stage or deadline is None:
        return _answered_too_late(record, taken, now, routing)
    if now > deadline:
        raise _too_late(stage, deadline)
    if taken.ruling is not None:
        record = _holds.released(record, taken.ruling)
    return _taken(record, stage, taken, now, routing)


def _taken(record: Record, stage: Stage, taken: Answered, now: float, routing: Routing) -> Decision:
    """The answer that the waiting stage has waited for."""
    outcome = taken.outcome
    if isinstance(outcome, Completed):
        received = _receipt_entry(stage, "success", taken, now)
        return stage_done(_with_receipt(record, stage, "success", taken), stage, outcome, now, routing, (received,))
    received = _receipt_entry(stage, "error", taken, now, outcome)
    return end_badly(_with_receipt(record, stage, "error", taken), outcome, now, routing, (received,))


def _answered_too_late(record: Record, taken: Answered, now: float, routing: Routing) -> Repeated:
    """An answer to a stage that is not waiting: a repetition is acknowledged, all else is refused with the reason."""
    stage = _addressed(record, taken)
    receipt = next((r for r in record.receipts if r.stage == stage.name), None)
    if receipt is not None:
        if receipt.digest == taken.digest:
            return Repeated(receipt, record.run)
        if receipt.ruling is not None:
            raise _holds.already_decided(receipt.ruling)
        raise NotWaiting(
            f"stage {stage.name!r} has already been answered, with another body; the first answer counts",
            code="already_answered",
            extra={"state": record.run.status},
        )
    if stage.kind == APPROVAL:
        raise _holds.not_held(record, stage)
    run = record.run
    if record.plan.on_timeout == "finish" and any(output.stage == stage.name for output in record.outputs):
        raise Expired(
            f"the callback for stage {stage.name!r} did not come in time, and the run went on without it",
            code="callback_expired",
        )
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


def _extended(record: Record, taken: Extended, now: float, routing: Routing) -> Decision:
    """A deadline only moves away, and not beyond the plan's `callback_limit` after the run's birth."""
    stage = _waiting(record, taken, now)
    plan, run = record.plan, record.run
    wanted = now + (taken.seconds or stage.timeout or plan.callback_timeout)
    deadline = max(run.deadline_at or now, min(wanted, run.created_at + plan.callback_limit))
    said = codec.splice(deadline_at=_payloads.iso(deadline))
    entry = Entry(kind="callback.extended", at=now, stage=stage.name, data=Json(said))
    moved = msgspec.structs.replace(run, version=run.version + 1, deadline_at=deadline)
    return Decision(record=msgspec.structs.replace(record, run=moved), entries=(entry,))


def _progressed(record: Record, taken: Progressed, now: float, routing: Routing) -> Decision:
    stage = _waiting(record, taken, now)
    run = record.run
    said = _payloads.progress(record, stage, taken.said, now)
    entry = Entry(kind="stage.progress", at=now, stage=stage.name, public=True, data=said)
    moved = msgspec.structs.replace(run, version=run.version + 1)
    return Decision(record=msgspec.structs.replace(record, run=moved), entries=(entry,))


def _waiting(record: Record, taken: Extended | Progressed, now: float) -> Stage:
    """The stage that is addressed, which must be the one that waits."""
    stage = _addressed(record, taken)
    deadline = record.run.deadline_at
    if stage.name == record.run.stage and deadline is not None:
        if now > deadline:
            raise _too_late(stage, deadline)
        return stage
    raise NotWaiting(
        f"stage {stage.name!r} is not waiting for a callback (the run is at {record.run.stage!r})",
        extra={"state": record.run.status},
    )


def _timed_out(record: Record, taken: TimedOut, now: float, routing: Routing) -> Decision:
    stage, deadline_at = current_stage(record), record.run.deadline_at
    if deadline_at is None or now < deadline_at:
        return _not_due(record, taken, now, routing)
    if stage.kind == APPROVAL:
        return _holds.undecided(record, stage, deadline_at, now, routing)
    if _simulation.stands_in(record.plan, stage):  # its deadline is when the stand-in answers
        outcome = _simulation.answer(record, stage, now)
        return _taken(record, stage, Answered.by(_simulation.VIA, stage.name, outcome), now, routing)
    decision = _without_answer(record, stage, deadline_at, taken.reason, now, routing)
    overdue = _operations.callback_overdue(record, now, routing.operators("callback.overdue"))
    return msgspec.structs.replace(decision, deliveries=decision.deliveries + overdue) if overdue else decision


def _without_answer(
    record: Record, stage: Stage, deadline_at: float, reason: str | None, now: float, routing: Routing
) -> Decision:
    """The run fails, or (`on_timeout`) goes on with what it has."""
    deadline, action = _payloads.iso(deadline_at), record.plan.on_timeout
    said = codec.splice(deadline_at=deadline, action=action, reason=reason)
    entry = Entry(kind="callback.timed_out", at=now, stage=stage.name, data=Json(said))
    if action == "finish" and record.outputs:
        mark = Json(codec.splice(timed_out=True, deadline_at=deadline))
        outcome = Completed(data=record.data, metadata=mark)
        return stage_done(record, stage, outcome, now, routing, (entry,))
    message = f"No callback was received for {stage.event!r} in time (it was due by {deadline})"
    if reason is not None:
        message = f"The handler of {stage.event!r} gave no answer by {deadline}: {reason}"
    failure = Failed(
        code="callback_timeout",
        message=message,
        details=Json(codec.splice(stage=stage.name, deadline_at=deadline, reason=reason)),
    )
    return end_badly(record, failure, now, routing, (entry,))


def _call_over(record: Record, taken: CallOver, now: float, routing: Routing) -> Decision:
    if not record.run.is_called or record.run.stage != taken.stage:
        return _not_due(record, taken, now, routing)
    return call_over(record)


def _call_lost(record: Record, taken: CallLost, now: float, routing: Routing) -> Decision:
    run = record.run
    if not run.is_called or (run.stage, run.generation) != (taken.stage, taken.generation):
        return _not_due(record, taken, now, routing)
    return call_lost(record, now, routing)


def _cancelled(record: Record, taken: Cancelled, now: float, routing: Routing) -> Decision:
    failure = Failed(code="cancelled", message="The run was cancelled")
    return end_badly(_holds.released(record), failure, now, routing, (), forget_deadline=True)


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
    ("running", SetBack): _set_back,
    ("running", Answered): _answered,
    ("running", Extended): _extended,
    ("running", Progressed): _progressed,
    ("running", CallOver): _call_over,
    ("running", CallLost): _call_lost,
    ("running", TimedOut): _timed_out,
    ("running", Cancelled): _cancelled,
    ("waiting", StageFinished): _not_due,
    ("waiting", SetBack): _not_due,
    ("waiting", Answered): _answered,
    ("waiting", Extended): _extended,
    ("waiting", Progressed): _progressed,
    ("waiting", CallOver): _not_due,
    ("waiting", CallLost): _not_due,
    ("waiting", TimedOut): _timed_out,
    ("waiting", Cancelled): _cancelled,
    ("done", StageFinished): _ended,
    ("done", SetBack): _ended,
    ("done", Answered): _answered_too_late,
    ("done", Extended): _ended,
    ("done", Progressed): _ended,
    ("done", CallOver): _ended,
    ("done", CallLost): _ended,
    ("done", TimedOut): _ended,
    ("done", Cancelled): _ended,
}
"""Every phase of a run times every input."""


# Parts -----------------------------------------------------------------------------------------------


def _addressed(record: Record, taken: Answered | Extended | Progressed) -> Stage:
    """The stage an answer is for; the plain URL means the first hand-off for ever. No callback answers an approval."""
    pipeline = record.plan.pipeline
    if taken.stage is not None:
        if taken.stage not in pipeline:
            raise NotFound(f"this run has no stage {taken.stage!r}", code="unknown_stage")
        stage = pipeline[taken.stage]
    elif pipeline.hand_offs:
        stage = pipeline.hand_offs[0]
    else:
        stage = current_stage(record)
    if stage.kind == APPROVAL and (not isinstance(taken, Answered) or taken.ruling is None):
        raise _holds.takes_no_callback(stage)
    return stage


def _receipt_entry(
    stage: Stage, form: Literal["success", "error"], taken: Answered, now: float, failure: Failed | None = None
) -> Entry:
    said = ReceivedEntry(
        stage=stage.name,
        form=form,
        digest=taken.digest,
        via=taken.via,
        code=failure.code if failure else None,
        message=failure.message if failure else None,
        ruling=taken.ruling,
    )
    kind = "callback.received" if taken.ruling is None else "approval.decided"
    return Entry(kind=kind, at=now, stage=stage.name, data=Json(codec.encode(said)))


def _with_receipt(record: Record, stage: Stage, form: Literal["success", "error"], taken: Answered) -> Record:
    receipt = Receipt(stage=stage.name, form=form, digest=taken.digest, ruling=taken.ruling)
    return msgspec.structs.replace(record, receipts=(*record.receipts, receipt))


def _too_late(stage: Stage, deadline: float) -> RequestError:
    if stage.kind == APPROVAL:
        return _holds.decided_too_late(stage, deadline)
    return Expired(
        f"the callback for stage {stage.name!r} was due by {_payloads.iso(deadline)}", code="callback_expired"
    )
