"""Callers who leave midway, processes that stop, providers that hang: each run comes to its end all the same."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from riverflow import Event, Stage, StageContext
from riverflow.testing import FakeClock, ScriptedProvider, serve

from .backend import SUCCESS, Backend, Reaction
from .world import EVENT, KEY, MOVIE, SECRET, World, movie_workflow, open_world

pytestmark = pytest.mark.anyio

GENERATE = Stage(name="generate", kind="generate")
FINALISE = Stage(name="finalise", kind="finalise")
ENRICH = Stage.hand_off("enrich", event_name=EVENT)
ENDPOINT = {"id": "ep_backend"}


class Held:
    """A provider's call that begins and does not end before it is released."""

    def __init__(self) -> None:
        self.begun, self.released, self.cancelled = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def __call__(self, request: Any) -> Any:
        self.begun.set()
        try:
            await self.released.wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        return {**MOVIE}


class Receiver:
    """A backend that acknowledges after `gate` is set; `ids` holds whom it was told of."""

    def __init__(self) -> None:
        self.ids: list[str] = []
        self.told, self.gate = asyncio.Event(), asyncio.Event()
        self.app = Starlette(routes=[Route("/webhooks/ai", self._take, methods=["POST"])])

    async def _take(self, request: Request) -> Response:
        self.ids.append((await request.json())["channel_id"])
        self.told.set()
        await self.gate.wait()
        return Response()


