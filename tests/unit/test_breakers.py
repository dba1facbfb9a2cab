"""The breakers: how many attempts a receiver gets at once, and what failures make of it."""

from __future__ import annotations

import asyncio

import pytest

from riverflow import _breakers
from riverflow._breakers import COOLDOWNS, FAILURES, KNOWN, MAX_PAUSE, START, Breakers, Verdict
from riverflow.testing import FakeClock

pytestmark = pytest.mark.anyio

HERE = "ep_1"


class Scene:
    def __init__(self) -> None:
        self.clock = FakeClock()
        self.freed: list[float] = []
        self.breakers = Breakers(self.clock.monotonic, freed=self.freed.append)

    def admit(self, times: int = 1, *, limit: int = 100, target: str = HERE) -> int:
        """How many of so many attempts may begin."""
        return sum(self.breakers.admit(target, limit) for _ in range(times))

    def leave(self, verdict: Verdict, times: int = 1, *, target: str = HERE, pause: float | None = None) -> None:
        for _ in range(times):
            self.breakers.leave(target, verdict, pause=pause)

    def fail(self, times: int = FAILURES) -> None:
        for _ in range(times):
            assert self.admit() == 1
            self.leave("ill")

    async def ramp(self) -> list[int]:
        """How many are let through at a time, where each answers well, until the breaker is closed again."""
        waves = []
        while not waves or waves[-1] < START:
            waves.append(self.admit(100))
            self.leave("well", waves[-1])
        return waves


@pytest.fixture
def scene() -> Scene:
    return Scene()


async def test_one_that_is_not_known_gets_a_few_at_once(scene: Scene) -> None:
    assert scene.admit(100) == START


async def test_each_answer_makes_room_for_one_more_up_to_the_limit(scene: Scene) -> None:
    waves = []
    for _ in range(5):
        waves.append(scene.admit(100, limit=40))
        scene.leave("well", waves[-1])
    assert waves == [16, 32, 40, 40, 40]


async def test_the_limit_counts_from_the_beginning(scene: Scene) -> None:
    assert scene.admit(100, limit=3) == 3
    scene.leave("well", 3)
    assert scene.admit(100, limit=3) == 3
    scene.leave("well", 3)
    assert scene.admit(100, limit=50) == START + 6 - 3 + 3 - 6, "it may be raised meanwhile"


async def test_receivers_do_not_share_their_room(scene: Scene) -> None:
    assert scene.admit(100) == START
    assert scene.admit(1, target="ep_2") == 1


async def test_failures_in_a_row_open_it(scene: Scene) -> None:
    scene.fail(FAILURES - 1)
    assert scene.admit() == 1
    scene.leave("well")
    scene.fail(FAILURES)
    assert scene.admit() == 0
    assert scene.breakers.opens_in(HERE) == COOLDOWNS[0]
    assert scene.breakers.closed() == [HERE]


async def test_an_attempt_in_which_nothing_was_sent_says_nothing(scene: Scene) -> None:
    scene.fail(FAILURES - 1)
    for _ in range(3):
        assert scene.admit() == 1
        scene.leave("neither")
    assert scene.admit() == 1
    scene.leave("ill")
    assert scene.admit() == 0


async def test_after_a_while_it_lets_one_try_through(scene: Scene) -> None:
    scene.fail()
    await scene.clock.advance(COOLDOWNS[0] - 0.001)
    assert scene.admit(9) == 0
    await scene.clock.advance(0.001)
    assert scene.admit(9) == 1


async def test_a_failed_try_opens_it_for_longer_each_time(scene: Scene) -> None:
    scene.fail()
    for cooldown in (*COOLDOWNS[1:], COOLDOWNS[-1], COOLDOWNS[-1]):
        await scene.clock.advance(scene.breakers.opens_in(HERE))
        assert scene.admit(9) == 1
        scene.leave("ill")
        assert scene.breakers.opens_in(HERE) == cooldown
    await scene.clock.advance(COOLDOWNS[-1])
    await scene.ramp()
    scene.fail()
    assert scene.breakers.opens_in(HERE) == COOLDOWNS[0], "once it is closed the count begins anew"


async def test_it_ramps_up_and_a_failure_on_the_way_opens_it_again(scene: Scene) -> None:
    scene.fail()
    await scene.clock.advance(COOLDOWNS[0])
    assert await scene.ramp() == [1, 2, 4, 8, 16]
    scene.fail()
    await scene.clock.advance(scene.breakers.opens_in(HERE))
    for wave in (1, 2):
        assert scene.admit(9) == wave
        scene.leave("well", wave)
    assert scene.admit(9) == 4
    scene.leave("ill")
    assert scene.breakers.opens_in(HERE) == COOLDOWNS[1]
    scene.leave("ill", 3)
    assert scene.breakers.opens_in(HERE) == COOLDOWNS[1], "what was under way then does not count twice"


