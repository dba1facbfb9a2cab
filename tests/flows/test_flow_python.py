"""The same flow for whoever mounted riverflow: from Python, without a request to himself."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from riverflow import Event
from riverflow.errors import InvalidRequest, NotFound, NotWaiting, Unprocessable
from riverflow.testing import ScriptedProvider

from .backend import SUCCESS, Reaction
from .world import EVENT, MOVIE, open_world

pytestmark = pytest.mark.anyio

MESSAGES = [{"role": "user", "content": "a film"}]


@pytest.mark.parametrize("answerer", ["handler", "asgi"])
async def test_submit_and_result(tmp_path: Path, answerer: str) -> None:
    async with open_world(tmp_path, answerer=answerer, public_url="http://127.0.0.1/river") as world:
        world.backend.plan(EVENT, Reaction(SUCCESS))
        run = await world.river.submit(workflow="movie", messages=MESSAGES, customer_data={"user": 1})
        async with asyncio.timeout(10):
            result = await run.result()
        assert (result["status"], result["data"]) == ("completed", SUCCESS["data"])
        assert result["channel_id"] == run.channel_id
        assert run.warnings == ()
        assert json.loads(json.dumps(result)) == await run.result()  # again, from the log
        timeline = await run.timeline()
        assert [entry.number for entry in timeline] == list(range(1, len(timeline) + 1))
        assert await run.timeline(after=len(timeline) - 1) == timeline[-1:]


async def test_subscribe_from_a_number_on(tmp_path: Path) -> None:
    async with open_world(tmp_path, answerer="handler") as world:
        world.backend.plan(EVENT, Reaction(SUCCESS))
        run = await world.river.submit(workflow="movie", messages=MESSAGES)
        async with asyncio.timeout(10):
            frames = [frame async for frame in run.subscribe()]
            rest = [frame async for frame in run.subscribe(after=frames[0].number)]
        assert [json.loads(frame.data)["status"] for frame in frames] == ["ai_generated", "completed"]
        assert [frame.final for frame in frames] == [False, True]
        assert rest == frames[1:]


async def test_a_browser_comes_in_with_the_handles_token(tmp_path: Path) -> None:
    async with open_world(tmp_path, answerer="handler") as world:
        world.backend.plan(EVENT, Reaction(SUCCESS))
        run = await world.river.submit(workflow="movie", messages=MESSAGES)
        accepted = {
            "websocket_url": f"{world.base.replace('http', 'ws', 1)}/socket",
            "websocket_channel": run.websocket_channel,
            "ws_token": run.ws_token,
        }
        assert (await (await world.browse("websocket", accepted)).rest())[-1]["status"] == "completed"


async def test_cancel(tmp_path: Path) -> None:
    begun, cancelled = asyncio.Event(), asyncio.Event()

    async def never(request: Any) -> Any:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    async with open_world(tmp_path, provider=ScriptedProvider(never)) as world:
        run = await world.river.submit(workflow="movie", messages=MESSAGES)
        await begun.wait()
        await run.cancel()
        async with asyncio.timeout(10):
            assert (await run.result())["error"]["code"] == "cancelled"
            await cancelled.wait()
        with pytest.raises(NotWaiting):
            await run.cancel()


async def test_a_run_that_was_accepted_earlier_is_found_by_its_id(tmp_path: Path) -> None:
    async with open_world(tmp_path, answerer="handler") as world:
        world.backend.plan(EVENT, Reaction(SUCCESS))
        accepted = await world.submit()
        run = await world.river.run(accepted["channel_id"])
        async with asyncio.timeout(10):
            result = await run.result()
        assert (run.channel_id, result["status"], result["data"]) == (
            accepted["channel_id"],
            "completed",
            SUCCESS["data"],
        )
        assert run.ws_token != accepted["ws_token"]
        with pytest.raises(NotFound):
            await world.river.run("0190a000-0000-7000-8000-000000000000")


@pytest.mark.parametrize("returned", [None, [1], object()], ids=["nothing", "list", "no JSON"])
async def test_a_handler_that_returns_no_object_ends_the_run(tmp_path: Path, returned: Any) -> None:
    calls: list[Event] = []

    async def forgetful(event: Event) -> Any:
        calls.append(event)
        return returned

    async with open_world(tmp_path, answerer="none", handlers={EVENT: forgetful}) as world:
        run = await world.river.submit(workflow="movie", messages=MESSAGES)
        async with asyncio.timeout(10):
            result = await run.result()
        assert (result["status"], result["error"]["details"]["code"]) == ("error", "invalid_result")
        assert len(calls) == 1


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"workflow": "unknown"}, NotFound),
        ({}, InvalidRequest),
        ({"workflow": "movie", "messages": "no list"}, InvalidRequest),
        ({"workflow": "movie", "webhook_url": "asgi:///inner"}, Unprocessable),
    ],
)
async def test_what_the_api_refuses_is_raised(tmp_path: Path, fields: dict[str, Any], error: type[Exception]) -> None:
    async with open_world(tmp_path) as world:
        with pytest.raises(error):
            await world.river.submit(**fields)
        assert world.watch.entries == {}


async def test_two_riverflows_do_not_meet(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    async with open_world(tmp_path, answerer="handler") as one, open_world(tmp_path / "other", answerer="none") as two:
        one.backend.plan(EVENT, Reaction(SUCCESS))
        run = await one.river.submit(workflow="movie", messages=MESSAGES)
        async with asyncio.timeout(10):
            assert (await run.result())["ai_response"]["data"] == MOVIE
        assert (await two.http.get(f"/v1/ai/{run.channel_id}")).status_code == 404
        assert two.watch.entries == {}
        lonely = await two.river.submit(workflow="movie", messages=MESSAGES)
        assert lonely.warnings
        assert (await one.http.get(f"/v1/ai/{lonely.channel_id}")).status_code == 404
