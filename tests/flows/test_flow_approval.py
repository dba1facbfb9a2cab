"""Approvals: a run is held for a person, who approves, edits or rejects, or does not in time."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest

from riverflow import Stage, Workflow
from riverflow.testing import FakeClock, ScriptedProvider

from .backend import Backend, Reaction
from .receivers import receiver
from .world import EVENT, KEY, MOVIE, SECRET, World, movie_workflow, open_world

pytestmark = pytest.mark.anyio

GENERATE = Stage(name="generate", kind="generate")
FINALISE = Stage(name="finalise", kind="finalise")
ENRICH = Stage.hand_off("enrich", event_name=EVENT)
DAY = 86_400.0


def held(*before: Stage, after: tuple[Stage, ...] = (), **review: Any) -> Workflow:
    """A workflow with an approval named `review` between these stages."""
    stages = (GENERATE, *before, Stage.approval("review", **review), *after, FINALISE)
    return movie_workflow(event_name=None, pipeline=stages)


async def ask(world: World, accepted: dict[str, Any]) -> str:
    """Wait until the run is held: the approval's id."""
    approval_id: str = (await world.wrote(accepted, "approval.requested"))["approval_id"]
    return approval_id


async def say(world: World, approval_id: str, decision: str, **more: Any) -> httpx.Response:
    return await world.http.post(f"/v1/approvals/{approval_id}", json={"decision": decision, **more})


async def pending(world: World) -> list[str]:
    answer = await world.http.get("/v1/approvals")
    assert answer.status_code == 200
    return [each["id"] for each in answer.json()["data"]]


async def one(world: World, approval_id: str) -> dict[str, Any]:
    answer = await world.http.get(f"/v1/approvals/{approval_id}")
    assert answer.status_code == 200, answer.text
    shown: dict[str, Any] = answer.json()
    return shown


def code_of(answer: httpx.Response, status: int) -> str:
    assert answer.status_code == status, answer.text
    code: str = answer.json()["error"]["code"]
    return code


@pytest.mark.parametrize("browser", ["websocket", "sse"])
async def test_a_run_waits_for_days_and_goes_on_when_it_is_approved(tmp_path: Path, browser: str) -> None:
    async with open_world(tmp_path, answerer="none", workflows=[held()]) as world:
        accepted = await world.submit(customer_data={"user_id": "u1"})
        assert "warnings" not in accepted
        approval_id = await ask(world, accepted)
        watching = await world.browse(browser, accepted)
        await world.clock.advance(6 * DAY)
        assert (await world.state(accepted))["status"] == "ai_generated"
        assert await pending(world) == [approval_id]
        shown = await one(world, approval_id)
        assert (shown["data"], shown["ai_response"], shown["customer_data"]) == (MOVIE, MOVIE, {"user_id": "u1"})
        assert (shown["workflow"], shown["stage"], shown["state"]) == ("movie", "review", "pending")
        answer = await say(world, approval_id, "approve")
        assert answer.status_code == 200, answer.text
        assert (answer.json()["status"], answer.json()["ruling"]["by"]) == ("completed", "api_key")
        messages = await watching.rest()
        assert [message["status"] for message in messages] == ["ai_generated", "completed"]
        assert messages[0]["event_name"] == "review"
        assert "Inception" not in str(messages[0])
        assert (messages[1]["data"], messages[1]["customer_data"]) == (MOVIE, {"user_id": "u1"})
        assert await pending(world) == []
        decided = await one(world, approval_id)
        assert (decided["state"], decided["result"], decided["deadline_at"]) == ("approved", MOVIE, None)


async def test_what_was_edited_is_what_everybody_gets(tmp_path: Path) -> None:
    """The next backend and the browser are told of the edited answer as the AI's: the other one was not approved."""
    backend = Backend(KEY, SECRET)
    edited = {**MOVIE, "title": "Paprika", "year": 2006}
    backend.plan(EVENT, Reaction({"data": {**edited, "id": 1}, "task_id": "t1"}))
    async with open_world(tmp_path, workflows=[held(after=(ENRICH,))], backend=backend) as world:
        accepted = await world.submit()
        approval_id = await ask(world, accepted)
        assert backend.received == []
        answer = await say(world, approval_id, "approve", data=edited, reason="the wrong film")
        assert answer.json()["ruling"]["changed"] == ["/title", "/year"]
        assert answer.json()["status"] == "ai_generated"
        await world.ended(accepted)
        (told,) = [each.payload for each in backend.received]
        assert told["ai_response"] == {"data": edited}
        assert told["data"] == edited
        final = await world.state(accepted)
        assert (final["data"], final["task_id"]) == ({**edited, "id": 1}, "t1")
        assert final["ai_response"]["data"] == edited
        assert "Inception" not in str(final)
        assert (await world.wrote(accepted, "approval.decided"))["ruling"]["changed"] == ["/title", "/year"]


