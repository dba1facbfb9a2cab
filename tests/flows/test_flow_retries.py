"""Deliveries that fail: tried again on the published schedule, across restarts, until they are dead."""

from __future__ import annotations

import asyncio
import socket
import threading
from pathlib import Path
from typing import Any

import pytest

from riverflow.testing import FakeClock

from .backend import SUCCESS, Backend, Reaction
from .world import ANSWERERS, EVENT, KEY, SECRET, World, movie_workflow, open_world

pytestmark = pytest.mark.anyio

SCHEDULE = (0, 5, 30, 120, 600, 1800, 3600, 7200)
ENDPOINT = {"id": "ep_backend"}
DOWN = Reaction(status=503)


async def _attempts(world: World, accepted: dict[str, Any]) -> list[dict[str, Any]]:
    return [entry for entry in await world.timeline(accepted) if entry["kind"] == "delivery.attempted"]


async def _wait_out(world: World, accepted: dict[str, Any], failures: int) -> list[float]:
    """Let each failed attempt be followed by the next: when each was settled, in seconds from the first."""
    settled: list[float] = []
    for number in range(1, failures + 2):
        await world.wrote(accepted, "delivery.attempted", number)
        settled.append(world.clock.monotonic())
        if number <= failures:
            await world.clock.advance(SCHEDULE[number] - 1)
            await world.clock.advance(1)
    return [at - settled[0] for at in settled]


@pytest.mark.parametrize("answerer", ANSWERERS)
async def test_the_schedule_within_the_five_minutes(tmp_path: Path, answerer: str) -> None:
    """5 s, 30 s, 2 m, then the answer: the same in process as on the wire."""
    async with open_world(tmp_path, answerer=answerer) as world:
        world.backend.plan(EVENT, DOWN, DOWN, DOWN, Reaction(SUCCESS))
        accepted = await world.submit()
        assert await _wait_out(world, accepted, 3) == [0, 5, 35, 155]
        assert await world.ended(accepted) == "run.completed"
        attempts = await _attempts(world, accepted)
        assert [entry["attempt"] for entry in attempts] == [1, 2, 3, 4]
        assert [entry["data"]["outcome"] for entry in attempts] == ["retrying"] * 3 + ["delivered"]
        assert len({each.key for each in world.backend.received}) == 1  # the idempotency key
        if answerer != "handler":
            assert attempts[0]["data"]["status"] == 503
            stamps = [int(each.headers["mr-timestamp"]) for each in world.backend.received]
            assert [stamp - stamps[0] for stamp in stamps] == [0, 5, 35, 155]


@pytest.mark.parametrize("answerer", ANSWERERS)
async def test_nothing_is_tried_after_the_deadline(tmp_path: Path, answerer: str) -> None:
    async with open_world(tmp_path, answerer=answerer) as world:
        world.backend.plan(EVENT, DOWN)
        accepted = await world.submit()
        await _wait_out(world, accepted, 3)
        await world.clock.advance(145)
        assert await world.ended(accepted) == "run.failed"
        await world.clock.advance(3600)
        assert len(world.backend.received) == 4
        kinds = [entry["kind"] for entry in await world.timeline(accepted)]
        assert kinds[-2:] == ["callback.timed_out", "run.failed"]


@pytest.mark.parametrize("answerer", ["remote", "handler"])
async def test_all_eight_attempts_of_a_completion(tmp_path: Path, answerer: str) -> None:
    """The run is long done; its `task.completed` goes on being tried for hours and is then dead."""
    workflows = [movie_workflow(event_name=None)]
    async with open_world(tmp_path, answerer=answerer, events=["task.completed"], workflows=workflows) as world:
        world.backend.plan("task.completed", DOWN)
        accepted = await world.submit()
        assert await world.ended(accepted) == "run.completed"
        times = await _wait_out(world, accepted, 7)
        assert times == [sum(SCHEDULE[: n + 1]) for n in range(8)]
        attempts = await _attempts(world, accepted)
        assert [entry["data"]["outcome"] for entry in attempts] == ["retrying"] * 7 + ["dead"]
        assert "next_attempt_at" not in attempts[-1]["data"]
        await world.clock.advance(2 * 7200)
        assert len(world.backend.received) == 8
        assert (await world.state(accepted))["status"] == "success"


