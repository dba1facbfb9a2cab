"""A run from outside: its state, its timeline, coming back to it, answering it, ending it."""

from __future__ import annotations

import asyncio
import base64
import json
import sys
from typing import Any

import pytest

from riverflow import Stage, Workflow, hookimpl
from riverflow.models import GenerateRequest
from riverflow.testing import ScriptedProvider

from .desk import MOVIE, PLAIN, Desk, Sit, client_of, problem

pytestmark = pytest.mark.anyio


class Scripted:
    """A plugin with one provider, `scripted`."""

    def __init__(self, provider: ScriptedProvider) -> None:
        self._provider = provider

    @hookimpl
    def riverflow_providers(self) -> Any:
        return {"scripted": lambda context: self._provider}


# Submitting -------------------------------------------------------------------------------------------------


async def test_an_accepted_request_says_how_the_browser_gets_the_result(desk: Desk) -> None:
    answer = await desk.submit("plain", customer_data={"user_id": "u1"}, messages=[{"role": "user", "content": "hi"}])
    channel_id, project_id = answer["channel_id"], answer["project_id"]
    assert answer == {
        "message": "success",
        "status": "pending",
        "channel_id": channel_id,
        "project_id": project_id,
        "ws_token": answer["ws_token"],
        "websocket_url": desk.origin.replace("http://", "ws://") + "/river/socket",
        "websocket_channel": f"ai_response:{project_id}:{channel_id}",
        "customer_data": {"user_id": "u1"},
    }
    claims = claims_of(answer["ws_token"])
    assert claims["project_id"] == project_id
    assert claims["channel_id"] == channel_id
    assert claims["topic"] == answer["websocket_channel"]
    assert claims["exp"] >= desk.clock.now() + 300


@pytest.mark.parametrize(
    ("waits", "seconds"),
    [
        ((), 600),
        ((Stage.hand_off("enrich", timeout=5_000), Stage.hand_off("file")), 600 + 5_000 + 7_000),
        ((Stage.hand_off("enrich"), Stage.approval("check", timeout=9_000)), 600 + 7_000 + 9_000),
        ((Stage(name="check", kind="approval"),), 600 + 7 * 86_400),
    ],
)
async def test_a_token_outlives_the_runs_last_deadline(seated: Sit, waits: tuple[Stage, ...], seconds: float) -> None:
    stages = (Stage(name="generate", kind="generate"), *waits, Stage(name="finalise", kind="finalise"))
    long = Workflow(name="long", provider="echo", pipeline=stages, provider_timeout=600, callback_timeout=7_000)
    async with seated(workflows=[long], token_ttl=60) as desk:
        answer = await desk.submit("long")
        assert claims_of(answer["ws_token"])["exp"] == int(desk.clock.now()) + seconds + 60


async def test_customer_data_is_echoed_as_javascript_would_write_it(desk: Desk) -> None:
    data = b'{"b": 1.0, "\\u00e9": {"2": 1e21, "1": null}, "7": [ 0.50 ], "b": 2}'
    said = b'{"workflow": "plain", "customer_data": %b}' % data
    answer = await desk.client.post("/v1/ai/async", content=said, headers={"content-type": "application/json"})
    assert '"customer_data":{"7":[0.5],"b":2,"é":{"1":null,"2":1e+21}}' in answer.text


async def test_a_hand_off_that_nobody_takes_is_accepted_with_a_warning(desk: Desk) -> None:
    answer = await desk.submit("movie")
    assert any("new_movie" in warning for warning in answer["warnings"])
    await desk.until(answer["channel_id"], "ai_generated")
    assert "stage.unattended" in await desk.kinds(answer["channel_id"])


async def test_a_missing_structured_output_is_accepted_with_a_warning(seated: Sit) -> None:
    workflow = Workflow(name="plain", provider="echo", template="hi", structured_output_id="not_yet")
    async with seated(workflows=[workflow]) as desk:
        assert "not_yet" in " ".join((await desk.submit("plain"))["warnings"])