async def test_an_approval_after_a_backend_holds_what_the_backend_made(tmp_path: Path) -> None:
    backend = Backend(KEY, SECRET)
    enriched = {**MOVIE, "id": 7}
    backend.plan(EVENT, Reaction({"data": enriched, "task_id": "t7", "metadata": {"n": 1}}))
    async with open_world(tmp_path, workflows=[held(ENRICH)], backend=backend) as world:
        accepted = await world.submit()
        approval_id = await ask(world, accepted)
        assert (await one(world, approval_id))["data"] == enriched
        await say(world, approval_id, "approve", data={**enriched, "id": 8})
        final = await world.state(accepted)
        assert (final["status"], final["data"]["id"], final["ai_response"]["data"]) == ("completed", 8, MOVIE)
        assert (final["task_id"], final["callback_metadata"], final["event_name"]) == ("t7", {"n": 1}, EVENT)


async def test_what_a_stage_has_made_need_not_satisfy_the_schema_of_answers(tmp_path: Path) -> None:
    workflow = held(Stage(name="wrap", kind="wrap"))
    stages = {"wrap": lambda context: ["a list"]}
    async with open_world(tmp_path, answerer="none", workflows=[workflow], stages=stages) as world:
        approval_id = await ask(world, accepted := await world.submit())
        assert (await say(world, approval_id, "approve", data=["another", "list"])).status_code == 200
        assert (await world.state(accepted))["data"] == ["another", "list"]


async def test_a_rejection_ends_the_run_with_its_reason(tmp_path: Path) -> None:
    async with open_world(tmp_path, answerer="none", workflows=[held()]) as world:
        accepted = await world.submit()
        approval_id = await ask(world, accepted)
        assert code_of(await say(world, approval_id, "reject"), 422) == "reason_required"
        assert code_of(await say(world, approval_id, "reject", reason="  "), 422) == "reason_required"
        answer = await say(world, approval_id, "reject", reason="names a competitor")
        assert (answer.json()["status"], answer.json()["ruling"]["decision"]) == ("error", "reject")
        final = await world.state(accepted)
        assert (final["status"], final["error"]["code"]) == ("error", "rejected")
        assert final["message"] == "names a competitor"
        assert "Inception" not in str(final)
        assert (await one(world, approval_id))["state"] == "rejected"


@pytest.mark.parametrize(
    ("on_timeout", "kind", "code"),
    [
        ("reject", "run.failed", "rejected"),
        ("fail", "run.failed", "approval_timeout"),
        ("approve", "run.completed", ""),
    ],
)
async def test_nobody_decides_in_time(tmp_path: Path, on_timeout: Any, kind: str, code: str) -> None:
    workflow = held(timeout=3 * DAY, on_timeout=on_timeout)
    async with (
        open_world(tmp_path, answerer="none", workflows=[workflow]) as world,
        receiver(world, "callback.overdue", "run.failed") as ops,
    ):
        accepted = await world.submit()
        approval_id = await ask(world, accepted)
        await world.clock.advance(3 * DAY - 1)
        assert await pending(world) == [approval_id]
        await world.clock.advance(1)
        assert await world.ended(accepted) == kind
        final = await world.state(accepted)
        if kind == "run.failed":
            assert final["error"]["code"] == code
            while not ops.backend.received:
                await world.clock.advance(0)
            assert [each.payload["type"] for each in ops.backend.received] == ["run.failed"]
        else:
            assert final["data"] == MOVIE
        assert (await world.wrote(accepted, "approval.expired"))["action"] == on_timeout
        assert await pending(world) == []
        assert (await one(world, approval_id))["state"] == "expired"
        late = await say(world, approval_id, "approve")
        assert code_of(late, 410) == "approval_expired"


async def test_the_first_decision_counts(tmp_path: Path) -> None:
    async with open_world(tmp_path, answerer="none", workflows=[held()]) as world:
        accepted = await world.submit()
        approval_id = await ask(world, accepted)
        first = await say(world, approval_id, "approve", data={**MOVIE, "year": 2011})
        await world.clock.advance(60)
        again = await say(world, approval_id, "approve", data={**MOVIE, "year": 2011})
        assert (again.status_code, again.json()) == (200, first.json())
        for other in (
            await say(world, approval_id, "approve"),
            await say(world, approval_id, "reject", reason="no"),
            await say(world, approval_id, "approve", data={**MOVIE, "year": 2012}),
        ):
            assert code_of(other, 409) == "already_decided"
            error = other.json()["error"]
            assert (error["decision"], error["decided_by"]) == ("approve", "api_key")
            assert error["decided_at"] == first.json()["ruling"]["at"]
        kinds = [entry["kind"] for entry in await world.timeline(accepted)]
        assert kinds.count("approval.decided") == kinds.count("run.completed") == 1


