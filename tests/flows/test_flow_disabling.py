"""Endpoints that are switched off: because they say so, or after days of nothing but failures; and on again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from riverflow.retry import RetryPolicy
from riverflow.testing import FakeClock

from .backend import Backend, Reaction
from .receivers import receiver
from .world import KEY, SECRET, World, movie_workflow, open_world

pytestmark = pytest.mark.anyio

PLAIN = [movie_workflow(event_name=None)]
COMPLETED = "task.completed"
DAY = 86_400.0
GONE = Reaction(status=410)

ORDERS = {
    "410": (GONE, "410", "dead"),
    "disable": (Reaction(status=500, headers={"webhook-delivery": "disable"}), "webhook-delivery: disable", "dead"),
    "disable with 200": (Reaction(headers={"webhook-delivery": "disable"}), "webhook-delivery: disable", "delivered"),
}


async def _attempt(world: World, number: int = 1) -> tuple[dict[str, Any], dict[str, Any]]:
    """A run whose completion is told: the run, and its attempt number so and so."""
    accepted = await world.submit()
    assert await world.ended(accepted) == "run.completed"
    return accepted, await world.wrote(accepted, "delivery.attempted", number)


@pytest.mark.parametrize("how", ORDERS)
async def test_a_receiver_that_wants_no_more(tmp_path: Path, how: str) -> None:
    reaction, said, outcome = ORDERS[how]
    async with (
        open_world(tmp_path, answerer="none", workflows=PLAIN) as world,
        receiver(world, COMPLETED, retry="standard") as gone,
        receiver(world, "endpoint.disabled") as ops,
    ):
        gone.backend.plan(COMPLETED, reaction)
        accepted, attempted = await _attempt(world)
        assert attempted["outcome"] == outcome
        entry = await world.wrote(accepted, "endpoint.disabled")
        assert said in entry["reason"]
        assert entry["endpoint_id"] == gone.id
        shown = await gone.shown()
        assert (shown["enabled"], shown["disabled_because"]) == (False, entry["reason"])
        while not ops.backend.received:
            await world.clock.advance(0)
        assert ops.backend.received[0].payload["type"] == "endpoint.disabled"
        assert ops.backend.received[0].payload["data"] == entry
        later = await world.submit()
        assert await world.ended(later) == "run.completed"
        await world.clock.advance(3600)
        assert len(gone.backend.received) == 1, "nothing more is sent"


async def test_abort_message_ends_the_delivery_and_not_the_endpoint(tmp_path: Path) -> None:
    async with (
        open_world(tmp_path, answerer="none", workflows=PLAIN) as world,
        receiver(world, COMPLETED) as picky,
    ):
        picky.backend.plan(COMPLETED, Reaction(status=500, headers={"webhook-delivery": "abort-message"}), Reaction())
        _, attempted = await _attempt(world)
        assert (attempted["outcome"], attempted["asked"]) == ("dead", "abort-message")
        assert (await picky.shown())["enabled"]
        _, attempted = await _attempt(world)
        assert attempted["outcome"] == "delivered"


@pytest.mark.parametrize("status", [301, 400, 401, 404, 410, 421, 500])
async def test_on_the_hosted_schedule_no_status_switches_off(tmp_path: Path, status: int) -> None:
    async with open_world(tmp_path, answerer="none", workflows=PLAIN) as world, receiver(world, COMPLETED) as picky:
        picky.backend.plan(COMPLETED, Reaction(status=status))
        _, attempted = await _attempt(world)
        assert attempted["outcome"] == "retrying"
        assert (await picky.shown())["enabled"]


@pytest.mark.parametrize("how", ["PATCH", "enable"])
async def test_it_is_switched_on_again(tmp_path: Path, how: str) -> None:
    async with (
        open_world(tmp_path, answerer="none", workflows=PLAIN) as world,
        receiver(world, COMPLETED, retry="standard") as back,
    ):
        back.backend.plan(COMPLETED, GONE, Reaction())
        accepted, _ = await _attempt(world)
        await world.wrote(accepted, "endpoint.disabled")
        if how == "PATCH":
            await back.change(enabled=True)
        else:
            answer = await world.http.post(f"/console/webhook/{back.id}/enable")
            assert (answer.status_code, answer.json()["enabled"]) == (200, True)
            assert (await world.http.post(f"/console/webhook/{back.id}/enable")).status_code == 200, "twice is once"
        shown = await back.shown()
        assert (shown["enabled"], shown["disabled_because"]) == (True, None)
        _, attempted = await _attempt(world)
        assert attempted["outcome"] == "delivered"


async def test_one_declared_in_code_is_switched_off_and_on(tmp_path: Path) -> None:
    """What is written in code stays as it is; that the endpoint is off is remembered over a restart."""
    backend, clock = Backend(KEY, SECRET), FakeClock()
    backend.plan(COMPLETED, GONE, Reaction())
    endpoint = {"id": "ep_code", "retry": "standard"}
    whole: dict[str, Any] = {"workflows": PLAIN, "backend": backend, "clock": clock, "endpoint": endpoint}
    async with open_world(tmp_path, answerer="asgi", **whole) as world:
        accepted, _ = await _attempt(world)
        await world.wrote(accepted, "endpoint.disabled")
    async with open_world(tmp_path, answerer="asgi", **whole) as world:
        shown = (await world.http.get("/console/webhook/ep_code")).json()
        assert (shown["enabled"], shown["source"]) == (False, "code")
        assert "410" in shown["disabled_because"]
        assert await world.ended(await world.submit()) == "run.completed"
        assert len(backend.received) == 1
        answer = await world.http.post("/console/webhook/ep_code/enable")
        assert (answer.status_code, answer.json()["disabled_because"]) == (200, None)
        _, attempted = await _attempt(world)
        assert attempted["outcome"] == "delivered"


async def test_one_that_is_disabled_in_code_stays_so(tmp_path: Path) -> None:
    async with open_world(tmp_path, endpoint={"id": "ep_code", "enabled": False}) as world:
        answer = await world.http.post("/console/webhook/ep_code/enable")
        assert (answer.status_code, answer.json()["error"]["code"]) == (409, "defined_in_code")
        assert (await world.http.post("/console/webhook/ep_none/enable")).status_code == 404


async def test_at_another_url_one_declared_in_code_is_on_again(tmp_path: Path) -> None:
    backend, clock = Backend(KEY, SECRET), FakeClock()
    backend.plan(COMPLETED, GONE, Reaction())
    endpoint = {"id": "ep_code", "retry": "standard"}
    whole: dict[str, Any] = {"workflows": PLAIN, "backend": backend, "clock": clock, "endpoint": endpoint}
    async with open_world(tmp_path, answerer="asgi", **whole) as world:
        accepted, _ = await _attempt(world)
        await world.wrote(accepted, "endpoint.disabled")
    async with open_world(tmp_path, answerer="remote", **whole) as world:
        _, attempted = await _attempt(world)
        assert attempted["outcome"] == "delivered"


async def _fail_for(world: World, days: float, *, runs: int) -> list[dict[str, Any]]:
    """Runs in even steps over so many days, each of which tells a receiver in vain."""
    accepted = []
    for _ in range(runs):
        accepted.append((await _attempt(world))[0])
        await world.clock.leap(days * DAY / runs)
    return accepted


async def test_after_days_of_nothing_but_failures(tmp_path: Path) -> None:
    async with (
        open_world(tmp_path, answerer="none", workflows=PLAIN) as world,
        receiver(world, COMPLETED, retry={"delays": [0]}) as broken,
        receiver(world, "endpoint.disabled") as ops,
    ):
        broken.backend.plan(COMPLETED, Reaction(status=404))
        await _fail_for(world, 4.9, runs=10)
        assert (await broken.shown())["enabled"]
        await world.clock.leap(0.2 * DAY)
        accepted, _ = await _attempt(world)
        entry = await world.wrote(accepted, "endpoint.disabled")
        assert "days" in entry["reason"]
        assert not (await broken.shown())["enabled"]
        while not ops.backend.received:
            await world.clock.advance(0)
        assert ops.backend.received[0].payload["data"]["endpoint_id"] == broken.id


async def test_one_that_arrives_begins_the_count_anew(tmp_path: Path) -> None:
    async with (
        open_world(tmp_path, answerer="none", workflows=PLAIN) as world,
        receiver(world, COMPLETED, retry={"delays": [0]}) as shaky,
    ):
        shaky.backend.plan(COMPLETED, *[Reaction(status=404)] * 6, Reaction(), Reaction(status=404))
        await _fail_for(world, 4.0, runs=6)
        _, attempted = await _attempt(world)
        assert attempted["outcome"] == "delivered"
        await _fail_for(world, 4.9, runs=6)
        assert (await shaky.shown())["enabled"]


async def test_an_edit_begins_the_count_anew(tmp_path: Path) -> None:
    async with (
        open_world(tmp_path, answerer="none", workflows=PLAIN) as world,
        receiver(world, COMPLETED, retry={"delays": [0]}) as mended,
    ):
        mended.backend.plan(COMPLETED, Reaction(status=404))
        await _fail_for(world, 4.9, runs=6)
        await mended.change(description="mended, or so we think")
        await _fail_for(world, 4.9, runs=6)
        assert (await mended.shown())["enabled"]
        await _fail_for(world, 0.2, runs=2)
        assert not (await mended.shown())["enabled"]


async def test_a_few_failures_far_apart_are_not_days_of_failure(tmp_path: Path) -> None:
    async with (
        open_world(tmp_path, answerer="none", workflows=PLAIN) as world,
        receiver(world, COMPLETED, retry={"delays": [0]}) as rare,
    ):
        rare.backend.plan(COMPLETED, Reaction(status=404))
        await _fail_for(world, 40, runs=4)
        assert (await rare.shown())["enabled"]


async def test_the_count_survives_a_restart(tmp_path: Path) -> None:
    backend, clock = Backend(KEY, SECRET), FakeClock()
    backend.plan(COMPLETED, Reaction(status=404))
    endpoint = {"id": "ep_code", "retry": RetryPolicy(delays=(0,))}
    whole: dict[str, Any] = {"workflows": PLAIN, "backend": backend, "clock": clock, "endpoint": endpoint}
    async with open_world(tmp_path, answerer="asgi", **whole) as world:
        await _fail_for(world, 3, runs=6)
    await clock.leap(2.5 * DAY)
    async with open_world(tmp_path, answerer="asgi", **whole) as world:
        accepted = (await _fail_for(world, 0.01, runs=5))[-1]
        await world.wrote(accepted, "endpoint.disabled")
        shown = (await world.http.get("/console/webhook/ep_code")).json()
        assert not shown["enabled"]
        assert "days" in shown["disabled_because"]


async def test_what_another_process_delivers_counts(tmp_path: Path) -> None:
    """Two processes on one file: one of them only ever sees failures, and asks the store before it judges."""
    backend, clock = Backend(KEY, SECRET), FakeClock()
    endpoint = {"id": "ep_code", "retry": RetryPolicy(delays=(0,))}
    whole: dict[str, Any] = {"workflows": PLAIN, "backend": backend, "clock": clock, "endpoint": endpoint}
    async with (
        open_world(tmp_path, answerer="asgi", **whole) as one,
        open_world(tmp_path, answerer="asgi", **whole) as two,
    ):
        backend.plan(COMPLETED, Reaction(status=404))
        await _fail_for(one, 3, runs=6)
        backend.plan(COMPLETED, Reaction())
        _, attempted = await _attempt(two)
        assert attempted["outcome"] == "delivered"
        backend.plan(COMPLETED, Reaction(status=404))
        await _fail_for(one, 4, runs=6)
        assert (await one.http.get("/console/webhook/ep_code")).json()["enabled"]


async def test_it_can_be_turned_off(tmp_path: Path) -> None:
    async with (
        open_world(tmp_path, answerer="none", workflows=PLAIN, endpoint_disable_after=0) as world,
        receiver(world, COMPLETED, retry={"delays": [0]}) as broken,
    ):
        broken.backend.plan(COMPLETED, Reaction(status=404))
        await _fail_for(world, 50, runs=10)
        assert (await broken.shown())["enabled"]
