"""One whole riverflow for a test: on a SQLite file, mounted into an app on a real port, with a backend beside it.

Everything in it is real but the provider's script and the clock.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
from starlette.applications import Starlette
from starlette.routing import Mount

from riverflow import Endpoint, Riverflow, RiverflowMiddleware, StructuredOutput, Workflow, hookimpl
from riverflow.models import Entry
from riverflow.ports import Context
from riverflow.testing import FakeClock, ScriptedProvider, serve

from .backend import Backend
from .browsers import BROWSERS, Browser

__all__ = ["ANSWERERS", "EVENT", "KEY", "MOVIE", "SECRET", "SetClock", "World", "movie_workflow", "open_world"]

KEY = "mr_live_flow"
SECRET = "whsec_Zmxvd2Zsb3dmbG93Zmxvd2Zsb3dmbG93Zmxvd2Zsb3c="
EVENT = "new_movie_suggestion"
MOVIE = {"title": "Inception", "year": 2010, "rating": 8.8}
ANSWERERS = ("remote", "handler", "asgi")

WITHIN = 10.0


class Watch:
    """A plugin that keeps every log entry, supplies the scripted provider, and listens to no other process."""

    def __init__(self, provider: Any) -> None:
        self.entries: dict[str, list[Entry]] = {}
        self._provider = provider
        self._news = asyncio.Event()

    @hookimpl
    def riverflow_entry(self, run_id: str, entry: Entry) -> None:
        self.entries.setdefault(run_id, []).append(entry)
        self._news.set()

    @hookimpl
    def riverflow_providers(self) -> Mapping[str, Callable[[Context], Any]]:
        return {"scripted": lambda context: self._provider}

    @hookimpl
    def riverflow_notifiers(self) -> Mapping[str, Callable[[Context], Any]]:
        return {"quiet": lambda context: _Quiet()}

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for entries until the condition holds."""
        async with asyncio.timeout(WITHIN):
            while not condition():
                self._news.clear()
                await self._news.wait()


class _Quiet:
    """ports.Notifier for one process: polling another's commits would keep a fake clock busy."""

    def publish(self, run_id: str, number: int) -> None:
        return None

    async def listen(self, wake: Callable[[str | None], None]) -> None:
        await asyncio.Event().wait()

    async def aclose(self) -> None:
        return None


class SetClock(FakeClock):
    """Its date can be set, forth and back, as an operator or a time server does; what it measures goes on evenly."""

    def __init__(self) -> None:
        super().__init__()
        self.set_by = 0.0

    def now(self) -> float:
        return super().now() + self.set_by


class World:
    """What a test holds."""

    def __init__(self, river: Riverflow, base: str, backend: Backend, clock: FakeClock, watch: Watch) -> None:
        self.river = river
        self.base = base
        self.backend = backend
        self.clock = clock
        self.watch = watch
        self.http = httpx.AsyncClient(
            base_url=base, timeout=10, trust_env=False, headers={"authorization": f"Bearer {KEY}"}
        )
        self._browsers: list[Browser] = []

    async def submit(self, workflow: str = "movie", **fields: Any) -> dict[str, Any]:
        """POST ai/async: the whole answer."""
        asked = {"workflow": workflow, "messages": [{"role": "user", "content": "a film"}], **fields}
        answer = await self.http.post("/v1/ai/async", json=asked)
        assert answer.status_code == 200, answer.text
        accepted: dict[str, Any] = answer.json()
        return accepted

    async def browse(self, kind: str, accepted: dict[str, Any], after: int | None = None) -> Browser:
        """Open a browser that is closed with the world."""
        browser: Browser = BROWSERS[kind]()
        self._browsers.append(browser)
        await browser.open(accepted, after)
        return browser

    async def call_back(self, accepted: dict[str, Any], body: Any, stage: str = "") -> httpx.Response:
        """POST to a run's callback URL."""
        path = f"/v1/callback/{accepted['channel_id']}"
        return await self.http.post(f"{path}/{stage}" if stage else path, json=body)

    async def state(self, accepted: dict[str, Any]) -> dict[str, Any]:
        answer = await self.http.get(f"/v1/ai/{accepted['channel_id']}")
        assert answer.status_code == 200
        shown: dict[str, Any] = answer.json()
        return shown

    async def timeline(self, accepted: dict[str, Any]) -> list[dict[str, Any]]:
        """The run's log as the API shows it; its numbers have no holes."""
        answer = await self.http.get(f"/v1/ai/{accepted['channel_id']}/timeline")
        assert answer.status_code == 200
        entries: list[dict[str, Any]] = answer.json()["entries"]
        assert [entry["number"] for entry in entries] == list(range(1, len(entries) + 1))
        return entries

    async def wrote(self, accepted: dict[str, Any], kind: str, count: int = 1) -> dict[str, Any]:
        """Wait until the run's log has `count` entries of a kind: the data of the last of them."""
        await self.watch.until(lambda: len(self._of(accepted, kind)) >= count)
        data: dict[str, Any] = json.loads(bytes(self._of(accepted, kind)[count - 1].data))
        return data

    async def ended(self, accepted: dict[str, Any]) -> str:
        """Wait for the final entry: its kind."""
        finals = ("run.completed", "run.failed")
        await self.watch.until(lambda: any(self._of(accepted, kind) for kind in finals))
        return next(kind for kind in finals if self._of(accepted, kind))

    def _of(self, accepted: dict[str, Any], kind: str) -> list[Entry]:
        return [entry for entry in self.watch.entries.get(accepted["channel_id"], ()) if entry.kind == kind]

    async def aclose(self) -> None:
        for browser in self._browsers:
            await browser.aclose()
        await self.http.aclose()


