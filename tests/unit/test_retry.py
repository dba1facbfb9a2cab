"""Retry policies: the published schedule, the other presets, own lists, and what chance and receivers add."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from riverflow.retry import MODELRIVER, PRESETS, RETRY_AFTER_LIMIT, RetryPolicy, policy_of, spread


def test_the_published_schedule() -> None:
    waits = [MODELRIVER.delay_after(attempt) for attempt in range(1, 9)]
    assert waits == [5, 30, 120, 600, 1800, 3600, 7200, None]
    assert MODELRIVER.attempts == 8
    elapsed = list(itertools.accumulate([0, *(wait for wait in waits if wait)]))
    assert elapsed == [0, 5, 35, 155, 755, 2555, 6155, 13355]
    assert elapsed[-1] == 3 * 3600 + 42 * 60 + 35


def test_nothing_comes_after_the_last_attempt() -> None:
    assert RetryPolicy(delays=(0,)).delay_after(1) is None
    assert MODELRIVER.delay_after(9) is None
    assert MODELRIVER.delay_after(1000) is None


PRESET_SPANS = {"modelriver": 13_355, "standard": 272_105, "svix": 99_305, "fast": 224}


@pytest.mark.parametrize("name", PRESETS)
def test_the_presets_last_as_long_as_they_say(name: str) -> None:
    assert sum(PRESETS[name].delays) == PRESET_SPANS[name]
    assert PRESETS[name].delays[0] == 0


def test_only_the_hosted_service_s_schedule_takes_every_answer_alike() -> None:
    assert RetryPolicy(delays=MODELRIVER.delays) == MODELRIVER
    for name in ("standard", "svix", "fast"):
        policy = PRESETS[name]
        assert policy.quick
        assert policy.stops_when_gone
        assert policy.jitter > 0


@given(st.integers(1, 9), st.floats(0, 1, exclude_max=True), st.none() | st.floats(0, 1e12))
def test_chance_and_receivers_only_add(attempt: int, chance: float, asked: float | None) -> None:
    policy = PRESETS["standard"]
    scheduled, delay = policy.delay_after(attempt), policy.delay_after(attempt, chance=chance, asked=asked)
    if scheduled is None or delay is None:
        assert scheduled is delay
        return
    assert scheduled <= delay
    assert delay <= max(scheduled * (1 + policy.jitter), RETRY_AFTER_LIMIT)


@pytest.mark.parametrize(
    ("asked", "delay"), [(None, 30), (0.0, 30), (29.0, 30), (31.0, 31), (3599.0, 3599), (1e30, RETRY_AFTER_LIMIT)]
)
def test_what_a_receiver_asks_for_counts_within_bounds(asked: float | None, delay: float) -> None:
    assert MODELRIVER.delay_after(2, asked=asked) == delay
    assert MODELRIVER.delay_after(7, asked=asked) == 7200, "never less than the schedule's own"


@given(st.text(min_size=1), st.integers(1, 30))
def test_the_spread_is_chance_that_can_be_repeated(name: str, attempt: int) -> None:
    assert 0 <= spread(name, attempt) < 1
    assert spread(name, attempt) == spread(name, attempt)


def test_the_spread_spreads() -> None:
    drawn = [spread(f"msg_{number}", attempt) for number in range(1000) for attempt in (1, 2)]
    tenths = [sum(tenth / 10 <= value < (tenth + 1) / 10 for value in drawn) for tenth in range(10)]
    assert min(tenths) > 120, "of 200 each"


@pytest.mark.parametrize(
    ("said", "delays"),
    [
        ("modelriver", MODELRIVER.delays),
        ("0, 5, 30", (0, 5, 30)),
        ("0", (0,)),
        ((0, 1.5), (0, 1.5)),
        (RetryPolicy(delays=(0, 7)), (0, 7)),
    ],
)
def test_ways_to_name_a_policy(said: Any, delays: tuple[float, ...]) -> None:
    assert policy_of(said).delays == delays


def test_a_list_is_like_the_standard_in_all_else() -> None:
    assert policy_of("0, 5") == policy_of((0, 5))
    assert policy_of((0, 5)) == RetryPolicy(delays=(0, 5), jitter=0.1, quick=True, stops_when_gone=True)


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("hourly", "give one of modelriver, standard, svix, fast"),
        ("", "is no retry policy"),
        ((), "1 to 30 delays"),
        ((0,) * 31, "1 to 30 delays"),
        ((5, 30), "the first delay"),
        ((0, -1), "seconds from 0"),
        ((0, float("nan")), "seconds from 0"),
        ((0, float("inf")), "seconds from 0"),
        ("0, 1e9", "seconds from 0"),
    ],
)
def test_what_is_no_policy(said: Any, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        policy_of(said)


@pytest.mark.parametrize("jitter", [-0.1, 1.1, float("nan")])
def test_what_is_no_jitter(jitter: float) -> None:
    with pytest.raises(ValueError, match="jitter"):
        RetryPolicy(delays=(0,), jitter=jitter)
