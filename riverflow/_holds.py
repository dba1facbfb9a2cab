"""The moves of an approval: a run is held for a person, who decides, or does not in time.

Pure, like the rules of a run: no clock, no ids, no await. Who may decide, and whether an edit will do, is not asked
here.
"""

from __future__ import annotations

from hashlib import sha256

import msgspec

from . import _operations, _payloads, codec
from ._moves import Decision, Routing, end_badly, stage_done
from .errors import Conflict, Expired, NotWaiting, RequestError
from .models import Completed, Entry, Failed, Json, Record, Ruling, Waiting
from .pipeline import APPROVAL_TIMEOUT, Stage

__all__ = [
    "already_decided",
    "changed",
    "decided_too_late",
    "digest_of",
    "held",
    "hold",
    "id_of",
    "not_held",
    "released",
    "takes_no_callback",
    "undecided",
]


# What is held -------------------------------------------------------------------------------------------


def id_of(run_id: str, stage: str) -> str:
    """The name of an approval in the API: of which run, and at which stage of it."""
    return f"apr_{run_id.replace('-', '')}_{stage}"


def held(record: Record, stage: str) -> Json:
    """What a person decides on at a stage: the newest output before it."""
    data = Json(b"null")
    for output in record.outputs:
        if output.stage == stage:
            break
        data = output.data
    return data


def digest_of(data: Json) -> str:
    """SHA-256 (hex) of canonical JSON."""
    return sha256(data).hexdigest()


# Moves --------------------------------------------------------------------------------------------------


def hold(record: Record, stage: Stage, waiting: Waiting, now: float, routing: Routing) -> Decision:
    """Wait for a person. No callback is minted, so that nothing but a decision goes on with the run; operators are
    told."""
    run = record.run
    deadline = now + (waiting.timeout or APPROVAL_TIMEOUT)
    first = run.status == "pending"
    run = msgspec.structs.replace(
        run,
        version=run.version + 1,
        status="ai_generated",
        event_name=run.event_name or waiting.event_name,
        phase="waiting",
        deadline_at=deadline,
        summary=msgspec.structs.replace(run.summary, approval=now),
    )
    record = msgspec.structs.replace(record, run=run)
    digest = digest_of(record.data)
    said = {
        "approval_id": id_of(run.id, stage.name),
        "sha256": digest,
        "deadline_at": _payloads.iso(deadline),
        "on_timeout": stage.on_timeout or "reject",
    }
    entries = [Entry(kind="approval.requested", at=now, stage=stage.name, data=Json(codec.splice(**said)))]
    if first:
        message = _payloads.ai_generated(record, waiting.event_name)
        entries.append(Entry(kind="run.ai_generated", at=now, stage=stage.name, public=True, data=message))
    targets = routing.operators("approval.requested")
    if targets and record.plan.base_url:
        link = routing.approval_link(run.id, stage.name, record.begun, digest, deadline)
        said["url"] = f"{record.plan.base_url}/approve/{link}"
    deliveries = _operations.approval_requested(record, stage, said, now, targets)
    return Decision(record=record, entries=tuple(entries), deliveries=deliveries)


def released(record: Record, ruling: Ruling | None = None) -> Record:
    """A run that is held no more. Raises Conflict where the ruling is on something else than what is held."""
    if ruling is not None and ruling.sha256 != digest_of(record.data):
        raise changed()
    run = record.run
    if run.summary.approval is None:
        return record
    summary = msgspec.structs.replace(run.summary, approval=None)
    return msgspec.structs.replace(record, run=msgspec.structs.replace(run, summary=summary))


def undecided(record: Record, stage: Stage, deadline_at: float, now: float, routing: Routing) -> Decision:
    """The deadline has come and nobody has decided: the stage's `on_timeout` counts."""
    record = released(record)
    deadline, action = _payloads.iso(deadline_at), stage.on_timeout or "reject"
    said = codec.splice(deadline_at=deadline, action=action)
    entry = Entry(kind="approval.expired", at=now, stage=stage.name, data=Json(said))
    if action == "approve":
        return stage_done(record, stage, Completed(data=record.data), now, routing, (entry,))
    details = Json(codec.splice(stage=stage.name, deadline_at=deadline))
    failure = Failed(
        code="rejected" if action == "reject" else "approval_timeout",
        message=f"Nobody decided on {stage.name!r} in time (it was due by {deadline})",
        details=details,
    )
    return end_badly(record, failure, now, routing, (entry,))


# Refusals -----------------------------------------------------------------------------------------------


def takes_no_callback(stage: Stage) -> RequestError:
    """For a backend that would decide in a person's place."""
    return NotWaiting(
        f"stage {stage.name!r} waits for a person's decision (/v1/approvals) and takes no callback",
        code="approval_required",
    )


def changed() -> RequestError:
    """For who has decided on something else than what is held."""
    return Conflict("what is to be approved has changed; look again", code="approval_changed")


def already_decided(ruling: Ruling) -> RequestError:
    """For who comes second, with another decision."""
    word = {"approve": "approved", "reject": "rejected"}[ruling.decision]
    at = _payloads.iso(ruling.at)
    return NotWaiting(
        f"this was already {word} by {ruling.by} at {at}; the first decision counts",
        code="already_decided",
        extra={"decision": ruling.decision, "decided_by": ruling.by, "decided_at": at},
    )


def decided_too_late(stage: Stage, deadline: float) -> RequestError:
    return Expired(f"the decision on {stage.name!r} was due by {_payloads.iso(deadline)}", code="approval_expired")


def not_held(record: Record, stage: Stage) -> RequestError:
    """Why an approval that nobody has decided takes no decision (any more)."""
    run = record.run
    if any(output.stage == stage.name for output in record.outputs):
        return Expired(
            f"nobody decided on {stage.name!r} in time, and it was approved without", code="approval_expired"
        )
    if run.phase == "done":
        deadline, ended = run.deadline_at, run.finished_at
        if run.stage == stage.name and deadline is not None and ended is not None and ended >= deadline:
            return decided_too_late(stage, deadline)
        return NotWaiting(
            f"the run has ended with status {run.status!r} and waits for no decision",
            code="run_ended",
            extra={"state": run.status},
        )
    return NotWaiting(
        f"stage {stage.name!r} is not waiting for a decision (the run is at {run.stage!r})",
        extra={"state": run.status},
    )
