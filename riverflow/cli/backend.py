"""The demo's backend, a process of its own: verifies the webhook, acknowledges it, enriches the movie, calls back.

It is what a user of riverflow writes in his own language; it shares no memory with riverflow and uses nothing of it but
the HTTP client. Run by `riverflow demo` as `python -m riverflow.cli.backend`, with MODELRIVER_API_KEY set.

It speaks to its parent in lines: on stdout first its URL, then what it does; on stdin first the webhook's secret, and
when stdin ends, it ends. So it does not outlive a parent that was killed.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from threading import Thread
from typing import Any, TextIO

import uvicorn
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from ..builtin.http import build_client
from ..builtin.system import SystemClock
from ..config import Settings
from ..ports import HttpClient, HttpRequest
from .server import listen

__all__ = ["WEBHOOK_PATH", "Backend", "verify"]

WEBHOOK_PATH = "/webhooks/ai"

_RECOMMENDATIONS = [{"title": "The Matrix", "rating": 8.7}, {"title": "Interstellar", "rating": 8.6}]
_STREAMING = {"netflix": True, "prime": False, "hulu": False}
_LOOK_UP = 0.08  # seconds that each of the pretended look-ups takes


def verify(body: bytes, signature: str, secret: str) -> bool:
    """Whether `mr-signature` is the hex HMAC-SHA256 of the body as it was sent, keyed with the endpoint's secret."""
    expected = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    return hmac.compare_digest(signature.encode(), expected.encode())


class Backend:
    """The webhook receiver. `say` tells a line of what was done."""

    def __init__(self, api_key: str, say: Callable[[str], None]) -> None:
        self.secret: str | None = None
        self._api_key = api_key
        self._say = say
        self._known: set[str] = set()  # channel ids: a webhook may be delivered more than once
        self._http: HttpClient | None = None
        self.app = Starlette(routes=[Route(WEBHOOK_PATH, self.receive, methods=["POST"])], lifespan=self._lifespan)

    @asynccontextmanager
    async def _lifespan(self, app: Starlette) -> AsyncIterator[None]:
        self._http = build_client(Settings(env="development"), SystemClock())
        try:
            yield
        finally:
            await self._http.aclose()

    async def receive(self, request: Request) -> JSONResponse:
        """Acknowledge at once; the work goes on after the answer."""
        body = await request.body()
        if self.secret is None or not verify(body, request.headers.get("mr-signature", ""), self.secret):
            self._say("refused a webhook: the signature is wrong")
            return JSONResponse({"error": "Invalid signature"}, 401)
        event = json.loads(body)
        if event["type"] != "task.ai_generated" or event["channel_id"] in self._known:
            return JSONResponse({"received": True})
        self._known.add(event["channel_id"])
        self._say(f"{event['event']}: mr-signature verified, 200 sent")
        return JSONResponse({"received": True}, background=BackgroundTask(self._process, event))

    async def _process(self, event: dict[str, Any]) -> None:
        begun = time.monotonic()
        try:
            answer = await enriched(event, begun)
        except Exception as error:
            answer = {"error": "processing_failed", "message": f"{type(error).__name__}: {error}"}
        self._say(f"{answer.get('error') or answer['task_id']}: calling back")
        status = await self._call_back(event["callback_url"], answer)
        if status != 200:
            self._say(f"the callback was answered {status}")

    async def _call_back(self, url: str, answer: dict[str, Any]) -> int:
        assert self._http is not None
        request = HttpRequest(
            method="POST",
            url=url,
            headers=(("authorization", f"Bearer {self._api_key}"), ("content-type", "application/json")),
            body=json.dumps(answer).encode(),
            purpose="delivery",
            timeout=10.0,
            max_body=65536,
        )
        return (await self._http.send(request)).status


async def enriched(event: dict[str, Any], begun: float) -> dict[str, Any]:
    """The callback's success form: the AI's movie with what only the backend knows. `begun` is a monotonic time."""
    movie = event["ai_response"]["data"]
    if not isinstance(movie, dict) or "title" not in movie:
        raise ValueError("the AI answered no movie")
    await asyncio.gather(*(asyncio.sleep(_LOOK_UP * (place + 1)) for place in range(3)))
    data = {
        **movie,
        "id": "mov_123",
        "database_id": 456,
        "recommendations": _RECOMMENDATIONS,
        "streaming": _STREAMING,
        "processed_at": datetime.now(UTC).isoformat(timespec="milliseconds"),
    }
    metadata = {"processing_time_ms": round((time.monotonic() - begun) * 1000), "sources_checked": 3}
    return {"data": data, "task_id": "movie_mov_123", "metadata": metadata}


def _say(line: str) -> None:
    print(line, flush=True)


def _obey(lines: TextIO, backend: Backend, server: uvicorn.Server) -> None:
    backend.secret = lines.readline().strip() or None
    lines.read()
    server.should_exit = True


def main() -> None:
    """Serve until stdin ends."""
    backend = Backend(os.environ["MODELRIVER_API_KEY"], _say)
    listener = listen("127.0.0.1", 0)
    server = uvicorn.Server(uvicorn.Config(backend.app, log_level="warning", access_log=False, ws="none"))
    Thread(target=_obey, args=(sys.stdin, backend, server), daemon=True).start()
    _say(f"http://127.0.0.1:{listener.getsockname()[1]}{WEBHOOK_PATH}")
    server.run(sockets=[listener])


if __name__ == "__main__":
    main()
