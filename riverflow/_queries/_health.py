"""How providers are doing, from the newest runs that asked them. Pure: the rows are given."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import msgspec

from ..models import Run

__all__ = ["HEALTH_RUNS", "HEALTH_SECONDS", "ProviderHealth", "health"]

HEALTH_RUNS = 1000
HEALTH_SECONDS = 3600.0
"""Health is that of the newest runs: so many at most, and none older than this."""


class ProviderHealth(msgspec.Struct, frozen=True, kw_only=True):
    """One provider's model in the newest runs: attempts and how many failed (`reasons` counts their codes), the time
    that good answers took, and when the newest of its runs began (Unix seconds)."""

    provider: str
    model: str
    attempts: int
    failures: int
    reasons: dict[str, int]
    p50_ms: float | None
    p95_ms: float | None
    last_at: float

    @property
    def success_rate(self) -> float:
        return 1 - self.failures / self.attempts if self.attempts else 1.0


class _Found:
    __slots__ = ("durations", "last_at", "reasons")

    def __init__(self) -> None:
        self.durations: list[int] = []
        self.reasons: Counter[str] = Counter()
        self.last_at = 0.0


def health(runs: Iterable[Run]) -> tuple[ProviderHealth, ...]:
    """The providers that were asked, those that fail most first."""
    found: dict[tuple[str, str], _Found] = {}
    for run in runs:
        summary = run.summary
        for attempt in summary.failed:
            _seen(found, attempt.provider, attempt.model, run).reasons[attempt.reason] += 1
        if summary.attempts > len(summary.failed) and summary.duration_ms is not None:
            spent = sum(attempt.duration_ms for attempt in summary.failed)
            _seen(found, summary.provider, summary.model, run).durations.append(max(summary.duration_ms - spent, 0))
    shown = [_health(provider, model, each) for (provider, model), each in found.items()]
    return tuple(sorted(shown, key=lambda each: (each.success_rate, -each.attempts, each.provider, each.model)))


def _seen(found: dict[tuple[str, str], _Found], provider: str, model: str, run: Run) -> _Found:
    each = found.setdefault((provider, model), _Found())
    each.last_at = max(each.last_at, run.created_at)
    return each


def _health(provider: str, model: str, found: _Found) -> ProviderHealth:
    failures = found.reasons.total()
    return ProviderHealth(
        provider=provider,
        model=model,
        attempts=failures + len(found.durations),
        failures=failures,
        reasons=dict(found.reasons),
        p50_ms=_at(sorted(found.durations), 0.5),
        p95_ms=_at(sorted(found.durations), 0.95),
        last_at=found.last_at,
    )


def _at(ordered: list[int], share: float) -> float | None:
    return float(ordered[min(int(share * len(ordered)), len(ordered) - 1)]) if ordered else None