async def test_two_at_once_and_one_of_them_counts(tmp_path: Path) -> None:
    async with open_world(tmp_path, answerer="none", workflows=[held()]) as world:
        accepted = await world.submit()
        approval_id = await ask(world, accepted)
        answers = await asyncio.gather(
            say(world, approval_id, "approve"),
            say(world, approval_id, "reject", reason="no"),
            say(world, approval_id, "approve", data={**MOVIE, "year": 1}),
        )
        assert sorted(answer.status_code for answer in answers) == [200, 409, 409]
        kinds = [entry["kind"] for entry in await world.timeline(accepted)]
        assert kinds.count("approval.decided") == 1


async def test_no_backend_decides_in_a_persons_place(tmp_path: Path) -> None:
    """Neither by the stage's own URL nor by the plain one, nor by asking for more time."""
    async with open_world(tmp_path, answerer="none", workflows=[held()]) as world:
        accepted = await world.submit()
        await ask(world, accepted)
        for stage in ("", "review"):
            answer = await world.call_back(accepted, {"data": {"title": "mine"}}, stage)
            assert code_of(answer, 409) == "approval_required"
        assert code_of(await world.call_back(accepted, {"error": "no"}, "review"), 409) == "approval_required"
        assert code_of(await world.call_back(accepted, {"extend": 60}, "review/heartbeat"), 409) == "approval_required"
        said = await world.call_back(accepted, {"message": "half"}, "review/progress")
        assert code_of(said, 409) == "approval_required"
        assert (await world.state(accepted))["status"] == "ai_generated"


async def test_two_approvals_in_a_row(tmp_path: Path) -> None:
    workflow = held(after=(Stage.approval("legal"),))
    async with open_world(tmp_path, answerer="none", workflows=[workflow]) as world:
        accepted = await world.submit()
        first = await ask(world, accepted)
        await say(world, first, "approve", data={**MOVIE, "year": 1})
        second = (await world.wrote(accepted, "approval.requested", 2))["approval_id"]
        assert second != first
        assert await pending(world) == [second]
        assert (await one(world, first))["result"] == {**MOVIE, "year": 1}
        assert (await one(world, second))["data"] == {**MOVIE, "year": 1}
        await say(world, second, "approve")
        assert (await world.state(accepted))["data"] == {**MOVIE, "year": 1}
        assert code_of(await say(world, first, "approve"), 409) == "already_decided"


async def test_a_cancelled_run_waits_for_nobody(tmp_path: Path) -> None:
    async with open_world(tmp_path, answerer="none", workflows=[held()]) as world:
        accepted = await world.submit()
        approval_id = await ask(world, accepted)
        await world.http.post(f"/v1/ai/{accepted['channel_id']}/cancel")
        assert await pending(world) == []
        assert (await one(world, approval_id))["state"] == "ended"
        assert code_of(await say(world, approval_id, "approve"), 409) == "run_ended"


async def test_what_nobody_decided_in_time_stays_so_whatever_the_run_comes_to(tmp_path: Path) -> None:
    workflow = held(timeout=DAY, on_timeout="approve", after=(ENRICH,))
    async with open_world(tmp_path, answerer="none", workflows=[workflow]) as world:
        accepted = await world.submit()
        approval_id = await ask(world, accepted)
        await world.clock.advance(DAY)
        await world.wrote(accepted, "approval.expired")
        await world.http.post(f"/v1/ai/{accepted['channel_id']}/cancel")
        assert (await world.state(accepted))["error"]["code"] == "cancelled"
        assert (await one(world, approval_id))["state"] == "expired"


async def test_a_held_run_survives_a_restart(tmp_path: Path) -> None:
    """It is decided in the next process, and its deadline is kept there."""
    clock, provider = FakeClock(), ScriptedProvider({**MOVIE})
    options: dict[str, Any] = {"answerer": "none", "workflows": [held(timeout=2 * DAY)], "clock": clock}
    async with open_world(tmp_path, provider=provider, **options) as world:
        approved, left = await world.submit(), await world.submit()
        ids = [await ask(world, approved), await ask(world, left)]
    await clock.advance(DAY)
    async with open_world(tmp_path, provider=provider, **options) as world:
        assert await pending(world) == ids[::-1]
        answer = await say(world, ids[0], "approve", data={**MOVIE, "year": 3})
        assert answer.json()["ruling"]["changed"] == ["/year"]
        assert (await world.state(approved))["data"]["year"] == 3
        await world.clock.advance(DAY)
        assert await world.ended(left) == "run.failed"
    async with open_world(tmp_path, provider=provider, **options) as world:
        again = await say(world, ids[0], "approve", data={**MOVIE, "year": 3})
        assert (again.status_code, again.json()["ruling"]) == (200, answer.json()["ruling"])
        assert code_of(await say(world, ids[0], "approve"), 409) == "already_decided"
    assert len(provider.requests) == 2


