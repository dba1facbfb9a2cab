"""More receivers for one world: each registered over the API, as an operator would, with its own backend behind it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from riverflow.testing import serve

from .backend import Backend
from .world import KEY, World

__all__ = ["Receiver", "receiver"]


class Receiver:
    """An endpoint and the backend behind it."""

    def __init__(self, world: World, backend: Backend, shown: dict[str, Any]) -> None:
        self.backend = backend
        self.id: str = shown["id"]
        self.url: str = shown["url"]
        self._world = world

    async def shown(self) -> dict[str, Any]:
        answer = await self._world.http.get(f"/console/webhook/{self.id}")
        assert answer.status_code == 200, answer.text
        shown: dict[str, Any] = answer.json()
        return shown

    async def change(self, **members: Any) -> None:
        answer = await self._world.http.patch(f"/console/webhook/{self.id}", json=members)
        assert answer.status_code == 200, answer.text


@asynccontextmanager
async def receiver(world: World, *events: str, **members: Any) -> AsyncIterator[Receiver]:
    """A backend on its own port and its endpoint, which is told of `events`."""
    backend = Backend(KEY, "")
    backend.address = world.backend.address
    async with serve(backend.app) as origin:
        asked = {"url": f"{origin}/webhooks/ai", "events": events, **members}
        answer = await world.http.post("/console/webhook", json=asked)
        assert answer.status_code == 201, answer.text
        shown = answer.json()
        backend.secret = shown["secret"]
        yield Receiver(world, backend, shown)
