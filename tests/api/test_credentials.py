"""`/console/credential`: a project's own accounts with providers, and who is asked with which."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import httpx
import pytest

from riverflow import Workflow
from riverflow.errors import HttpError
from riverflow.ports import HttpRequest, HttpResponse
from riverflow.testing import serve
from riverflow.testing.stub_openai import Reply, StubOpenAI

from .desk import Desk, Sit, client_of, problem

pytestmark = pytest.mark.anyio

KEY = "sk-canary-of-a-project"
CHAT = Workflow(name="chat", provider="openai", model="gpt-4o")


async def give(client: httpx.AsyncClient, **fields: Any) -> dict[str, Any]:
    answer = await client.post("/console/credential", json={"provider": "openai", **fields})
    assert answer.status_code == 201, answer.text
    given: dict[str, Any] = answer.json()
    return given


async def ask(desk: Desk, client: httpx.AsyncClient) -> dict[str, Any]:
    """A run of `chat` to its end."""
    accepted = (await client.post("/v1/ai/async", json={"workflow": "chat", "prompt": "hi"})).json()
    run = await desk.river.run(accepted["channel_id"], project_id=accepted["project_id"])
    return await run.result()


@asynccontextmanager
async def tenant(desk: Desk, project: str = "blue") -> AsyncIterator[httpx.AsyncClient]:
    """A project of one's own, with the workflow `chat`."""
    await desk.client.post("/console/project", json={"name": project})
    made = (await desk.client.post("/console/key", json={"name": "k", "project": project})).json()
    async with client_of(str(desk.client.base_url), made["key"]) as client:
        await client.post("/console/workflow", json={"name": "chat", "provider": "openai", "model": "gpt-4o"})
        yield client


async def test_a_credential_is_masked_in_every_answer(desk: Desk) -> None:
    given = await give(desk.client, api_key=KEY)
    assert given["api_key"] == f"…{KEY[-4:]}"
    path = "/console/credential/openai"
    changed = await desk.client.patch(path, json={"base_url": "https://proxy.example.com/v1"})
    assert (changed.json()["api_key"], changed.json()["base_url"]) == (given["api_key"], "https://proxy.example.com/v1")
    for answer in (changed, await desk.client.get(path), await desk.client.get("/console/credential")):
        assert KEY not in answer.text
    problem(await desk.client.post("/console/credential", json={"provider": "openai", "api_key": "x"}), 409)
    assert (await desk.client.patch(path, json={"api_key": "short"})).json()["api_key"] == "…"
    assert (await desk.client.delete(path)).json() == {"name": "openai", "deleted": True}
    problem(await desk.client.get(path), 404, "credential_not_found")


WRONG: list[tuple[dict[str, Any], int]] = [
    ({}, 400),
    ({"provider": "openai"}, 422),
    ({"provider": "nobody", "api_key": KEY}, 422),
    ({"provider": "openai", "api_key": 5}, 400),
    ({"provider": "openai", "api_key": f"{KEY}\r\nx: y"}, 422),
    ({"provider": "openai", "api_key": "schlüssel"}, 422),
    ({"provider": "openai", "base_url": "ftp://example.com"}, 422),
    ({"provider": "openai", "base_url": "https://user:pw@example.com"}, 422),
    ({"provider": "openai", "base_url": "http://169.254.169.254/v1"}, 422),
]


@pytest.mark.parametrize(("body", "status"), WRONG)
async def test_what_is_wrong_is_refused_and_not_quoted(desk: Desk, body: dict[str, Any], status: int) -> None:
    refused = await desk.client.post("/console/credential", json=body)
    problem(refused, status)
    assert KEY not in refused.text
    assert (await desk.client.get("/console/credential")).json()["data"] == []


