"""From counted runs to the figures of a period: success rate, percentiles, tokens.

Pure arithmetic over models.Total; what is counted, the store says.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from ..models import Status, Total, duration_of

__all__ = ["Figures", "Period", "Stats", "figures", "percentile", "stats"]

_GOOD: tuple[Status, ...] = ("success", "completed")


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """Ended runs in figures. `success_rate` is from 0 to 1; it and the latencies (from acceptance to the end, within
    9 %) are None where nothing has ended."""

    runs: int
    by_status: dict[str, int]
    success_rate: float | None
    p50_ms: float | None
    p95_ms: float | None
    prompt_tokens: int
    completion_tokens: int

    @property
    def failed(self) -> int:
        return self.by_status.get("error", 0)


class Period(msgspec.Struct, frozen=True, kw_only=True):
    """The figures of the `bucket` seconds from `at` (Unix seconds) on."""

    at: float
    figures: Figures


class Stats(msgspec.Struct, frozen=True, kw_only=True):
    """Ended runs from `since` (inclusive) to `until` (exclusive), whole and by period; a period without runs is there
    too. Times are Unix seconds, `since` and `until` on the borders of periods."""

    since: float
    until: float
    bucket: int
    whole: Figures
    periods: tuple[Period, ...]


def stats(totals: Sequence[Total], since: float, until: float, bucket: int) -> Stats:
    """The figures of everything that was counted."""
    by_period: dict[float, list[Total]] = {
        since + number * bucket: [] for number in range(int((until - since) // bucket))
    }
    for total in totals:
        by_period.setdefault(total.at, []).append(total)
    periods = tuple(Period(at=at, figures=figures(some)) for at, some in sorted(by_period.items()))
    return Stats(since=since, until=until, bucket=bucket, whole=figures(totals), periods=periods)


def figures(totals: Iterable[Total]) -> Figures:
    by_status: dict[str, int] = {}
    classes: dict[int, int] = {}
    prompt = completion = 0
    for total in totals:
        by_status[total.status] = by_status.get(total.status, 0) + total.runs
        classes[total.duration_class] = classes.get(total.duration_class, 0) + total.runs
        prompt += total.prompt_tokens
        completion += total.completion_tokens
    runs = sum(by_status.values())
    return Figures(
        runs=runs,
        by_status=by_status,
        success_rate=sum(by_status.get(status, 0) for status in _GOOD) / runs if runs else None,
        p50_ms=percentile(classes, 0.5),
        p95_ms=percentile(classes, 0.95),
        prompt_tokens=prompt,
        completion_tokens=completion,
    )


def percentile(classes: dict[int, int], share: float) -> float | None:
    """The milliseconds that `share` of what was counted stays below; None where nothing was."""
    wanted, seen = share * sum(classes.values()), 0
    for duration_class, runs in sorted(classes.items()):
        seen += runs
        if seen >= wanted:
            return round(duration_of(duration_class) * 1000, 1)
    return None
