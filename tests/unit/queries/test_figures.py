"""Figures from counted runs, and the health of providers."""

from __future__ import annotations

from typing import Any

import pytest

from riverflow._queries._figures import figures, percentile, stats
from riverflow._queries._health import health
from riverflow.models import FailedTry, Run, Summary, Total, duration_class, duration_of


def total(at: float, status: Any, seconds: float, runs: int = 1) -> Total:
    return Total(
        at=at, status=status, duration_class=duration_class(seconds), runs=runs, prompt_tokens=2 * runs,
        completion_tokens=3 * runs,
    )  # fmt: skip


def run(number: int, **summary: Any) -> Run:
    return Run(
        id=str(number), project_id="p", workflow="w", event_name=None, status="success", stage="finalise", phase="done",
        version=1, generation=1, created_at=float(number), summary=Summary(**summary),
    )  # fmt: skip


@pytest.mark.parametrize("seconds", [0.002, 0.05, 0.3, 1.0, 2.5, 47.0, 3600.0, 86_400.0])
def test_a_class_stands_for_its_durations(seconds: float) -> None:
    assert duration_of(duration_class(seconds)) == pytest.approx(seconds, rel=0.095)
    assert duration_class(seconds * 1.2) > duration_class(seconds)


@pytest.mark.parametrize("seconds", [-1.0, 0.0, 0.0005, 0.001])
def test_what_took_no_time_is_of_the_first_class(seconds: float) -> None:
    assert duration_class(seconds) == 0


def test_classes_have_an_end() -> None:
    assert duration_class(1e300) == 127


def test_a_period_without_runs_is_there_too() -> None:
    found = stats([total(120.0, "success", 1.0), total(120.0, "error", 1.0, 3)], 60.0, 240.0, 60)
    assert [(each.at, each.figures.runs) for each in found.periods] == [(60.0, 0), (120.0, 4), (180.0, 0)]
    assert found.whole == figures([total(120.0, "success", 1.0), total(120.0, "error", 1.0, 3)])
    assert found.whole.by_status == {"success": 1, "error": 3}
    assert found.whole.success_rate == 0.25
    assert found.whole.failed == 3
    assert (found.whole.prompt_tokens, found.whole.completion_tokens) == (8, 12)


def test_completed_is_success_too() -> None:
    assert figures([total(0.0, "completed", 1.0, 3), total(0.0, "success", 1.0)]).success_rate == 1.0


def test_nothing_has_no_rate_and_no_latency() -> None:
    nothing = figures([])
    assert (nothing.runs, nothing.success_rate, nothing.p50_ms, nothing.p95_ms) == (0, None, None, None)


def test_percentiles_are_read_from_the_histogram() -> None:
    found = figures([total(0.0, "success", 0.1, 90), total(0.0, "success", 5.0, 10)])
    assert found.p50_ms == pytest.approx(100, rel=0.1)
    assert found.p95_ms == pytest.approx(5000, rel=0.1)
    assert percentile({3: 1, 5: 1}, 1.0) == pytest.approx(duration_of(5) * 1000, abs=0.1)


def test_a_provider_s_health_counts_attempts_not_runs() -> None:
    slow = FailedTry("openai", "gpt-4o", "timeout", 1000)
    found = health(
        [
            run(1, provider="openai", model="gpt-4o", attempts=1, duration_ms=200),
            run(2, provider="anthropic", model="claude", attempts=3, duration_ms=2300, failed=(slow, slow)),
            run(3, provider="openai", model="gpt-4o", attempts=1, failed=(slow,), duration_ms=1000, error="timeout"),
            run(4, provider="openai", model="gpt-4o"),  # nobody was asked yet
        ]
    )
    assert [(each.provider, each.attempts, each.failures, each.last_at) for each in found] == [
        ("openai", 4, 3, 3.0),
        ("anthropic", 1, 0, 2.0),
    ]
    openai, anthropic = found
    assert openai.reasons == {"timeout": 3}
    assert openai.success_rate == 0.25
    assert openai.p50_ms == 200
    assert anthropic.p50_ms == anthropic.p95_ms == 300  # without the failed tries before it
