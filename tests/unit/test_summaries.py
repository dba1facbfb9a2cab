"""What a run's row says of it in short."""

from __future__ import annotations

import msgspec
import pytest

from riverflow import _summaries
from riverflow.codec import decode, from_python
from riverflow.models import Failed, FailedTry, Fallback, Json, Plan, Summary
from riverflow.pipeline import Pipeline

PLAN = Plan(
    workflow="movie",
    workflow_id="wf_1",
    stages=Pipeline.default(None).stages,
    provider="openai",
    model="gpt-4o",
    tag="pg",
    replay_of="r1",
    customer_data=from_python({"user_id": "u1"}),
)
META = {
    "provider": "anthropic",
    "model": "claude",
    "duration_ms": 1500,
    "usage": {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7},
    "attempts": [
        {"provider": "openai", "model": "gpt-4o", "duration_ms": 500, "success": False, "status": "error",
         "reason": "timeout"},
        {"provider": "anthropic", "model": "claude", "duration_ms": 1000, "success": True, "status": "success"},
    ],
}  # fmt: skip
ACCEPTED = Summary(tag="pg", provider="openai", model="gpt-4o", replay_of="r1", customer=from_python({"user_id": "u1"}))


def test_at_the_door_it_names_who_is_asked_first() -> None:
    assert _summaries.accepted(PLAN) == ACCEPTED


def test_an_answer_says_who_gave_it_and_what_it_took() -> None:
    assert _summaries.answered(ACCEPTED, PLAN, from_python(META)) == msgspec.structs.replace(
        ACCEPTED,
        provider="anthropic",
        model="claude",
        duration_ms=1500,
        prompt_tokens=3,
        completion_tokens=4,
        attempts=2,
        failed=(FailedTry("openai", "gpt-4o", "timeout", 500),),
    )


@pytest.mark.parametrize(
    ("provider", "model", "shown"),
    [
        ("openai", "gpt-4o", "gpt-4o"),
        ("openai", "gpt-4o-2024-08-06", "gpt-4o"),
        ("openai", "gpt-4o-mini-2024-07-18", "gpt-4o-mini"),
        ("openai", "gpt-4o-mini", "gpt-4o-mini"),
        ("openai", "something-else", "gpt-4o"),
        ("anthropic", "claude-sonnet-4-20250514", "claude-sonnet-4"),
        ("ollama", "llama3:8b", "llama3:8b"),
        ("echo", "echo", "echo"),
    ],
)
def test_a_model_is_shown_by_the_name_it_is_configured_under(provider: str, model: str, shown: str) -> None:
    fallbacks = (
        Fallback(provider="openai", model="gpt-4o-mini"),
        Fallback(provider="anthropic", model="claude-sonnet-4"),
        Fallback(provider="echo", model=""),
    )
    plan = msgspec.structs.replace(PLAN, fallbacks=fallbacks)
    meta = from_python({**META, "provider": provider, "model": model})
    assert _summaries.answered(ACCEPTED, plan, meta).model == shown


def test_a_failure_says_its_code_and_what_was_tried() -> None:
    summary = _summaries.failed(ACCEPTED, PLAN, Failed(code="timeout", message="", meta=from_python(META)))
    assert (summary.error, summary.attempts, summary.provider) == ("timeout", 2, "anthropic")
    assert _summaries.failed(summary, PLAN, Failed(code="callback_timeout", message="")) == msgspec.structs.replace(
        summary, error="callback_timeout"
    )


def test_of_many_failed_tries_the_newest_are_kept() -> None:
    tries = [META["attempts"][0] | {"duration_ms": number} for number in range(20)]  # type: ignore[index,operator]
    summary = _summaries.answered(ACCEPTED, PLAN, from_python({**META, "attempts": tries}))
    assert summary.attempts == 20
    assert [each.duration_ms for each in summary.failed] == list(range(11, 20))


@pytest.mark.parametrize("meta", [{"attempts": "many"}, {"usage": 3}, {"provider": None}, [1]])
def test_an_account_of_another_shape_changes_nothing(meta: object) -> None:
    assert _summaries.answered(ACCEPTED, PLAN, from_python(meta)) == ACCEPTED


def test_an_account_may_lack_everything() -> None:
    assert _summaries.answered(ACCEPTED, PLAN, Json(b"{}")) == ACCEPTED


def test_small_customer_data_is_kept_as_it_is() -> None:
    text = b'{"a":1.50,"b":{"c":[]}}'
    assert bytes(_summaries.excerpt(Json(text))) == text


def test_of_large_customer_data_what_fits_is_kept() -> None:
    kept = _summaries.excerpt(from_python({"user_id": "u1", "story": "ü" * 5000, "list": [1] * 3000, "last": 1}))
    assert len(bytes(kept)) <= 1_000
    assert decode(kept) == {"user_id": "u1", "story": "ü" * 200 + "…"}