async def test_cache_fields_and_customer_data_are_echoed(seated: Sit) -> None:
    fields = ("user_id", "metadata.bucket", "messages.0.content", "no.such", "score")
    async with seated(workflows=[Workflow(name="plain", provider="echo", template="hi", cache_fields=fields)]) as desk:
        body = (
            b'{"workflow":"plain","user_id":"u1","metadata":{"bucket":[1]},"messages":[{"role":"user","content":"hi"}],'
            b'"score":8.0,"customer_data":{"user_id":"mine","10":1,"9":2}}'
        )
        response = await desk.client.post("/v1/ai/async", content=body)
        expected = b'{"9":2,"10":1,"user_id":"mine","metadata.bucket":[1],"messages.0.content":"hi","score":8}'
        assert expected in response.content
        state = await desk.client.get(f"/v1/ai/{response.json()['channel_id']}")
        assert expected in state.content


async def test_a_request_may_name_provider_and_model_itself(desk: Desk) -> None:
    response = await desk.client.post(
        "/v1/ai/async", json={"provider": "echo", "model": "m1", "messages": [{"role": "user", "content": "hi"}]}
    )
    state = await desk.until(response.json()["channel_id"], "success", "error")
    assert state["status"] == "success"
    assert state["content"] == "hi"
    assert state["meta"]["used_model"] == "m1"


async def test_without_the_schema_library_a_request_with_a_schema_is_refused(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "jsonschema_rs", None)
    body = {"workflow": "plain", "structured_output_schema": {"type": "object"}}
    response = await desk.client.post("/v1/ai/async", json=body)
    assert "riverflow[schema]" in problem(response, 422, "invalid_schema")["message"]


async def test_the_first_of_events_makes_a_plain_workflow_event_driven(desk: Desk) -> None:
    answer = await desk.submit("plain", events=["ready", "other"])
    state = await desk.until(answer["channel_id"], "ai_generated", "success")
    assert state["status"] == "ai_generated"
    assert state["event_name"] == "ready"


# State and timeline -----------------------------------------------------------------------------------------


async def test_the_state_is_pending_then_the_newest_message(seated: Sit) -> None:
    go = asyncio.Event()

    async def held(request: GenerateRequest) -> str:
        await go.wait()
        return "at last"

    plugin = Scripted(ScriptedProvider(held))
    workflow = Workflow(name="held", provider="scripted", event_name="new_movie")
    async with seated(workflows=[workflow], plugins=[plugin]) as desk:
        channel_id = (await desk.submit("held", customer_data={"u": 1}))["channel_id"]
        pending = (await desk.client.get(f"/v1/ai/{channel_id}")).json()
        assert pending == {
            "status": "pending",
            "channel_id": channel_id,
            "customer_data": {"u": 1},
            "workflow": "held",
            "created_at": "2023-11-14T22:13:20.000Z",
            "finished_at": None,
            "latest": 1,
        }
        go.set()
        waiting = await desk.until(channel_id, "ai_generated")
        assert waiting["status"] == "ai_generated"
        assert "ai_response" not in waiting
        assert waiting["finished_at"] is None
        await desk.clock.advance(7)
        await desk.client.post(f"/v1/callback/{channel_id}", json={"data": {"title": "Inception"}})
        done = (await desk.client.get(f"/v1/ai/{channel_id}")).json()
        assert done["status"] == "completed"
        assert done["data"] == {"title": "Inception"}
        assert done["created_at"] == "2023-11-14T22:13:20.000Z"
        assert done["finished_at"] == "2023-11-14T22:13:27.000Z"
        assert done["latest"] == len(await desk.entries(channel_id))


async def test_the_state_of_an_error_tells_the_error(desk: Desk) -> None:
    channel_id = (await desk.submit("movie"))["channel_id"]
    await desk.until(channel_id, "ai_generated")
    await desk.client.post(f"/v1/callback/{channel_id}", json={"error": "no_movie", "message": "There is none"})
    state = (await desk.client.get(f"/v1/ai/{channel_id}")).json()
    assert state["status"] == "error"
    assert state["message"] == "There is none"
    assert state["error"] == {"message": "There is none", "code": "no_movie", "details": {"code": "no_movie"}}
    assert state["meta"]["status"] == "error"


