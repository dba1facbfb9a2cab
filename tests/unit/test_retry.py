"""The published retry schedule."""

from __future__ import annotations

import itertools

from riverflow.retry import MODELRIVER, RetryPolicy


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
