"""Floor (a): the same HTTP exchanges by Starlette + aiohttp with no durability at all, as the yardstick.

It signs and checks the key as riverflow does, because that is part of the exchange, and it pushes the same two messages
(`ai_generated`, `completed`) at the same sizes; it keeps a run in a dictionary.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import os
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from .payloads import API_KEY, SECRET

__all__ = ["floor_app"]

_decode = msgspec.json.decode
_encode = msgspec.json.encode


class Floor:
    """The exchanges of modes R (`remote`), I (`push`) and S (neither)."""

    def __init__(self, mode: str, stub: str, certificate: str) -> None:
        self._mode = mode
        self._ai = f"{stub}/v1/chat/completions"
        self._hook = f"{stub}/hook"
        self._tls = ssl.create_default_context(cafile=certificate) if certificate else True
        self._session: aiohttp.ClientSession | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._waiting: dict[str, bytes] = {}
        self._readers: dict[str, asyncio.Queue[bytes]] = {}

    @asynccontextmanager
    async def lifespan(self, app: Starlette) -> AsyncIterator[None]:
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0, ssl=self._tls)) as session:
            self._session = session
            yield

    async def submit(self, request: Request) -> Response:
        if not _may(request):
            return Response(status_code=401)
        asked = _decode(await request.body())
        run_id = os.urandom(16).hex()
        base = f"http://{request.headers['host']}"
        if self._mode == "I":
            self._readers[run_id] = asyncio.Queue()
        task = asyncio.create_task(self._run(run_id, asked, base))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        body = _encode({"message": "success", "status": "pending", "channel_id": run_id, "ws_token": run_id})
        return Response(body, media_type="application/json")

    async def callback(self, request: Request) -> Response:
        if not _may(request):
            return Response(status_code=401)
        run_id = request.path_params["run_id"]
        answer = _decode(await request.body())
        self._waiting.pop(run_id)
        body = {"message": "success", "channel_id": run_id, "task_id": answer["task_id"]}
        return Response(_encode(body), media_type="application/json")

    async def socket(self, websocket: WebSocket) -> None:
        """A message is the id of a run to follow; its messages are pushed."""
        await websocket.accept()
        try:
            while True:
                await self._push(await websocket.receive_text(), websocket)
        except WebSocketDisconnect:
            return

    async def own_socket(self, websocket: WebSocket) -> None:
        """A socket for one run: a join, a reply, the messages."""
        await websocket.accept()
        await websocket.receive_text()
        await websocket.send_text('["1","1","ai_response","phx_reply",{"status":"ok","response":{}}]')
        run_id = websocket.query_params["token"]
        await self._push(run_id, websocket)
        await websocket.receive()

    async def _push(self, run_id: str, websocket: WebSocket) -> None:
        for _ in range(2):
            await websocket.send_text((await self._readers[run_id].get()).decode())
        del self._readers[run_id]

    async def _run(self, run_id: str, asked: dict[str, Any], base: str) -> None:
        assert self._session is not None
        body = _encode({"model": "gpt-4o-mini", "messages": asked["messages"], "temperature": asked["temperature"]})
        async with self._session.post(self._ai, data=body, headers=_JSON) as answered:
            answer = _decode(await answered.read())
        if self._mode == "I":
            said = {"channel_id": run_id, "customer_data": asked["customer_data"]}
            self._readers[run_id].put_nowait(_encode({"status": "ai_generated", **said, "meta": _META}))
            data = {**answer, "id": "mov_12345", "saved": True}
            ai_response = {"data": answer, "meta": _META}
            message = {"status": "completed", **said, "data": data, "ai_response": ai_response, "meta": _META}
            self._readers[run_id].put_nowait(_encode(message))
        elif self._mode == "R":
            self._waiting[run_id] = body
            event = {"type": "task.ai_generated", "callback_url": f"{base}/v1/callback/{run_id}"}
            await self._tell(run_id, answer, asked, event)
        else:
            await self._tell(run_id, answer, asked, {"type": "task.completed"})

    async def _tell(self, run_id: str, answer: Any, asked: dict[str, Any], said: dict[str, str]) -> None:
        assert self._session is not None
        customer_data = asked["customer_data"]
        body = _encode({**said, "channel_id": run_id, "ai_response": {"data": answer}, "customer_data": customer_data})
        signature = hmac.digest(SECRET.encode(), body, hashlib.sha256).hex()
        headers = {**_JSON, "mr-signature": signature, "mr-timestamp": str(int(time.time())), "mr-channel-id": run_id}
        async with self._session.post(self._hook, data=body, headers=headers) as answered:
            await answered.read()


_JSON = {"content-type": "application/json"}

_TOKENS = {"prompt_tokens": 120, "completion_tokens": 180, "total_tokens": 300}
_META = {
    **{f"{who}_{what}": what for who in ("used", "requested") for what in ("provider", "model")},
    "workflow": "bench",
    "duration_ms": 0,
    "tokens": _TOKENS,
    "usage": _TOKENS,
    "structured_output": False,
    "attempts": [
        {"provider": "openai", "model": "gpt-4o-mini", "duration_ms": 0, "success": True, "status": "success"}
    ],
}
"""What riverflow tells of a provider's answer, three times a run: 400 bytes."""


def _may(request: Request) -> bool:
    return hmac.compare_digest(request.headers.get("authorization", ""), f"Bearer {API_KEY}")


def floor_app(mode: str, stub: str, certificate: str = "") -> Starlette:
    """The floor as an ASGI app; `stub` is the base URL of provider and backend, `certificate` the file of its own."""
    floor = Floor(mode, stub, certificate)
    return Starlette(
        lifespan=floor.lifespan,
        routes=[
            Route("/v1/ai/async", floor.submit, methods=["POST"]),
            Route("/v1/callback/{run_id}", floor.callback, methods=["POST"]),
            WebSocketRoute("/bench/socket", floor.socket),
            WebSocketRoute("/socket/websocket", floor.own_socket),
        ],
    )
