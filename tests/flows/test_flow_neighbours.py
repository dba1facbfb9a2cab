"""One slow, dead or failing receiver delays nobody else (security case 29), and is not stormed when it is back."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from starlette.routing import request_response

from riverflow import Stage
from riverflow._breakers import COOLDOWNS, FAILURES, START

from .backend import Reaction
from .receivers import Receiver, receiver
from .world import World, movie_workflow, open_world

pytestmark = pytest.mark.anyio

PLAIN = [movie_workflow(event_name=None)]
COMPLETED = "task.completed"
DOWN = Reaction(status=500)


class Mute:
    """A receiver that takes every request and never answers."""

    def __init__(self) -> None:
        self.connections = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        await reader.read(1_000_000)
        await reader.read()
        writer.close()

    @asynccontextmanager
    async def endpoint(self, world: World) -> AsyncIterator[str]:
        server = await asyncio.start_server(self.serve, "127.0.0.1", 0)
        async with server:
            url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook"
            answer = await world.http.post("/console/webhook", json={"url": url, "events": [COMPLETED]})
            yield answer.json()["id"]
            server.close()


async def _statuses(world: World, endpoint_id: str) -> Counter[tuple[str, int]]:
    """How many deliveries of an endpoint are at which status and attempt."""
    found: Counter[tuple[str, int]] = Counter()
    after: dict[str, str] = {}
    while True:
        asked = {"endpoint": endpoint_id, "limit": "100", **after}
        page = (await world.http.get("/v1/deliveries", params=asked)).json()
        found.update((each["status"], each["attempt"]) for each in page["data"])
        if not page["has_more"]:
            return found
        after = {"starting_after": page["data"][-1]["id"]}


async def _received(world: World, receivers: list[Receiver], count: int) -> None:
    while any(len(each.backend.received) < count for each in receivers):
        await world.clock.advance(0)


async def test_a_mute_one_and_a_failing_one_hold_up_nobody(tmp_path: Path) -> None:
    """There is room for 48 pieces of work here; the two would take all of it, were they let."""
    runs = 60
    async with AsyncExitStack() as stack:
        world = await stack.enter_async_context(
            open_world(tmp_path, answerer="none", workflows=PLAIN, concurrency=48, drain_timeout=0.1)
        )
        mute = Mute()
        mute_id = await stack.enter_async_context(mute.endpoint(world))
        failing = await stack.enter_async_context(receiver(world, COMPLETED))
        good = [await stack.enter_async_context(receiver(world, COMPLETED)) for _ in range(10)]
        failing.backend.plan(COMPLETED, DOWN)
        await asyncio.gather(*(world.submit() for _ in range(runs)))
        async with asyncio.timeout(25):  # the mute one's attempts take 30
            await _received(world, good, runs)
        assert mute.connections <= START
        tried = await _statuses(world, mute_id)
        assert tried == {("pending", 1): runs}, "none of its attempts has ended, and none is counted before it began"
        assert len(failing.backend.received) <= START + FAILURES
        for each in good:  # what came is settled a moment later
            async with asyncio.timeout(25):
                while await _statuses(world, each.id) != {("delivered", 1): runs}:
                    await world.clock.advance(0)


async def test_one_that_fails_is_left_alone_then_tried_then_ramped_up(tmp_path: Path) -> None:
    runs = 50
    once: dict[str, Any] = {"retry": {"delays": [0, 1, 1, 1, 1, 1, 1, 1, 1, 1]}}
    async with (
        open_world(tmp_path, answerer="none", workflows=PLAIN) as world,
        receiver(world, COMPLETED, **once) as back,
    ):
        back.backend.plan(COMPLETED, DOWN)
        for _ in range(FAILURES):
            accepted = await world.submit()
            await world.wrote(accepted, "delivery.attempted")
        waiting = [await world.submit() for _ in range(runs)]
        for accepted in waiting:
            assert await world.ended(accepted) == "run.completed"
        assert len(back.backend.received) == FAILURES, "nothing is sent while it is open"
        await world.clock.advance(COOLDOWNS[0] - 0.5)
        assert len(back.backend.received) == FAILURES
        assert (await _statuses(world, back.id))["pending", 1] == runs, "and no attempt is counted"
        await world.clock.advance(0.6)
        await _received(world, [back], FAILURES + 1)
        assert len(back.backend.received) == FAILURES + 1, "one try"

        back.backend.plan(COMPLETED, Reaction())
        watched = Watched(back)
        while (await _statuses(world, back.id)).total() > (await _statuses(world, back.id))[
            "delivered", 1
        ] + FAILURES + 1:
            await world.clock.advance(1)
        assert watched.most > 1
        assert watched.ahead == 1, "one more for each answer"
        for accepted in waiting:
            assert await world.ended(accepted) == "run.completed"


class Watched:
    """A receiver that takes its time from now on: how many requests it is at, at most (`most`), and how many of them
    more than it has answered (`ahead`)."""

    def __init__(self, receiver: Receiver) -> None:
        self.most = self.ahead = 0
        self._at_once = self._answered = 0
        self._inner = receiver.backend._take
        receiver.backend.app.routes[0].app = request_response(self._slowly)  # type: ignore[attr-defined]

    async def _slowly(self, request: Any) -> Any:
        self._at_once += 1
        self.most = max(self.most, self._at_once)
        self.ahead = max(self.ahead, self._at_once - self._answered)
        await asyncio.sleep(0.01)
        try:
            return await self._inner(request)
        finally:
            self._at_once -= 1
            self._answered += 1


async def test_what_waits_for_a_dead_receiver_is_no_backlog_for_the_others(tmp_path: Path) -> None:
    """Where a process is full, requests are refused by how much waits: but not by what waits for one that is down."""
    begun, finish = asyncio.Event(), asyncio.Event()

    async def gate(context: Any) -> Any:
        begun.set()
        await finish.wait()
        return {}

    stages = (Stage(name="generate", kind="generate"), Stage(name="gate", kind="gate"), *PLAIN[0].stages().stages[-1:])
    workflows = [*PLAIN, movie_workflow(name="gated", event_name=None, pipeline=stages)]
    options: dict[str, Any] = {"workflows": workflows, "stages": {"gate": gate}, "concurrency": 1, "max_backlog": 15}
    async with open_world(tmp_path, answerer="none", **options) as world, receiver(world, COMPLETED) as dead:
        dead.backend.plan(COMPLETED, DOWN)
        for _ in range(FAILURES):
            await world.wrote(await world.submit(), "delivery.attempted")
        for _ in range(20):
            assert await world.ended(await world.submit()) == "run.completed"
        while (await _statuses(world, dead.id))["pending", 1] < 20:
            await world.clock.advance(0)
        await world.submit("gated")
        await begun.wait()
        for _ in range(3):
            await world.clock.advance(1)
            await world.submit()
        finish.set()


async def test_a_limit_of_its_own(tmp_path: Path) -> None:
    async with (
        open_world(tmp_path, answerer="none", workflows=PLAIN) as world,
        receiver(world, COMPLETED, concurrency=2) as small,
    ):
        watched = Watched(small)
        runs = await asyncio.gather(*(world.submit() for _ in range(12)))
        await _received(world, [small], 12)
        for accepted in runs:
            assert (await world.wrote(accepted, "delivery.attempted"))["outcome"] == "delivered"
        assert watched.most == 2


async def test_the_limit_of_the_setting(tmp_path: Path) -> None:
    async with (
        open_world(tmp_path, answerer="none", workflows=PLAIN, endpoint_concurrency=3) as world,
        receiver(world, COMPLETED) as small,
    ):
        watched = Watched(small)
        await asyncio.gather(*(world.submit() for _ in range(12)))
        await _received(world, [small], 12)
        assert watched.most == 3


async def test_one_that_asks_for_a_pause_gets_it_for_all_its_deliveries(tmp_path: Path) -> None:
    async with open_world(tmp_path, answerer="none", workflows=PLAIN) as world, receiver(world, COMPLETED) as busy:
        busy.backend.plan(COMPLETED, Reaction(status=429, headers={"retry-after": "20"}), Reaction())
        first = await world.submit()
        await world.wrote(first, "delivery.attempted")
        second = await world.submit()
        assert await world.ended(second) == "run.completed"
        await world.clock.advance(19)
        assert len(busy.backend.received) == 1
        await world.clock.advance(1.1)
        for accepted, number in ((first, 2), (second, 1)):
            said = await world.wrote(accepted, "delivery.attempted", number)
            assert said["outcome"] == "delivered"


async def test_hosts_that_requests_name_themselves_are_kept_apart(tmp_path: Path) -> None:
    async with open_world(tmp_path, answerer="none", workflows=PLAIN, drain_timeout=0.1) as world:
        mute = Mute()
        server = await asyncio.start_server(mute.serve, "127.0.0.1", 0)
        async with server, receiver(world, "nothing.of.this") as good:
            port = server.sockets[0].getsockname()[1]
            urls = [f"http://127.0.0.1:{port}/hook/{number}?x={number}" for number in range(START + 10)]
            await asyncio.gather(*(world.submit(webhook_url=url) for url in urls))
            accepted = await world.submit(webhook_url=good.url)
            assert (await world.wrote(accepted, "delivery.attempted"))["outcome"] == "delivered"
            assert mute.connections <= START, "every path of one host counts together"
            server.close()
