"""A project with a day behind it: workflows, endpoints, and requests of every fate, on a clock that is moved by hand.

Everything in it is real but the providers' answers and the passing of time.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from riverflow import Endpoint, Fallback, Riverflow, StructuredOutput, Workflow, hookimpl
from riverflow.errors import ProviderError
from riverflow.models import Entry, GenerateRequest, Generation, Usage
from riverflow.ports import Context
from riverflow.testing import generation, serve

__all__ = ["DAY", "KEY", "Scene", "open_scene"]

KEY = "mr_live_console_tests"
DAY = 86_400.0
WITHIN = 20.0

FILMS = [
    ("a heist in dreams", {"title": "Inception", "year": 2010, "director": "Christopher Nolan"}),
    ("a robot that gardens", {"title": "WALL·E", "year": 2008, "director": "Andrew Stanton"}),
    ("two ships in a storm", {"title": "Master and Commander", "year": 2003, "director": "Peter Weir"}),
    ("a clerk who becomes a knight", {"title": "The Green Knight", "year": 2021, "director": "David Lowery"}),
]
SCHEMA = {
    "type": "object",
    "properties": {"title": {"type": "string"}, "year": {"type": "integer"}, "director": {"type": "string"}},
    "required": ["title", "year"],
}


class Clock:
    """The system's time, shifted: `skip` lets seconds pass at once, for both of its faces."""

    def __init__(self, behind: float = 0.0) -> None:
        self._behind = behind
        self._skipped = 0.0
        self._moved = asyncio.Event()

    def now(self) -> float:
        return time.time() - self._behind + self._skipped

    def monotonic(self) -> float:
        return time.monotonic() + self._skipped

    async def sleep(self, seconds: float) -> None:
        until = self.monotonic() + seconds
        while (left := until - self.monotonic()) > 0:
            moved = self._moved
            with suppress(TimeoutError):
                async with asyncio.timeout(
                    left
                ):  # wait_for may swallow a cancellation that comes with the event (3.11)
                    await moved.wait()
        await asyncio.sleep(0)

    def skip(self, seconds: float) -> None:
        self._skipped += max(seconds, 0.0)
        self._moved.set()
        self._moved = asyncio.Event()


class Cast:
    """A plugin: providers that answer from a script, and an ear on the log."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.held = asyncio.Event()
        self.entries: dict[str, list[Entry]] = {}
        self._news = asyncio.Event()

    @hookimpl
    def riverflow_providers(self) -> Mapping[str, Callable[[Context], Any]]:
        return {"anthropic": lambda context: Actor(self, 1.4), "mistral": lambda context: Actor(self, 0.7)}

    @hookimpl
    def riverflow_entry(self, run_id: str, entry: Entry) -> None:
        self.entries.setdefault(run_id, []).append(entry)
        self._news.set()

    async def until(self, condition: Callable[[], bool], what: str = "that") -> None:
        try:
            async with asyncio.timeout(WITHIN):
                while not condition():
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            last = [entry for entries in list(self.entries.values())[-2:] for entry in entries]
            raise AssertionError(f"waited in vain for {what}; the last entries: {last}") from None

    def wrote(self, run_id: str, *kinds: str) -> bool:
        return any(entry.kind in kinds for entry in self.entries.get(run_id, ()))


class Actor:
    """A provider. What it shall do stands in the request: `act` is `answer`, `time out`, `refuse` or `hold`."""

    def __init__(self, cast: Cast, usual: float) -> None:
        self._cast = cast
        self._usual = usual

    async def generate(self, request: GenerateRequest) -> Generation:
        asked = json.loads(bytes(request.request))
        act = asked.get("act", "answer")
        chance = random.Random(request.channel_id)
        if act == "hold":
            await self._cast.held.wait()
        if act == "refuse" or (act == "fall back" and self._usual > 1):
            self._cast.clock.skip(chance.uniform(0.3, 2.5))
            raise ProviderError("the model is overloaded", code="rate_limited", upstream_status=429, again=False)
        self._cast.clock.skip(self._usual * chance.lognormvariate(0.0, 0.45))
        films = dict(FILMS)
        words = asked["messages"][-1]["content"]
        tokens = chance.randint(180, 900), chance.randint(40, 260)
        usage = Usage(prompt_tokens=tokens[0], completion_tokens=tokens[1], total_tokens=sum(tokens))
        text = (
            asked.get("say") or httpx.Request("POST", "http://x", json=films.get(words, FILMS[0][1])).content.decode()
        )
        return generation(text, model=request.model, usage=usage)


class Backend:
    """The customer's own backend: takes webhooks and calls back, as the event's customer data says."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.down = False
        self.page = "upstream connect error"
        self.app = Starlette(
            routes=[
                Route("/webhooks/ai", self._take, methods=["POST"]),
                Route("/analytics", self._analytics, methods=["POST"]),
            ]
        )

    async def _take(self, request: Request) -> Response:
        body = await request.json()
        self.clock.skip(0.04)
        if not body.get("callback_required"):
            return JSONResponse({"received": True})
        mood = body["customer_data"].get("mood", "good")
        if mood == "silent":
            return JSONResponse({"received": True})
        return JSONResponse({"received": True}, background=BackgroundTask(self._call_back, body, mood))

    async def _call_back(self, body: dict[str, Any], mood: str) -> None:
        self.clock.skip(random.Random(body["channel_id"]).uniform(0.15, 0.9))
        answer: dict[str, Any] = {
            "data": {**body["ai_response"]["data"], "id": f"mov_{body['channel_id'][-4:]}", "in_stock": True},
            "task_id": f"movie_{body['channel_id'][-4:]}",
            "metadata": {"processing_time_ms": 234},
        }
        if mood == "bad":
            answer = {"error": "processing_failed", "message": "no such movie in the catalogue"}
        async with httpx.AsyncClient(trust_env=False, timeout=10) as http:
            headers = {"authorization": f"Bearer {KEY}"}
            await http.post(body["callback_url"], json=answer, headers=headers)

    async def _analytics(self, request: Request) -> Response:
        self.clock.skip(0.11)
        return PlainTextResponse(self.page, status_code=503) if self.down else JSONResponse({"received": True})


