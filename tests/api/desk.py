"""Where the API tests sit: one riverflow mounted into an app on a real server, and a client with a key."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any

import httpx
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from riverflow import Riverflow, RiverflowMiddleware, Workflow
from riverflow.testing import FakeClock, serve

KEY = "mr_live_desk"
NOBODY = "0190a000-0000-7000-8000-000000000000"
"""A channel id that no run has."""

PLAIN = Workflow(name="plain", provider="echo", template="hello")
MOVIE = Workflow(name="movie", provider="echo", template="hello", event_name="new_movie")


class Desk:
    """A running riverflow under `/river`, seen from outside."""

    def __init__(self, river: Riverflow, client: httpx.AsyncClient, clock: FakeClock, origin: str) -> None:
        self.river = river
        self.client = client
        self.clock = clock
        self.origin = origin

    async def submit(self, workflow: str = "movie", **fields: Any) -> dict[str, Any]:
        """Submit, and take the answer for good."""
        response = await self.client.post("/v1/ai/async", json={"workflow": workflow, **fields})
        assert response.status_code == 200, response.text
        answer: dict[str, Any] = response.json()
        return answer

    async def until(self, channel_id: str, *statuses: str) -> dict[str, Any]:
        """The state once it is one of `statuses`, learnt from the stream of the channel."""
        async with self.client.stream("GET", f"/v1/ai/{channel_id}/events") as response:
            async for line in response.aiter_lines():
                if line.startswith("data:") and json.loads(line[5:]).get("status") in statuses:
                    break
        return (await self.client.get(f"/v1/ai/{channel_id}")).json()

    async def entries(self, channel_id: str) -> list[dict[str, Any]]:
        return (await self.client.get(f"/v1/ai/{channel_id}/timeline")).json()["entries"]

    async def kinds(self, channel_id: str) -> list[str]:
        return [entry["kind"] for entry in await self.entries(channel_id)]


Sit = Callable[..., AbstractAsyncContextManager[Desk]]


def host_app() -> Starlette:
    """The app that riverflow is mounted into."""

    async def home(request: Any) -> PlainTextResponse:
        return PlainTextResponse("home")

    return Starlette(routes=[Route("/", home)])


@asynccontextmanager
async def sit(tmp_path: Path, **options: Any) -> AsyncIterator[Desk]:
    """Build, mount, serve. `options` are Riverflow's."""
    clock = FakeClock()
    defaults: dict[str, Any] = {
        "database_url": f"sqlite:///{tmp_path}/desk.db",
        "api_key": KEY,
        "env": "development",
        "workflows": [PLAIN, MOVIE],
        "environ": {},
        "discover_plugins": False,
        "clock": clock,
        "drain_timeout": 0.5,
    }
    river = Riverflow(**(defaults | options))
    app = RiverflowMiddleware(host_app(), river=river)
    async with serve(app, lifespan="on") as origin, client_of(f"{origin}/river") as client:
        yield Desk(river, client, clock, origin)


def client_of(base_url: str, key: str | None = KEY) -> httpx.AsyncClient:
    headers = {"authorization": f"Bearer {key}"} if key is not None else {}
    return httpx.AsyncClient(base_url=base_url, headers=headers, trust_env=False, timeout=10)


def problem(response: httpx.Response, status: int, code: str | None = None) -> dict[str, Any]:
    """The response is the one error body, with this status (and code)."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/json"
    body: dict[str, Any] = response.json()
    assert body["status"] == status
    assert body["title"] == HTTPStatus(status).phrase
    assert body["type"] == "about:blank"
    assert body["message"]
    assert body["message"] == body["detail"] == body["error"]["message"]
    assert body["error"]["type"]
    assert body["error"]["code"]
    if code is not None:
        assert body["error"]["code"] == code
    return body
