"""How runs are looked for and counted: the filter of a list, and the classes of a histogram.

Pure: it finds and counts nothing itself, but every store and every reader must mean the same by it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import msgspec

from .run import Run
from .values import Phase, Status, Tag

__all__ = ["RunFilter", "Standing", "Total", "duration_class", "duration_of", "earliest_id", "is_customer", "totals_of"]

_PER_OCTAVE = 4  # classes of a histogram to each doubling: a percentile read from it is within 9 % of the truth
_TALLEST = 127
_BEYOND = "~"  # sorts after every character of an id


class RunFilter(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Which runs are wanted; what is empty or None does not choose.

    `provider` and `model` are those of the summary. `since` (inclusive) and `until` (exclusive) are Unix seconds and go
    by the time that an id carries (RFC 9562, 5.7). `channel_id` is the beginning of an id. `customer` is a member of
    the summary's customer data and the text of its value. `approval`: only runs that wait for a person's decision.
    """

    statuses: tuple[Status, ...] = ()
    phase: Phase | None = None
    tags: tuple[Tag, ...] = ()
    workflow: str | None = None
    event_name: str | None = None
    provider: str | None = None
    model: str | None = None
    since: float | None = None
    until: float | None = None
    channel_id: str | None = None
    customer: tuple[str, str] | None = None
    approval: bool = False

    @property
    def first_id(self) -> str:
        """No wanted id sorts before this."""
        begins = earliest_id(self.since) if self.since is not None else ""
        return max(begins, self.channel_id or "")

    @property
    def end_id(self) -> str:
        """Every wanted id sorts before this."""
        ends = earliest_id(self.until) if self.until is not None else _BEYOND
        return min(ends, f"{self.channel_id or ''}{_BEYOND}")

    def takes(self, run: Run, customer_data: dict[str, Any]) -> bool:
        """Whether a run is wanted; `customer_data` is its summary's, decoded."""
        return (
            self.counts(run)
            and self.first_id <= run.id < self.end_id
            and (self.customer is None or is_customer(customer_data, *self.customer))
        )

    def counts(self, run: Run) -> bool:
        """Whether a run is wanted as far as words say it: in totals nothing else chooses."""
        summary = run.summary
        wanted = (
            (self.phase, run.phase),
            (self.workflow, run.workflow),
            (self.event_name, run.event_name),
            (self.provider, summary.provider),
            (self.model, summary.model),
        )
        return (
            all(asked is None or asked == there for asked, there in wanted)
            and (not self.statuses or run.status in self.statuses)
            and (not self.tags or summary.tag in self.tags)
            and (not self.approval or (run.phase == "waiting" and summary.approval is not None))
        )


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """How many runs are not done: at a stage, and waiting for an answer; of these, for a person's decision."""

    running: int = 0
    waiting: int = 0
    approvals: int = 0


class Total(msgspec.Struct, frozen=True, kw_only=True):
    """Runs that ended in one period (it began at `at`, Unix seconds) with one status, in one class of durations from
    their acceptance to their end."""

    at: float
    status: Status
    duration_class: int
    runs: int
    prompt_tokens: int = 0
    completion_tokens: int = 0


def earliest_id(at: float) -> str:
    """What no UUIDv7 of that Unix time or a later one sorts before (RFC 9562, 5.7: 48 bits of milliseconds first)."""
    text = f"{min(max(math.ceil(at * 1000), 0), (1 << 48) - 1):012x}"
    return f"{text[:8]}-{text[8:]}"


def duration_class(seconds: float) -> int:
    """The class that a duration is counted in: 0 for up to a millisecond, 4 more for each doubling, 127 at most."""
    milliseconds = seconds * 1000
    return min(math.ceil(_PER_OCTAVE * math.log2(milliseconds)), _TALLEST) if milliseconds > 1 else 0


def duration_of(duration_class: float) -> float:
    """The seconds that stand for a class: the middle of its two borders, as growth goes."""
    return 2.0 ** ((duration_class - 0.5) / _PER_OCTAVE) / 1000 if duration_class > 0 else 0.001


def totals_of(ended: Iterable[Run], bucket: int) -> tuple[Total, ...]:
    """Ended runs, counted in buckets of so many seconds."""
    counted: dict[tuple[float, Status, int], list[int]] = {}
    for run in ended:
        at = run.finished_at or run.created_at
        key = (at // bucket * bucket, run.status, duration_class(at - run.created_at))
        sums = counted.setdefault(key, [0, 0, 0])
        for place, more in enumerate((1, run.summary.prompt_tokens, run.summary.completion_tokens)):
            sums[place] += more
    return tuple(
        Total(at=at, status=status, duration_class=its_class, runs=runs, prompt_tokens=asked, completion_tokens=told)
        for (at, status, its_class), (runs, asked, told) in sorted(counted.items())
    )


def is_customer(customer_data: dict[str, Any], key: str, value: str) -> bool:
    """Whether customer data has that member with that value; numbers, `true`, `false` and `null` are written as JSON
    writes them."""
    if key not in customer_data:
        return False
    there = customer_data[key]
    return value == (there if isinstance(there, str) else msgspec.json.encode(there).decode())
