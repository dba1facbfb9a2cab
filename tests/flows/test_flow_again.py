"""Whole flows run again: replays from a stage, fixtures, the playground's runs; and what is counted of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from riverflow import Fallback, Workflow
from riverflow.errors import ProviderError
from riverflow.models import RunFilter
from riverflow.testing import ScriptedProvider

from .backend import FAILURE, SUCCESS, Reaction
from .world import EVENT, MOVIE, World, movie_workflow, open_world

pytestmark = pytest.mark.anyio


async def again(world: World, accepted: dict[str, Any], stage: str | None = None) -> dict[str, Any]:
    """Replay: the answer."""
    response = await world.http.post(f"/v1/requests/{accepted['channel_id']}/replay", json={"stage": stage})
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


async def row(world: World, accepted: dict[str, Any]) -> dict[str, Any]:
    response = await world.http.get(f"/v1/requests/{accepted['channel_id']}")
    assert response.status_code == 200, response.text
    shown: dict[str, Any] = response.json()
    return shown


@pytest.mark.parametrize("answerer", ["remote", "handler"])
async def test_enriching_again_asks_the_backend_and_no_provider(tmp_path: Path, answerer: str) -> None:
    provider = ScriptedProvider({**MOVIE})
    async with open_world(tmp_path, answerer=answerer, provider=provider) as world:
        world.backend.plan(EVENT, Reaction(FAILURE), Reaction(SUCCESS))
        failed = await world.submit(customer_data={"user_id": "u1"})
        assert await world.ended(failed) == "run.failed"
        repeated = await again(world, failed, "enrich")
        assert await world.ended(repeated) == "run.completed"
        state = await world.state(repeated)
        assert (state["status"], state["data"]) == ("completed", SUCCESS["data"])
        assert state["ai_response"]["data"] == MOVIE
        assert state["customer_data"] == {"user_id": "u1"}
        assert (await world.state(failed))["status"] == "error"  # a run has one end, for ever
        assert len(provider.requests) == 1
        first, second = world.backend.of(EVENT)
        assert second.payload["ai_response"] == first.payload["ai_response"]
        assert second.payload["channel_id"] == repeated["channel_id"]
        shown = await row(world, repeated)
        assert (shown["replay_of"], shown["attempts"], shown["tokens"]["total"]) == (failed["channel_id"], 0, 0)
        assert [stage["copied"] for stage in shown["stages"]] == [True, False, False]
        assert shown["tries"] == []


async def test_a_replay_is_followed_like_any_run(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        world.backend.plan(EVENT, Reaction(SUCCESS), Reaction())
        accepted = await world.submit()
        await world.ended(accepted)
        repeated = await again(world, accepted, "enrich")
        browser = await world.browse("websocket", repeated)
        await world.wrote(repeated, "delivery.attempted")
        assert (await world.call_back(repeated, SUCCESS)).status_code == 200
        assert [message["status"] for message in await browser.rest()] == ["ai_generated", "completed"]


async def test_finishing_again_tells_the_result_again(tmp_path: Path) -> None:
    provider = ScriptedProvider({**MOVIE})
    async with open_world(tmp_path, provider=provider, endpoint={"events": (EVENT, "task.completed")}) as world:
        world.backend.plan(EVENT, Reaction(SUCCESS))
        world.backend.plan("task.completed", Reaction())
        accepted = await world.submit()
        await world.wrote(accepted, "delivery.attempted", 2)
        repeated = await again(world, accepted, "finalise")
        await world.wrote(repeated, "delivery.attempted")
        before, after = world.backend.of("task.completed")
        assert after.payload["channel_id"] == repeated["channel_id"]
        for member in ("data", "ai_response", "task_id", "callback_metadata", "event"):
            assert after.payload[member] == before.payload[member], member
        assert len(provider.requests) == len(world.backend.of("task.ai_generated")) == 1


async def test_from_the_start_the_provider_is_asked_again(tmp_path: Path) -> None:
    provider = ScriptedProvider(ProviderError("busy", code="bad_request", again=False), {**MOVIE})
    async with open_world(tmp_path, provider=provider) as world:
        world.backend.plan(EVENT, Reaction(SUCCESS))
        accepted = await world.submit()
        assert await world.ended(accepted) == "run.failed"
        repeated = await again(world, accepted)
        assert await world.ended(repeated) == "run.completed"
        assert bytes(provider.requests[0].request) == bytes(provider.requests[1].request)


async def test_the_snapshot_counts_not_what_the_workflow_has_become(tmp_path: Path) -> None:
    async with open_world(tmp_path, answerer="none") as world:
        accepted = await world.submit()
        await world.wrote(accepted, "run.ai_generated")
    renamed = [movie_workflow(event_name="another_event")]
    async with open_world(tmp_path, answerer="none", workflows=renamed) as world:
        repeated = await again(world, accepted, "enrich")
        assert (await row(world, repeated))["event_name"] == EVENT


# Fixtures --------------------------------------------------------------------------------------------------


async def fixture_of(world: World, accepted: dict[str, Any]) -> dict[str, Any]:
    response = await world.http.get(f"/v1/requests/{accepted['channel_id']}/fixture")
    assert response.status_code == 200, response.text
    exported: dict[str, Any] = response.json()
    return exported


SPARE = (Fallback(provider="scripted", model="spare"),)
PLAIN = Workflow(name="plain", provider="scripted", model="gpt-4o", fallbacks=SPARE)


@pytest.mark.parametrize("workflow", ["movie", "plain"])
async def test_a_fixture_answers_as_the_run_was_answered(tmp_path: Path, workflow: str) -> None:
    """Exported from one riverflow, answered from in another: by the scripted provider, and by echo."""
    workflows = [movie_workflow(event_name=None, fallbacks=SPARE), PLAIN]
    provider = ScriptedProvider(ProviderError("busy", code="rate_limited"), {**MOVIE} if workflow == "movie" else "Hi!")
    async with open_world(tmp_path, answerer="none", workflows=workflows, provider=provider) as world:
        accepted = await world.submit(workflow)
        assert await world.ended(accepted) == "run.completed"
        was, fixture = await world.state(accepted), await fixture_of(world, accepted)
    assert [each["success"] for each in fixture["tries"]] == [False, True]
    (other := tmp_path / "other").mkdir()
    by_echo = [
        Workflow(
            name=workflow, provider="echo", model="gpt-4o", sample_data=fixture["sample_data"],
            structured_output_id="movie" if workflow == "movie" else None,
        )
    ]  # fmt: skip
    async with open_world(other, answerer="none", workflows=by_echo) as world:
        accepted = await world.submit(workflow)
        assert await world.ended(accepted) == "run.completed"
        state = await world.state(accepted)
        assert state.get("content") == was.get("content")
        if workflow == "movie":
            assert state["data"] == was["data"]
    (third := tmp_path / "third").mkdir()
    scripted = ScriptedProvider.of(fixture)
    async with open_world(third, answerer="none", workflows=workflows, provider=scripted) as world:
        accepted = await world.submit(workflow)
        assert await world.ended(accepted) == "run.completed"
        state = await world.state(accepted)
        assert (state["data"], state.get("content")) == (was["data"], was.get("content"))
        assert [each["success"] for each in state["meta"]["attempts"]] == [False, True]


async def test_a_fixture_has_what_backends_answered(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        world.backend.plan(EVENT, Reaction(SUCCESS))
        accepted = await world.submit(customer_data={"user_id": "u1"})
        await world.ended(accepted)
        fixture = await fixture_of(world, accepted)
        assert fixture["callbacks"] == [{"stage": "enrich", **SUCCESS}]
        assert fixture["customer_data"] == {"user_id": "u1"}
        assert fixture["answer"] == fixture["sample_data"] == MOVIE
        assert fixture["request"]["messages"] == [{"role": "user", "content": "a film"}]


async def test_a_failed_run_is_a_fixture_of_its_failure(tmp_path: Path) -> None:
    failing = ScriptedProvider(ProviderError("no", code="bad_request", again=False))
    async with open_world(tmp_path, answerer="none", provider=failing) as world:
        accepted = await world.submit()
        assert await world.ended(accepted) == "run.failed"
        fixture = await fixture_of(world, accepted)
    assert "answer" not in fixture
    with pytest.raises(ProviderError) as raised:
        await ScriptedProvider.of(fixture).generate(None)  # type: ignore[arg-type]
    assert raised.value.code == "bad_request"


def test_a_fixture_that_nobody_answered_is_no_script() -> None:
    with pytest.raises(ValueError, match="neither an answer nor a failed attempt"):
        ScriptedProvider.of({"channel_id": "c"})


# What is counted -------------------------------------------------------------------------------------------


async def test_failed_tries_and_tokens_stand_on_the_row(tmp_path: Path) -> None:
    provider = ScriptedProvider(ProviderError("busy", code="rate_limited"), {**MOVIE}, model="spare-2025")
    workflows = [movie_workflow(event_name=None, fallbacks=SPARE)]
    async with open_world(tmp_path, answerer="none", provider=provider, workflows=workflows) as world:
        await world.ended(await world.submit())
        (shown,) = (await world.http.get("/v1/requests")).json()["data"]
        assert shown["attempts"] == 2
        assert shown["tokens"] == {"prompt": 1, "completion": 2, "total": 3}
        assert (shown["provider"], shown["model"], shown["error"]) == ("scripted", "spare", None)
        assert [(each["model"], each["reason"]) for each in shown["failed"]] == [("gpt-4o", "rate_limited")]
        health = await world.river._started().engine.queries.providers(world.river.project_id)
        assert [(each.model, each.attempts, each.failures, each.reasons) for each in health] == [
            ("gpt-4o", 1, 1, {"rate_limited": 1}),
            ("spare", 1, 0, {}),
        ]


@pytest.mark.parametrize(("test_mode", "tag"), [(False, "pg"), (True, "pg_test_mode")])
async def test_the_playground_s_runs_are_kept_apart(tmp_path: Path, test_mode: bool, tag: str) -> None:
    body = b'{"workflow":"movie","test_mode":%s}' % str(test_mode).lower().encode()
    async with open_world(tmp_path, answerer="none", workflows=[movie_workflow(event_name=None)]) as world:
        engine, project = world.river._started().engine, world.river.project_id
        accepted = await engine.submit(project, body, "", playground=True)
        await engine.result(project, accepted.run.id)
        assert (await world.http.get("/v1/requests")).json()["data"] == []
        assert (await world.http.get("/v1/stats")).json()["whole"]["runs"] == 0
        (shown,) = (await world.http.get("/v1/requests", params={"tag": tag})).json()["data"]
        assert (shown["tag"], shown["seed_batch"]) == (tag, f"{tag}:{accepted.run.id}")
        assert await engine.queries.providers(project) == ()
        repeated = await engine.replay(project, accepted.run.id)
        page = await engine.queries.requests(project, RunFilter(tags=(tag,)))  # type: ignore[arg-type]
        assert [each.channel_id for each in page.data] == [repeated.run.id, accepted.run.id]


async def test_every_attempt_of_a_delivery_is_shown(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        said = {"x-request-id": "abc", "set-cookie": "session=secret", "x-long": "y" * 500}
        world.backend.plan(EVENT, Reaction(status=500, headers=said), Reaction(SUCCESS, headers={"x-request-id": "ok"}))
        accepted = await world.submit()
        await world.wrote(accepted, "delivery.attempted")
        why = (await row(world, accepted))["why"]
        assert "failed once (HTTP 500), next attempt in 5 s." in why
        await world.clock.advance(5)
        await world.ended(accepted)
        await world.wrote(accepted, "delivery.attempted", 2)
        shown = await row(world, accepted)
        (delivery,) = shown["deliveries"]
        assert delivery["status"] == "delivered"
        assert [(each["status"], each["outcome"]) for each in delivery["attempts"]] == [
            (500, "retrying"),
            (200, "delivered"),
        ]
        failed, delivered = (each["response_headers"] for each in delivery["attempts"])
        assert (failed["x-request-id"], failed["x-long"], "set-cookie" in failed) == ("abc", "y" * 200, False)
        assert failed["content-type"] == "application/json"
        assert delivered is None  # of a good answer there is nothing to find out
        assert delivery["body"]["ai_response"]["data"] == MOVIE
        assert [(each["stage"], each["form"], each["via"]) for each in shown["receipts"]] == [
            ("enrich", "success", "callback")
        ]
        assert shown["why"] == "Completed in 5 s: answered by scripted/gpt-4o, enrich completed."
