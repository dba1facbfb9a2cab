"""One run as a line of a list, made from its row alone. Nothing is looked up here."""

from __future__ import annotations

from typing import Any

import msgspec

from ..codec import decode
from ..models import FailedTry, Phase, Run, Status, Tag

__all__ = ["RequestPage", "RequestRow", "row_of"]


class RequestRow(msgspec.Struct, frozen=True, kw_only=True):
    """A request in a list. Times are Unix seconds.

    `provider` and `model` are those that answered, before an answer those that are asked first. `duration_ms` is the
    time with providers, `total_ms` the time from acceptance to the end (None: it has not ended). `attempts` counts the
    tries of providers; `failed` has those that failed. `error` is a failed run's code. `customer_data` is an excerpt.
    `held` says that it waits for a person's decision.
    """

    channel_id: str
    workflow: str
    event_name: str | None
    status: Status
    phase: Phase
    stage: str
    tag: Tag
    provider: str | None
    model: str | None
    created_at: float
    finished_at: float | None
    deadline_at: float | None
    duration_ms: int | None
    total_ms: int | None
    prompt_tokens: int
    completion_tokens: int
    attempts: int
    failed: tuple[FailedTry, ...]
    error: str | None
    replay_of: str | None
    customer_data: dict[str, Any]
    held: bool = False

    @property
    def total_tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens

    @property
    def seed_batch(self) -> str:
        """The hosted service's name for where a request came from: the tag, a colon, the request."""
        return f"{self.tag}:{self.channel_id}"


class RequestPage(msgspec.Struct, frozen=True, kw_only=True):
    """A page of requests, newest first.

    `older` is the cursor of the next page (`starting_after`), `newer` that of the one before (`ending_before`); None
    where there is none. `searched_back_to` (Unix seconds) is set where a search by customer data has stopped early, for
    it looks through so many runs at once: `older` goes on from there, and the page may even be empty.
    """

    data: tuple[RequestRow, ...]
    older: str | None
    newer: str | None
    searched_back_to: float | None = None


def row_of(run: Run) -> RequestRow:
    """The line of a run."""
    summary = run.summary
    total = None if run.finished_at is None else round((run.finished_at - run.created_at) * 1000)
    return RequestRow(
        channel_id=run.id,
        workflow=run.workflow,
        event_name=run.event_name,
        status=run.status,
        phase=run.phase,
        stage=run.stage,
        tag=summary.tag,
        provider=summary.provider or None,
        model=summary.model or None,
        created_at=run.created_at,
        finished_at=run.finished_at,
        deadline_at=run.deadline_at if run.phase != "done" else None,
        duration_ms=summary.duration_ms,
        total_ms=total,
        prompt_tokens=summary.prompt_tokens,
        completion_tokens=summary.completion_tokens,
        attempts=summary.attempts,
        failed=summary.failed,
        error=summary.error,
        replay_of=summary.replay_of,
        customer_data=decode(summary.customer),
        held=run.phase == "waiting" and summary.approval is not None,
    )
