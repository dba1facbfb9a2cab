"""Who is told: handlers, endpoints, filters and a request's own URL beside one another."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from riverflow import Event, Failure, hookimpl
from riverflow.testing import FakeClock, serve

from .backend import FAILURE, SUCCESS, Backend, Reaction
from .world import EVENT, KEY, SECRET, World, movie_workflow, open_world

pytestmark = pytest.mark.anyio

STANDARD = [movie_workflow(event_name=None)]


async def _register(world: World, url: str, **members: Any) -> str:
    """An endpoint through the API: its secret."""
    answer = await world.http.post("/console/webhook", json={"url": f"{url}/webhooks/ai", **members})
    assert answer.status_code == 201, answer.text
    secret: str = answer.json()["secret"]
    return secret


async def _until_attempted(world: World, accepted: dict[str, Any], count: int) -> None:
    await world.wrote(accepted, "delivery.attempted", count)


async def test_a_handler_wins_over_endpoints_and_over_the_requests_own_url(tmp_path: Path) -> None:
    async def enrich(event: Event) -> dict[str, Any]:
        return {**event.data, "by": "handler"}

    async with open_world(tmp_path, handlers={EVENT: enrich}) as world:
        for own in ({}, {"webhook_url": f"{world.base}/nowhere"}):
            accepted = await world.submit(**own)
            assert await world.ended(accepted) == "run.completed"
            assert (await world.state(accepted))["data"]["by"] == "handler"
    assert world.backend.received == []


async def test_the_requests_own_url_replaces_the_endpoints(tmp_path: Path) -> None:
    """It is signed with the secret of the endpoint that is registered for the same URL."""
    other = Backend(KEY, "")
    other.plan(EVENT, Reaction(SUCCESS))
    async with open_world(tmp_path) as world, serve(other.app) as url:
        other.address, other.secret = world.base, await _register(world, url, events=["another_event"])
        accepted = await world.submit(webhook_url=f"{url}/webhooks/ai")
        assert await world.ended(accepted) == "run.completed"
    assert len(other.received) == 1
    assert world.backend.received == []


async def test_a_disabled_endpoint_is_not_told_by_way_of_the_requests_own_url(tmp_path: Path) -> None:
    other = Backend(KEY, SECRET)
    async with open_world(tmp_path) as world, serve(other.app) as url:
        other.secret = await _register(world, url, enabled=False)
        accepted = await world.submit(webhook_url=f"{url}/webhooks/ai")
        assert EVENT in accepted["warnings"][0]
        await world.wrote(accepted, "stage.unattended")
        await _register(world, url, enabled=False)
        other.secret = await _register(world, url)  # the same URL once more, enabled: that one counts
        await _until_attempted(world, await world.submit(webhook_url=f"{url}/webhooks/ai"), 1)
    assert len(other.received) == 1


async def test_an_unregistered_url_is_signed_with_the_projects_secret(tmp_path: Path) -> None:
    other = Backend(KEY, SECRET)
    async with open_world(tmp_path, answerer="none") as world, serve(other.app) as url:
        accepted = await world.submit(webhook_url=f"{url}/webhooks/ai")
        said = await world.wrote(accepted, "delivery.attempted")
        assert (said["status"], said["response"]) == (401, '{"error":"Invalid signature"}')
        assert (await world.call_back(accepted, SUCCESS)).status_code == 200


async def test_all_matching_endpoints_are_told_and_the_first_callback_decides(tmp_path: Path) -> None:
    other = Backend(KEY, "")
    async with open_world(tmp_path) as world, serve(other.app) as url:
        other.secret = await _register(world, url)
        accepted = await world.submit()
        await _until_attempted(world, accepted, 2)
        assert (len(world.backend.received), len(other.received)) == (1, 1)
        assert world.backend.received[0].key != other.received[0].key
        assert (await world.call_back(accepted, SUCCESS)).status_code == 200
        assert (await world.call_back(accepted, {"data": {"title": "Heat"}})).status_code == 409
        assert (await world.state(accepted))["data"] == SUCCESS["data"]


async def test_what_other_endpoints_are_owed_ends_with_the_stage(tmp_path: Path) -> None:
    """One endpoint is down, another answers: nobody goes on telling the first."""
    down = Backend(KEY, "")
    down.plan(EVENT, Reaction(status=500))
    async with open_world(tmp_path) as world, serve(down.app) as url:
        down.secret = await _register(world, url)
        accepted = await world.submit()
        await _until_attempted(world, accepted, 2)
        assert (await world.call_back(accepted, SUCCESS)).status_code == 200
        await world.clock.advance(35)
        other = await world.submit()  # what was due before this has been seen to when this is done
        await _until_attempted(world, other, 2)
    # Leaving the world lets what is under way finish.
    assert [each.payload["channel_id"] for each in down.received].count(accepted["channel_id"]) == 1


@pytest.mark.parametrize(
    ("events", "told"),
    [
        ((), True),
        ((EVENT,), True),
        (("task.ai_generated",), True),
        (("*",), True),
        (("task.completed",), False),
        (("another_event",), False),
    ],
)
async def test_filters_of_hand_offs(tmp_path: Path, events: tuple[str, ...], told: bool) -> None:
    async with open_world(tmp_path, endpoint={"events": events}) as world:
        accepted = await world.submit()
        if told:
            await _until_attempted(world, accepted, 1)
            assert "warnings" not in accepted
        else:
            assert EVENT in accepted["warnings"][0]
            await world.wrote(accepted, "stage.unattended")
        assert (await world.call_back(accepted, SUCCESS)).status_code == 200
    assert len(world.backend.of("task.ai_generated")) == int(told)


@pytest.mark.parametrize(
    ("event_driven", "events", "told"),
    [
        (False, (), True),
        (False, ("task.completed",), True),
        (False, (EVENT,), False),
        (True, (), False),
        (True, (EVENT, "task.completed"), True),
        (True, (EVENT, "*"), True),
    ],
)
async def test_filters_of_completions(tmp_path: Path, event_driven: bool, events: tuple[str, ...], told: bool) -> None:
    """A standard run tells whoever is not filtered away; an event-driven one only whoever names it."""
    workflows = None if event_driven else STANDARD
    async with open_world(tmp_path, workflows=workflows, endpoint={"events": events}) as world:
        world.backend.plan(EVENT, Reaction(SUCCESS))
        accepted = await world.submit()
        assert await world.ended(accepted) == "run.completed"
        count = int(event_driven) + int(told)
        if count:
            await _until_attempted(world, accepted, count)
    # Leaving the world lets what is under way finish.
    assert len(world.backend.of("task.completed")) == int(told)
    if event_driven and told:
        [completed] = world.backend.of("task.completed")
        assert completed.payload["status"] == "completed"
        assert completed.payload["data"] == SUCCESS["data"]
        assert completed.payload["event"] == EVENT


async def test_a_disabled_endpoint_is_not_told(tmp_path: Path) -> None:
    async with open_world(tmp_path, endpoint={"enabled": False}) as world:
        accepted = await world.submit()
        await world.wrote(accepted, "stage.unattended")
        assert accepted["warnings"]
    assert world.backend.received == []


async def test_nobody_registered_and_the_deadline_runs(tmp_path: Path) -> None:
    async with open_world(tmp_path, answerer="none") as world:
        accepted = await world.submit(callback_timeout=20)
        await world.wrote(accepted, "stage.unattended")
        await world.clock.advance(20)
        assert await world.ended(accepted) == "run.failed"


async def test_the_requests_events_make_a_standard_workflow_event_driven(tmp_path: Path) -> None:
    async with open_world(tmp_path, workflows=STANDARD) as world:
        world.backend.plan("webhook_received", Reaction(SUCCESS))
        accepted = await world.submit(events=["webhook_received"])
        final = (await (await world.browse("websocket", accepted)).rest())[-1]
        assert (final["status"], final["event_name"]) == ("completed", "webhook_received")
        plain = await world.submit()
        assert (await (await world.browse("websocket", plain)).rest())[-1]["status"] == "success"


async def test_the_workflows_event_name_wins_over_the_requests_events(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        accepted = await world.submit(events=["webhook_received"])
        await _until_attempted(world, accepted, 1)
        assert world.backend.received[0].payload["event"] == EVENT


async def test_handlers_of_completion_and_failure(tmp_path: Path) -> None:
    """Pattern 1 in process, as durable as any delivery: tried again until it succeeds."""
    told: list[tuple[str, str | None, Any, int]] = []

    async def hear(event: Event) -> None:
        told.append((event.name, event.status, event.data or event.error, event.attempt))
        if event.attempt == 1:
            raise RuntimeError("the database is away")

    def enrich(event: Event) -> dict[str, Any]:
        if "fail" in event.customer_data:
            raise Failure(FAILURE["error"], FAILURE["message"])
        return {"id": "mov_1"}

    handlers = {EVENT: enrich, "task.completed": hear, "task.failed": hear}
    async with open_world(tmp_path, answerer="none", handlers=handlers) as world:
        good, bad = await world.submit(), await world.submit(customer_data={"fail": True})
        for accepted in (good, bad):
            await _until_attempted(world, accepted, 2)
        await world.clock.advance(5)
        for accepted in (good, bad):
            await _until_attempted(world, accepted, 3)
    error = {"message": "no such movie", "code": "processing_failed", "details": {"code": "processing_failed"}}
    assert sorted(told, key=lambda each: (each[0], each[3])) == [
        ("task.completed", "completed", {"id": "mov_1"}, 1),
        ("task.completed", "completed", {"id": "mov_1"}, 2),
        ("task.failed", "error", error, 1),
        ("task.failed", "error", error, 2),
    ]


async def test_a_handler_that_calls_back_and_answers_otherwise(tmp_path: Path) -> None:
    """The first answer counts, and what the handler then returns is refused without harm."""
    async with open_world(tmp_path, answerer="none", handlers={EVENT: lambda event: answer(event)}) as world:

        async def answer(event: Event) -> dict[str, Any]:
            taken = await world.call_back({"channel_id": event.channel_id}, SUCCESS)
            assert taken.status_code == 200
            return {"another": "answer"}

        accepted = await world.submit()
        await _until_attempted(world, accepted, 1)
        assert (await world.state(accepted))["data"] == SUCCESS["data"]
        kinds = [entry["kind"] for entry in await world.timeline(accepted)]
        assert kinds.count("callback.received") == kinds.count("run.completed") == 1


async def test_moving_a_handler_to_another_process_changes_nothing_else(tmp_path: Path) -> None:
    """Payload, outcome and timeline are the same in process and behind a URL."""
    seen: dict[str, Any] = {}
    for answerer in ("handler", "remote"):
        (tmp_path / answerer).mkdir()
        async with open_world(tmp_path / answerer, answerer=answerer) as world:
            world.backend.plan(EVENT, Reaction(None))  # defers: then the order on the wire is certain
            accepted = await world.submit(customer_data={"user_id": "u"})
            await _until_attempted(world, accepted, 1)
            assert (await world.call_back(accepted, SUCCESS)).status_code == 200
            token = world.backend.received[0].payload["callback_token"]
            varying = (token, accepted["channel_id"], accepted["project_id"], world.base)
            timeline = [(e["kind"], e["stage"], e["attempt"], e["public"]) for e in await world.timeline(accepted)]
            payload, state = _without(world.backend.received[0].payload, varying), await world.state(accepted)
            seen[answerer] = (payload, timeline, _without(state, varying))
    assert seen["handler"] == seen["remote"]


def _without(value: Any, varying: tuple[str, ...]) -> Any:
    """The value with ids and addresses blanked."""
    if isinstance(value, dict):
        return {k: _without(v, varying) for k, v in value.items() if k != "workflow_id"}
    if isinstance(value, str):
        for text in varying:
            value = value.replace(text, "…")
    return value


async def test_a_notifier_that_fails_does_not_end_riverflow(tmp_path: Path) -> None:
    """It may lose messages; a connection that breaks is its everyday life. It is listened to again."""
    listened: list[float] = []
    clock = FakeClock()

    class Broken:
        def publish(self, run_id: str, number: int) -> None:
            return None

        async def listen(self, wake: Any) -> None:
            listened.append(clock.monotonic())
            raise ConnectionError("the broker has gone")

        async def aclose(self) -> None:
            listened.append(-1)

    class Plugin:
        @hookimpl
        def riverflow_notifiers(self) -> Any:
            return {"broken": lambda context: Broken()}

    async with open_world(tmp_path, plugins=[Plugin()], notifier="broken", clock=clock) as world:
        world.backend.plan(EVENT, Reaction(SUCCESS))
        await clock.advance(2)
        accepted = await world.submit()
        assert (await (await world.browse("websocket", accepted)).rest())[-1]["status"] == "completed"
    assert len(listened) > 2
    assert listened.index(-1) == len(listened) - 1  # closed once, at the end
