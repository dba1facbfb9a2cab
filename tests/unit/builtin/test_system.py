"""Time and names from the system: order, uniqueness and form of identifiers."""

from __future__ import annotations

import base64
import os
import re
import time
import uuid

import pytest

from riverflow.builtin.system import SystemClock, SystemIds

CANONICAL = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


def test_a_channel_id_is_a_uuid_of_version_7_and_variant_10() -> None:
    text = SystemIds().channel_id()
    assert CANONICAL.fullmatch(text)
    assert uuid.UUID(text).version == 7
    assert uuid.UUID(text).variant == uuid.RFC_4122


def test_a_channel_id_begins_with_the_milliseconds() -> None:
    before = time.time_ns() // 1_000_000
    stamped = uuid.UUID(SystemIds().channel_id()).int >> 80
    assert before <= stamped <= time.time_ns() // 1_000_000


@pytest.mark.parametrize("give", [SystemIds.channel_id, lambda ids: ids.opaque("ep")], ids=["channel_id", "opaque"])
@pytest.mark.parametrize(
    "moments",
    [lambda n: 1000.0, lambda n: 1000.0 + n / 1e4, lambda n: 1000.0 - n],
    ids=["within one millisecond", "over milliseconds", "with the clock going back"],
)
def test_each_sorts_after_the_one_before(give, moments) -> None:
    ticks = iter(range(10_000))
    ids = SystemIds(lambda: moments(next(ticks)))
    given = [give(ids) for _ in range(2_000)]
    assert given == sorted(set(given))


def test_a_counter_that_is_used_up_takes_the_next_millisecond() -> None:
    ids = SystemIds(lambda: 1000.0)
    first = ids.channel_id()
    ids._counter = (1 << 42) - 1  # no test has the time to use it up
    last, following = ids.channel_id(), ids.channel_id()
    assert first < last < following
    assert uuid.UUID(last).int >> 80 == 1_000_001


def test_two_processes_in_one_millisecond_differ() -> None:
    one, other = SystemIds(lambda: 1000.0), SystemIds(lambda: 1000.0)
    assert not {one.opaque("dlv") for _ in range(500)} & {other.opaque("dlv") for _ in range(500)}


def test_a_forked_child_draws_random_bits_of_its_own() -> None:
    ids = SystemIds(lambda: 1000.0)
    ids.channel_id()
    read, write = os.pipe()
    child = os.fork()
    if child == 0:  # pragma: no cover - another process
        os.write(write, "".join(ids.channel_id()[-8:] for _ in range(3)).encode())
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as told:
        theirs = told.read()
    os.waitpid(child, 0)
    assert len(theirs) == 24
    assert theirs != "".join(ids.channel_id()[-8:] for _ in range(3))


def test_an_opaque_id_has_26_characters_and_no_dot() -> None:
    assert re.fullmatch(r"ep_[0-9a-f]{26}", SystemIds().opaque("ep"))


def test_a_secret_is_32_random_bytes_in_the_form_of_standard_webhooks() -> None:
    one, other = SystemIds().secret(), SystemIds().secret()
    assert one != other
    assert one.startswith("whsec_")
    assert len(base64.b64decode(one.removeprefix("whsec_"), validate=True)) == 32


@pytest.mark.anyio
async def test_the_clock_is_the_systems() -> None:
    clock = SystemClock()
    before, begun = time.time(), clock.monotonic()
    await clock.sleep(0.001)
    assert before <= clock.now() <= time.time()
    assert clock.monotonic() - begun >= 0.001
