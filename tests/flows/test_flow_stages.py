"""Pipelines of several stages: hand-offs in a row, on the wire and in process, and stages of one's own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from riverflow import Completed, Failure, Stage, StageContext, Waiting, Workflow, hookimpl
from riverflow.codec import decode, from_python
from riverflow.ports import Context
from riverflow.testing import FakeClock, ScriptedProvider

from .backend import Backend, Reaction
from .world import KEY, MOVIE, SECRET, World, movie_workflow, open_world

pytestmark = pytest.mark.anyio

GENERATE = Stage(name="generate", kind="generate")
FINALISE = Stage(name="finalise", kind="finalise")
STEPS = ("validation", "enrichment", "formatting")
ENDPOINT = {"id": "ep_backend"}


def _pattern_4() -> Workflow:
    """AI → validation → enrichment → formatting (pattern 4 of the seed page)."""
    stages = (GENERATE, *(Stage.hand_off(name, event_name=f"movie_{name}") for name in STEPS), FINALISE)
    return movie_workflow(event_name=None, pipeline=stages)


def _plan(backend: Backend) -> None:
    for step in STEPS:
        backend.plan(f"movie_{step}", Reaction({"data": {**MOVIE, "step": step}}))


async def _final(world: World, accepted: dict[str, Any]) -> dict[str, Any]:
    await world.ended(accepted)
    return await world.state(accepted)


@pytest.mark.parametrize("browser", ["websocket", "sse"])
@pytest.mark.parametrize("local", [(), ("movie_enrichment",), ("movie_validation", "movie_formatting")])
async def test_three_hand_offs_in_a_row(tmp_path: Path, browser: str, local: tuple[str, ...]) -> None:
    """Mixed at will; each later one works on what the one before made, and is answered at a URL of its own."""
    backend, provider = Backend(KEY, SECRET), ScriptedProvider({**MOVIE})
    _plan(backend)
    handlers = dict.fromkeys(local, backend.handle)
    async with open_world(
        tmp_path, workflows=[_pattern_4()], backend=backend, handlers=handlers, provider=provider
    ) as world:
        accepted = await world.submit()
        messages = await (await world.browse(browser, accepted)).rest()
        assert messages[-1]["status"] == "completed"
        assert [m["status"] for m in messages].count("ai_generated") <= 1
        assert messages[-1]["data"] == {**MOVIE, "step": "formatting"}
        assert messages[-1]["ai_response"]["data"] == MOVIE
        assert len(provider.requests) == 1
        first, second, third = (each.payload for each in backend.received)
        assert [p["event"] for p in (first, second, third)] == [f"movie_{step}" for step in STEPS]
        plain = f"{world.base}/v1/callback/{accepted['channel_id']}"
        assert [p["callback_url"] for p in (first, second, third)] == [
            plain,
            f"{plain}/enrichment",
            f"{plain}/formatting",
        ]
        assert "data" not in first
        assert second["data"] == {**MOVIE, "step": "validation"}
        assert third["data"] == {**MOVIE, "step": "enrichment"}
        assert {p["ai_response"]["data"]["title"] for p in (first, second, third)} == {"Inception"}
        done = [e["stage"] for e in await world.timeline(accepted) if e["kind"] == "stage.completed"]
        assert done == ["generate", *STEPS]


async def test_callbacks_of_stages_out_of_turn(tmp_path: Path) -> None:
    """The plain URL means the first hand-off for ever; a later stage is not answered before its turn."""
    async with open_world(tmp_path, workflows=[_pattern_4()]) as world:
        accepted = await world.submit()
        await world.wrote(accepted, "delivery.attempted")
        first, second = {"data": {"n": 1}}, {"data": {"n": 2}}
        too_soon = await world.call_back(accepted, second, "enrichment")
        assert (too_soon.status_code, too_soon.json()["error"]["code"]) == (409, "not_waiting")
        assert (await world.call_back(accepted, first)).json()["stage"] == "validation"
        assert (await world.call_back(accepted, first, "validation")).status_code == 200  # the same, said otherwise
        assert (await world.call_back(accepted, second)).status_code == 409
        unknown = await world.call_back(accepted, second, "no_such_stage")
        assert (unknown.status_code, unknown.json()["error"]["code"]) == (404, "unknown_stage")
        assert (await world.call_back(accepted, second, "enrichment")).json()["status"] == "ai_generated"
        assert (await world.call_back(accepted, {"data": {"n": 3}}, "formatting")).json()["status"] == "completed"


async def test_a_finished_stage_is_not_run_again_after_a_restart(tmp_path: Path) -> None:
    backend, clock = Backend(KEY, SECRET), FakeClock()
    first, second = ScriptedProvider({**MOVIE}), ScriptedProvider({**MOVIE})
    _plan(backend)
    backend.plan("movie_enrichment", Reaction(None))
    whole = {"workflows": [_pattern_4()], "backend": backend, "clock": clock, "endpoint": ENDPOINT}
    async with open_world(tmp_path, provider=first, **whole) as world:
        accepted = await world.submit()
        await world.wrote(accepted, "delivery.attempted", 2)
    async with open_world(tmp_path, provider=second, **whole) as world:
        await clock.advance(60)
        assert (await world.state(accepted))["status"] == "ai_generated"
        answer = await world.call_back(accepted, {"data": {"by": "hand"}}, "enrichment")
        assert answer.status_code == 200
        assert (await _final(world, accepted))["data"] == {**MOVIE, "step": "formatting"}
    assert len(first.requests) == 1
    assert second.requests == []
    assert [each.payload["event"] for each in backend.received] == [f"movie_{step}" for step in STEPS]


async def test_a_deadline_runs_on_while_nobody_is_there(tmp_path: Path) -> None:
    clock = FakeClock()
    async with open_world(tmp_path, clock=clock, endpoint=ENDPOINT) as world:
        accepted = await world.submit(callback_timeout=40)
        await world.wrote(accepted, "delivery.attempted")
    await clock.advance(41)
    async with open_world(tmp_path, clock=clock, endpoint=ENDPOINT) as world:
        final = await _final(world, accepted)
        assert final["error"]["details"]["code"] == "callback_timeout"


async def test_a_callback_that_is_late_before_anybody_noticed(tmp_path: Path) -> None:
    """The first to come after the deadline is refused, whether the run has been timed out by then or not."""
    clock = FakeClock()
    async with open_world(tmp_path, clock=clock, endpoint=ENDPOINT) as world:
        accepted = await world.submit(callback_timeout=40)
        await world.wrote(accepted, "delivery.attempted")
    await clock.advance(41)
    async with open_world(tmp_path, clock=clock, endpoint=ENDPOINT) as world:
        late = await world.call_back(accepted, {"data": {}})
        assert (late.status_code, late.json()["error"]["code"]) == (410, "callback_expired")
        assert (await _final(world, accepted))["status"] == "error"


async def test_a_stage_that_was_interrupted_is_run_again(tmp_path: Path) -> None:
    """A stop in the midst of generating: the next process begins that stage anew."""
    begun = asyncio.Event()

    async def never(request: Any) -> Any:
        begun.set()
        await asyncio.Event().wait()

    async with open_world(tmp_path, answerer="handler", provider=ScriptedProvider(never), drain_timeout=0.01) as world:
        accepted = await world.submit()
        await begun.wait()
    backend, again = Backend(KEY, SECRET), ScriptedProvider({**MOVIE})
    backend.plan("new_movie_suggestion", Reaction({"data": {"id": 1}}))
    async with open_world(tmp_path, answerer="handler", provider=again, backend=backend) as world:
        assert (await _final(world, accepted))["data"] == {"id": 1}
    assert len(again.requests) == 1


async def test_a_stage_by_decorator_and_one_by_hook(tmp_path: Path) -> None:
    class Shout:
        async def run(self, context: StageContext) -> Completed:
            return Completed(data=from_python({"said": decode(context.data)["title"].upper()}))

    class Plugin:
        @hookimpl
        def riverflow_stages(self) -> Mapping[str, Callable[[Context], Shout]]:
            return {"shout": lambda context: Shout()}

    def check(context: StageContext) -> Any:  # a plain function: it runs in a thread
        return {**decode(context.data), "checked": True}

    stages = (GENERATE, Stage(name="check", kind="check"), Stage(name="shout", kind="shout"), FINALISE)
    workflow = movie_workflow(event_name=None, pipeline=stages)
    async with open_world(tmp_path, workflows=[workflow], stages={"check": check}, plugins=[Plugin()]) as world:
        accepted = await world.submit()
        final = (await (await world.browse("websocket", accepted)).rest())[-1]
        assert final["status"] == "success"
        assert final["data"] == {"said": "INCEPTION"}
        done = [e["stage"] for e in await world.timeline(accepted) if e["kind"] == "stage.completed"]
        assert done == ["generate", "check", "shout"]


async def test_a_stage_of_ones_own_fails_by_declaration(tmp_path: Path) -> None:
    async def check(context: StageContext) -> Any:
        raise Failure("too_old", "only films after 2015")

    stages = (GENERATE, Stage(name="check", kind="check"), FINALISE)
    workflow = movie_workflow(event_name=None, pipeline=stages)
    async with open_world(tmp_path, workflows=[workflow], stages={"check": check}) as world:
        final = await _final(world, await world.submit())
        assert (final["status"], final["error"]["code"]) == ("error", "too_old")


async def test_a_stage_that_breaks_is_retried_on_the_schedule(tmp_path: Path) -> None:
    tries: list[float] = []
    clock = FakeClock()

    async def flaky(context: StageContext) -> Any:
        tries.append(clock.monotonic())
        if len(tries) < 3:
            raise RuntimeError("not yet")
        return {"after": context.attempt}

    stages = (GENERATE, Stage(name="check", kind="flaky"), FINALISE)
    workflow, provider = movie_workflow(event_name=None, pipeline=stages), ScriptedProvider({**MOVIE})
    async with open_world(
        tmp_path, workflows=[workflow], stages={"flaky": flaky}, clock=clock, provider=provider
    ) as world:
        accepted = await world.submit()
        async with asyncio.timeout(10):
            while len(tries) < 3:
                await clock.advance(0.5)
        assert (await _final(world, accepted))["data"] == {"after": 3}
    first, second, third = tries
    assert second - first >= 5
    assert third - second >= 30
    assert len(provider.requests) == 1


async def test_each_stage_has_its_own_attempts(tmp_path: Path) -> None:
    """What one stage needed does not count against the next."""
    seen: list[tuple[str, int]] = []
    clock = FakeClock()

    async def flaky(context: StageContext) -> Any:
        seen.append((context.stage.name, context.attempt))
        if context.attempt < 3:
            raise RuntimeError("not yet")
        return {"after": context.attempt}

    own = [Stage(name=name, kind="flaky") for name in ("first", "second", "third")]
    workflow = movie_workflow(event_name=None, pipeline=(GENERATE, *own, FINALISE))
    async with open_world(tmp_path, workflows=[workflow], stages={"flaky": flaky}, clock=clock) as world:
        accepted = await world.submit()
        ending = asyncio.ensure_future(world.ended(accepted))
        while not ending.done():
            await clock.advance(1)
        assert await ending == "run.completed"
        done = [(e["stage"], e["attempt"]) for e in await world.timeline(accepted) if e["kind"] == "stage.completed"]
    assert seen == [(stage.name, attempt) for stage in own for attempt in (1, 2, 3)]
    assert done == [("generate", 1), ("first", 3), ("second", 3), ("third", 3)]


async def test_a_stage_of_ones_own_may_wait_for_a_callback(tmp_path: Path) -> None:
    async def ask(context: StageContext) -> Waiting:
        return Waiting(event_name="approve")

    stages = (GENERATE, Stage(name="ask", kind="ask"), FINALISE)
    workflow = movie_workflow(event_name=None, pipeline=stages)
    async with open_world(tmp_path, workflows=[workflow], stages={"ask": ask}) as world:
        accepted = await world.submit()
        await world.wrote(accepted, "delivery.attempted")
        assert world.backend.received[0].payload["event"] == "approve"
        answer = await world.call_back(accepted, {"data": {"ok": True}, "task_id": "t_1"}, "ask")
        assert (answer.json()["stage"], answer.json()["status"]) == ("ask", "completed")
        final = await _final(world, accepted)
        assert (final["status"], final["data"], final["task_id"]) == ("completed", {"ok": True}, "t_1")


async def test_a_stage_of_ones_own_has_its_time_and_no_more(tmp_path: Path) -> None:
    stopped = asyncio.Event()

    async def linger(context: StageContext) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()

    stages = (GENERATE, Stage(name="linger", kind="linger", timeout=0.05), FINALISE)
    workflow = movie_workflow(event_name=None, pipeline=stages)
    async with open_world(tmp_path, workflows=[workflow], stages={"linger": linger}) as world:
        final = await _final(world, await world.submit())
        assert (final["status"], final["error"]["code"]) == ("error", "stage_timeout")
        assert final["error"]["message"] == "stage 'linger' took over 0.05 seconds"
    assert stopped.is_set()


async def test_a_stage_that_always_breaks_ends_the_run_without_a_word_of_its_own(tmp_path: Path) -> None:
    tries: list[float] = []
    clock = FakeClock()

    async def broken(context: StageContext) -> Any:
        tries.append(clock.monotonic())
        raise RuntimeError("dsn=postgres://u:hunter2@db/x")

    stages = (GENERATE, Stage(name="check", kind="broken"), FINALISE)
    workflow = movie_workflow(event_name=None, pipeline=stages)
    async with open_world(tmp_path, workflows=[workflow], stages={"broken": broken}, clock=clock) as world:
        accepted = await world.submit()
        ending = asyncio.ensure_future(world.ended(accepted))
        async with asyncio.timeout(10):
            while not ending.done():
                await clock.advance(0.5)
        final = await _final(world, accepted)
        assert (final["status"], final["error"]["code"]) == ("error", "stage_error")
        assert "hunter2" not in str(final) + str(await world.timeline(accepted))
    first, second, third = tries
    assert (second - first >= 5, third - second >= 30) == (True, True)