async def test_a_replay_from_the_approval_asks_again(tmp_path: Path) -> None:
    async with open_world(tmp_path, answerer="none", workflows=[held()]) as world:
        accepted = await world.submit()
        await say(world, await ask(world, accepted), "reject", reason="not yet")
        path = f"/v1/requests/{accepted['channel_id']}/replay"
        replayed = (await world.http.post(path, json={"stage": "review"})).json()
        approval_id = await ask(world, replayed)
        assert (await one(world, approval_id))["data"] == MOVIE
        await say(world, approval_id, "approve", data={**MOVIE, "year": 5})
        assert (await world.state(replayed))["data"]["year"] == 5
        path = f"/v1/requests/{replayed['channel_id']}/replay"
        after = (await world.http.post(path, json={"stage": "finalise"})).json()
        assert (await world.state(after))["data"]["year"] == 5
        ruling = (await world.wrote(after, "approval.decided"))["ruling"]
        assert ruling["decision"] == "approve"


async def test_what_is_left_when_payloads_are_forgotten(tmp_path: Path) -> None:
    """Who decided, and when; not his words."""
    settings: dict[str, Any] = {"payload_days": 1, "retention_days": 9}
    async with open_world(tmp_path, answerer="none", workflows=[held()], **settings) as world:
        accepted = await world.submit()
        await say(world, await ask(world, accepted), "reject", reason="she is his wife")
        await world.clock.advance(1.5 * DAY)
        while "wife" in str(timeline := await world.timeline(accepted)):  # the run itself goes after 9 days
            await world.clock.advance(3600)
        (ruling,) = [entry["data"]["ruling"] for entry in timeline if entry["kind"] == "approval.decided"]
        assert (ruling["by"], ruling["decision"]) == ("api_key", "reject")


async def test_operators_are_told_that_somebody_is_waited_for(tmp_path: Path) -> None:
    """Who names it, once, with a link; and of what there is to decide nothing is said."""
    heard: list[Any] = []
    async with (
        open_world(
            tmp_path, answerer="none", workflows=[held()], handlers={"approval.requested": heard.append}
        ) as world,
        receiver(world, "approval.requested") as ops,
        receiver(world, "*") as others,
    ):
        accepted = await world.submit()
        approval_id = await ask(world, accepted)
        while not (ops.backend.received and heard):
            await world.clock.advance(0)
        (told,) = [each.payload for each in ops.backend.received]
        assert (told["type"], told["channel_id"]) == ("approval.requested", accepted["channel_id"])
        data = told["data"]
        assert (data["approval_id"], data["stage"], data["workflow"]) == (approval_id, "review", "movie")
        assert data["sha256"] == (await one(world, approval_id))["sha256"]
        assert "Inception" not in str(told)
        page = await world.http.get(data["url"], headers={"authorization": ""})
        assert page.status_code == 200
        assert "Inception" in page.text
        assert await pending(world) == [approval_id]
        assert heard[0].name == "approval.requested"
        assert others.backend.received == []
        # Nobody who may only read is shown the link.
        deliveries = (await world.http.get("/v1/deliveries")).json()["data"]
        shown = [(await world.http.get(f"/v1/deliveries/{each['id']}")).text for each in deliveries]
        assert len(shown) == 2
        assert all("rap_***" in text for text in shown)
        assert data["url"].rpartition("/")[2] not in "".join(shown)
        timeline = await world.http.get(f"/v1/requests/{accepted['channel_id']}")
        assert data["url"].rpartition("/")[2] not in timeline.text


async def test_who_could_not_be_told_is_told_no_more_once_it_is_decided(tmp_path: Path) -> None:
    async with (
        open_world(tmp_path, answerer="none", workflows=[held()]) as world,
        receiver(world, "approval.requested") as ops,
    ):
        ops.backend.plan("approval.requested", Reaction(status=503))
        accepted = await world.submit()
        approval_id = await ask(world, accepted)
        await world.wrote(accepted, "delivery.attempted")
        await say(world, approval_id, "approve")
        (delivery,) = (await world.http.get("/v1/deliveries")).json()["data"]
        assert delivery["status"] == "expired"
