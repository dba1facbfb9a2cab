"""A run that repeats another from a chosen stage on: what was done before that stage is taken over, not done again.

Pure, like the rules of a run: it makes the first decision of the new run and looks nothing up.
"""

from __future__ import annotations

import msgspec

from . import codec
from ._machine import accepted, start
from ._moves import Decision, Routing, stage_done
from .errors import NotFound, Unprocessable
from .models import Completed, Entry, Json, Output, Receipt, Record, Summary
from .pipeline import Stage

__all__ = ["replay"]


def replay(run_id: str, original: Record, stage: str | None, now: float, routing: Routing) -> Decision:
    """Accept a new run by the plan and with the request of `original`, to begin with `stage` (None: the first). Raises
    NotFound for a stage that the plan has not, Unprocessable where an earlier one has no output to take over."""
    plan = msgspec.structs.replace(original.plan, replay_of=original.run.id)
    project_id, request = original.run.project_id, original.request
    kept = _outputs_before(original, stage)
    if not kept:
        return start(run_id, project_id, plan, request, now, routing, [])
    record, entry = accepted(run_id, project_id, plan, request, now, [])
    record = _with_receipts(record, original, kept)
    *earlier, last = kept
    entries = [entry, *(_receipt_entry(receipt, now) for receipt in record.receipts)]
    for output in earlier:
        record = msgspec.structs.replace(record, outputs=(*record.outputs, output))
        entries.append(_copied(output, now))
    run = msgspec.structs.replace(record.run, stage=last.stage)
    record = msgspec.structs.replace(record, run=run)
    done = Completed(data=last.data, meta=last.meta, task_id=last.task_id, metadata=last.metadata)
    decision = stage_done(record, plan.pipeline[last.stage], done, now, routing, tuple(entries))
    return _taken_over(decision, len(entries), original.run.summary)


def _outputs_before(original: Record, stage: str | None) -> list[Output]:
    """What every stage before this one has made."""
    stages = original.plan.stages
    names = [each.name for each in stages]
    if stage is None:
        return []
    if stage not in names:
        raise NotFound(f"this run has no stage {stage!r}; it has {', '.join(names)}", code="unknown_stage")
    outputs = {output.stage: output for output in original.outputs}
    before: list[Stage] = list(stages[: names.index(stage)])
    for each in before:
        if each.name not in outputs:
            raise Unprocessable(
                f"a replay cannot begin with {stage!r}: {each.name!r} has made nothing in this run; begin with "
                f"{each.name!r} or an earlier stage",
                code="nothing_to_replay",
            )
    return [outputs[each.name] for each in before]


def _with_receipts(record: Record, original: Record, kept: list[Output]) -> Record:
    stages = {output.stage for output in kept}
    receipts = tuple(receipt for receipt in original.receipts if receipt.stage in stages)
    return msgspec.structs.replace(record, receipts=receipts)


def _receipt_entry(receipt: Receipt, now: float) -> Entry:
    said = codec.splice(**msgspec.structs.asdict(receipt), via="replay")
    kind = "callback.received" if receipt.ruling is None else "approval.decided"
    return Entry(kind=kind, at=now, stage=receipt.stage, data=Json(said))


def _copied(output: Output, now: float) -> Entry:
    """No attempt has made it: that is how it is told from work that was done."""
    return Entry(kind="stage.completed", at=now, stage=output.stage, data=Json(codec.encode(output)))


def _taken_over(decision: Decision, place: int, original: Summary) -> Decision:
    """The last output is marked as copied too, and the tokens that it took stay the other run's."""
    entries = list(decision.entries)
    entries[place] = msgspec.structs.replace(entries[place], attempt=None)
    run = decision.record.run
    summary = Summary(
        tag=run.summary.tag,
        provider=original.provider,
        model=original.model,
        replay_of=run.summary.replay_of,
        customer=run.summary.customer,
    )
    record = msgspec.structs.replace(decision.record, run=msgspec.structs.replace(run, summary=summary))
    return msgspec.structs.replace(decision, record=record, entries=tuple(entries))
