"""The first stage in the whole flow: fallbacks, structured outputs, tool calls, cancelling, a real HTTP provider."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from riverflow import Fallback, hookimpl
from riverflow.codec import decode
from riverflow.errors import ProviderError
from riverflow.testing import Reply, ScriptedProvider, StubOpenAI, generation, serve
from riverflow.testing.suites.receiver import receiving

from .backend import SUCCESS, Reaction
from .world import EVENT, MOVIE, World, movie_workflow, open_world

pytestmark = pytest.mark.anyio

SCHEMA = {"type": "object", "properties": {"title": {"type": "string"}}, "required": ["title"]}


async def _wait_out(world: World, accepted: dict[str, Any]) -> dict[str, Any]:
    """Let pauses between rounds pass until the run has ended: its state."""
    ending = asyncio.ensure_future(world.ended(accepted))
    while not ending.done():
        await world.clock.advance(0.1)
    await ending
    return await world.state(accepted)


async def test_a_fallback_answers(tmp_path: Path) -> None:
    backup = ScriptedProvider({**MOVIE}, model="claude")

    class Plugin:
        @hookimpl
        def riverflow_providers(self) -> Any:
            return {"backup": lambda context: backup}

    broken = ScriptedProvider(ProviderError("no", code="authentication_error", again=False))
    workflow = movie_workflow(fallbacks=(Fallback(provider="backup", model="claude"),))
    async with open_world(tmp_path, workflows=[workflow], provider=broken, plugins=[Plugin()]) as world:
        world.backend.plan(EVENT, Reaction(SUCCESS))
        accepted = await world.submit()
        final = (await (await world.browse("websocket", accepted)).rest())[-1]
        meta = final["meta"]
        assert (final["status"], meta["used_provider"], meta["used_model"]) == ("completed", "backup", "claude")
        assert (meta["requested_provider"], meta["requested_model"]) == ("scripted", "gpt-4o")
        tries = [(t["provider"], t["success"], t["status"], t.get("reason")) for t in meta["attempts"]]
        assert tries == [
            ("scripted", False, "error", "authentication_error"),
            ("backup", True, "success", None),
        ]
        assert world.backend.received[0].payload["meta"]["provider"] == "backup"


@pytest.mark.parametrize("browser", ["websocket", "sse"])
async def test_all_providers_fail(tmp_path: Path, browser: str) -> None:
    broken = ScriptedProvider(
        ProviderError("upstream says no", code="upstream_error", upstream_status=504, again=False)
    )
    async with open_world(tmp_path, provider=broken) as world:
        accepted = await world.submit()
        [final] = await (await world.browse(browser, accepted)).rest()
        assert final["status"] == final["meta"]["status"] == "error"
        assert final["error"]["message"] == final["message"] == "upstream says no"
        assert final["error"]["details"] == {"status": 504, "message": "upstream says no", "code": "upstream_error"}
        assert world.backend.received == []
        assert (await world.call_back(accepted, SUCCESS)).json()["error"]["code"] == "run_ended"


@pytest.mark.parametrize("said", ["no JSON at all", {"year": 2010}])
async def test_an_answer_that_the_schema_refuses(tmp_path: Path, said: Any) -> None:
    provider = ScriptedProvider(said)
    async with open_world(tmp_path, provider=provider) as world:
        accepted = await world.submit(structured_output_schema=SCHEMA)
        final = await _wait_out(world, accepted)
        assert (final["status"], final["error"]["code"]) == ("error", "invalid_output")
        assert len(provider.requests) == len(final["meta"]["attempts"]) == 3


async def test_a_second_answer_satisfies_the_schema(tmp_path: Path) -> None:
    provider = ScriptedProvider("sorry?", {"title": "Heat"})
    async with open_world(tmp_path, answerer="handler", provider=provider) as world:
        world.backend.plan(EVENT, Reaction(SUCCESS))
        accepted = await world.submit(structured_output_schema=SCHEMA)
        final = await _wait_out(world, accepted)
        assert final["ai_response"]["data"] == {"title": "Heat"}


async def test_a_tool_call_is_passed_through(tmp_path: Path) -> None:
    """Pattern 2: the backend runs the tool; a structured output does not apply to the call."""
    call = {"id": "call_1", "type": "function", "function": {"name": "find", "arguments": '{"title":"Heat"}'}}
    provider = ScriptedProvider(generation(None, tool_calls=[call]))
    tools = [{"type": "function", "function": {"name": "find", "parameters": SCHEMA}}]
    async with open_world(tmp_path, provider=provider) as world:
        world.backend.plan(EVENT, Reaction(SUCCESS))
        accepted = await world.submit(tools=tools, tool_choice="auto", structured_output_schema=SCHEMA)
        final = (await (await world.browse("websocket", accepted)).rest())[-1]
        for data in (final["ai_response"]["data"], world.backend.received[0].payload["ai_response"]["data"]):
            assert data["choices"][0]["message"]["tool_calls"] == [call]
        asked = decode(provider.requests[0].request)
        assert (asked["tools"], asked["tool_choice"]) == (tools, "auto")


@pytest.mark.parametrize("browser", ["websocket", "sse"])
async def test_cancelling_reaches_the_provider(tmp_path: Path, browser: str) -> None:
    begun, cancelled = asyncio.Event(), asyncio.Event()

    async def never(request: Any) -> Any:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    async with open_world(tmp_path, provider=ScriptedProvider(never)) as world:
        accepted = await world.submit()
        reader = await world.browse(browser, accepted)
        await begun.wait()
        answer = await world.http.post(f"/v1/ai/{accepted['channel_id']}/cancel")
        assert (answer.status_code, answer.json()["status"]) == (200, "error")
        [final] = await reader.rest()
        assert final["error"]["details"]["code"] == "cancelled"
        async with asyncio.timeout(10):
            await cancelled.wait()
        again = await world.http.post(f"/v1/ai/{accepted['channel_id']}/cancel")
        assert (again.status_code, again.json()["error"]["code"]) == (409, "run_ended")
        assert (await world.call_back(accepted, SUCCESS)).status_code == 409
        kinds = [entry["kind"] for entry in await world.timeline(accepted)]
        assert kinds == ["run.accepted", "run.failed"]


async def test_cancelling_closes_the_connection_to_the_provider(tmp_path: Path) -> None:
    """With the client that is built when nothing is configured: the model stops working for nobody."""
    async with receiving() as provider:
        provider.replies(provider.silent)
        workflow = movie_workflow(provider="openai")
        settings = {"openai_base_url": f"http://127.0.0.1:{provider.port}/v1", "openai_api_key": "sk-test"}
        async with open_world(tmp_path, workflows=[workflow], **settings) as world:
            accepted = await world.submit()
            async with asyncio.timeout(10):
                await provider.asked.wait()
                assert not provider.left.is_set()
                answer = await world.http.post(f"/v1/ai/{accepted['channel_id']}/cancel")
                assert (answer.status_code, answer.json()["status"]) == (200, "error")
                await provider.left.wait()
            assert [request.line for request in provider.received] == ["POST /v1/chat/completions HTTP/1.1"]


async def test_cancelling_while_waiting(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        accepted = await world.submit()
        await world.wrote(accepted, "delivery.attempted")
        answer = await world.http.post(f"/v1/ai/{accepted['channel_id']}/cancel")
        assert answer.status_code == 200
        late = await world.call_back(accepted, SUCCESS)
        assert (late.status_code, late.json()["error"]["code"]) == (409, "run_ended")
        await world.clock.advance(600)
        kinds = [entry["kind"] for entry in await world.timeline(accepted)]
        assert kinds[-1] == "run.failed"
        assert "callback.timed_out" not in kinds


async def test_over_real_http_with_a_structured_output(tmp_path: Path) -> None:
    stub = StubOpenAI(Reply.text('{"title":"Inception","rating":8.0}', model="gpt-4o-2024"))
    output = {"name": "film", "schema": SCHEMA}
    async with serve(stub) as provider_url:
        settings = {"openai_base_url": f"{provider_url}/v1", "openai_api_key": "sk-test"}
        workflow = movie_workflow(provider="openai", structured_output_id="film", instructions="Be brief.")
        async with open_world(tmp_path, workflows=[workflow], **settings) as world:
            assert (await world.http.post("/console/structured_output", json=output)).status_code == 201
            world.backend.plan(EVENT, Reaction(SUCCESS))
            accepted = await world.submit(temperature=0.2, user_id="u1")
            final = (await (await world.browse("sse", accepted)).rest())[-1]
            assert final["ai_response"]["data"] == {"title": "Inception", "rating": 8}
            assert b'"rating":8}' in world.backend.received[0].raw  # as JSON.stringify writes it
            assert final["meta"]["used_model"] == "gpt-4o-2024"
    [asked] = stub.requests
    assert asked.headers["authorization"] == "Bearer sk-test"
    assert asked.body["model"] == "gpt-4o"
    assert asked.body["temperature"] == 0.2
    assert "workflow" not in asked.body
    assert "user_id" not in asked.body