@pytest.mark.parametrize("answerer", ANSWERERS)
async def test_retries_survive_a_restart(tmp_path: Path, answerer: str) -> None:
    backend, clock = Backend(KEY, SECRET), FakeClock()
    backend.plan(EVENT, DOWN, DOWN, Reaction(SUCCESS))
    whole: dict[str, Any] = {"answerer": answerer, "backend": backend, "clock": clock, "endpoint": ENDPOINT}
    async with open_world(tmp_path, **whole) as world:
        accepted = await world.submit()
        await world.wrote(accepted, "delivery.attempted", 1)
        await clock.advance(5)
        await world.wrote(accepted, "delivery.attempted", 2)
    async with open_world(tmp_path, **whole) as world:
        await clock.advance(29)
        assert len(backend.received) == 2
        await clock.advance(1)
        assert await world.ended(accepted) == "run.completed"
        await world.wrote(accepted, "delivery.attempted")
        assert [entry["attempt"] for entry in await _attempts(world, accepted)] == [1, 2, 3]
        assert (await world.state(accepted))["data"] == SUCCESS["data"]
    assert len({each.key for each in backend.received}) == 1


async def test_a_receiver_that_hangs_counts_as_a_failure(tmp_path: Path) -> None:
    async with open_world(tmp_path, answerer="none", delivery_timeout=0.05) as world:
        asked = asyncio.Event()

        async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            asked.set()
            await reader.read()
            writer.close()

        server = await asyncio.start_server(hang, "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            accepted = await world.submit(webhook_url=f"http://127.0.0.1:{port}/hook")
            said = await world.wrote(accepted, "delivery.attempted")
        assert asked.is_set()
        assert (said["error"], said["outcome"]) == ("timeout", "retrying")


async def test_a_refused_connection_counts_as_a_failure(tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    async with open_world(tmp_path, answerer="none") as world:
        accepted = await world.submit(webhook_url=f"http://127.0.0.1:{port}/hook")
        said = await world.wrote(accepted, "delivery.attempted")
        assert (said["error"], said["outcome"]) == ("connection_error", "retrying")
        assert (await world.state(accepted))["status"] == "ai_generated"


@pytest.mark.parametrize("by", ["the deadline", "cancelling"])
async def test_a_handler_that_hangs_is_cut(tmp_path: Path, by: str) -> None:
    begun, cut = asyncio.Event(), asyncio.Event()

    async def hang(event: Any) -> Any:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            cut.set()

    async with open_world(tmp_path, answerer="none", handlers={EVENT: hang}) as world:
        accepted = await world.submit()
        await begun.wait()
        if by == "cancelling":
            assert (await world.http.post(f"/v1/ai/{accepted['channel_id']}/cancel")).status_code == 200
        else:
            await world.clock.advance(300)
        assert await world.ended(accepted) == "run.failed"
        async with asyncio.timeout(10):
            await cut.wait()
        code = (await world.state(accepted))["error"]["details"]["code"]
        assert code == {"the deadline": "callback_timeout", "cancelling": "cancelled"}[by]


async def test_a_plain_handler_that_hangs_holds_up_nobody(tmp_path: Path) -> None:
    """Its thread cannot be stopped; its late result is dropped, and the run has ended without it."""
    begun, release = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def hang(event: Any) -> Any:
        loop.call_soon_threadsafe(begun.set)
        release.wait(30)
        return {"too": "late"}

    async with open_world(tmp_path, answerer="none", handlers={EVENT: hang}) as world:
        accepted = await world.submit()
        await begun.wait()
        await world.clock.advance(300)
        assert await world.ended(accepted) == "run.failed"
        release.set()
        await world.clock.advance(1)
        assert (await world.state(accepted))["error"]["details"]["code"] == "callback_timeout"


async def test_work_of_a_handler_waits_for_a_process_that_has_it(tmp_path: Path) -> None:
    backend, clock = Backend(KEY, SECRET), FakeClock()
    backend.plan(EVENT, DOWN, Reaction(SUCCESS))
    async with open_world(tmp_path, answerer="handler", backend=backend, clock=clock) as world:
        accepted = await world.submit()
        await world.wrote(accepted, "delivery.attempted")
    async with open_world(tmp_path, answerer="none", backend=backend, clock=clock) as world:
        await clock.advance(60)
        assert (await world.state(accepted))["status"] == "ai_generated"
    assert len(backend.received) == 1
    async with open_world(tmp_path, answerer="handler", backend=backend, clock=clock) as world:
        assert await world.ended(accepted) == "run.completed"
    assert len(backend.received) == 2
