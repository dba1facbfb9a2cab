"""The egress guard: all answers of a name are vetted, verdicts hold for a minute, and its words give nothing away."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from riverflow.builtin.http.guard import DIALLED, FRESH, REMEMBERED, Guard
from riverflow.egress import Egress
from riverflow.errors import HttpError
from riverflow.testing import FakeClock

pytestmark = pytest.mark.anyio

GOOD = "93.184.216.34"
URL = "https://example.com/hook"


class Resolver:
    """Gives its answers one after the other, the last one for ever; an exception is raised."""

    def __init__(self, *answers: Sequence[str] | Exception) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[str, int]] = []

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked.append((host, port))
        await asyncio.sleep(0)
        answer = self.answers[0] if len(self.answers) == 1 else self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def guard(resolver: Resolver, clock: FakeClock | None = None, *, development: bool = False) -> Guard:
    return Guard(clock or FakeClock(), Egress(development=development, ports=frozenset({8443})), resolver)


async def code_of(guard: Guard, url: str = URL) -> str:
    with pytest.raises(HttpError) as caught:
        await guard.vet(url, "delivery", 5)
    return caught.value.code


async def test_the_vetted_addresses_are_what_may_be_dialled() -> None:
    resolver = Resolver([GOOD, "2606:4700::1111", GOOD])
    destination = await guard(resolver).vet("https://Example.com:8443/a", "delivery", 5)
    assert destination.addresses == (GOOD, "2606:4700::1111")
    assert destination.text == "https://example.com:8443/a"
    assert resolver.asked == [("example.com", 8443)]


async def test_a_literal_address_is_not_resolved() -> None:
    resolver = Resolver(OSError("not asked"))
    assert (await guard(resolver).vet(f"https://{GOOD}/", "delivery", 5)).addresses == (GOOD,)
    assert not resolver.asked


@pytest.mark.parametrize(
    "bad", ["127.0.0.1", "10.0.0.1", "::1", "fe80::1%eth0", "::ffff:192.168.0.1", "not an address"]
)
@pytest.mark.parametrize("place", [0, 1, 9])
async def test_one_bad_answer_is_enough(bad: str, place: int) -> None:
    answers = [GOOD] * 9
    answers.insert(place, bad)
    assert await code_of(guard(Resolver(answers))) == "policy"


async def test_few_of_many_addresses_are_dialled() -> None:
    answers = [f"93.184.216.{last}" for last in range(1, 101)]
    assert (await guard(Resolver(answers)).vet(URL, "delivery", 5)).addresses == tuple(answers[:DIALLED])


@pytest.mark.parametrize("answers", [OSError("no such name"), UnicodeError("label too long"), []])
async def test_a_name_without_answers_may_have_some_later(answers: Exception | list[str]) -> None:
    asking = guard(Resolver(answers, [GOOD]))
    assert await code_of(asking) == "connection_error"
    assert (await asking.vet(URL, "delivery", 5)).addresses == (GOOD,)


async def test_resolving_is_bounded_in_time() -> None:
    async def never(host: str, port: int) -> Sequence[str]:
        await asyncio.Event().wait()
        return []

    with pytest.raises(HttpError) as caught:
        await Guard(FakeClock(), Egress(), never).vet(URL, "delivery", 0.01)
    assert caught.value.code == "timeout"


async def test_the_words_show_no_address() -> None:
    for resolver in (Resolver(["10.11.12.13"]), Resolver(["169.254.169.254"]), Resolver(OSError("server 10.11.12.13"))):
        with pytest.raises(HttpError) as caught:
            await guard(resolver).vet(URL, "delivery", 5)
        assert not any(text in caught.value.message for text in ("10.11", "169.254", "example"))


async def test_a_verdict_is_known_for_a_minute() -> None:
    clock = FakeClock()
    asking = guard(Resolver([GOOD]), clock)
    assert asking.known(URL, "delivery") is None
    destination = await asking.vet(URL, "delivery", 5)
    await clock.advance(FRESH - 1)
    assert asking.known(URL, "delivery") is destination
    assert asking.known(URL, "provider") is None
    await clock.advance(1)
    assert asking.known(URL, "delivery") is None


async def test_a_verdict_of_the_name_is_not_prolonged_by_another_url() -> None:
    clock = FakeClock()
    asking = guard(Resolver([GOOD], ["10.0.0.1"]), clock)
    await asking.vet(URL, "delivery", 5)
    await clock.advance(FRESH - 1)
    other = f"{URL}/other"
    await asking.vet(other, "delivery", 5)
    await clock.advance(1)
    assert asking.known(other, "delivery") is None
    assert await code_of(asking, other) == "policy"


async def test_a_provider_verdict_does_not_open_the_door_for_deliveries() -> None:
    asking = guard(Resolver(["10.0.0.1"]))
    assert (await asking.vet(URL, "provider", 5)).addresses == ("10.0.0.1",)
    assert await code_of(asking) == "policy"


async def test_a_name_is_resolved_once_for_many_who_ask_at_once() -> None:
    resolver = Resolver([GOOD])
    asking = guard(resolver)
    await asyncio.gather(*(asking.vet(f"{URL}/{number}", "delivery", 5) for number in range(20)))
    assert len(resolver.asked) == 1


async def test_who_gives_up_does_not_take_the_others_with_him() -> None:
    asking = guard(Resolver([GOOD]))
    first = asyncio.create_task(asking.vet(URL, "delivery", 5))
    second = asyncio.create_task(asking.vet(URL, "delivery", 5))
    await asyncio.sleep(0)
    first.cancel()
    assert (await second).addresses == (GOOD,)
    with pytest.raises(asyncio.CancelledError):
        await first


async def test_what_is_remembered_is_bounded() -> None:
    asking = guard(Resolver([GOOD]))
    first = "https://example.com/first"
    await asking.vet(first, "delivery", 5)
    for number in range(REMEMBERED):
        await asking.vet(f"{URL}/{number}", "delivery", 5)
    assert asking.known(first, "delivery") is None
    assert asking.known(f"{URL}/{REMEMBERED - 1}", "delivery") is not None


async def test_the_system_resolver_is_the_default() -> None:
    destination = await Guard(FakeClock(), Egress(development=True)).vet("http://localhost:8080/", "delivery", 5)
    assert set(destination.addresses) <= {"127.0.0.1", "::1"}
