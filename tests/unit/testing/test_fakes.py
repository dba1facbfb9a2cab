"""The other fakes: identifiers, scripts, the stub service and the server."""

from __future__ import annotations

import asyncio
import json
import uuid

import httpx
import pytest

import riverflow.testing
from riverflow.errors import HttpError, ProviderError
from riverflow.models import Answer, Delivery, GenerateRequest, Json
from riverflow.ports import HttpRequest
from riverflow.testing import (
    RecordingSender,
    Reply,
    ScriptedProvider,
    SequenceIds,
    StubOpenAI,
    generation,
    make_context,
    serve,
    stage_context,
)

pytestmark = pytest.mark.anyio

REQUEST = GenerateRequest(channel_id="c", model="m", request=Json(b"{}"), timeout=1)
DELIVERY = Delivery(
    id="dlv_1",
    run_id="r",
    project_id="p",
    stage="enrich",
    type="task.ai_generated",
    url="https://example.com/",
    lane="http",
    body=b"{}",
    created_at=0,
    due_at=0,
)


def test_every_public_name_is_there() -> None:
    assert sorted(riverflow.testing.__all__) == riverflow.testing.__all__
    assert all(getattr(riverflow.testing, name) is not None for name in riverflow.testing.__all__)
    assert set(riverflow.testing.__all__) <= set(dir(riverflow.testing))
    with pytest.raises(AttributeError, match="no_such"):
        _ = riverflow.testing.no_such


def test_ids_count_and_are_shaped_like_real_ones() -> None:
    ids = SequenceIds()
    first, second = ids.channel_id(), ids.channel_id()
    assert uuid.UUID(first).version == 7
    assert first == "018bcfe5-6800-7000-8000-000000000001"
    assert first < second
    assert [ids.opaque("ep"), ids.opaque("dlv"), ids.opaque("ep")] == [f"ep_{1:026x}", f"dlv_{1:026x}", f"ep_{2:026x}"]
    assert ids.secret() != ids.secret()


async def test_a_scripted_provider_follows_its_script_and_repeats_the_end() -> None:
    async def later(request: GenerateRequest) -> str:
        return f"later {request.model}"

    provider = ScriptedProvider(
        "text", {"a": 1.0}, ProviderError("x", code="timeout"), generation(None), lambda request: ["list"], later
    )
    assert (await provider.generate(REQUEST)).content == "text"
    assert (await provider.generate(REQUEST)).content == '{"a":1}'
    with pytest.raises(ProviderError):
        await provider.generate(REQUEST)
    assert (await provider.generate(REQUEST)).content is None
    assert (await provider.generate(REQUEST)).content == '["list"]'
    assert [(await provider.generate(REQUEST)).content for _ in range(2)] == ["later m"] * 2
    assert provider.requests == [REQUEST] * 7


async def test_a_recording_sender_records_and_follows_its_script() -> None:
    sender = RecordingSender(500, Answer(error="timeout"), lambda delivery: 204)
    answers = [await sender.send(DELIVERY, {"mr-signature": "s"}, 30) for _ in range(4)]
    assert [answer.status for answer in answers] == [500, None, 204, 204]
    assert sender.sent[0] == (DELIVERY, {"mr-signature": "s"}, 30)


async def test_a_context_without_a_client_has_no_network() -> None:
    request = HttpRequest(
        method="GET", url="https://example.com/", headers=(), body=b"", purpose="delivery", timeout=1, max_body=1
    )
    with pytest.raises(HttpError) as caught:
        await make_context().http.send(request)
    assert caught.value.code == "policy"


def test_a_stage_context_takes_members_of_the_plan() -> None:
    context = stage_context(request={"prompt": "p"}, provider="echo", attempt=2)
    assert (context.record.plan.provider, context.attempt, context.stage.kind) == ("echo", 2, "generate")
    assert bytes(context.record.request) == b'{"prompt":"p"}'


async def test_the_stub_answers_on_a_real_socket() -> None:
    stub = StubOpenAI(Reply.error(429, "slow down"), {"a": 1}, "text")
    async with serve(stub) as base_url, httpx.AsyncClient(base_url=base_url, trust_env=False) as client:
        answers = [await client.post("/v1/chat/completions", json={"n": n}) for n in range(3)]
        elsewhere = await client.get("/v1/models")
    assert [answer.status_code for answer in answers] == [429, 200, 200]
    assert answers[0].json()["error"]["message"] == "slow down"
    assert [answer.json()["choices"][0]["message"]["content"] for answer in answers[1:]] == ['{"a":1}', "text"]
    assert [request.body["n"] for request in stub.requests] == [0, 1, 2]
    assert elsewhere.status_code == 404


async def test_a_reply_waits_for_its_event() -> None:
    release = asyncio.Event()
    stub = StubOpenAI(Reply.text("at last", model="m"), Reply({"late": True}, after=release, headers={"x-a": "b"}))
    async with serve(stub) as base_url, httpx.AsyncClient(base_url=base_url, trust_env=False) as client:
        await client.post("/v1/chat/completions")
        stub.asked.clear()
        asking = asyncio.create_task(client.post("/v1/chat/completions"))
        await asyncio.wait_for(stub.asked.wait(), 5)
        assert not asking.done()
        release.set()
        answer = await asking
    assert (json.loads(answer.content), answer.headers["x-a"]) == ({"late": True}, "b")


async def test_the_server_runs_the_lifespan_and_ends_requests_that_hang() -> None:
    seen: list[str] = []
    asked = asyncio.Event()

    async def app(scope, receive, send) -> None:
        if scope["type"] == "lifespan":
            for kind in ("startup", "shutdown"):
                assert (await receive())["type"] == f"lifespan.{kind}"
                seen.append(kind)
                await send({"type": f"lifespan.{kind}.complete"})
            return
        asked.set()
        try:
            await asyncio.Event().wait()
        finally:
            seen.append("cut")

    async with httpx.AsyncClient(trust_env=False) as client:
        async with serve(app, grace=0.01) as base_url:
            asking = asyncio.create_task(client.get(base_url))
            await asyncio.wait_for(asked.wait(), 5)
        assert (await asking).status_code == 500  # uvicorn's answer for an app that was cancelled
    assert seen == ["startup", "cut", "shutdown"]


async def test_an_app_that_refuses_to_start_is_told() -> None:
    async def app(scope, receive, send) -> None:
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "no"})

    with pytest.raises(RuntimeError, match="did not start"):
        async with serve(app):
            raise AssertionError("unreachable")


async def test_the_fixtures_of_the_plugin(pytester_free_fixtures: dict[str, str]) -> None:
    assert pytester_free_fixtures == {
        "riverflow_clock": "FakeClock",
        "riverflow_ids": "SequenceIds",
        "riverflow_provider": "ScriptedProvider",
    }


@pytest.fixture
def pytester_free_fixtures() -> dict[str, str]:
    from riverflow.testing import pytest_plugin

    made = {name: getattr(pytest_plugin, name).__wrapped__() for name in pytest_plugin.__all__}
    return {name: type(value).__name__ for name, value in made.items()}
