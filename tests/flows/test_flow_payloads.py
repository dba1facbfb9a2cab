"""The bodies of the seed pages, member by member: both webhook forms and the channel's messages."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from riverflow._claim_check import LARGEST
from riverflow.models import Usage
from riverflow.testing import ScriptedProvider, generation

from .backend import FAILURE, SUCCESS, Reaction
from .world import EVENT, MOVIE, World, movie_workflow, open_world

pytestmark = pytest.mark.anyio

CUSTOMER = {"user_id": "user_456", "preferences": "action,scifi"}
NOW = "2023-11-14T22:13:20.000Z"  # of the fake clock
TOKENS = {"prompt": 245, "completion": 89, "total": 334}
USAGE = {"prompt_tokens": 245, "completion_tokens": 89, "total_tokens": 334}
META = {
    "provider": "scripted",
    "model": "gpt-4o",
    "used_provider": "scripted",
    "used_model": "gpt-4o",
    "requested_provider": "scripted",
    "requested_model": "gpt-4o",
    "duration_ms": 0,
    "tokens": TOKENS,
    "usage": USAGE,
    "structured_output": True,
    "attempts": [
        {"provider": "scripted", "model": "gpt-4o", "duration_ms": 0, "success": True, "status": "success"},
    ],
    "workflow": "movie",
}


def _provider(text: str = json.dumps(MOVIE)) -> ScriptedProvider:
    usage = Usage(prompt_tokens=245, completion_tokens=89, total_tokens=334)
    return ScriptedProvider(generation(text, model="gpt-4o", usage=usage))


async def _first(world: World, accepted: dict[str, Any]) -> dict[str, Any]:
    await world.wrote(accepted, "delivery.attempted")
    return world.backend.received[0].payload


async def test_the_event_driven_webhook(tmp_path: Path) -> None:
    async with open_world(tmp_path, provider=_provider()) as world:
        accepted = await world.submit(customer_data=CUSTOMER)
        payload = await _first(world, accepted)
        [workflow] = (await world.http.get("/console/workflow")).json()["data"]
        expected = {
            "type": "task.ai_generated",
            "event": EVENT,
            "channel_id": accepted["channel_id"],
            "ai_response": {"data": MOVIE},
            "callback_url": f"{world.base}/v1/callback/{accepted['channel_id']}",
            "callback_token": payload["callback_token"],
            "callback_required": True,
            "meta": {
                "workflow_id": workflow["id"],
                "workflow_name": "movie",
                "project_id": accepted["project_id"],
                "provider": "scripted",
                "model": "gpt-4o",
            },
            "customer_data": CUSTOMER,
            "timestamp": NOW,
        }
        assert payload == expected
        assert list(payload) == list(expected)
        headers = world.backend.received[0].headers
        assert headers["content-type"] == "application/json"
        assert headers["mr-timestamp"] == "1700000000"
        assert headers["mr-channel-id"] == accepted["channel_id"]
        assert headers["riverflow-callback-token"] == payload["callback_token"]
        assert len(headers["mr-signature"]) == 64


async def test_the_standard_webhook(tmp_path: Path) -> None:
    async with open_world(tmp_path, workflows=[movie_workflow(event_name=None)], provider=_provider()) as world:
        accepted = await world.submit(customer_data=CUSTOMER)
        payload = await _first(world, accepted)
        expected = {
            "type": "task.completed",
            "workflow": "movie",
            "status": "success",
            "channel_id": accepted["channel_id"],
            "data": MOVIE,
            "meta": {"status": "success", **META},
            "customer_data": CUSTOMER,
            "timestamp": NOW,
        }
        assert payload == expected
        assert list(payload) == list(expected)


@pytest.mark.parametrize("browser", ["websocket", "sse"])
async def test_the_channel_of_an_event_driven_run(tmp_path: Path, browser: str) -> None:
    async with open_world(tmp_path, provider=_provider()) as world:
        accepted = await world.submit(customer_data=CUSTOMER)
        await world.wrote(accepted, "delivery.attempted")
        reader = await world.browse(browser, accepted)
        intermediate = await reader.next()
        text = intermediate.pop("message")
        assert text
        assert intermediate == {
            "status": "ai_generated",
            "channel_id": accepted["channel_id"],
            "event_name": EVENT,
            "customer_data": CUSTOMER,
            "meta": {**META, "status": "pending"},
        }
        assert (await world.call_back(accepted, SUCCESS)).json() == {
            "message": "success",
            "channel_id": accepted["channel_id"],
            "stage": "enrich",
            "outcome": "success",
            "status": "completed",
        }
        [final] = await reader.rest()
        assert final == {
            "status": "completed",
            "message": "success",
            "channel_id": accepted["channel_id"],
            "data": SUCCESS["data"],
            "ai_response": {"data": MOVIE, "meta": {"status": "success", **_own(META)}},
            "task_id": SUCCESS["task_id"],
            "callback_metadata": SUCCESS["metadata"],
            "event_name": EVENT,
            "customer_data": CUSTOMER,
            "meta": {**META, "status": "completed"},
        }


@pytest.mark.parametrize("browser", ["websocket", "sse"])
async def test_the_channel_of_a_standard_run(tmp_path: Path, browser: str) -> None:
    """Unstructured: `data` is the provider's object with `choices`, `content` its text."""
    workflows = [movie_workflow(event_name=None, structured_output_id=None)]
    async with open_world(tmp_path, answerer="none", workflows=workflows, provider=_provider("Inception!")) as world:
        accepted = await world.submit(customer_data=CUSTOMER)
        [final] = await (await world.browse(browser, accepted)).rest()
        data = final.pop("data")
        assert data["choices"][0]["message"]["content"] == "Inception!"
        assert final == {
            "status": "success",
            "message": "success",
            "channel_id": accepted["channel_id"],
            "content": "Inception!",
            "model": "gpt-4o",
            "customer_data": CUSTOMER,
            "meta": {**META, "status": "success", "structured_output": False},
        }


