"""Who answers riverflow from outside: the AI provider, and a customer's backends that take webhooks and call back.

They fail as the faults tell them, and call back until they have an answer. What they saw, the witness judges.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from collections.abc import Callable, Coroutine
from itertools import count
from typing import Any
from urllib.parse import urlsplit

from ...event import Event
from ...ports import HttpRequest, HttpResponse
from .clients import Call
from .faults import Faults
from .scenario import SECRET
from .wire import Lost
from .witness import Witness

__all__ = ["Backend"]

_ACKNOWLEDGED = b'{"received":true}'


class Backend:
    """The world outside. `call` reaches riverflow; `begin` starts what goes on by itself."""

    def __init__(
        self, faults: Faults, witness: Witness, call: Call, begin: Callable[[Coroutine[Any, Any, None]], object]
    ) -> None:
        self.hosts = {"provider.sim": self._generate, "one.sim": self._take, "two.sim": self._take}
        self._faults = faults
        self._witness = witness
        self._call = call
        self._begin = begin
        self._marks = count(1)

    async def _generate(self, request: HttpRequest) -> HttpResponse:
        await asyncio.sleep(self._faults.delay())
        if self._faults.strikes("provider_fails"):
            match self._faults.choice(busy=3, broken=2, garbage=1, refused=1, silent=1):
                case "busy":
                    return _answer(429, {"error": {"message": "slow down"}})
                case "broken":
                    return _answer(502, {"error": {"message": "bad gateway"}})
                case "garbage":
                    return HttpResponse(status=200, headers={}, body=b"<html>")
                case "refused":
                    return _answer(400, {"error": {"message": "no"}})
            await asyncio.sleep(1e6)
        asked = json.loads(request.body)
        message = {"role": "assistant", "content": asked["messages"][0]["content"]}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        return _answer(200, {"object": "chat.completion", "model": asked["model"], "choices": [choice]})

    async def _take(self, request: HttpRequest) -> HttpResponse:
        """A webhook. It may be answered before, while or after the backend calls back."""
        headers, told = dict(request.headers), json.loads(request.body)
        signature = hmac.digest(SECRET.encode(), request.body, hashlib.sha256).hex()
        if headers.get("mr-signature") != signature:
            self._witness.violate(f"run {told['channel_id']}: the signature of a webhook is wrong")
        what = told["event"] if told["type"] == "task.ai_generated" else told["type"]
        self._witness.asked(
            headers["webhook-id"], told["channel_id"], what, urlsplit(request.url).hostname or "somebody"
        )
        failing = self._faults.strikes("receiver_fails")
        kind = self._faults.choice(errors=4, gone=1, works_and_errors=2, silent=1) if failing else ""
        if kind in ("", "works_and_errors", "silent") and told.get("callback_required"):
            self._begin(self.work(told["callback_url"], told["channel_id"]))
        await asyncio.sleep(self._faults.delay())
        if kind == "silent":
            await asyncio.sleep(1e6)
        if kind:
            return _answer(404 if kind == "gone" else 500, {"error": kind})
        self._witness.acknowledged.add(headers["webhook-id"])
        return HttpResponse(status=200, headers={}, body=_ACKNOWLEDGED)

    def deferred(self, event: Event) -> None:
        """A handler has deferred: its answer comes over the callback URL."""
        assert event.callback_url is not None
        self._begin(self.work(event.callback_url, event.channel_id))

    async def work(self, callback_url: str, channel_id: str) -> None:
        """Work on an answer and call back; perhaps never, perhaps with an error, perhaps twice, perhaps otherwise."""
        path = urlsplit(callback_url).path
        manner = self._faults.choice(well=6, slowly=2, never=1, badly=1, twice=2, contrary=2)
        if manner == "never":
            return
        await asyncio.sleep(self._faults.between(0, 60) if manner == "slowly" else self._faults.delay())
        mark = f"mark-{next(self._marks)}"
        calls = [self._call_back(path, channel_id, mark, "error" if manner == "badly" else "success")]
        if manner == "twice":
            calls.append(self._call_back(path, channel_id, mark, "success"))
        if manner == "contrary":
            calls.append(self._call_back(path, channel_id, f"mark-{next(self._marks)}", "success"))
        for call in calls:
            self._begin(call)

    async def _call_back(self, path: str, channel_id: str, mark: str, form: str) -> None:
        """Ask until there is an answer that asking again would not change."""
        body = {"data": {"by": mark}, "task_id": mark} if form == "success" else {"error": "refused", "message": mark}
        stage = path.partition(channel_id)[2].strip("/")
        while True:
            try:
                answer = await self._call("POST", path, body, {})
            except Lost:
                pass
            else:
                self._witness.callback_answered(channel_id, stage, mark, form, answer.status, answer.body)
                if answer.status not in (429, 500, 502, 503):
                    return
            await asyncio.sleep(self._faults.between(0.5, 3))


def _answer(status: int, body: Any) -> HttpResponse:
    return HttpResponse(status=status, headers={"content-type": "application/json"}, body=json.dumps(body).encode())