class Scene:
    """What a test or the photographer holds."""

    def __init__(
        self, river: Riverflow, url: str, backend: Backend, backend_url: str, cast: Cast, clock: Clock
    ) -> None:
        self.river = river
        self.url = url
        self.console = f"{url}/console/"
        self.backend_url = backend_url
        self.backend = backend
        self.cast = cast
        self.clock = clock
        self.http = httpx.AsyncClient(
            base_url=url, timeout=10, trust_env=False, headers={"authorization": f"Bearer {KEY}"}
        )

    async def submit(self, workflow: str, words: str = FILMS[0][0], **fields: Any) -> str:
        """The channel id of a new request."""
        asked = {"workflow": workflow, "messages": [{"role": "user", "content": words}], **fields}
        answer = await self.http.post("/v1/ai/async", json=asked)
        assert answer.status_code == 200, answer.text
        channel_id: str = answer.json()["channel_id"]
        return channel_id

    async def ended(self, channel_id: str) -> None:
        await self.cast.until(
            lambda: self.cast.wrote(channel_id, "run.completed", "run.failed"), f"the end of {channel_id}"
        )

    async def told(self, channel_id: str) -> None:
        """Wait until its webhook was tried."""
        await self.cast.until(lambda: self.cast.wrote(channel_id, "delivery.attempted"))

    async def live_a_day(self, requests: int = 140) -> None:
        """Let a day pass in which this much was asked."""
        chance = random.Random(7)
        begin = self.clock.now()
        moments = sorted(begin + DAY * chance.triangular(0.02, 0.98, 0.7) for _ in range(requests))
        for number, moment in enumerate(moments):
            self.clock.skip(moment - self.clock.now())
            words = chance.choice(FILMS)[0]
            customer = {"user_id": f"user_{chance.randint(100, 140)}", "plan": chance.choice(["free", "pro", "team"])}
            dice = chance.random()
            if dice < 0.62:
                mood = "bad" if chance.random() < 0.05 else "good"
                act = "fall back" if chance.random() < 0.08 else "answer"
                run = await self.submit("movie_suggestion", words, act=act, customer_data={**customer, "mood": mood})
            elif dice < 0.9:
                act = "refuse" if chance.random() < 0.09 else "answer"
                run = await self.submit("support_reply", words, act=act, customer_data=customer, say="Of course: …")
            else:
                run = await self.submit("film_facts", words, customer_data=customer)
            await self.ended(run)
            if number % 20 == 0:
                await asyncio.sleep(0)
        self.clock.skip(begin + DAY - self.clock.now() - 120)

    async def aclose(self) -> None:
        self.cast.held.set()
        await self.http.aclose()


@asynccontextmanager
async def open_scene(path: Path, *, behind: float = 0.0, **settings: Any) -> AsyncIterator[Scene]:
    """Serve a riverflow by itself, with its backend beside it, on a fresh database in `path`."""
    clock = Clock(behind)
    backend, cast = Backend(clock), Cast(clock)
    async with serve(backend.app) as backend_url:
        river = Riverflow(
            database_url=f"sqlite:///{path}/scene.db",
            plugins=[cast],
            discover_plugins=False,
            clock=clock,
            environ={},
            workflows=_workflows(),
            structured_outputs=[StructuredOutput(name="movie", schema=SCHEMA, sample_data=FILMS[0][1])],
            endpoints=[
                Endpoint(
                    url=f"{backend_url}/webhooks/ai",
                    secret="whsec_c2NlbmVzY2VuZXNjZW5lc2NlbmVzY2VuZXNjZW5lc2M=",
                    description="Movie service",
                    events=("new_movie_suggestion",),
                ),
                Endpoint(
                    url=f"{backend_url}/analytics",
                    secret="whsec_c2NlbmVzY2VuZXNjZW5lc2NlbmVzY2VuZXNjZW5lc2M=",
                    description="Analytics",
                    events=("task.completed", "task.failed"),
                ),
            ],
            **({"env": "development", "api_key": KEY, "lease": 1e6, "close_grace": 0, "drain_timeout": 0.5} | settings),
        )
        async with serve(river, lifespan="on") as url:
            scene = Scene(river, url, backend, backend_url, cast, clock)
            try:
                yield scene
            finally:
                await scene.aclose()


def _workflows() -> list[Workflow]:
    return [
        Workflow(
            name="movie_suggestion",
            description="One film for a wish",
            provider="anthropic",
            model="claude-sonnet-4",
            fallbacks=(Fallback(provider="mistral", model="mistral-large"),),
            event_name="new_movie_suggestion",
            structured_output_id="movie",
        ),
        Workflow(name="support_reply", provider="mistral", model="mistral-small", instructions="Be kind and short."),
        Workflow(name="film_facts", provider="anthropic", model="claude-haiku-4", structured_output_id="movie"),
    ]