async def test_a_receiver_may_ask_for_a_pause(scene: Scene) -> None:
    assert scene.admit(3) == 3
    scene.leave("ill", pause=7.0)
    scene.leave("well", 2)
    assert scene.breakers.opens_in(HERE) == 7.0
    await scene.clock.advance(7)
    assert 1 <= scene.admit(100) <= 3
    scene.leave("ill", pause=1e9)
    assert scene.breakers.opens_in(HERE) == MAX_PAUSE, "but not for ever"


async def test_turns_come_in_order(scene: Scene) -> None:
    assert scene.admit(100, limit=1) == 1
    waiting = [asyncio.create_task(scene.breakers.wait(HERE)) for _ in range(1)]
    await asyncio.sleep(0)
    assert scene.admit(limit=1) == 0, "who comes later does not go before"
    scene.leave("well")
    assert scene.admit(limit=1) == 0
    assert await waiting[0]
    scene.leave("well")
    assert scene.admit(limit=1) == 1


async def test_who_waits_too_long_is_sent_back(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_breakers, "PATIENCE", 0.01)
    assert scene.admit(limit=1) == 1
    assert not await scene.breakers.wait(HERE)
    scene.leave("well")
    assert scene.admit(limit=1) == 1, "and holds no place"


async def test_nobody_waits_where_nothing_moves(scene: Scene) -> None:
    assert scene.admit(limit=1) == 1
    await scene.clock.advance(_breakers.PATIENCE)
    async with asyncio.timeout(_breakers.PATIENCE / 2):
        assert not await scene.breakers.wait(HERE)


async def test_the_waiting_room_is_bounded(scene: Scene) -> None:
    scene.admit(100, limit=2)
    waiting = [asyncio.create_task(scene.breakers.wait(HERE)) for _ in range(2)]
    await asyncio.sleep(0)
    async with asyncio.timeout(_breakers.PATIENCE / 2):
        assert not await scene.breakers.wait(HERE)
    scene.leave("well", 2)
    assert await asyncio.gather(*waiting) == [True, True]


async def test_who_waits_when_it_opens_is_sent_back_at_once(scene: Scene) -> None:
    scene.fail(FAILURES - 1)
    scene.admit(100, limit=1)
    waiting = asyncio.create_task(scene.breakers.wait(HERE))
    await asyncio.sleep(0)
    scene.leave("ill")
    async with asyncio.timeout(_breakers.PATIENCE / 2):
        assert not await waiting


@pytest.mark.parametrize("granted", [True, False])
async def test_who_leaves_the_waiting_room_leaves_his_place(scene: Scene, granted: bool) -> None:
    assert scene.admit(limit=1) == 1
    waiting = asyncio.create_task(scene.breakers.wait(HERE))
    await asyncio.sleep(0)
    if granted:
        scene.leave("well")
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    if not granted:
        scene.leave("well")
    assert scene.admit(limit=1) == 1


async def test_it_says_when_there_is_room_for_what_is_in_the_store(scene: Scene) -> None:
    assert scene.admit(100) == START
    assert not scene.breakers.park(HERE)
    assert scene.breakers.allowed() == {HERE: 0}
    scene.leave("neither", START // 4 - 1)
    assert scene.freed == [], "not for every single one"
    scene.leave("neither")
    assert scene.freed == [0.0]
    assert scene.breakers.allowed() == {HERE: START // 4}
    assert scene.breakers.park(HERE)


async def test_it_says_so_too_where_the_limit_is_small(scene: Scene) -> None:
    assert scene.admit(9, limit=1) == 1
    assert not scene.breakers.park(HERE)
    scene.leave("well")
    assert scene.freed == [0.0]


async def test_it_says_nothing_where_nothing_is_in_the_store(scene: Scene) -> None:
    scene.admit(100)
    scene.leave("well", START)
    assert scene.freed == []
    scene.admit(8)
    scene.breakers.park(HERE)
    scene.breakers.took(scene.breakers.allowed(), {HERE: 1})
    scene.leave("well", 8)
    assert scene.freed == [], "the store had less than was allowed"


async def test_it_says_when_it_opens(scene: Scene) -> None:
    assert scene.breakers.next_opening() is None
    scene.fail()
    assert scene.freed == [COOLDOWNS[0]]
    scene.breakers.park(HERE)
    assert scene.breakers.next_opening() == COOLDOWNS[0]
    await scene.clock.advance(COOLDOWNS[0])
    assert scene.breakers.next_opening() is None
    assert scene.breakers.allowed() == {HERE: 1}


async def test_one_that_is_open_stays_known_until_nothing_is_left_for_it(scene: Scene) -> None:
    scene.fail()
    scene.breakers.park(HERE)
    await scene.clock.advance(COOLDOWNS[0])
    scene.breakers.took({HERE: 1}, {})
    assert scene.breakers.allowed() == {}
    assert scene.admit(9) == 1, "and is remembered after that"


async def test_receivers_at_rest_are_forgotten_in_the_end(scene: Scene) -> None:
    for number in range(KNOWN + 10):
        scene.admit(target=f"https://{number}.example.com")
        scene.leave("well", target=f"https://{number}.example.com")
    assert scene.breakers.allowed() == {}
    assert len(scene.breakers._idle) == KNOWN
