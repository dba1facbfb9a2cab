"""Sender cases 15 to 19: names are resolved once, all answers are vetted, and only these addresses are dialled."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Sequence

import pytest

from riverflow.builtin.http.guard import ANSWERS, DIALLED, FRESH, LOOKUPS, Guard
from riverflow.builtin.http.resolver import THREADS, SystemResolver
from riverflow.config import Settings
from riverflow.egress import Egress
from riverflow.errors import HttpError
from riverflow.testing import FakeClock
from riverflow.testing.suites.http import names

pytestmark = pytest.mark.anyio

GOOD, OTHER, BAD = "93.184.216.34", "2606:4700::1111", "10.0.0.1"
URL = "https://hook.test/"


def guard(*answers: Sequence[str], clock: FakeClock | None = None) -> Guard:
    """In production; `answers` are given one after the other."""
    return Guard(clock or FakeClock(), Egress(), names(hook_test=list(answers)))


async def code_of(guard: Guard, url: str = URL, tenant: str = "") -> str:
    with pytest.raises(HttpError) as caught:
        await guard.vet(url, "delivery", 5, tenant)
    return caught.value.code


async def test_a_name_is_resolved_once_and_its_addresses_are_what_is_dialled() -> None:
    """Sender case 15: the second, bad answer is never asked for."""
    asking = guard([GOOD], [BAD])
    destination = await asking.vet(URL, "delivery", 5)
    assert destination.addresses == (GOOD,)
    assert (await asking.vet(URL + "again", "delivery", 5)).addresses == (GOOD,)
    assert destination.url.host == "hook.test"


@pytest.mark.parametrize(
    "answers", [[GOOD, BAD], [BAD, GOOD], [GOOD, "::1"], [OTHER, BAD], [GOOD, OTHER, "fd00::1"], [GOOD, "not one"]]
)
async def test_one_bad_answer_refuses_the_name(answers: list[str]) -> None:
    """Sender case 16: mixed answers, and AAAA bad with A good. A CNAME to a private name ends in such answers."""
    assert await code_of(guard(answers)) == "policy"


async def test_a_verdict_is_asked_for_again_after_a_minute() -> None:
    """Sender case 17: a later try and a new connection are vetted anew; a good past excuses no bad answer."""
    clock = FakeClock()
    asking = guard([GOOD], [BAD], [GOOD], clock=clock)
    await asking.vet(URL, "delivery", 5)
    await clock.advance(FRESH)
    assert asking.known(URL, "delivery") is None
    assert await code_of(asking) == "policy"


async def test_connections_belong_to_tenant_host_and_vetted_addresses() -> None:
    """Sender case 17: `pool` says who may share a connection."""
    clock = FakeClock()
    asking = guard([GOOD], [OTHER], clock=clock)
    first = await asking.vet(URL, "delivery", 5, "a")
    assert first.pool == ("a", "https", "hook.test", 443, (GOOD,))
    assert (await asking.vet(URL + "path", "delivery", 5, "a")).pool == first.pool
    assert (await asking.vet(URL, "delivery", 5, "b")).pool != first.pool
    await clock.advance(FRESH)
    assert (await asking.vet(URL, "delivery", 5, "a")).pool != first.pool


async def test_a_verdict_is_its_tenants_own() -> None:
    """Sender cases 17 and 36."""
    openings = Egress.of(Settings(egress_allow="10.0.0.0/8@a"))
    asking = Guard(FakeClock(), openings, names(hook_test=(BAD,)))
    assert (await asking.vet(URL, "delivery", 5, "a")).addresses == (BAD,)
    assert asking.known(URL, "delivery", "a") is not None
    assert asking.known(URL, "delivery", "b") is None
    assert await code_of(asking, tenant="b") == "policy"


async def test_resolving_is_part_of_the_requests_time() -> None:
    """Sender case 18."""

    async def never(host: str, port: int) -> Sequence[str]:
        await asyncio.Event().wait()
        return []

    with pytest.raises(HttpError) as caught:
        await Guard(FakeClock(), Egress(), never).vet(URL, "delivery", 0.01)
    assert caught.value.code == "timeout"


async def test_a_name_has_a_bounded_number_of_addresses() -> None:
    """Sender case 18: of many few are dialled; of far too many none is even looked at."""
    many = [f"93.184.{number >> 8}.{number & 255}" for number in range(ANSWERS + 1)]
    assert (await guard(many[:ANSWERS]).vet(URL, "delivery", 5)).addresses == tuple(many[:DIALLED])
    assert await code_of(guard(many)) == "policy"


@pytest.mark.parametrize(
    "error",
    [
        socket.gaierror(socket.EAI_NONAME, "Name or service not known by 10.0.0.53"),
        socket.gaierror(socket.EAI_AGAIN, "Temporary failure at 10.0.0.53"),
        TimeoutError("10.0.0.53 did not answer"),
        OSError("10.0.0.53"),
    ],
    ids=["NXDOMAIN", "SERVFAIL", "timeout", "other"],
)
async def test_a_failed_look_up_may_be_tried_again_and_names_no_resolver(error: Exception) -> None:
    """Sender case 18."""

    async def failing(host: str, port: int) -> Sequence[str]:
        raise error

    with pytest.raises(HttpError) as caught:
        await Guard(FakeClock(), Egress(), failing).vet(URL, "delivery", 5)
    assert caught.value.code in ("connection_error", "timeout")
    assert "10.0.0.53" not in f"{caught.value}{caught.value.__cause__}"


async def test_slow_name_servers_of_one_tenant_delay_no_other() -> None:
    """Sender cases 18 and 29: look-ups hold threads, so a tenant has a few of them at a time."""
    asked: list[str] = []

    async def resolve(host: str, port: int) -> Sequence[str]:
        asked.append(host)
        if host.startswith("slow"):
            await asyncio.Event().wait()
        return [GOOD]

    asking = Guard(FakeClock(), Egress(), resolve)
    slow = [asyncio.create_task(asking.vet(f"https://slow{n}.test/", "delivery", 60, "a")) for n in range(20)]
    slow.append(asyncio.create_task(asking.vet(URL, "delivery", 60, "a")))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert len(asked) == LOOKUPS
    assert (await asyncio.wait_for(asking.vet(URL, "delivery", 5, "b"), 5)).addresses == (GOOD,)
    for task in slow:
        task.cancel()
    await asyncio.gather(*slow, return_exceptions=True)


async def test_names_are_resolved_in_threads_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sender case 18: name servers that never answer hold none of the threads that handlers and files need."""
    go, started = threading.Event(), threading.Semaphore(0)

    def look_up(*args: object, **kwargs: object) -> list[object]:
        started.release()
        go.wait(30)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (GOOD, 443))]

    monkeypatch.setattr("riverflow.builtin.http.resolver.socket.getaddrinfo", look_up)
    resolver = SystemResolver()
    asking = [asyncio.create_task(_collected(resolver)) for _ in range(THREADS)]
    try:
        for _ in range(THREADS):
            assert await asyncio.wait_for(asyncio.to_thread(started.acquire, timeout=5), 6)
    finally:
        resolver.close()
        go.set()
    assert await asyncio.gather(*asking) == [[GOOD]] * THREADS


async def _collected(resolver: SystemResolver) -> list[str]:
    return list(await resolver("hook.test", 443))
