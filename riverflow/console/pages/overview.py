"""The overview: how things stand, as numbers and small charts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from ..._queries import DEFAULT_TAGS, Period, RequestRow, Stats
from ...models import RunFilter
from .._answers import Answer, Page
from .._charts import Column, Line, ceiling
from .._format import count, duration
from .._pages import PageRoute
from .._visit import Visit

__all__ = ["PAGES"]

_PERIODS: Final = {
    "1h": ("Hour", 3600.0, 60, "%H:%M"),
    "24h": ("Day", 86_400.0, 1800, "%H:%M"),
    "7d": ("Week", 7 * 86_400.0, 4 * 3600, "%a %d"),
    "30d": ("Month", 30 * 86_400.0, 86_400, "%d %b"),
}
_GOOD = ("success", "completed")
_FAILURES = 100  # the latest that are looked at
_CAUSES = 6  # and how many causes of them are shown


@dataclass(slots=True)
class Cause:
    """Failures that have workflow and error code in common; `latest` is the newest of them."""

    latest: RequestRow
    times: int = 1


async def index(visit: Visit) -> Answer:
    house = visit.house
    chosen = visit.query.get("period", "24h")
    period = chosen if chosen in _PERIODS else "24h"
    _, length, bucket, form = _PERIODS[period]
    now = house.clock.now()
    overview = await house.queries.overview(visit.project_id, since=now - length, bucket=bucket)
    failed = RunFilter(statuses=("error",), tags=DEFAULT_TAGS)
    failures = await house.queries.requests(visit.project_id, failed, limit=_FAILURES)
    newest = await house.queries.requests(visit.project_id, RunFilter(), limit=1)
    facts = {
        "overview": overview,
        "causes": _causes(failures.data)[:_CAUSES],
        "looked_at": len(failures.data),
        "empty": not newest.data,
        "period": period,
        "periods": {name: each[0] for name, each in _PERIODS.items()},
        **_charts(overview.stats, form),
    }
    return Page("overview.html", facts)


def _causes(newest_first: Iterable[RequestRow]) -> list[Cause]:
    """One after another as they were last seen."""
    causes: dict[tuple[str, str | None], Cause] = {}
    for row in newest_first:
        if (cause := causes.get((row.workflow, row.error))) is not None:
            cause.times += 1
        else:
            causes[row.workflow, row.error] = Cause(row)
    return list(causes.values())


def _charts(stats: Stats, form: str) -> dict[str, Any]:
    periods = stats.periods
    columns = [Column(_name(each, form), _parts(each)) for each in periods]
    p50 = tuple(each.figures.p50_ms for each in periods)
    p95 = tuple(each.figures.p95_ms for each in periods)
    slowest = ceiling(max((each for each in p95 if each is not None), default=0))
    return {
        "columns": columns,
        "latency": [Line("p50", "half", p50), Line("p95", "95 %", p95)],
        "tallest": count(ceiling(max((column.total for column in columns), default=0))),
        "slowest": duration(slowest / 1000),
        "marks": [_name(periods[round(share * (len(periods) - 1))], form) for share in (0, 0.25, 0.5, 0.75, 1)]
        if periods
        else [],
        "runs": [float(each.figures.runs) for each in periods],
        "rates": [each.figures.success_rate for each in periods],
        "p50": p50,
        "p95": p95,
        "tokens": [float(each.figures.prompt_tokens + each.figures.completion_tokens) for each in periods],
    }


def _parts(period: Period) -> tuple[tuple[str, str, float], ...]:
    by_status = period.figures.by_status
    good = sum(by_status.get(status, 0) for status in _GOOD)
    return (("ok", "succeeded", good), ("bad", "failed", by_status.get("error", 0)))


def _name(period: Period, form: str) -> str:
    return datetime.fromtimestamp(period.at, UTC).strftime(form)


PAGES = (PageRoute("GET", "", index),)
