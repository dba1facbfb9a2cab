"""The moves of a run: what is written when a stage is done, handed off, or the run ends.

Pure, like the rules that choose among them (`_machine`): no clock, no ids, no await. A move makes a decision and takes
no input.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import msgspec

from . import _operations, _payloads, _simulation, _summaries, codec
from ._claim_check import fitting
from ._owed import id_of, owed
from .models import (
    Completed,
    Delivery,
    Entry,
    Failed,
    HandlerCall,
    Json,
    Output,
    Plan,
    Record,
    Run,
    Summary,
    Target,
    is_local,
    local_url,
)
from .pipeline import FINALISE, HAND_OFF, Stage

__all__ = [
    "Decision",
    "Routing",
    "call_lost",
    "call_of",
    "call_over",
    "current_stage",
    "end_badly",
    "end_well",
    "hand_off",
    "stage_done",
]


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """What follows from an input: the new record, what to write with it, which stage to run next (None: the run waits
    or is done), and which in-process handler to call. While its process lives nothing is owed for a call: the run is on
    its lease."""

    record: Record
    entries: tuple[Entry, ...]
    deliveries: tuple[Delivery, ...] = ()
    closes: str | None = None
    run_next: Stage | None = None
    call: HandlerCall | None = None


class Routing(Protocol):
    """Who is to be told of what, as configured at this moment."""

    def targets(self, plan: Plan, type: str, event_name: str | None) -> tuple[Target, ...]: ...
    def operators(self, type: str) -> tuple[Target, ...]: ...
    def callback_token(self, run_id: str, stage: str | None) -> str: ...
    def approval_link(self, run_id: str, stage: str, begun: int, sha256: str, expires_at: float) -> str: ...


def stage_done(
    record: Record, stage: Stage, outcome: Completed, now: float, routing: Routing, before: tuple[Entry, ...]
) -> Decision:
    output = Output(
        stage=stage.name,
        data=outcome.data,
        meta=_payloads.account(outcome.meta) if outcome.meta is not None else None,
        task_id=outcome.task_id,
        metadata=outcome.metadata,
    )
    entry = Entry(
        kind="stage.completed",
        at=now,
        stage=stage.name,
        attempt=record.attempt,
        data=Json(codec.encode(output)),
    )
    if output.meta is not None and record.generated is None:
        record = _summed_up(record, _summaries.answered(record.run.summary, record.plan, output.meta))
    record = msgspec.structs.replace(record, outputs=(*record.outputs, output), begun=record.run.generation)
    following = record.plan.pipeline.after(stage.name)
    entries = (*before, entry)
    closes = stage.name if record.run.phase == "waiting" else None
    if following.kind == FINALISE:
        return end_well(record, following, now, routing, entries, closes)
    if following.kind == HAND_OFF:
        return hand_off(record, following, following.event, following.timeout, now, routing, entries, closes)
    run = _moved(record.run, stage=following.name, phase="running", deadline_at=None)
    return Decision(record=msgspec.structs.replace(record, run=run), entries=entries, closes=closes, run_next=following)


def hand_off(
    record: Record,
    stage: Stage,
    event_name: str,
    timeout: float | None,
    now: float,
    routing: Routing,
    before: tuple[Entry, ...],
    closes: str | None = None,
) -> Decision:
    """Mint the callback and the deliveries that tell of it, in one breath; its clock starts here. A handler in this
    process is called instead: the run goes on running, with a deadline."""
    simulated = _simulation.stands_in(record.plan, stage)
    deadline = now + (_simulation.AFTER if simulated else timeout or record.plan.callback_timeout)
    first = record.run.status == "pending"
    targets = routing.targets(record.plan, "task.ai_generated", event_name)
    called = stage.kind == HAND_OFF and len(targets) == 1 and is_local(targets[0].url)
    run = _moved(
        record.run,
        status="ai_generated",
        event_name=record.run.event_name or event_name,
        stage=stage.name,
        phase="running" if called else "waiting",
        deadline_at=deadline,
    )
    record = msgspec.structs.replace(record, run=run)
    entries = list(before)
    if first:
        message = _payloads.ai_generated(record, event_name)
        entries.append(Entry(kind="run.ai_generated", at=now, stage=stage.name, public=True, data=message))
    if simulated:
        entries.append(_simulation.says(record, stage, now))
    elif not targets:
        warning = codec.splice(message=f"no handler and no enabled webhook endpoint takes {event_name!r}")
        entries.append(Entry(kind="stage.unattended", at=now, stage=stage.name, data=Json(warning)))
    if not targets:
        return Decision(record=record, entries=tuple(entries), closes=closes)
    if called:
        call = _call(record, stage, event_name, targets[0].url, now, lambda: _token(record, stage, routing))
        return Decision(record=record, entries=tuple(entries), closes=closes, call=call)
    body = _payloads.hand_off(record, stage, event_name, now, _token(record, stage, routing))
    deliveries = _deliveries(record, stage, "task.ai_generated", event_name, body, targets, now, deadline)
    return Decision(record=record, entries=tuple(entries), deliveries=deliveries, closes=closes)


def call_over(record: Record) -> Decision:
    """The run waits from here on, as one whose backend is elsewhere."""
    return Decision(record=msgspec.structs.replace(record, run=_moved(record.run, phase="waiting")), entries=())


def call_lost(record: Record, now: float, routing: Routing) -> Decision:
    """The call is owed from here on, to whoever has the handler; its beginnings so far are attempts of it."""
    stage = current_stage(record)
    delivery = call_of(record, stage, now, _token(record, stage, routing))
    record = msgspec.structs.replace(record, run=_moved(record.run, phase="waiting"))
    return Decision(record=record, entries=(), deliveries=(delivery,))


def call_of(record: Record, stage: Stage, now: float, token: str) -> Delivery:
    """The call of a hand-off's handler, made again from what the run was when it came there."""
    delivery = _call(record, stage, stage.event, local_url(stage.event), now, lambda: token).owed
    return msgspec.structs.replace(delivery, attempt=max(record.attempt, 1))  # after a stop the next one is the first