@pytest.mark.parametrize("browser", ["websocket", "sse"])
async def test_the_channel_of_a_failed_run(tmp_path: Path, browser: str) -> None:
    async with open_world(tmp_path, provider=_provider()) as world:
        world.backend.plan(EVENT, Reaction(FAILURE))
        accepted = await world.submit(customer_data=CUSTOMER)
        final = (await (await world.browse(browser, accepted)).rest())[-1]
        assert final == {
            "status": "error",
            "channel_id": accepted["channel_id"],
            "message": "no such movie",
            "error": {
                "message": "no such movie",
                "code": "processing_failed",
                "details": {"code": "processing_failed"},
            },
            "event_name": EVENT,
            "customer_data": CUSTOMER,
            "meta": {**META, "status": "error"},
        }


async def test_cache_fields_come_back_under_their_paths(tmp_path: Path) -> None:
    workflow = movie_workflow(cache_fields=("user_id", "metadata.experiment.bucket", "messages.0.role", "missing"))
    async with open_world(tmp_path, workflows=[workflow], provider=_provider()) as world:
        accepted = await world.submit(
            user_id="top", metadata={"experiment": {"bucket": "b"}}, customer_data={"user_id": "own"}
        )
        payload = await _first(world, accepted)
        expected = {"user_id": "own", "metadata.experiment.bucket": "b", "messages.0.role": "user"}
        assert payload["customer_data"] == accepted["customer_data"] == expected


async def test_the_wrapped_body(tmp_path: Path) -> None:
    async with open_world(tmp_path, provider=_provider(), endpoint={"body": "wrapped"}) as world:
        payload = await _first(world, await world.submit())
        assert payload["data"] == {name: value for name, value in payload.items() if name != "data"}


async def test_the_encoding_of_python(tmp_path: Path) -> None:
    """The bytes are `json.dumps` of the parsed body, and what is signed is those bytes."""
    async with open_world(tmp_path, provider=_provider(), endpoint={"encoding": "python-json"}) as world:
        accepted = await world.submit(customer_data={"name": "Zoë", "1": 1e21, "score": 8.0})
        await _first(world, accepted)
        [received] = world.backend.received
        assert received.raw == json.dumps(json.loads(received.raw)).encode()
        assert b"Zo\\u00eb" in received.raw


def _own(meta: dict[str, Any]) -> dict[str, Any]:
    """A provider's own account does not name the workflow."""
    return {name: value for name, value in meta.items() if name != "workflow"}


@pytest.mark.parametrize("answerer", ["remote", "handler"])
async def test_case_32_what_is_too_large_for_a_webhook_is_left_at_the_desk(tmp_path: Path, answerer: str) -> None:
    """Sender case 32: a body over 4 MiB goes out with a claim check; a handler in the process is given everything."""
    large = {"title": "Inception", "script": "x" * (LARGEST + 1)}
    async with open_world(tmp_path, answerer=answerer, provider=ScriptedProvider(large)) as world:
        world.backend.plan(EVENT, Reaction(SUCCESS if answerer == "handler" else None))
        accepted = await world.submit(customer_data={"user": "u1"})
        await world.wrote(accepted, "delivery.attempted")
        [told] = world.backend.received
        if answerer == "handler":
            assert told.payload["ai_response"]["data"] == large
            assert "claim_check" not in told.payload
            return
        assert len(told.raw) < 3000
        assert (told.payload["ai_response"], told.payload["customer_data"]) == (None, {"user": "u1"})
        claim = told.payload["claim_check"]
        assert claim["members"] == ["ai_response"]
        assert claim["bytes"] > LARGEST
        entries = (await world.http.get(claim["url"])).json()["entries"]
        [made] = [entry["data"] for entry in entries if entry["kind"] == "stage.completed"]
        assert made["data"] == large