@asynccontextmanager
async def open_world(
    path: Path,
    *,
    answerer: str = "remote",
    events: Iterable[str] = (EVENT,),
    handlers: Mapping[str, Callable[..., Any]] | None = None,
    stages: Mapping[str, Callable[..., Any]] | None = None,
    workflows: Iterable[Workflow] | None = None,
    endpoint: Mapping[str, Any] | None = None,
    backend: Backend | None = None,
    clock: FakeClock | None = None,
    provider: Any = None,
    plugins: Iterable[object] = (),
    **settings: Any,
) -> AsyncIterator[World]:
    """Start it all. `answerer` says where the backend is: behind an endpoint on its own port, in a handler of the
    `events`, behind `asgi:///`, or (`none`) nowhere. Opened again on the same `path` it goes on with the same file."""
    backend, clock = backend or Backend(KEY, SECRET), clock or FakeClock()
    watch = Watch(provider or ScriptedProvider({**MOVIE}))
    async with serve(backend.app) as backend_url:
        urls = {"remote": f"{backend_url}/webhooks/ai", "asgi": "asgi:///inner/webhooks/ai"}
        endpoints = [
            Endpoint(**{"url": url, "secret": SECRET, **(endpoint or {})})
            for name, url in urls.items()
            if name == answerer
        ]
        river = Riverflow(
            database_url=f"sqlite:///{path}/river.db",
            workflows=workflows if workflows is not None else [movie_workflow()],
            structured_outputs=[StructuredOutput(name="movie", schema={"type": "object"})],
            endpoints=endpoints,
            plugins=[watch, *plugins],
            clock=clock,
            environ={},
            **({"env": "development", "api_key": KEY, "notifier": "quiet", "close_grace": 0, "lease": 1e6} | settings),
        )
        for event in events if answerer == "handler" else ():
            river.on(event)(backend.handle)
        for event, handler in (handlers or {}).items():
            river.on(event)(handler)
        for kind, function in (stages or {}).items():
            river.stage(kind)(function)
        host = Starlette(routes=[Mount("/inner", backend.app)])
        async with serve(RiverflowMiddleware(host, river=river)) as url:
            backend.address = url
            world = World(river, f"{url}/river", backend, clock, watch)
            try:
                yield world
            finally:
                await world.aclose()


def movie_workflow(**changes: Any) -> Workflow:
    """The seed page's workflow, on the scripted provider."""
    fields: dict[str, Any] = {
        "name": "movie",
        "provider": "scripted",
        "model": "gpt-4o",
        "event_name": EVENT,
        "structured_output_id": "movie",
    }
    return Workflow(**(fields | changes))
