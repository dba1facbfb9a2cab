"""The world around the riverflow that is killed under load: an AI provider, a backend that takes webhooks and calls
back, clients that submit and follow their runs to the end. All of them fail now and then, and come back.

Nobody here knows riverflow's inside; what they were told, `audit` compares with what is written.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from contextlib import suppress
from random import Random
from typing import Any

import aiohttp

from riverflow.testing import generation

from .nursery import KEY

__all__ = ["Backend", "Clients", "Provider", "Told"]

BEARER = {"authorization": f"Bearer {KEY}", "content-type": "application/json"}
PROVIDER_ERRORS, RECEIVER_ERRORS, DUPLICATES = 0.05, 0.2, 0.01
GONE = (aiohttp.ClientError, OSError, TimeoutError)


class Told:
    """What was said from outside and to the outside: `accepted` runs with the flow they are for, final messages each
    reader saw, callbacks that were acknowledged, and the keys that webhooks came with."""

    def __init__(self) -> None:
        self.accepted: dict[str, int] = {}
        self.numbers: dict[str, list[int]] = {}
        self.acknowledged: dict[str, str] = {}  # run: mark of the callback that was answered 200
        self.taken: set[str] = set()
        self.keys: dict[tuple[str, str], set[str]] = {}
        self.counted: Counter[str] = Counter()
        self.problems: list[str] = []


async def _body(receive: Any) -> bytes:
    parts, more = [], True
    while more:
        message = await receive()
        parts.append(message.get("body", b""))
        more = message.get("more_body", False)
    return b"".join(parts)


async def _answer(send: Any, status: int, body: bytes) -> None:
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


class Provider:
    """An ASGI app that answers chats."""

    def __init__(self, rng: Random, told: Told) -> None:
        self._rng = rng
        self._told = told
        self._completion = bytes(generation('{"title": "Inception"}').body)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        await _body(receive)
        if self._rng.random() < PROVIDER_ERRORS:
            self._told.counted["provider errors"] += 1
            await _answer(send, 503, b'{"error":{"message":"busy"}}')
        else:
            await _answer(send, 200, self._completion)


class Backend:
    """An ASGI app that takes webhooks and calls back."""

    def __init__(self, rng: Random, told: Told, session: aiohttp.ClientSession) -> None:
        self._rng = rng
        self._told = told
        self._session = session
        self._address = ""
        self._tasks: set[asyncio.Task[None]] = set()

    def call_back_at(self, address: str) -> None:
        self._address = address

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        payload = json.loads(await _body(receive))
        key = next(value for name, value in scope["headers"] if name == b"webhook-id").decode()
        what = payload.get("event") or payload["type"]
        self._told.keys.setdefault((payload["channel_id"], what), set()).add(key)
        if self._rng.random() < RECEIVER_ERRORS:
            self._told.counted["receiver errors"] += 1
            await _answer(send, 500, b"{}")
            return
        self._told.taken.add(key)
        await _answer(send, 200, b"{}")
        if payload.get("callback_required"):
            calls = 2 if self._rng.random() < DUPLICATES else 1
            self._told.counted["duplicate callbacks"] += calls - 1
            for _ in range(calls):
                task = asyncio.create_task(self._call_back(payload["callback_url"], payload["channel_id"], key))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    async def _call_back(self, url: str, channel_id: str, key: str) -> None:
        """The same answer on each try, until somebody says what became of it."""
        url = self._address + "/river" + url.partition("/river")[2]
        body = json.dumps({"data": {"by": key}})
        while True:
            with suppress(*GONE):
                async with self._session.post(url, data=body, headers=BEARER) as answer:
                    if answer.status == 200:
                        self._told.acknowledged[channel_id] = key
                    elif answer.status < 500:
                        self._told.problems.append(f"run {channel_id}: a callback was answered {answer.status}")
                    if answer.status < 500:
                        return
            await asyncio.sleep(0.05)


class Clients:
    """Who submits and follows; at most `in_flight` runs at a time."""

    def __init__(self, told: Told, session: aiohttp.ClientSession, address: str, in_flight: int) -> None:
        self._told = told
        self._session = session
        self._base = f"{address}/river"
        self._room = asyncio.Semaphore(in_flight)
        self.done = 0
        self._news = asyncio.Event()

    async def flow(self, number: int, workflow: str) -> None:
        async with self._room:
            accepted = await self._submit(number, workflow)
            await self._follow(accepted["channel_id"])
            self.done += 1
            self._news.set()

    async def have_done(self, number: int) -> None:
        """Wait until so many flows have come to their end."""
        while self.done < number:
            self._news.clear()
            await self._news.wait()

    async def _submit(self, number: int, workflow: str) -> dict[str, Any]:
        body = json.dumps(
            {"workflow": workflow, "messages": [{"role": "user", "content": "x"}], "customer_data": {"flow": number}}
        )
        headers = {**BEARER, "idempotency-key": f"flow-{number}"}
        while True:
            with suppress(*GONE):
                async with self._session.post(f"{self._base}/v1/ai/async", data=body, headers=headers) as answer:
                    said: dict[str, Any] = await answer.json()
                    if answer.status == 200:
                        self._told.accepted[said["channel_id"]] = number
                        return said
                    if answer.status not in (409, 503):
                        self._told.problems.append(f"flow {number}: the submission was answered {answer.status}")
            await asyncio.sleep(0.05)

    async def _follow(self, channel_id: str) -> None:
        """An EventSource: it comes back with its last number until it has seen the end."""
        numbers = self._told.numbers.setdefault(channel_id, [])
        while True:
            headers = {**BEARER, **({"last-event-id": str(numbers[-1])} if numbers else {})}
            with suppress(*GONE):
                async with self._session.get(f"{self._base}/v1/ai/{channel_id}/events", headers=headers) as answer:
                    if answer.status not in (200, 503):
                        self._told.problems.append(f"run {channel_id}: its reader was answered {answer.status}")
                    if await self._listen(answer.content, numbers):
                        return
            self._told.counted["readers who came back"] += 1
            await asyncio.sleep(0.05)

    async def _listen(self, lines: aiohttp.StreamReader, numbers: list[int]) -> bool:
        async for line in lines:
            if line.startswith(b"id: "):
                numbers.append(int(line[4:]))
            elif line.startswith(b"data: ") and json.loads(line[6:])["status"] in ("completed", "success", "error"):
                return True
        return False