async def test_the_timeline_is_numbered_without_holes_and_goes_on_from_a_number(desk: Desk) -> None:
    channel_id = (await desk.submit("movie"))["channel_id"]
    await desk.until(channel_id, "ai_generated")
    await desk.client.post(f"/v1/callback/{channel_id}", json={"data": {}, "task_id": "t1", "metadata": {"ms": 3}})
    page = (await desk.client.get(f"/v1/ai/{channel_id}/timeline")).json()
    assert page["channel_id"] == channel_id
    assert page["latest"] == len(page["entries"])
    assert [entry["number"] for entry in page["entries"]] == list(range(1, page["latest"] + 1))
    assert [entry["kind"] for entry in page["entries"]] == [
        "run.accepted",
        "stage.completed",
        "run.ai_generated",
        "stage.unattended",
        "callback.received",
        "stage.completed",
        "run.completed",
    ]
    assert {tuple(entry) for entry in page["entries"]} == {
        ("number", "at", "kind", "stage", "attempt", "public", "data")
    }
    assert [entry["kind"] for entry in page["entries"] if entry["public"]] == ["run.ai_generated", "run.completed"]
    rest = (await desk.client.get(f"/v1/ai/{channel_id}/timeline?after=5")).json()
    assert rest["entries"] == page["entries"][5:]
    assert rest["latest"] == page["latest"]


# Coming back ------------------------------------------------------------------------------------------------


async def test_reconnect_gives_a_fresh_token_for_the_same_channel(desk: Desk) -> None:
    first = await desk.submit("movie")
    for path in ("/v1/ai/reconnect", "/api/v1/ai/reconnect", "/api/ai/reconnect"):
        response = await desk.client.post(path, json={"channel_id": first["channel_id"]})
        assert response.status_code == 200
        again = response.json()
        assert set(again) == {"channel_id", "project_id", "ws_token", "websocket_url", "websocket_channel"}
        assert {**again, "ws_token": first["ws_token"]} == {name: first[name] for name in again}
        assert again["ws_token"] != first["ws_token"]
        assert claims_of(again["ws_token"])["jti"] != claims_of(first["ws_token"])["jti"]
        async with client_of(str(desk.client.base_url), key=None) as browser:
            url = f"/v1/ai/{first['channel_id']}/events?token={again['ws_token']}"
            async with browser.stream("GET", url) as response:
                assert response.status_code == 200


async def test_a_bad_token_opens_no_stream(desk: Desk) -> None:
    mine, other = await desk.submit("movie"), await desk.submit("movie")
    token = mine["ws_token"]
    head, payload, signature = token.split(".")
    forged = base64.urlsafe_b64encode(json.dumps(claims_of(token) | {"exp": 9e9}).encode()).rstrip(b"=").decode()
    none = base64.urlsafe_b64encode(b'{"alg":"none","typ":"JWT"}').rstrip(b"=").decode()
    async with client_of(str(desk.client.base_url), key=None) as browser:
        for bad in (
            "",
            "x",
            "a.b.c",
            other["ws_token"],
            f"{head}.{forged}.{signature}",
            f"{none}.{payload}.",
            f"{head}.{payload}.{signature[:-2]}AA",
        ):
            response = await browser.get(f"/v1/ai/{mine['channel_id']}/events", params={"token": bad})
            problem(response, 401, "token_invalid")
        await desk.clock.advance(claims_of(token)["exp"] - desk.clock.now())
        response = await browser.get(f"/v1/ai/{mine['channel_id']}/events", params={"token": token})
        problem(response, 401, "token_expired")


# Answering --------------------------------------------------------------------------------------------------


async def test_a_callback_is_answered_with_the_state_after_it(desk: Desk) -> None:
    channel_id = (await desk.submit("movie"))["channel_id"]
    await desk.until(channel_id, "ai_generated")
    response = await desk.client.post(f"/api/v1/callback/{channel_id}", json={"data": {"a": 1}})
    assert response.status_code == 200
    taken = {"message": "success", "channel_id": channel_id, "stage": "enrich", "outcome": "success"}
    assert response.json() == {**taken, "status": "completed"}


