"""The hub and its subscriptions: nothing lost, nothing twice, nobody waited for."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from riverflow._channels import Hub
from riverflow.errors import NotFound, Overloaded, StoreUnavailable, SubscriptionClosed
from riverflow.models import Frame
from riverflow.ports import Subscription
from riverflow.testing import FakeClock
from riverflow.testing.channels import ScriptedChannels

pytestmark = pytest.mark.anyio


@pytest.fixture
def channels() -> ScriptedChannels:
    return ScriptedChannels(FakeClock())


async def subscribe(channels: ScriptedChannels, run: str, **options: Any) -> Subscription:
    return await channels.subscribe(channels.project.id, run, **options)


async def rest(subscription: Subscription) -> list[Frame]:
    async with asyncio.timeout(5):
        return [frame async for frame in subscription]


def numbers(frames: list[Frame]) -> list[int]:
    return [frame.number for frame in frames]


async def test_a_reader_from_the_start_gets_what_was_and_what_comes_once_and_in_order(
    channels: ScriptedChannels,
) -> None:
    run = channels.start()
    channels.tell(run, "stage.chunk", {"text": "a"})
    reader = await subscribe(channels, run, after=0)
    channels.tell(run, "run.ai_generated", {"status": "ai_generated"})
    channels.tell(run, "run.completed", {"status": "completed"})
    frames = await rest(reader)
    assert [(frame.number, frame.event, frame.data, frame.final) for frame in frames] == [
        (2, "chunk", b'{"text":"a"}', False),
        (3, "response", b'{"status":"ai_generated"}', False),
        (4, "response", b'{"status":"completed"}', True),
    ]


async def test_a_reader_without_a_number_gets_the_latest_state_only(channels: ScriptedChannels) -> None:
    run = channels.start()
    channels.tell(run, "stage.chunk", {})
    latest = channels.tell(run, "run.ai_generated", {})
    channels.tell(run, "stage.chunk", {})
    reader = await subscribe(channels, run)
    final = channels.tell(run, "run.completed", {})
    assert numbers(await rest(reader)) == [latest, final]


async def test_the_latest_state_is_found_behind_more_entries_than_a_page_holds(channels: ScriptedChannels) -> None:
    run = channels.start()
    for _ in range(2100):
        channels.write(run, "stage.chunk", {})
    final = channels.tell(run, "run.completed", {})
    assert numbers(await rest(await subscribe(channels, run))) == [final]


async def test_after_a_number_comes_everything_above_it(channels: ScriptedChannels) -> None:
    run = channels.start()
    for _ in range(5):
        channels.tell(run, "stage.chunk", {})
    channels.tell(run, "run.failed", {})
    assert numbers(await rest(await subscribe(channels, run, after=4))) == [5, 6, 7]


async def test_a_replay_longer_than_the_buffer_is_read_in_pages() -> None:
    channels = ScriptedChannels(FakeClock(), buffer=8)
    run = channels.start()
    for _ in range(50):
        channels.tell(run, "stage.chunk", {})
    reader = await subscribe(channels, run, after=0)
    channels.tell(run, "run.completed", {})
    assert numbers(await rest(reader)) == list(range(2, 53))


async def test_a_long_replay_goes_on_without_any_news() -> None:
    channels = ScriptedChannels(FakeClock(), buffer=8)
    run = channels.start()
    for _ in range(50):
        channels.write(run, "stage.chunk", {})
    channels.write(run, "run.completed", {})
    assert numbers(await rest(await subscribe(channels, run, after=0))) == list(range(2, 53))


async def test_what_comes_live_while_a_page_is_read_that_holds_it_too_is_handed_out_once(
    channels: ScriptedChannels,
) -> None:
    run = channels.start()
    reader = await subscribe(channels, run, after=0)
    read = channels._log.entries_after

    async def append_before_the_page(*args: Any, **options: Any) -> Any:
        channels.tell(run, "run.ai_generated", {})
        return await read(*args, **options)

    channels._log.entries_after = append_before_the_page  # type: ignore[method-assign]
    channels.hub.wake(run)
    first = await reader.next()
    channels._log.entries_after = read  # type: ignore[method-assign]
    final = channels.tell(run, "run.completed", {})
    assert first is not None
    assert [first.number, *numbers(await rest(reader))] == [2, final]


async def test_a_run_that_ends_elsewhere_while_a_reader_comes_back_is_told(channels: ScriptedChannels) -> None:
    run = channels.start()
    seen = channels.tell(run, "run.ai_generated", {})
    load = channels._log.load

    async def end_first(*args: Any) -> Any:
        channels.write(run, "run.completed", {})
        return await load(*args)

    channels._log.load = end_first  # type: ignore[method-assign]
    assert numbers(await rest(await subscribe(channels, run, after=seen))) == [seen + 1]


async def test_private_entries_move_the_number_on_without_a_frame_and_are_no_gap(channels: ScriptedChannels) -> None:
    run = channels.start()
    reader = await subscribe(channels, run, after=0)
    channels.tell(run, "delivery.failed", {}, public=False)
    channels.tell(run, "delivery.failed", {}, public=False)
    assert reader.latest == 3
    reads = channels.reads
    final = channels.tell(run, "run.completed", {})
    assert numbers(await rest(reader)) == [final]
    assert channels.reads == reads


async def test_latest_follows_what_was_handed_out(channels: ScriptedChannels) -> None:
    run = channels.start()
    reader = await subscribe(channels, run, after=0)
    channels.tell(run, "stage.chunk", {})
    channels.tell(run, "stage.chunk", {})
    channels.tell(run, "delivery.failed", {}, public=False)
    await reader.next()
    assert reader.latest == 2
    await reader.next()
    assert reader.latest == 4


async def test_a_gap_is_filled_from_the_log(channels: ScriptedChannels) -> None:
    run = channels.start()
    reader = await subscribe(channels, run, after=0)
    channels.write(run, "run.ai_generated", {})
    channels.tell(run, "run.completed", {})
    assert numbers(await rest(reader)) == [2, 3]


async def test_what_is_published_twice_is_handed_out_once(channels: ScriptedChannels) -> None:
    run = channels.start()
    reader = await subscribe(channels, run, after=0)
    channels.tell(run, "run.ai_generated", {})
    page = await channels._log.entries_after(channels.project.id, run, 0)
    assert page is not None
    channels.hub.tell(run, page.entries, 1)
    channels.tell(run, "run.completed", {})
    assert numbers(await rest(reader)) == [2, 3]


async def test_a_timeout_repairs_a_lost_notification(channels: ScriptedChannels) -> None:
    run = channels.start()
    reader = await subscribe(channels, run, after=0)
    assert await reader.next(timeout=0.001) is None
    lost = channels.write(run, "run.completed", {})
    frame = await reader.next(timeout=0.001)
    assert frame is not None
    assert frame.number == lost


async def test_a_timeout_of_zero_asks_only_for_what_is_at_hand(channels: ScriptedChannels) -> None:
    run = channels.start()
    reader = await subscribe(channels, run, after=0)
    reads = channels.reads
    assert await reader.next(timeout=0) is None
    assert channels.reads == reads


@pytest.mark.parametrize("whom", ["the run", "all"])
async def test_a_wake_up_makes_readers_look_into_the_log(channels: ScriptedChannels, whom: str) -> None:
    run = channels.start()
    reader = await subscribe(channels, run, after=0)
    waiting = asyncio.create_task(reader.next())
    await asyncio.sleep(0)
    number = channels.write(run, "run.completed", {})
    channels.hub.wake(run if whom == "the run" else None)
    frame = await asyncio.wait_for(waiting, 5)
    assert frame is not None
    assert frame.number == number


async def test_a_wake_up_that_brings_nothing_does_not_put_a_timeout_off(channels: ScriptedChannels) -> None:
    run = channels.start()
    reader = await subscribe(channels, run, after=0)

    async def keep_waking() -> None:
        while True:
            channels.hub.wake(None)
            await asyncio.sleep(0)

    async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
        waking = tasks.create_task(keep_waking())
        assert await reader.next(timeout=0.01) is None
        waking.cancel()


async def test_wake_ups_read_the_log_in_bounded_numbers(channels: ScriptedChannels) -> None:
    runs = [channels.start() for _ in range(300)]
    readers = [await subscribe(channels, run, after=0) for run in runs]
    at_once = peak = 0
    read = channels._log.entries_after

    async def slow(*args: Any, **options: Any) -> Any:
        nonlocal at_once, peak
        at_once += 1
        peak = max(peak, at_once)
        await asyncio.sleep(0)
        at_once -= 1
        return await read(*args, **options)

    channels._log.entries_after = slow  # type: ignore[method-assign]
    waiting = [asyncio.create_task(reader.next()) for reader in readers]
    await asyncio.sleep(0)
    for run in runs:
        channels.write(run, "run.completed", {})
    channels.hub.wake(None)
    await asyncio.wait_for(asyncio.gather(*waiting), 5)
    assert 1 < peak <= 64


async def test_what_is_appended_while_the_replay_is_read_is_not_lost(channels: ScriptedChannels) -> None:
    run = channels.start()
    read = channels._log.entries_after
    appended = False

    async def append_behind_the_page(*args: Any, **options: Any) -> Any:
        nonlocal appended
        page = await read(*args, **options)
        if not appended:
            appended = True
            channels.tell(run, "run.completed", {})
        return page

    channels._log.entries_after = append_behind_the_page  # type: ignore[method-assign]
    for options in ({"after": 0}, {}):
        appended = False
        run = channels.start()
        assert numbers(await rest(await subscribe(channels, run, **options))) == [2]


async def test_a_reader_who_does_not_keep_up_is_cut_and_the_others_are_not() -> None:
    channels = ScriptedChannels(FakeClock(), buffer=4)
    run = channels.start()
    slow = await subscribe(channels, run, after=0)
    quick = await subscribe(channels, run, after=0)
    for number in range(2, 12):
        channels.tell(run, "stage.chunk", {})
        frame = await quick.next()
        assert frame is not None
        assert frame.number == number
    with pytest.raises(SubscriptionClosed, match="too_slow"):
        await slow.next()
    assert channels.hub.readers == 1


async def test_a_full_page_of_replay_leaves_room_for_what_comes_live() -> None:
    channels = ScriptedChannels(FakeClock(), buffer=4)
    run = channels.start()
    for _ in range(4):
        channels.tell(run, "stage.chunk", {})
    reader = await subscribe(channels, run, after=0)
    for _ in range(10):
        channels.tell(run, "stage.chunk", {})
    channels.tell(run, "run.completed", {})
    assert numbers(await rest(reader)) == list(range(2, 17))


async def test_a_stranger_and_an_unknown_channel_look_alike(channels: ScriptedChannels) -> None:
    run = channels.start()
    for project, channel in ((channels.project.id, "nowhere"), ("another", run)):
        with pytest.raises(NotFound):
            await channels.subscribe(project, channel, after=0)
        with pytest.raises(NotFound):
            await channels.subscribe(project, channel)
    assert channels.hub.readers == 0


async def test_a_reader_who_has_seen_the_final_entry_is_at_the_end(channels: ScriptedChannels) -> None:
    run = channels.start()
    final = channels.tell(run, "run.completed", {})
    channels.tell(run, "delivery.delivered", {}, public=False)
    for after in (final, final + 1, 999):
        with pytest.raises(StopAsyncIteration):
            await (await subscribe(channels, run, after=after)).next(0)


async def test_a_number_from_the_future_hides_nothing(channels: ScriptedChannels) -> None:
    run = channels.start()
    reader = await subscribe(channels, run, after=999)
    channels.tell(run, "run.completed", {})
    assert numbers(await rest(reader)) == [2]


async def test_nothing_follows_the_final_frame(channels: ScriptedChannels) -> None:
    run = channels.start()
    reader = await subscribe(channels, run, after=0)
    final = channels.tell(run, "run.completed", {})
    channels.tell(run, "run.completed", {})
    assert numbers(await rest(reader)) == [final]
    with pytest.raises(StopAsyncIteration):
        await reader.next()
    assert channels.hub.readers == 0


async def test_leaving_ends_a_wait_and_frees_the_reader(channels: ScriptedChannels) -> None:
    run = channels.start()
    reader = await subscribe(channels, run, after=0)
    waiting = asyncio.create_task(reader.next())
    await asyncio.sleep(0)
    async with reader:
        assert channels.hub.readers == 1
    assert channels.hub.readers == 0
    with pytest.raises(SubscriptionClosed, match="left"):
        await waiting


async def test_a_closed_hub_cuts_its_readers_and_takes_no_more(channels: ScriptedChannels) -> None:
    run = channels.start()
    reader = await subscribe(channels, run, after=0)
    channels.hub.close("restarting")
    with pytest.raises(SubscriptionClosed, match="restarting"):
        await reader.next()
    with pytest.raises(Overloaded):
        await subscribe(channels, run, after=0)


@pytest.mark.parametrize("trouble", [StoreUnavailable("locked"), None])
async def test_a_log_that_fails_or_forgot_the_run_cuts_the_reader(
    channels: ScriptedChannels, trouble: Exception | None
) -> None:
    run = channels.start()
    reader = await subscribe(channels, run, after=0)

    async def fail(*args: Any, **options: Any) -> None:
        if trouble is not None:
            raise trouble

    channels._log.entries_after = fail  # type: ignore[method-assign]
    channels.hub.wake(run)
    with pytest.raises(SubscriptionClosed, match="gone" if trouble is None else "unavailable"):
        await reader.next()
    assert channels.hub.readers == 0


async def test_all_readers_of_a_run_are_handed_the_same_frame(channels: ScriptedChannels) -> None:
    run = channels.start()
    readers = [await subscribe(channels, run, after=0) for _ in range(3)]
    channels.tell(run, "run.completed", {})
    frames = [await reader.next() for reader in readers]
    assert frames[0] is frames[1] is frames[2]


async def test_the_operator_sees_every_entry_whole_and_beyond_the_end(channels: ScriptedChannels) -> None:
    run = channels.start()
    reader = await subscribe(channels, run, everything=True)
    browser = await subscribe(channels, run)
    channels.tell(run, "run.completed", {"status": "success"})
    channels.tell(run, "delivery.delivered", {"status": 200}, public=False)
    frames = [await reader.next() for _ in range(3)]
    assert [frame and (frame.number, frame.event, frame.final) for frame in frames] == [
        (1, "run.accepted", False),
        (2, "run.completed", False),
        (3, "delivery.delivered", False),
    ]
    assert frames[2] is not None
    assert json.loads(frames[2].data) == {
        "number": 3,
        "at": "2023-11-14T22:13:20.000Z",
        "kind": "delivery.delivered",
        "stage": None,
        "attempt": None,
        "public": False,
        "data": {"status": 200},
    }
    assert numbers(await rest(browser)) == [2]


async def test_publishing_to_nobody_reads_nothing() -> None:
    class NoLog:
        pass

    Hub(NoLog()).tell("nobody", [], 1)  # type: ignore[arg-type]


@given(
    steps=st.lists(st.sampled_from(["tell", "lose", "private", "lost private", "read", "wake"]), max_size=30),
    after=st.integers(min_value=0, max_value=8),
    before=st.integers(min_value=0, max_value=6),
)
@settings(deadline=None)
def test_any_mix_of_news_losses_and_reads_gives_each_public_entry_once(
    steps: list[str], after: int, before: int
) -> None:
    async def scenario() -> None:
        channels = ScriptedChannels(FakeClock())
        run = channels.start()
        for _ in range(before):
            channels.write(run, "stage.chunk", {})
        start = min(after, before + 1)
        reader = await subscribe(channels, run, after=after)
        got: list[int] = []
        expected = [n for n in range(2, before + 2) if n > start]
        for step in steps:
            if step == "read":
                frame = await reader.next(0)
                got += [frame.number] if frame is not None else []
            elif step == "wake":
                channels.hub.wake(None)
            else:
                write = channels.write if step.startswith("los") else channels.tell
                number = write(run, "stage.chunk", {}, public="private" not in step)
                expected += [] if "private" in step else [number]
        expected.append(channels.tell(run, "run.completed", {}))
        assert got + numbers(await rest(reader)) == expected

    asyncio.run(scenario())
