"""Sliding windows: how many get in, when there is room again, and how much is kept."""

from __future__ import annotations

import logging
import random

import pytest

from riverflow._limits import KEPT, WINDOW, Limits, Windows
from riverflow.config import Settings
from riverflow.errors import RateLimited
from riverflow.models import Identity
from riverflow.ports import Scope
from riverflow.testing import FakeClock

pytestmark = pytest.mark.anyio


def scope_from(address: str | None) -> Scope:
    return {"type": "http", "client": (address, 4711) if address else None, "headers": []}


def limits(clock: FakeClock, **settings: int) -> Limits:
    return Limits(Settings.load(settings), clock.monotonic)


async def test_as_many_as_the_limit_get_in_and_then_nobody() -> None:
    clock = FakeClock()
    windows = Windows("address", 3, clock.monotonic)
    assert [windows.take("a").left for _ in range(3)] == [2, 1, 0]
    refused = windows.take("a")
    assert not refused.taken
    assert windows.take("b").taken


@pytest.mark.parametrize("limit", [1, 2, 5, 300])
async def test_after_the_time_that_is_told_there_is_room_and_not_before(limit: int) -> None:
    clock = FakeClock()
    windows = Windows("address", limit, clock.monotonic)
    rng = random.Random(limit)
    for _ in range(200):
        while (quota := windows.take("a")).taken:
            await clock.advance(rng.uniform(0, WINDOW / limit / 2))
        assert quota.left == 0
        assert 0 < quota.reset <= 2 * WINDOW
        if quota.reset > 0.01:
            await clock.advance(quota.reset - 0.005)
            assert not windows.take("a").taken
            await clock.advance(0.005)
        await clock.advance(0.001)
        assert windows.take("a").taken


async def test_in_no_minute_more_than_the_limit_get_in_where_they_come_evenly() -> None:
    clock = FakeClock()
    windows = Windows("address", 60, clock.monotonic)
    taken: list[float] = []
    for _ in range(3000):
        await clock.advance(0.2)
        if windows.take("a").taken:
            taken.append(clock.monotonic())
    for start in taken:
        assert sum(1 for at in taken if start <= at < start + WINDOW) <= 62, "the estimate is off by a few at most"
    assert len(taken) >= 9 * 60, "and as many as are allowed do get in"


async def test_who_was_away_for_two_minutes_begins_anew() -> None:
    clock = FakeClock()
    windows = Windows("address", 2, clock.monotonic)
    for _ in range(3):
        windows.take("a")
    await clock.advance(2 * WINDOW)
    assert windows.take("a").left == 1


async def test_what_is_kept_is_bounded_and_who_was_away_longest_is_forgotten() -> None:
    windows = Windows("address", 1, FakeClock().monotonic)
    taken = 0
    for number in range(KEPT + 500):
        windows.take(number)
        taken += windows.take("busy").taken
    assert len(windows) == KEPT
    assert taken == 1, "who keeps coming is never forgotten"
    assert not windows.take(KEPT + 499).taken
    assert windows.take(0).taken


async def test_the_headers_are_those_of_the_draft() -> None:
    clock = FakeClock()
    windows = Windows("key", 10, clock.monotonic)
    await clock.advance(15)
    assert windows.take("a").headers == (
        (b"ratelimit-policy", b'"key";q=10;w=60'),
        (b"ratelimit", b'"key";r=9;t=45'),
    )


async def test_strangers_are_limited_by_address_from_the_start() -> None:
    clock = FakeClock()
    guard = limits(clock)
    for _ in range(300):
        guard.stranger(scope_from("198.51.100.1"))
    with pytest.raises(RateLimited) as refused:
        guard.stranger(scope_from("198.51.100.1"))
    assert refused.value.retry_after
    assert dict(refused.value.headers)[b"ratelimit-policy"] == b'"address";q=300;w=60'
    guard.stranger(scope_from("198.51.100.2"))


async def test_this_machine_itself_is_not_limited() -> None:
    guard = limits(FakeClock(), rate_limit_unkeyed=1)
    for address in ("127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1", "testclient", None):
        for _ in range(5):
            guard.stranger(scope_from(address))


