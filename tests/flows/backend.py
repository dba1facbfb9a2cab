"""A customer's backend: it verifies each delivery, acknowledges it and calls back, as the seed pages tell it to.

The same reactions are played by a receiver on the wire and by an in-process handler. It knows nothing of riverflow's
inside.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from riverflow import Event, Failure, Result

__all__ = ["FAILURE", "SUCCESS", "Backend", "Reaction", "Received"]


@dataclass(frozen=True)
class Reaction:
    """What the backend does about one delivery. `answer` is its callback's body (None: it never calls back), `early`
    calls back before it acknowledges, `status` is the acknowledgement, with `headers` where they are given."""

    answer: dict[str, Any] | None = None
    early: bool = False
    status: int = 200
    headers: Mapping[str, str] | None = None


SUCCESS = {
    "data": {"title": "Inception", "rating": 8.8, "id": "mov_123"},
    "task_id": "movie_123",
    "metadata": {"processing_time_ms": 234},
}
FAILURE = {"error": "processing_failed", "message": "no such movie"}


@dataclass(frozen=True)
class Received:
    """One delivery as it came in; a handler sees no headers and no bytes."""

    payload: dict[str, Any]
    headers: dict[str, str] = field(default_factory=dict)
    raw: bytes = b""
    attempt: int = 0
    key: str = ""


class Backend:
    """Plays `reactions`, one a delivery; the last one is repeated for ever. `plan(event, …)` gives an event its own."""

    def __init__(self, key: str, secret: str) -> None:
        self.received: list[Received] = []
        self.callbacks: list[httpx.Response] = []
        self.address = ""  # of the riverflow that runs now: after a restart the port is another one
        self.app = Starlette(routes=[Route("/webhooks/ai", self._take, methods=["POST"])])
        self._key = key
        self.secret = secret
        self._plans: dict[str, tuple[Reaction, ...]] = {}
        self._counts: dict[str, int] = {}

    def plan(self, event: str, *reactions: Reaction) -> None:
        """What to do about the deliveries of an event (or `task.completed`, …), in order."""
        self._plans[event], self._counts[event] = reactions, 0

    def of(self, name: str) -> list[Received]:
        """The deliveries of an event, or of a type."""
        return [each for each in self.received if name in (each.payload.get("event"), each.payload["type"])]

    async def handle(self, event: Event) -> Any:
        """The same backend as an in-process handler."""
        self.received.append(Received(event.payload, attempt=event.attempt, key=event.idempotency_key))
        reaction = self._next(event.payload)
        if reaction.status >= 300:
            raise RuntimeError(f"as if answered with {reaction.status}")
        if reaction.answer is None or not event.expects_answer:
            return event.defer()
        if reaction.early:
            assert event.callback_url is not None
            await self._call_back(event.callback_url, reaction.answer)
            return event.defer()
        if "error" in reaction.answer:
            raise Failure(reaction.answer["error"], reaction.answer["message"])
        return Result(**reaction.answer)

    async def _take(self, request: Request) -> JSONResponse:
        raw = await request.body()
        headers = dict(request.headers)
        if not self._verified(headers, raw):
            return JSONResponse({"error": "Invalid signature"}, status_code=401)
        payload = json.loads(raw)
        self.received.append(Received(payload, headers, raw, key=headers["webhook-id"]))
        reaction = self._next(payload)
        if reaction.answer is None or "callback_url" not in payload:
            return JSONResponse({"received": True}, status_code=reaction.status, headers=reaction.headers)
        if reaction.early:
            await self._call_back(payload["callback_url"], reaction.answer)
            return JSONResponse({"received": True}, status_code=reaction.status, headers=reaction.headers)
        calling = BackgroundTask(self._call_back, payload["callback_url"], reaction.answer)
        return JSONResponse(
            {"received": True}, status_code=reaction.status, headers=reaction.headers, background=calling
        )

    def _next(self, payload: dict[str, Any]) -> Reaction:
        name = payload.get("event") if payload["type"] == "task.ai_generated" else payload["type"]
        plan = self._plans.get(name or "", (Reaction(),))
        count = self._counts.get(name or "", 0)
        self._counts[name or ""] = count + 1
        return plan[min(count, len(plan) - 1)]

    def _verified(self, headers: dict[str, str], raw: bytes) -> bool:
        """Both as the seed page does it (`mr`) and as Standard Webhooks says."""
        modelriver = hmac.new(self.secret.encode(), raw, hashlib.sha256).hexdigest()
        signed = b".".join([headers["webhook-id"].encode(), headers["webhook-timestamp"].encode(), raw])
        key = base64.b64decode(self.secret.removeprefix("whsec_"))
        standard = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
        return headers["mr-signature"] == modelriver and headers["webhook-signature"] == f"v1,{standard}"

    async def _call_back(self, url: str, body: dict[str, Any]) -> None:
        target = httpx.URL(url).copy_with(netloc=httpx.URL(self.address).netloc)
        async with httpx.AsyncClient(timeout=10, trust_env=False) as client:
            answer = await client.post(target, json=body, headers={"authorization": f"Bearer {self._key}"})
        self.callbacks.append(answer)