def _call(record: Record, stage: Stage, event_name: str, url: str, now: float, token: Callable[[], str]) -> HandlerCall:
    """The call of a hand-off's handler, whose id is that of any first delivery of the stage."""
    run = record.run
    return HandlerCall(
        id=id_of(_name(record, stage), 0),
        run_id=run.id,
        project_id=run.project_id,
        stage=stage.name,
        type="task.ai_generated",
        event_name=event_name,
        url=url,
        lane=url,
        created_at=now,
        due_at=now,
        expires_at=run.deadline_at,
        data=record.data,
        customer_data=record.plan.customer_data,
        write=lambda: _payloads.hand_off(record, stage, event_name, now, token()),
    )


def end_well(
    record: Record, stage: Stage, now: float, routing: Routing, before: tuple[Entry, ...], closes: str | None
) -> Decision:
    status = "completed" if record.run.event_name is not None else "success"
    run = _moved(record.run, status=status, stage=stage.name, phase="done", deadline_at=None, finished_at=now)
    record = msgspec.structs.replace(record, run=run)
    final = Entry(kind="run.completed", at=now, stage=stage.name, public=True, data=_payloads.completed(record))
    targets = routing.targets(record.plan, "task.completed", run.event_name)
    body = _payloads.task_completed(record, now) if targets else b""
    deliveries = _deliveries(record, stage, "task.completed", run.event_name, body, targets, now, None)
    return Decision(record=record, entries=(*before, final), deliveries=deliveries, closes=closes)


def end_badly(
    record: Record,
    failure: Failed,
    now: float,
    routing: Routing,
    before: tuple[Entry, ...],
    *,
    forget_deadline: bool = False,
) -> Decision:
    stage = current_stage(record)
    closes = stage.name if record.run.phase == "waiting" else None
    deadline = None if forget_deadline else record.run.deadline_at
    summary = _summaries.failed(record.run.summary, record.plan, failure)
    run = _moved(record.run, status="error", phase="done", deadline_at=deadline, finished_at=now, summary=summary)
    record = msgspec.structs.replace(record, run=run)
    message = _payloads.failed(record, failure)
    final = Entry(kind="run.failed", at=now, stage=stage.name, public=True, data=message)
    targets = routing.targets(record.plan, "task.failed", run.event_name)
    body = _payloads.task_failed(record, failure, now) if targets else b""
    deliveries = _deliveries(record, record.plan.stages[-1], "task.failed", run.event_name, body, targets, now, None)
    deliveries += _operations.run_failed(record, failure, now, routing.operators("run.failed"))
    return Decision(record=record, entries=(*before, final), deliveries=deliveries, closes=closes)


def current_stage(record: Record) -> Stage:
    return record.plan.pipeline[record.run.stage]


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
    if not targets:
        return ()
    run = record.run
    return owed(
        targets,
        body,
        now,
        name=_name(record, stage),
        run_id=run.id,
        project_id=run.project_id,
        stage=stage.name,
        type=type,
        event_name=event_name,
        expires_at=expires_at,
        afar=fitting(body, record),
    )


def _name(record: Record, stage: Stage) -> str:
    """What the ids of a stage's deliveries begin with."""
    return f"msg_{record.run.id.replace('-', '')}_{record.plan.stages.index(stage)}"


def _token(record: Record, stage: Stage, routing: Routing) -> str:
    """What opens the callback URL of a stage."""
    return routing.callback_token(record.run.id, _payloads.callback_place(record.plan, stage))


def _summed_up(record: Record, summary: Summary) -> Record:
    return msgspec.structs.replace(record, run=msgspec.structs.replace(record.run, summary=summary))


def _moved(run: Run, **changes: Any) -> Run:
    return msgspec.structs.replace(run, version=run.version + 1, **changes)