async def test_the_addresses_of_one_ipv6_network_are_one_caller() -> None:
    guard = limits(FakeClock(), rate_limit_unkeyed=2)
    guard.stranger(scope_from("2001:db8:1:1::1"))
    guard.stranger(scope_from("2001:db8:1:1:ffff::2"))
    with pytest.raises(RateLimited):
        guard.stranger(scope_from("2001:db8:1:1::3"))
    guard.stranger(scope_from("2001:db8:1:2::1"))
    guard.stranger(scope_from("::ffff:198.51.100.1"))
    guard.stranger(scope_from("198.51.100.1"))
    with pytest.raises(RateLimited):
        guard.stranger(scope_from("::ffff:198.51.100.1"))


async def test_a_limit_of_0_is_none() -> None:
    guard = limits(FakeClock(), rate_limit_unkeyed=0, rate_limit_rationed=0)
    assert not guard.by_key
    for _ in range(1000):
        guard.stranger(scope_from("198.51.100.1"))
        guard.ration(Identity(project_id="p"))


KEY = Identity(project_id="p", key_id="key_1")
OTHER_KEY = Identity(project_id="p", key_id="key_2")
USER = Identity(project_id="p", subject="mia")
OTHER_USER = Identity(project_id="p", subject="tim")
FOREIGN_KEY = Identity(project_id="q", key_id="key_1")
FOREIGN_USER = Identity(project_id="q", subject="mia")
HOME, AWAY = scope_from("198.51.100.1"), scope_from("198.51.100.2")


@pytest.mark.parametrize(
    ("setting", "refused", "free"),
    [
        ("rate_limit_key", [(KEY, HOME), (KEY, AWAY)], [(OTHER_KEY, HOME), (USER, HOME), (FOREIGN_KEY, HOME)]),
        ("rate_limit_user", [(USER, AWAY)], [(OTHER_USER, HOME), (KEY, HOME), (FOREIGN_USER, HOME)]),
        ("rate_limit_project", [(OTHER_KEY, AWAY), (OTHER_USER, AWAY)], [(FOREIGN_KEY, HOME), (FOREIGN_USER, HOME)]),
        ("rate_limit_ip", [(OTHER_KEY, HOME), (FOREIGN_USER, HOME)], [(KEY, AWAY), (USER, AWAY)]),
    ],
)
async def test_each_limit_counts_what_it_is_named_after(
    setting: str, refused: list[tuple[Identity, Scope]], free: list[tuple[Identity, Scope]]
) -> None:
    guard = limits(FakeClock(), **{setting: 2})
    assert guard.by_key
    first = USER if setting == "rate_limit_user" else KEY
    for _ in range(2):
        assert guard.admit(first, HOME)
    for identity, scope in refused:
        with pytest.raises(RateLimited):
            guard.admit(identity, scope)
    for identity, scope in free:
        guard.admit(identity, scope)


async def test_of_several_limits_the_answer_shows_the_one_with_least_room() -> None:
    guard = limits(FakeClock(), rate_limit_key=10, rate_limit_project=5)
    assert dict(guard.admit(KEY, HOME))[b"ratelimit"].startswith(b'"project";r=4')


async def test_who_is_refused_for_himself_takes_nothing_from_his_project() -> None:
    guard = limits(FakeClock(), rate_limit_key=1, rate_limit_project=2)
    guard.admit(KEY, HOME)
    for _ in range(5):
        with pytest.raises(RateLimited):
            guard.admit(KEY, HOME)
    guard.admit(OTHER_KEY, HOME)


async def test_buttons_are_rationed_by_project() -> None:
    guard = limits(FakeClock(), rate_limit_rationed=2)
    for identity in (KEY, USER):
        guard.ration(identity)
    with pytest.raises(RateLimited):
        guard.ration(OTHER_KEY)
    guard.ration(FOREIGN_KEY)


async def test_throttling_is_logged_once_a_minute_without_a_credential(caplog: pytest.LogCaptureFixture) -> None:
    clock = FakeClock()
    windows = Windows("address", 1, clock.monotonic)
    with caplog.at_level(logging.WARNING, "riverflow.limits"):
        for _ in range(50):
            windows.take("198.51.100.1")
        assert len(caplog.records) == 1
        assert "198.51.100.1" in caplog.text
        await clock.advance(WINDOW)
        for _ in range(50):
            windows.take("198.51.100.1")
    assert len(caplog.records) == 2