@contextmanager
def _writing_held_up(path: Path) -> Iterator[None]:
    """Somebody else writes to the file: what riverflow appends meanwhile is on its way and not yet there."""
    other = sqlite3.connect(path / "river.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        other.execute("ROLLBACK")
        other.close()


def _inside(world: World) -> httpx.AsyncClient:
    """A caller without a socket: a few turns of the loop take him to riverflow's store."""
    transport = httpx.ASGITransport(app=world.river)
    return httpx.AsyncClient(transport=transport, base_url="http://river", headers=world.http.headers)


async def _cancelled_while_writing(world: World, path: Path, asking: Any) -> None:
    with _writing_held_up(path):
        task = asyncio.ensure_future(asking)
        await world.clock.advance(0)  # turns of the loop, in which it gets as far as its append
        await world.clock.advance(0)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()


# Callers who leave ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("answerer", ["remote", "handler"])
@pytest.mark.parametrize("first", [GENERATE, None], ids=["generate", "hand_off"])
async def test_who_is_cancelled_while_his_submission_is_written(
    tmp_path: Path, answerer: str, first: Stage | None
) -> None:
    stages = (*([first] if first else []), ENRICH, FINALISE)
    workflow = movie_workflow(event_name=None, pipeline=stages)
    public_url = "http://127.0.0.1/river"  # the backend puts the port in
    async with open_world(tmp_path, answerer=answerer, workflows=[workflow], public_url=public_url) as world:
        world.backend.plan(EVENT, Reaction(SUCCESS))
        known = await world.submit()
        assert await world.ended(known) == "run.completed"
        asking = world.river.submit(workflow="movie", messages=[])
        await _cancelled_while_writing(world, tmp_path, asking)
        await world.watch.until(lambda: len(world.watch.entries) == 2)
        [orphan] = set(world.watch.entries) - {known["channel_id"]}
        assert await world.ended({"channel_id": orphan}) == "run.completed"
        assert (await world.state({"channel_id": orphan}))["data"] == SUCCESS["data"]
    assert len(world.backend.received) == 2


async def test_who_is_cancelled_while_his_callback_is_written(tmp_path: Path) -> None:
    async def check(context: StageContext) -> dict[str, Any]:
        return {"checked": True}

    stages = (GENERATE, ENRICH, Stage(name="check", kind="check"), FINALISE)
    workflow = movie_workflow(event_name=None, pipeline=stages)
    async with open_world(tmp_path, workflows=[workflow], stages={"check": check}) as world:
        accepted = await world.submit()
        await world.wrote(accepted, "delivery.attempted")
        async with _inside(world) as caller:
            asking = caller.post(f"/v1/callback/{accepted['channel_id']}", json=SUCCESS)
            await _cancelled_while_writing(world, tmp_path, asking)
        assert await world.ended(accepted) == "run.completed"
        assert (await world.state(accepted))["data"] == {"checked": True}
        assert (await world.call_back(accepted, SUCCESS)).json()["status"] == "completed"  # it counted


async def test_six_identical_callbacks_at_once_are_answered_alike(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        accepted = await world.submit()
        await world.wrote(accepted, "delivery.attempted")
        path = f"/v1/callback/{accepted['channel_id']}"
        async with _inside(world) as caller:
            with _writing_held_up(tmp_path):  # none is written before all are decided
                asking = [asyncio.ensure_future(caller.post(path, json=SUCCESS)) for _ in range(6)]
                await world.clock.advance(0)
                await world.clock.advance(0)
            answers = await asyncio.gather(*asking)
        assert {answer.status_code for answer in answers} == {200}
        assert [answer.json() for answer in answers] == [answers[0].json()] * 6
        assert answers[0].json()["status"] == "completed"
        kinds = [entry["kind"] for entry in await world.timeline(accepted)]
        assert (kinds.count("callback.received"), kinds.count("run.completed")) == (1, 1)


# Processes that stop ----------------------------------------------------------------------------------------


async def test_stopping_waits_for_what_follows_from_the_work_in_hand(tmp_path: Path) -> None:
    """The provider answers during the stop; both endpoints are still told, and nobody is told again later."""
    loop, held, slow = asyncio.get_running_loop(), Held(), Receiver()
    backend, clock = Backend(KEY, SECRET), FakeClock()
    whole: dict[str, Any] = {"backend": backend, "clock": clock, "endpoint": ENDPOINT, "drain_timeout": 5}
    async with serve(slow.app) as url:
        async with open_world(tmp_path, provider=ScriptedProvider(held), **whole) as world:
            await world.http.post("/console/webhook", json={"url": f"{url}/webhooks/ai"})
            accepted = await world.submit()
            await held.begun.wait()
            loop.call_later(0.1, held.released.set)
            loop.call_later(0.3, slow.gate.set)
            before = loop.time()
        assert loop.time() - before < 4
        assert [each.payload["channel_id"] for each in backend.received] == [accepted["channel_id"]]
        assert slow.ids == [accepted["channel_id"]]
        async with open_world(tmp_path, **whole) as world:
            later = await world.submit()
            await world.wrote(later, "delivery.attempted", 2)
            attempts = [e["data"] for e in await world.timeline(accepted) if e["kind"] == "delivery.attempted"]
            assert [each["outcome"] for each in attempts] == ["delivered", "delivered"]
    both = [accepted["channel_id"], later["channel_id"]]
    assert [each.payload["channel_id"] for each in backend.received] == both
    assert slow.ids == both


async def test_what_outlasts_the_drain_is_delivered_by_the_next_process(tmp_path: Path) -> None:
    loop, held, slow = asyncio.get_running_loop(), Held(), Receiver()
    backend, clock = Backend(KEY, SECRET), FakeClock()
    whole: dict[str, Any] = {"backend": backend, "clock": clock, "endpoint": ENDPOINT, "drain_timeout": 0.4}
    async with serve(slow.app) as url:
        async with open_world(tmp_path, provider=ScriptedProvider(held), **whole) as world:
            await world.http.post("/console/webhook", json={"url": f"{url}/webhooks/ai"})
            accepted = await world.submit()
            await held.begun.wait()
            loop.call_later(0.1, held.released.set)
            before = loop.time()
        assert loop.time() - before < 1.3
        assert len(slow.ids) == 1
        slow.gate.set()
        async with open_world(tmp_path, **whole) as world:
            await world.wrote(accepted, "delivery.attempted")
            later = await world.submit()
            await world.wrote(later, "delivery.attempted", 2)
    assert slow.ids == [accepted["channel_id"], accepted["channel_id"], later["channel_id"]]
    assert [each.payload["channel_id"] for each in backend.received] == [accepted["channel_id"], later["channel_id"]]


async def test_a_handler_that_swallows_its_cancellation_does_not_hold_up_the_stop(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    loop, called, freed = asyncio.get_running_loop(), asyncio.Event(), asyncio.Event()

    async def stubborn(event: Event) -> Any:
        called.set()
        while not freed.is_set():
            try:
                await freed.wait()
            except asyncio.CancelledError:
                continue
        return event.defer()

    others = asyncio.all_tasks()
    async with open_world(tmp_path, answerer="none", handlers={EVENT: stubborn}, drain_timeout=0.1) as world:
        accepted = await world.submit()
        await called.wait()
        before = loop.time()
    took = loop.time() - before
    left = asyncio.all_tasks() - others
    freed.set()
    _, pending = await asyncio.wait(left, timeout=5)
    assert not pending  # what it came to is nobody's any more: it does not ask the closed store for ever
    assert took < 0.1 + 1 + 0.9
    assert f"run {accepted['channel_id']}: its work does not stop" in caplog.text


# Providers that hang ----------------------------------------------------------------------------------------


async def test_a_deadline_holds_while_every_hand_is_at_a_slow_provider(tmp_path: Path) -> None:
    held = Held()
    provider = ScriptedProvider({**MOVIE}, held)
    async with open_world(tmp_path, provider=provider, concurrency=1, drain_timeout=0.01) as world:
        waiting = await world.submit(callback_timeout=30)
        await world.wrote(waiting, "delivery.attempted")
        running = await world.submit()
        await held.begun.wait()
        ending = asyncio.ensure_future(world.ended(waiting))
        await world.clock.advance(29)
        assert not ending.done()
        for _ in range(5):
            await world.clock.advance(1)
            await asyncio.wait([ending], timeout=0.3)
        assert ending.done()
        assert (await world.state(waiting))["error"]["details"]["code"] == "callback_timeout"
        assert (await world.state(running))["status"] == "pending"


async def test_the_settings_time_limits_count_where_a_workflow_names_none(tmp_path: Path) -> None:
    provider = ScriptedProvider({**MOVIE})
    workflows = [movie_workflow(), movie_workflow(name="own", callback_timeout=9, provider_timeout=8)]
    async with open_world(
        tmp_path, answerer="none", provider=provider, workflows=workflows, callback_timeout=70, provider_timeout=6
    ) as world:
        named = await world.submit("own")
        assert "fails 9 seconds after" in named["warnings"][0]
        await world.wrote(named, "stage.unattended")
        accepted = await world.submit()
        assert "fails 70 seconds after" in accepted["warnings"][0]
        await world.wrote(accepted, "stage.unattended")
        await world.clock.advance(69)
        assert (await world.state(accepted))["status"] == "ai_generated"
        await world.clock.advance(1)
        assert await world.ended(accepted) == "run.failed"
    assert [request.timeout for request in provider.requests] == [8, 6]


async def test_a_provider_has_the_settings_time_and_no_more(tmp_path: Path) -> None:
    held = Held()
    async with open_world(
        tmp_path, provider=ScriptedProvider(held), provider_timeout=0.05, drain_timeout=0.01
    ) as world:
        await world.submit()
        async with asyncio.timeout(10):
            await held.cancelled.wait()


# Whom a caller may name -------------------------------------------------------------------------------------


async def test_in_production_nobody_is_told_to_call_back_where_a_host_header_says(tmp_path: Path) -> None:
    host = {"host": "evil.example"}
    asked = {"workflow": "movie", "messages": [], "webhook_url": "https://backend.example/hook"}
    async with open_world(tmp_path, answerer="none", env="production") as world:
        answer = await world.http.post("/v1/ai/async", json=asked, headers=host)
        assert (answer.status_code, answer.json()["error"]["code"]) == (422, "public_url_required")
        assert world.watch.entries == {}
    async with open_world(tmp_path, public_url="https://river.example/ai") as world:
        answer = await world.http.post("/v1/ai/async", json=asked | {"webhook_url": None}, headers=host)
        await world.wrote(answer.json(), "delivery.attempted")
        [told] = world.backend.received
        assert told.payload["callback_url"] == f"https://river.example/ai/v1/callback/{answer.json()['channel_id']}"


@pytest.mark.parametrize("form", [{"data": {}}, {"error": "no_such_movie"}], ids=["completed", "failed"])
async def test_the_requests_own_url_stands_in_for_the_endpoints_of_the_end_too(
    tmp_path: Path, form: dict[str, Any]
) -> None:
    own = Backend(KEY, "whsec_b3duLW93bi1vd24=")
    everything = {"events": (EVENT, "task.completed", "task.failed")}
    async with (
        serve(own.app) as url,
        open_world(tmp_path, endpoint=everything, webhook_secret=own.secret) as world,
    ):
        elsewhere = await world.submit(webhook_url=f"{url}/webhooks/ai")
        assert not elsewhere.get("warnings")
        delivered = await world.wrote(elsewhere, "delivery.attempted")
        assert (delivered["outcome"], delivered["status"]) == ("delivered", 200)  # it verified the signature
        await world.call_back(elsewhere, form)
        await world.ended(elsewhere)
        here = await world.submit()
        await world.wrote(here, "delivery.attempted")
        await world.call_back(here, form)
        await world.wrote(here, "delivery.attempted", 2)
    assert {each.payload["channel_id"] for each in world.backend.received} == {here["channel_id"]}
    assert [each.payload["type"] for each in own.received] == ["task.ai_generated"]


async def test_without_a_webhook_secret_the_answer_says_that_nobody_can_verify(tmp_path: Path) -> None:
    async with open_world(tmp_path, answerer="none") as world:
        accepted = await world.submit(webhook_url="http://127.0.0.1:18080/hook")
        [warning] = accepted["warnings"]
        assert "webhook_secret" in warning
        assert "cannot verify" in warning
