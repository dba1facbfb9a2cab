"""Nothing secret leaves: a whole flow on a real server that logs all it can, with canaries for secrets, and then a look
into the log, every answer and every byte of the database."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import httpx
import pytest
import websockets
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from riverflow.testing import serve
from riverflow.testing.stub_openai import Reply, StubOpenAI

from .commands import started, until

pytestmark = pytest.mark.anyio

ROOT = "mr_live_canary-of-the-root-key"
SEALING = "Y2FuYXJ5Y2FuYXJ5Y2FuYXJ5Y2FuYXJ5Y2FuYXJ5ISE="
SETTINGS_KEY = "sk-canary-of-the-settings"
SETTINGS_SECRET = "whsec_Y2FuYXJ5IG9mIHRoZSBzZXR0aW5ncw=="
PROJECTS_KEY = "sk-canary-of-the-project"
WRONG_KEY = "mr_live_canary-that-was-mistyped"
WRONG_TOKEN = "canary.that.was-mistyped"


class Flow:
    """A client that keeps all it is answered, but for what an answer is there to show once."""

    def __init__(self, origin: str) -> None:
        self.origin = origin
        self.answers: list[str] = []
        self.secrets: dict[str, str] = {
            "root key": ROOT,
            "secret key": SEALING,
            "settings' provider key": SETTINGS_KEY,
            "settings' webhook secret": SETTINGS_SECRET,
            "project's provider key": PROJECTS_KEY,
            "wrong key": WRONG_KEY,
            "wrong token": WRONG_TOKEN,
        }
        self._http = httpx.AsyncClient(base_url=origin, timeout=20, trust_env=False)

    async def call(self, verb: str, path: str, body: Any = None, key: str = ROOT, **options: Any) -> Any:
        answer = await self._http.request(verb, path, json=body, headers=_bearer(key), **options)
        for name in ("key", "secret", "ws_token"):
            shown = answer.json().get(name) if answer.headers["content-type"] == "application/json" else None
            if shown is not None:
                self.secrets[f"{name} of {verb} {path} ({len(self.secrets)})"] = shown
                return answer.json()
        self.answers.append(answer.text + str(answer.headers))
        return answer.json() if answer.headers["content-type"] == "application/json" else answer.text

    async def watch(self, run: dict[str, Any]) -> None:
        """Follow a run to its end over both wires."""
        await self.call("GET", f"/v1/ai/{run['channel_id']}/events", params={"token": run["ws_token"]}, key="")
        async with websockets.connect(f"{run['websocket_url']}/websocket?token={run['ws_token']}&vsn=2.0.0") as socket:
            await socket.send(json.dumps(["1", "1", run["websocket_channel"], "phx_join", {}]))
            async for frame in socket:
                self.answers.append(str(frame))

    async def aclose(self) -> None:
        await self._http.aclose()


def _bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"} if key else {}


def backend(calls: asyncio.Queue[dict[str, Any]]) -> Starlette:
    """Refuses the first delivery, takes the others."""
    seen: list[int] = []

    async def take(request: Request) -> JSONResponse:
        seen.append(1)
        payload = await request.json()
        if len(seen) == 1:
            return JSONResponse({"error": "not yet"}, status_code=503)
        calls.put_nowait(payload)
        return JSONResponse({"received": True})

    return Starlette(routes=[Route("/hook", take, methods=["POST"])])


async def configure(flow: Flow, hook: str, provider: str) -> str:
    """Everything that has a secret, by way of the API; a key that may submit, read and call back."""
    scopes = ["submit", "read", "callback"]
    key: str = (await flow.call("POST", "/console/key", {"name": "app", "scopes": scopes}))["key"]
    endpoint = await flow.call("POST", "/console/webhook", {"url": hook})
    await flow.call("POST", f"/console/webhook/{endpoint['id']}/rotate")
    await flow.call("POST", "/console/project/default/rotate")
    await flow.call("POST", "/console/project", {"name": "blue"})
    account = {"provider": "openai", "api_key": PROJECTS_KEY, "base_url": provider}
    await flow.call("POST", "/console/credential", account)
    workflow = {"name": "movie", "provider": "openai", "model": "gpt-4o", "event_name": "new_movie"}
    await flow.call("POST", "/console/workflow", workflow)
    return key


async def provoke(flow: Flow, run: dict[str, Any]) -> None:
    """Requests that fail, each with something secret in it."""
    for key in (WRONG_KEY, f"{ROOT}x"):
        await flow.call("GET", "/console/key", key=key)
    for token in (WRONG_TOKEN, f"{run['ws_token']}x"):
        await flow.call("GET", f"/v1/ai/{run['channel_id']}/events", params={"token": token}, key="")
        async with websockets.connect(f"{run['websocket_url']}/websocket?token={token}&vsn=2.0.0") as socket:
            await socket.send(json.dumps(["1", "1", run["websocket_channel"], "phx_join", {}]))
            flow.answers.extend([str(frame) async for frame in socket])
    for body in ({"api_key": PROJECTS_KEY}, {"provider": "openai", "api_key": PROJECTS_KEY, "base_url": "ftp://x"}):
        await flow.call("POST", "/console/credential", body)
    await flow.call("PATCH", "/console/credential/openai", {"api_key": f"{PROJECTS_KEY}\n"})
    await flow.call("POST", "/v1/ai/async", {"workflow": "no such"})


async def look_around(flow: Flow, runs: Iterable[dict[str, Any]]) -> None:
    for kind in ("key", "webhook", "project", "credential", "workflow"):
        await flow.call("GET", f"/console/{kind}")
    for run in runs:
        for path in ("", "/timeline"):
            await flow.call("GET", f"/v1/ai/{run['channel_id']}{path}")


async def test_no_secret_is_in_the_log_the_answers_or_the_database(tmp_path: Path) -> None:
    calls: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    stub = StubOpenAI("a film", Reply.error(401, f"Incorrect API key provided: {PROJECTS_KEY}"))
    environ = {
        "RIVERFLOW_ENV": "development",
        "RIVERFLOW_API_KEY": ROOT,
        "RIVERFLOW_SECRET_KEY": SEALING,
        "RIVERFLOW_WEBHOOK_SECRET": SETTINGS_SECRET,
        "OPENAI_API_KEY": SETTINGS_KEY,
    }
    with started(tmp_path, "serve", "--port", "0", "--log-level", "debug", "--access-log", **environ) as server:
        said = until(server, "serves")
        found = re.search(r"http://\S+", said)
        assert found is not None
        assert server.stdout is not None
        rest = asyncio.create_task(asyncio.to_thread(server.stdout.read))
        flow = Flow(found[0])
        async with serve(backend(calls)) as receiver, serve(stub) as provider:
            key = await configure(flow, f"{receiver}/hook", f"{provider}/v1")
            good = await flow.call("POST", "/v1/ai/async", {"workflow": "movie", "prompt": "hi"}, key)
            payload = await asyncio.wait_for(calls.get(), 20)
            answered = await flow.call("POST", payload["callback_url"], {"data": {"id": 1}}, key)
            assert answered["message"] == "success"
            bad = await flow.call("POST", "/v1/ai/async", {"workflow": "movie", "prompt": "hi"}, key)
            for run in (good, bad):
                await flow.watch(run)
            await provoke(flow, good)
            await look_around(flow, (good, bad))
        server.terminate()
        log = said + await asyncio.wait_for(rest, 20)
        await flow.aclose()
    assert [request.headers["authorization"] for request in stub.requests] == [f"Bearer {PROJECTS_KEY}"] * 2
    told, kept = "\n".join(flow.answers), b"".join(path.read_bytes() for path in sorted(_files(tmp_path)))
    assert "Incorrect API key provided: …" in told
    assert "DEBUG" in log
    assert len(flow.secrets) >= 14
    places = {"the log": log, "an answer": told, "the database": kept.decode("latin-1")}
    found_in = [(name, place) for name, secret in flow.secrets.items() for place in places if secret in places[place]]
    assert found_in == []


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if path.name.startswith("riverflow.db")]