async def test_the_same_callback_again_is_answered_alike_and_another_is_409(desk: Desk) -> None:
    channel_id = (await desk.submit("movie"))["channel_id"]
    await desk.until(channel_id, "ai_generated")
    path = f"/v1/callback/{channel_id}"
    first = await desk.client.post(path, json={"data": {"a": 1, "b": 8.0}})
    again = await desk.client.post(f"{path}/enrich", content=b' {"data" : {"a": 1, "b": 8} }')
    assert again.status_code == first.status_code == 200
    assert again.json() == first.json()
    for other in ({"data": {"a": 2}}, {"error": "late_thought"}, {"data": {"a": 1, "b": 8}, "task_id": "t"}):
        refused = problem(await desk.client.post(path, json=other), 409, "already_answered")
        assert refused["error"]["state"] == "completed"
    assert (await desk.kinds(channel_id)).count("callback.received") == 1


async def test_a_callback_for_a_run_that_does_not_wait_is_409(seated: Sit) -> None:
    go = asyncio.Event()

    async def held(request: GenerateRequest) -> str:
        await go.wait()
        return "hello"

    plugin = Scripted(ScriptedProvider(held))
    workflow = Workflow(name="held", provider="scripted", event_name="new_movie")
    async with seated(workflows=[workflow, PLAIN, MOVIE], plugins=[plugin]) as desk:
        running = (await desk.submit("held"))["channel_id"]
        refused = problem(await desk.client.post(f"/v1/callback/{running}", json={"data": {}}), 409, "not_waiting")
        assert refused["error"]["state"] == "pending"
        go.set()

        finished = (await desk.submit("plain"))["channel_id"]
        await desk.until(finished, "success")
        refused = problem(await desk.client.post(f"/v1/callback/{finished}", json={"data": {}}), 409, "run_ended")
        assert refused["error"]["state"] == "success"

        cancelled = (await desk.submit("movie"))["channel_id"]
        await desk.until(cancelled, "ai_generated")
        await desk.client.post(f"/v1/ai/{cancelled}/cancel")
        problem(await desk.client.post(f"/v1/callback/{cancelled}", json={"data": {}}), 409, "run_ended")


async def test_a_callback_after_the_deadline_is_410(desk: Desk) -> None:
    channel_id = (await desk.submit("movie", callback_timeout=60))["channel_id"]
    await desk.until(channel_id, "ai_generated")
    await desk.clock.advance(61)
    state = await desk.until(channel_id, "error")
    assert state["error"]["code"] == "callback_timeout"
    assert "new_movie" in state["message"]
    for path in (f"/v1/callback/{channel_id}", f"/v1/callback/{channel_id}/enrich"):
        problem(await desk.client.post(path, json={"data": {}}), 410, "callback_expired")
    assert "callback.timed_out" in await desk.kinds(channel_id)


async def test_a_callback_says_data_or_error(desk: Desk) -> None:
    channel_id = (await desk.submit("movie"))["channel_id"]
    await desk.until(channel_id, "ai_generated")
    path = f"/v1/callback/{channel_id}"
    for body in (
        {},
        {"task_id": "t"},
        {"data": None},
        {"data": None, "error": None},
        {"data": {}, "error": "both"},
        {"title": "unwrapped"},
    ):
        problem(await desk.client.post(path, json=body), 422, "data_or_error_required")
    for body in (
        {"data": []},
        {"data": "text"},
        {"data": 1},
        {"data": {}, "metadata": "text"},
        {"data": {}, "task_id": {}},
        {"error": 5},
        {"error": "x", "message": 5},
    ):
        problem(await desk.client.post(path, json=body), 400, "invalid_type")
    assert (await desk.client.get(f"/v1/ai/{channel_id}")).json()["status"] == "ai_generated"


