"""Whole flows tried in the playground: a simulated backend answers after a second and a half, a real one is real."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest

from riverflow import Stage
from riverflow.errors import ProviderError
from riverflow.testing import FakeClock, ScriptedProvider

from .backend import SUCCESS, Reaction
from .world import EVENT, MOVIE, World, movie_workflow, open_world

pytestmark = pytest.mark.anyio

TOLD = {"events": ("*", "task.ai_generated", "task.completed", "task.failed", "run.failed", "callback.overdue")}


async def tried(world: World, backend: str = "simulated", **fields: Any) -> dict[str, Any]:
    """POST playground: the whole answer."""
    request = {"workflow": "movie", "messages": [{"role": "user", "content": "a film"}], **fields}
    answer = await world.http.post("/v1/playground", json={"request": request, "backend": backend})
    assert answer.status_code == 200, answer.text
    accepted: dict[str, Any] = answer.json()
    return accepted


async def shown(world: World, accepted: dict[str, Any]) -> dict[str, Any]:
    answer: httpx.Response = await world.http.get(f"/v1/requests/{accepted['channel_id']}")
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


async def test_the_backend_is_simulated_after_a_second_and_a_half(tmp_path: Path) -> None:
    async with open_world(tmp_path, endpoint=TOLD) as world:
        accepted = await tried(world, customer_data={"user_id": "u1"})
        assert "warnings" not in accepted
        said = await world.wrote(accepted, "stage.progress")
        assert (said["message"], said["stage"], said["event_name"]) == ("Simulating backend callback", "enrich", EVENT)
        body = await shown(world, accepted)
        assert (
            body["why"] == f"Simulating backend callback for {EVENT} (stage enrich): the playground answers in 1.5 s."
        )
        assert (body["status"], body["tag"], body["simulated"]) == ("ai_generated", "pg", True)
        await world.clock.advance(1.4)
        assert (await world.state(accepted))["status"] == "ai_generated"
        await world.clock.advance(0.1)
        assert await world.ended(accepted) == "run.completed"
        state = await world.state(accepted)
        assert state["ai_response"]["data"] == MOVIE
        assert {name: state["data"][name] for name in MOVIE} == MOVIE
        made = state["data"]["simulated_enrichment"]
        assert (made["event"], made["stage"]) == (EVENT, "enrich")
        assert state["callback_metadata"]["simulated"] is True
        assert state["customer_data"] == {"user_id": "u1"}
        body = await shown(world, accepted)
        assert [(each["stage"], each["form"], each["via"]) for each in body["receipts"]] == [
            ("enrich", "success", "playground")
        ]
        assert body["deliveries"] == []
        assert world.backend.received == []


async def test_nobody_is_told_of_a_simulated_failure_either(tmp_path: Path) -> None:
    heard: list[Any] = []
    provider = ScriptedProvider(ProviderError("no", code="refused", again=False))
    handlers = dict.fromkeys((EVENT, "task.failed", "run.failed"), heard.append)
    async with open_world(tmp_path, endpoint=TOLD, handlers=handlers, provider=provider) as world:
        accepted = await tried(world)
        assert await world.ended(accepted) == "run.failed"
        assert (await shown(world, accepted))["deliveries"] == []
        real = await tried(world, "real")
        assert await world.ended(real) == "run.failed"
        types = {each["type"] for each in (await shown(world, real))["deliveries"]}
        assert types == {"task.failed", "run.failed"}


async def test_a_simulation_outlives_its_process(tmp_path: Path) -> None:
    clock = FakeClock()
    async with open_world(tmp_path, clock=clock, lease=5) as world:
        accepted = await tried(world)
        await world.wrote(accepted, "stage.progress")
    await clock.advance(60)
    async with open_world(tmp_path, clock=clock, lease=5) as world:
        assert await world.ended(accepted) == "run.completed"
        assert "simulated_enrichment" in (await world.state(accepted))["data"]
        kinds = [entry["kind"] for entry in await world.timeline(accepted)]
        assert kinds.count("callback.received") == kinds.count("run.completed") == 1
        assert world.backend.received == []


async def test_a_real_backend_is_really_told(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        world.backend.plan(EVENT, Reaction(SUCCESS))
        accepted = await tried(world, "real")
        assert await world.ended(accepted) == "run.completed"
        assert (await world.state(accepted))["data"] == SUCCESS["data"]
        assert len(world.backend.of(EVENT)) == 1
        body = await shown(world, accepted)
        assert (body["tag"], body["simulated"]) == ("pg", False)


async def test_tries_are_kept_out_of_lists_and_statistics(tmp_path: Path) -> None:
    async with open_world(tmp_path, workflows=[movie_workflow(event_name=None)]) as world:
        one, two = await tried(world), await tried(world, test_mode=True)
        for each in (one, two):
            assert await world.ended(each) == "run.completed"
        assert (await world.http.get("/v1/requests")).json()["data"] == []
        assert (await world.http.get("/v1/stats")).json()["whole"]["runs"] == 0
        for tag, accepted in (("pg", one), ("pg_test_mode", two)):
            (row,) = (await world.http.get("/v1/requests", params={"tag": tag})).json()["data"]
            assert row["seed_batch"] == f"{tag}:{accepted['channel_id']}"


async def test_every_hand_off_is_simulated_whatever_it_was_handed(tmp_path: Path) -> None:
    stages = (
        Stage(name="generate", kind="generate"),
        Stage.hand_off("check"),
        Stage.hand_off("save", timeout=900),
        Stage(name="finalise", kind="finalise"),
    )
    workflow = movie_workflow(event_name=None, pipeline=stages, structured_output_id=None)
    async with open_world(tmp_path, workflows=[workflow], provider=ScriptedProvider("just words")) as world:
        accepted = await tried(world)
        for number in (1, 2):
            await world.wrote(accepted, "stage.progress", number)
            await world.clock.advance(1.5)
        assert await world.ended(accepted) == "run.completed"
        data = (await world.state(accepted))["data"]
        assert data["simulated_enrichment"]["stage"] == "save"
        receipts = (await shown(world, accepted))["receipts"]
        assert [(each["stage"], each["via"]) for each in receipts] == [("check", "playground"), ("save", "playground")]


async def test_nobody_stands_in_for_a_person(tmp_path: Path) -> None:
    stages = (
        Stage(name="generate", kind="generate"),
        Stage.approval("review"),
        Stage(name="finalise", kind="finalise"),
    )
    workflow = movie_workflow(event_name=None, pipeline=stages)
    everything = {"events": (*TOLD["events"], "approval.requested")}
    async with open_world(tmp_path, workflows=[workflow], endpoint=everything) as world:
        accepted = await tried(world)
        await world.wrote(accepted, "approval.requested")
        await world.clock.advance(10)
        body = await shown(world, accepted)
        assert (body["status"], body["deliveries"], body["receipts"]) == ("ai_generated", [], [])
        assert "Simulating" not in body["why"]


async def test_a_callback_that_comes_before_the_simulated_one_counts(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        accepted = await tried(world)
        await world.wrote(accepted, "stage.progress")
        answer = await world.call_back(accepted, {"data": {"title": "Up"}})
        assert answer.status_code == 200
        await world.clock.advance(5)
        assert (await world.state(accepted))["data"] == {"title": "Up"}
        assert [each["via"] for each in (await shown(world, accepted))["receipts"]] == ["callback"]


async def test_a_simulated_run_can_be_cancelled_and_replayed(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        accepted = await tried(world)
        await world.wrote(accepted, "stage.progress")
        assert (await world.http.post(f"/v1/ai/{accepted['channel_id']}/cancel")).status_code == 200
        again = await world.http.post(f"/v1/requests/{accepted['channel_id']}/replay", json={"stage": "enrich"})
        repeated = again.json()
        await world.wrote(repeated, "stage.progress")
        await world.clock.advance(1.5)
        assert await world.ended(repeated) == "run.completed"
        assert (await shown(world, repeated))["tag"] == "pg"
        assert world.backend.received == []


async def test_the_playground_is_for_admins_and_rationed(tmp_path: Path) -> None:
    async with open_world(tmp_path, rate_limit_rationed=2) as world:
        made = await world.http.post("/console/key", json={"name": "k", "scopes": ["submit", "read", "callback"]})
        asked = {"request": {"workflow": "movie"}}
        lesser = {"authorization": f"Bearer {made.json()['key']}"}
        assert (await world.http.post("/v1/playground", json=asked, headers=lesser)).status_code == 403
        wrong = await world.http.post("/v1/playground", json={"request": {"workflow": "movie"}, "backend": "none"})
        assert wrong.status_code == 400
        assert "backend" in wrong.json()["message"]
        unknown = await world.http.post("/v1/playground", json={"request": {"workflow": "nowhere"}})
        assert unknown.status_code == 404
        assert (await world.http.post("/v1/playground", json=asked)).status_code == 429


async def test_a_url_in_the_request_obeys_the_same_rules(tmp_path: Path) -> None:
    settings = {"env": "production", "public_url": "https://river.example"}
    async with open_world(tmp_path, answerer="none", **settings) as world:
        request = {"workflow": "movie", "webhook_url": "http://169.254.169.254/latest"}
        answer = await world.http.post("/v1/playground", json={"request": request, "backend": "real"})
        assert answer.status_code == 422
