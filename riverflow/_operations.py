"""What operators are told of riverflow itself: runs that failed, callbacks that did not come, approvals that wait,
deliveries given up, endpoints switched off.

Pure: who is told is a list of targets, and the bodies say where to look, not what was in it. A delivery of this kind is
made nowhere else.
"""

from __future__ import annotations

from typing import Any

from . import _payloads, codec
from ._owed import owed
from .models import Delivery, Failed, Json, Record, Target
from .pipeline import Stage

__all__ = ["approval_requested", "callback_overdue", "operation", "run_failed"]


def run_failed(record: Record, failure: Failed, now: float, targets: tuple[Target, ...]) -> tuple[Delivery, ...]:
    """`run.failed`: a run has ended as `error`."""
    said = {"stage": record.run.stage, "error": {"code": failure.code, "message": failure.message}}
    return _of_run("run.failed", record, said, now, targets)


def callback_overdue(record: Record, now: float, targets: tuple[Target, ...]) -> tuple[Delivery, ...]:
    """`callback.overdue`: nobody has answered a hand-off in time."""
    deadline = record.run.deadline_at
    said = {"stage": record.run.stage, "deadline_at": _payloads.iso(now if deadline is None else deadline)}
    return _of_run("callback.overdue", record, said, now, targets)


def approval_requested(
    record: Record, stage: Stage, said: dict[str, Any], now: float, targets: tuple[Target, ...]
) -> tuple[Delivery, ...]:
    """`approval.requested`: a run waits for a person's decision. Nobody is told of it once that has come."""
    run = record.run
    if record.plan.simulated:
        return ()  # whoever tries it finds it in the console
    data = codec.splice(channel_id=run.id, workflow=run.workflow, event=run.event_name, stage=stage.name, **said)
    return operation(
        "approval.requested",
        Json(data),
        now,
        targets,
        name=f"msg_{run.id.replace('-', '')}_approval_requested_{record.plan.stages.index(stage)}",
        run_id=run.id,
        project_id=run.project_id,
        stage=stage.name,
        event_name=run.event_name,
        expires_at=run.deadline_at,
    )


def operation(
    type: str,
    said: Json,
    now: float,
    targets: tuple[Target, ...],
    *,
    name: str,
    run_id: str,
    project_id: str,
    stage: str,
    event_name: str | None,
    expires_at: float | None = None,
) -> tuple[Delivery, ...]:
    """One delivery to each target, in the envelope `{type, timestamp, channel_id, data}`. Their ids follow from
    `name`, which is given once."""
    if not targets:
        return ()
    body = codec.splice(type=type, timestamp=_payloads.iso(now), channel_id=run_id, data=said)
    return owed(
        targets,
        body,
        now,
        name=name,
        run_id=run_id,
        project_id=project_id,
        stage=stage,
        type=type,
        event_name=event_name,
        expires_at=expires_at,
    )


def _of_run(
    type: str, record: Record, said: dict[str, Any], now: float, targets: tuple[Target, ...]
) -> tuple[Delivery, ...]:
    run = record.run
    if record.plan.simulated:
        return ()  # somebody is trying something out, and looks at it himself
    data = codec.splice(channel_id=run.id, workflow=run.workflow, event=run.event_name, **said)
    return operation(
        type,
        Json(data),
        now,
        targets,
        name=f"msg_{run.id.replace('-', '')}_{type.replace('.', '_')}",
        run_id=run.id,
        project_id=run.project_id,
        stage=record.plan.stages[-1].name,
        event_name=run.event_name,
    )