async def test_the_projects_account_goes_before_the_settings(seated: Sit) -> None:
    settings, own = StubOpenAI("by the settings"), StubOpenAI("by the project")
    async with AsyncExitStack() as stack:
        urls = [await stack.enter_async_context(serve(stub)) for stub in (settings, own)]
        fields = {"openai_base_url": f"{urls[0]}/v1", "openai_api_key": "sk-operator", "workflows": [CHAT]}
        desk = await stack.enter_async_context(seated(**fields))
        client = await stack.enter_async_context(tenant(desk))
        assert (await ask(desk, client))["content"] == "by the settings"
        await give(client, api_key=KEY)
        assert (await ask(desk, client))["content"] == "by the settings"
        await client.patch("/console/credential/openai", json={"base_url": f"{urls[1]}/v1/"})
        assert (await ask(desk, client))["content"] == "by the project"
        await client.patch("/console/credential/openai", json={"api_key": None})
        assert (await ask(desk, client))["content"] == "by the project"
        assert (await ask(desk, desk.client))["content"] == "by the settings"
    assert [r.headers.get("authorization") for r in settings.requests] == [
        "Bearer sk-operator",
        f"Bearer {KEY}",
        "Bearer sk-operator",
    ]
    assert [r.headers.get("authorization") for r in own.requests] == [f"Bearer {KEY}", None]


async def test_what_a_provider_says_of_the_key_is_not_passed_on(seated: Sit) -> None:
    stub = StubOpenAI(Reply.error(401, f"Incorrect API key provided: {KEY}"))
    async with serve(stub) as url, seated(openai_base_url=f"{url}/v1", workflows=[CHAT]) as desk:
        await give(desk.client, api_key=KEY)
        result = await ask(desk, desk.client)
        assert result["status"] == "error"
        assert "Incorrect API key provided: …" in result["error"]["message"]


async def test_without_any_account_the_error_says_where_one_is_given(seated: Sit) -> None:
    async with seated(workflows=[CHAT]) as desk:
        result = await ask(desk, desk.client)
        assert result["error"]["details"]["code"] == "missing_credentials"
        assert "console/credential" in result["error"]["message"]


async def test_a_private_address_is_the_operators_to_name(seated: Sit) -> None:
    """In production: what a project's own key names is vetted like a webhook, what the root key names is trusted."""
    production: dict[str, Any] = {
        "env": "production",
        "secret_key": "QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE=",
        "workflows": [CHAT],
    }
    stub = StubOpenAI("local")
    async with serve(stub) as url, seated(**production) as desk, tenant(desk) as client:
        for private in (f"{url}/v1", "https://10.0.0.1/v1", "https://ollama.internal/v1"):
            body = {"provider": "openai", "base_url": private}
            refused = problem(await client.post("/console/credential", json=body), 422)
            assert "base_url" in refused["message"]
        await give(desk.client, base_url=f"{url}/v1")
        assert (await ask(desk, desk.client))["content"] == "local"
        admin = (await desk.client.post("/console/key", json={"name": "admin"})).json()["key"]
        async with client_of(str(desk.client.base_url), admin) as other:
            # He may change the key; but once he names the URL, it is no longer the operator's.
            assert (await other.patch("/console/credential/openai", json={"api_key": KEY})).status_code == 200
            problem(await other.patch("/console/credential/openai", json={"base_url": f"{url}/v2"}), 422)
        assert (await ask(desk, desk.client))["content"] == "local"
    assert [request.headers.get("authorization") for request in stub.requests] == [None, f"Bearer {KEY}"]


class Asked:
    """ports.HttpClient that notes what it is asked and refuses it."""

    def __init__(self) -> None:
        self.requests: list[HttpRequest] = []

    async def send(self, request: HttpRequest) -> HttpResponse:
        self.requests.append(request)
        raise HttpError("noted", code="policy")

    async def aclose(self) -> None:
        return None


async def test_what_a_project_names_is_dialled_by_the_rules_for_deliveries(seated: Sit) -> None:
    """So that a name which turns to a private address later is refused then, and no connection is shared."""
    http = Asked()
    async with seated(http=http, workflows=[CHAT], openai_api_key="sk-operator") as desk, tenant(desk) as client:
        await ask(desk, client)
        await give(client, api_key=KEY, base_url="https://api.example.com/v1")
        await give(desk.client, base_url="https://ollama.example.com/v1")
        project = (await client.get("/console/project")).json()["data"][0]["id"]
        for asker in (client, desk.client):
            await ask(desk, asker)
    asked = [(request.url, request.purpose, request.tenant) for request in http.requests]
    assert asked == [
        ("https://api.openai.com/v1/chat/completions", "provider", ""),
        ("https://api.example.com/v1/chat/completions", "delivery", project),
        ("https://ollama.example.com/v1/chat/completions", "provider", ""),
    ]