@pytest.mark.parametrize(
    ("body", "code", "message"),
    [
        ({"error": "no_movie", "message": "There is none"}, "no_movie", "There is none"),
        ({"error": "no_movie"}, "no_movie", "no_movie"),
        ({"error": ""}, "callback_error", "callback_error"),
        ({"error": {"code": "E1", "message": "inner"}}, "E1", "inner"),
        ({"error": {}}, "callback_error", "callback_error"),
    ],
)
async def test_the_error_form_of_a_callback_ends_the_run(desk: Desk, body: Any, code: str, message: str) -> None:
    channel_id = (await desk.submit("movie"))["channel_id"]
    await desk.until(channel_id, "ai_generated")
    response = await desk.client.post(f"/v1/callback/{channel_id}", json=body)
    assert response.json()["outcome"] == "error"
    assert response.json()["status"] == "error"
    state = (await desk.client.get(f"/v1/ai/{channel_id}")).json()
    assert (state["error"]["code"], state["error"]["message"]) == (code, message)


async def test_a_callback_for_a_stage_that_is_none_is_404(desk: Desk) -> None:
    channel_id = (await desk.submit("movie"))["channel_id"]
    await desk.until(channel_id, "ai_generated")
    problem(await desk.client.post(f"/v1/callback/{channel_id}/nowhere", json={"data": {}}), 404, "unknown_stage")
    problem(await desk.client.post(f"/v1/callback/{channel_id}/generate", json={"data": {}}), 409)
    assert (await desk.client.get(f"/v1/ai/{channel_id}")).json()["status"] == "ai_generated"


async def test_a_null_beside_the_data_of_a_callback_is_as_good_as_nothing(desk: Desk) -> None:
    channel_id = (await desk.submit("movie"))["channel_id"]
    await desk.until(channel_id, "ai_generated")
    body = {"data": {"a": None}, "metadata": None, "task_id": None, "error": None}
    assert (await desk.client.post(f"/v1/callback/{channel_id}", json=body)).status_code == 200
    state = (await desk.client.get(f"/v1/ai/{channel_id}")).json()
    assert state["data"] == {"a": None}
    assert "callback_metadata" not in state
    assert "task_id" not in state


# Ending -----------------------------------------------------------------------------------------------------


async def test_cancel_ends_a_run_once(desk: Desk) -> None:
    channel_id = (await desk.submit("movie"))["channel_id"]
    await desk.until(channel_id, "ai_generated")
    response = await desk.client.post(f"/v1/ai/{channel_id}/cancel")
    assert response.json() == {"message": "success", "channel_id": channel_id, "status": "error"}
    state = (await desk.client.get(f"/v1/ai/{channel_id}")).json()
    assert state["error"]["code"] == "cancelled"
    problem(await desk.client.post(f"/v1/ai/{channel_id}/cancel"), 409, "run_ended")
    assert (await desk.kinds(channel_id)).count("run.failed") == 1


# Ways in ----------------------------------------------------------------------------------------------------


async def test_every_prefix_of_the_contract_leads_to_the_same_door(desk: Desk) -> None:
    for prefix in ("/v1", "/api/v1", "/api"):
        submitted = await desk.client.post(f"{prefix}/ai/async", json={"workflow": "movie"})
        assert submitted.status_code == 200
        channel_id = submitted.json()["channel_id"]
        await desk.until(channel_id, "ai_generated")
        assert (await desk.client.get(f"{prefix}/ai/{channel_id}")).json()["channel_id"] == channel_id
        assert (await desk.client.get(f"{prefix}/ai/{channel_id}/timeline")).json()["channel_id"] == channel_id
        assert (await desk.client.post(f"{prefix}/ai/{channel_id}/cancel")).status_code == 200
        async with desk.client.stream("GET", f"{prefix}/ai/{channel_id}/events") as response:
            assert response.status_code == 200
    for prefix in ("", "/api"):
        assert (await desk.client.get(f"{prefix}/console/workflow")).status_code == 200
    problem(await desk.client.post("/ai/async", json={"workflow": "movie"}), 404, "route_not_found")


def claims_of(token: str) -> dict[str, Any]:
    payload = token.split(".")[1]
    claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return claims
