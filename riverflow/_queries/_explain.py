"""Why a run is where it is, in one sentence: a pure function of what is known of it and of the time.

It knows no store and no page; the sentence is plain text, and what a user has supplied stands in it as he wrote it.
"""

from __future__ import annotations

from collections.abc import Sequence

from .._simulation import SAYING, stands_in
from ..models import Failed, Record
from ..pipeline import APPROVAL, GENERATE, Stage
from ._detail import AttemptShown, DeliveryShown

__all__ = ["explain", "span"]


def explain(record: Record, deliveries: Sequence[DeliveryShown], failure: Failed | None, now: float) -> str:
    """One sentence (of two parts at most) in the present tense of `now`, Unix seconds. `failure` is how a run that has
    failed did so."""
    run = record.run
    if run.phase == "waiting":
        return _waiting(record, deliveries, now)
    if run.phase == "running":
        return _running(record, now)
    told = _told(deliveries, now)
    return (_failed(record, failure) if run.status == "error" else _went_well(record)) + (f"; {told}." if told else ".")


def span(seconds: float) -> str:
    """A length of time as people say it: `230 ms`, `4.2 s`, `3 min 5 s`, `2 h 10 min`, `3 d 4 h`."""
    seconds = max(seconds, 0.0)
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 59.95:
        return f"{seconds:.1f}".removesuffix(".0") + " s"
    whole = round(seconds)
    for size, unit, smaller, below in ((86_400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= size:
            rest = whole % size // smaller
            return f"{whole // size} {unit}" + (f" {rest} {below}" if rest else "")
    return f"{whole} s"


# At a stage ------------------------------------------------------------------------------------------------


def _running(record: Record, now: float) -> str:
    run, plan = record.run, record.plan
    stage = plan.pipeline[run.stage]
    again = f" (attempt {record.attempt})" if record.attempt > 1 else ""
    if run.generation == 0:
        return f"Queued for {span(now - run.created_at)}: no process has had room for it yet."
    if run.deadline_at is not None:
        handler, left = f"the handler for {stage.event}", run.deadline_at - now
        if left <= 0:
            return f"In {stage.name}{again}: {handler} is {span(-left)} overdue; the request is about to time out."
        return f"In {stage.name}{again}: {handler} is running, {span(left)} left."
    if stage.kind == GENERATE:
        asked = f"{plan.provider}/{plan.model}" if plan.model else plan.provider
        spare = len(plan.fallbacks)
        fallbacks = f" ({spare} fallback{'s' * (spare > 1)} behind it)" if spare else ""
        return (
            f"In {stage.name}{again}: waiting for {asked}{fallbacks}; "
            f"an attempt may take up to {span(plan.provider_timeout)}."
        )
    limit = f"; it may take up to {span(stage.timeout)}" if stage.timeout else ""
    return f"In {stage.name}{again}: a stage of kind {stage.kind} is running{limit}."


# Waiting for an answer -------------------------------------------------------------------------------------


def _waiting(record: Record, deliveries: Sequence[DeliveryShown], now: float) -> str:
    run = record.run
    stage = record.plan.pipeline[run.stage]
    left = (run.deadline_at or now) - now
    if stands_in(record.plan, stage):
        return f"{SAYING} for {_event(stage)}: the playground answers in {span(left)}."
    if stage.kind == APPROVAL:
        return _held(record, stage, left, now)
    if left <= 0:
        return f"The callback for {_event(stage)} is {span(-left)} overdue; the request is about to time out."
    until = f"{span(left)} left"
    owed = [each for each in deliveries if each.stage == stage.name and each.type == "task.ai_generated"]
    return f"Awaiting the callback for {_event(stage)}, {until}: {_how_told(owed, now)}."


def _held(record: Record, stage: Stage, left: float, now: float) -> str:
    """Waiting for a person."""
    then = {"approve": "is approved as it is", "fail": "fails"}.get(stage.on_timeout or "", "is rejected")
    if left <= 0:
        return f"Nobody has decided on {stage.name} in time; the request {then} in a moment."
    since = record.run.summary.approval
    asked = f", requested {span(now - since)} ago" if since is not None else ""
    return f"Awaiting approval in {stage.name}{asked}; without a decision it {then} in {span(left)}."


def _how_told(owed: Sequence[DeliveryShown], now: float) -> str:
    """What became of the telling: the most hopeful of the deliveries counts."""
    if not owed:
        return "no handler and no enabled webhook endpoint takes it, so somebody else has to call back"
    for each in owed:
        if each.status == "delivered":
            at = each.attempts[-1].at if each.attempts else each.created_at
            if each.in_process:
                return f"the handler took it {span(now - at)} ago and answers later, through the callback URL"
            return f"{each.url} acknowledged the webhook {span(now - at)} ago and has not called back yet"
    for each in owed:
        if each.status == "pending":
            return _being_told(each, now)
    worst = owed[-1]
    return f"delivery to {_whom(worst)} failed ({_reason(worst)}), and nobody else is told"


def _being_told(each: DeliveryShown, now: float) -> str:
    if not each.attempts:
        return f"delivering to {_whom(each)}" if not each.in_process else "its handler is running"
    due = f"next attempt in {span(each.due_at - now)}" if each.due_at > now else "the next attempt is due"
    times = len(each.attempts)
    failed = "once" if times == 1 else f"{times} times"
    return f"delivery to {_whom(each)} failed {failed} ({_reason(each)}), {due}"


# Ended -----------------------------------------------------------------------------------------------------


def _went_well(record: Record) -> str:
    run, summary = record.run, record.run.summary
    took = span((run.finished_at or run.created_at) - run.created_at)
    maker = "/".join(part for part in (summary.provider, summary.model) if part)
    failed = len(summary.failed)
    after = f" after {failed} failed attempt{'s' * (failed > 1)}" if failed else ""
    answered = [receipt.stage for receipt in record.receipts]
    parts = [f"answered by {maker}{after}"] if record.generated is not None and maker else []
    parts += [f"{stage} completed" for stage in answered]
    return f"Completed in {took}" + (f": {', '.join(parts)}" if parts else "")


def _failed(record: Record, failure: Failed | None) -> str:
    run = record.run
    after = span((run.finished_at or run.created_at) - run.created_at)
    code = failure.code if failure is not None else run.summary.error or "error"
    if code == "cancelled":
        return f"Cancelled in {run.stage} after {after}"
    said = f": {failure.message.rstrip('.')}" if failure is not None and failure.message else ""
    return f"Failed in {run.stage} after {after} ({code}){said}"


def _told(deliveries: Sequence[DeliveryShown], now: float) -> str:
    """What is left to be told once the run has ended."""
    results = [each for each in deliveries if each.type != "task.ai_generated"]
    owed = [each for each in results if each.status == "pending"]
    if owed:
        return _being_told(owed[0], now) + _others(len(owed) - 1)
    dead = [each for each in results if each.status in ("dead", "expired")]
    if dead:
        return f"delivery to {_whom(dead[0])} failed ({_reason(dead[0])})" + _others(len(dead) - 1)
    return ""


# Words -----------------------------------------------------------------------------------------------------


def _others(number: int) -> str:
    return f" (and {number} other{'s' * (number > 1)})" if number > 0 else ""


def _whom(each: DeliveryShown) -> str:
    return f"the handler for {each.url.removeprefix('local:')}" if each.in_process else each.url


def _event(stage: Stage) -> str:
    return f"{stage.event_name} (stage {stage.name})" if stage.event_name else stage.name


def _reason(each: DeliveryShown) -> str:
    if not each.attempts:
        return each.status
    last: AttemptShown = each.attempts[-1]
    if last.status is not None and last.error is None:
        return f"HTTP {last.status}"
    return last.message or last.error or each.status
