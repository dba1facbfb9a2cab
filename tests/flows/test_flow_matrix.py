"""Every way to answer a hand-off, seen through every browser: the same outcome on all of them."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from riverflow.testing import ScriptedProvider

from .backend import FAILURE, SUCCESS, Reaction
from .world import ANSWERERS, EVENT, MOVIE, World, open_world

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.parametrize("answerer", ANSWERERS),
    pytest.mark.parametrize("browser", ["websocket", "sse"]),
]

SUCCESS_KINDS = [
    "run.accepted",
    "stage.completed",
    "run.ai_generated",
    "delivery.attempted",
    "callback.received",
    "stage.completed",
    "run.completed",
]


async def _settled(world: World, accepted: dict[str, Any]) -> None:
    """The backend's delivery has been settled, and the run has ended."""
    await world.wrote(accepted, "delivery.attempted")
    await world.ended(accepted)


async def test_success(tmp_path: Path, answerer: str, browser: str) -> None:
    async with open_world(tmp_path, answerer=answerer) as world:
        world.backend.plan(EVENT, Reaction(SUCCESS))
        accepted = await world.submit(customer_data={"user_id": "user_456"})
        reader = await world.browse(browser, accepted)
        messages = await reader.rest()
        await _settled(world, accepted)
        # A browser that joined after the hand-off sees the final message only on the socket: the latest state.
        final = messages[-1]
        assert [message["status"] for message in messages] in (["ai_generated", "completed"], ["completed"])
        assert final["data"] == SUCCESS["data"]
        assert final["task_id"] == "movie_123"
        assert final["callback_metadata"] == {"processing_time_ms": 234}
        assert final["ai_response"]["data"] == MOVIE
        assert final["customer_data"] == {"user_id": "user_456"}
        state = await world.state(accepted)
        assert {name: state[name] for name in final} == final
        assert state["finished_at"] is not None
        timeline = [entry["kind"] for entry in await world.timeline(accepted)]
        # On the wire the callback may overtake the settlement of the delivery it answers; nothing else may move.
        assert sorted(timeline) == sorted(SUCCESS_KINDS)
        timeline.remove("delivery.attempted")
        assert timeline == [kind for kind in SUCCESS_KINDS if kind != "delivery.attempted"]
        assert len(world.backend.received) == 1


async def test_a_watcher_from_the_start_gets_both_messages_in_order(
    tmp_path: Path, answerer: str, browser: str
) -> None:
    release = asyncio.Event()

    async def slowly(request: Any) -> Any:
        await release.wait()
        return {**MOVIE}

    async with open_world(tmp_path, answerer=answerer, provider=ScriptedProvider(slowly)) as world:
        world.backend.plan(EVENT, Reaction(SUCCESS))
        accepted = await world.submit()
        reader = await world.browse(browser, accepted)
        assert (await world.state(accepted))["status"] == "pending"
        release.set()
        first, last = await reader.rest()
        assert first["status"] == "ai_generated"
        assert first["event_name"] == EVENT
        assert "ai_response" not in first
        assert "data" not in first
        assert last["status"] == "completed"


async def test_declared_failure(tmp_path: Path, answerer: str, browser: str) -> None:
    async with open_world(tmp_path, answerer=answerer) as world:
        world.backend.plan(EVENT, Reaction(FAILURE))
        accepted = await world.submit()
        reader = await world.browse(browser, accepted)
        final = (await reader.rest())[-1]
        await _settled(world, accepted)
        assert final["status"] == final["meta"]["status"] == "error"
        assert final["error"]["message"] == final["message"] == "no such movie"
        assert final["error"]["details"]["code"] == "processing_failed"
        assert len(world.backend.received) == 1  # declared: nothing is retried
        kinds = [entry["kind"] for entry in await world.timeline(accepted)]
        assert kinds.count("run.failed") == 1
        assert "run.completed" not in kinds


async def test_timeout_and_late_callback(tmp_path: Path, answerer: str, browser: str) -> None:
    async with open_world(tmp_path, answerer=answerer) as world:
        world.backend.plan(EVENT, Reaction(None))
        accepted = await world.submit()
        reader = await world.browse(browser, accepted)
        await world.wrote(accepted, "delivery.attempted")
        await world.clock.advance(299)
        assert (await world.state(accepted))["status"] == "ai_generated"
        await world.clock.advance(1)
        final = (await reader.rest())[-1]
        assert final["status"] == final["meta"]["status"] == "error"
        assert final["error"]["details"]["code"] == "callback_timeout"
        kinds = [entry["kind"] for entry in await world.timeline(accepted)]
        assert kinds[-2:] == ["callback.timed_out", "run.failed"]
        late = await world.call_back(accepted, SUCCESS)
        assert late.status_code == 410
        assert late.json()["error"]["code"] == "callback_expired"
        assert (await world.state(accepted))["status"] == "error"


async def test_early_callback(tmp_path: Path, answerer: str, browser: str) -> None:
    """The backend calls back before it acknowledges."""
    async with open_world(tmp_path, answerer=answerer) as world:
        world.backend.plan(EVENT, Reaction(SUCCESS, early=True))
        accepted = await world.submit()
        reader = await world.browse(browser, accepted)
        final = (await reader.rest())[-1]
        await _settled(world, accepted)
        assert final["status"] == "completed"
        assert final["data"] == SUCCESS["data"]
        [answer] = world.backend.callbacks
        assert answer.status_code == 200
        assert answer.json()["status"] == "completed"
        timeline = await world.timeline(accepted)
        kinds = [entry["kind"] for entry in timeline]
        assert kinds.index("run.completed") < kinds.index("delivery.attempted")
        assert timeline[kinds.index("delivery.attempted")]["data"]["outcome"] == "delivered"
        assert kinds.count("delivery.attempted") == 1


async def test_duplicate_and_differing_callbacks(tmp_path: Path, answerer: str, browser: str) -> None:
    async with open_world(tmp_path, answerer=answerer) as world:
        world.backend.plan(EVENT, Reaction(SUCCESS))
        accepted = await world.submit()
        reader = await world.browse(browser, accepted)
        assert (await reader.rest())[-1]["status"] == "completed"
        await _settled(world, accepted)
        before = await world.timeline(accepted)
        again = await world.call_back(accepted, SUCCESS)
        other = await world.call_back(accepted, {"data": {"title": "Another"}})
        error = await world.call_back(accepted, FAILURE)
        assert (again.status_code, other.status_code, error.status_code) == (200, 409, 409)
        assert again.json()["status"] == "completed"
        assert other.json()["error"]["code"] == "already_answered"
        assert await world.timeline(accepted) == before
        if world.backend.callbacks:  # the first was answered as its repetition is
            assert world.backend.callbacks[0].json() == again.json()


async def test_late_subscriber(tmp_path: Path, answerer: str, browser: str) -> None:
    async with open_world(tmp_path, answerer=answerer) as world:
        world.backend.plan(EVENT, Reaction(SUCCESS))
        accepted = await world.submit()
        await _settled(world, accepted)
        reader = await world.browse(browser, accepted)
        messages = await reader.rest()
        expected = {"websocket": ["completed"], "sse": ["ai_generated", "completed"]}[browser]
        assert [message["status"] for message in messages] == expected
        assert messages[-1]["data"] == SUCCESS["data"]
        if browser == "sse":  # whoever has seen it all is told to stay away
            latest, query = str(getattr(reader, "latest", 0)), {"token": accepted["ws_token"]}
            events = f"/v1/ai/{accepted['channel_id']}/events"
            answer = await world.http.get(events, params=query, headers={"last-event-id": latest})
            assert (answer.status_code, answer.content) == (204, b"")


async def test_reconnect_before_the_answer(tmp_path: Path, answerer: str, browser: str) -> None:
    """The TCP connection breaks while the provider is at work; the same token lets the browser in again."""
    release = asyncio.Event()

    async def slowly(request: Any) -> Any:
        await release.wait()
        return {**MOVIE}

    async with open_world(tmp_path, answerer=answerer, provider=ScriptedProvider(slowly)) as world:
        world.backend.plan(EVENT, Reaction(SUCCESS))
        accepted = await world.submit()
        (await world.browse(browser, accepted)).drop()
        reader = await world.browse(browser, accepted)
        release.set()
        assert [message["status"] for message in await reader.rest()] == ["ai_generated", "completed"]


async def test_reconnect_between_the_messages(tmp_path: Path, answerer: str, browser: str) -> None:
    """Whoever says what he has seen gets the rest, each message once."""
    async with open_world(tmp_path, answerer=answerer) as world:
        world.backend.plan(EVENT, Reaction(None))
        accepted = await world.submit()
        reader = await world.browse(browser, accepted)
        assert (await reader.next())["status"] == "ai_generated"
        reader.drop()
        seen = getattr(reader, "latest", None) or (await world.state(accepted))["latest"]
        reader = await world.browse(browser, accepted, after=seen)
        assert (await world.call_back(accepted, SUCCESS)).status_code == 200
        assert [message["status"] for message in await reader.rest()] == ["completed"]
