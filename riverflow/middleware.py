"""RiverflowMiddleware: pure ASGI. What is below the prefix is riverflow's; everything else passes through untouched."""

from __future__ import annotations

import asyncio
from collections.abc import MutableMapping
from typing import Any

from .app import Riverflow
from .ports import ASGIApp, Receive, Scope, Send

__all__ = ["RiverflowMiddleware"]


class RiverflowMiddleware:
    """Mounts `river` into `app` below `prefix`.

    It starts and stops riverflow with the app's own lifespan, and answers the lifespan itself where the app does not.
    `asgi:///path` endpoints are delivered to the wrapped app.
    """

    def __init__(self, app: ASGIApp, river: Riverflow, prefix: str = "/river") -> None:
        if prefix and (not prefix.startswith("/") or prefix.endswith("/")):
            raise ValueError(f"prefix {prefix!r}: begin with '/', end without, as in '/river'")
        self.app = app
        self.river = river
        self.prefix = prefix
        self._inside = f"{prefix}/"
        river.wrap(app)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(scope, receive, send)
            return
        path: str = scope["path"]
        root: str = scope.get("root_path", "")
        if root and path.startswith(root):
            path = path[len(root) :]
        if path.startswith(self._inside):
            await self.river({**scope, "root_path": root + self.prefix}, receive, send)
        else:
            await self.app(scope, receive, send)

    async def _lifespan(self, scope: Scope, receive: Receive, send: Send) -> None:
        """riverflow starts before the app and stops after it; a failure of either is told as what it is."""
        await receive()
        begun = asyncio.Event()
        try:
            async with self.river.lifespan():
                answer = await self._with_app(scope, receive, send, begun)
        except Exception as error:
            phase = "shutdown" if begun.is_set() else "startup"
            await send({"type": f"lifespan.{phase}.failed", "message": f"riverflow: {error}"})
            raise
        await send(answer)

    async def _with_app(
        self, scope: Scope, receive: Receive, send: Send, begun: asyncio.Event
    ) -> MutableMapping[str, Any]:
        """The app's own last word: that it did not start, or how it stopped."""
        inner = _InnerLifespan(self.app, scope)
        try:
            answer = await inner.ask("lifespan.startup")
            if answer is not None and answer["type"] == "lifespan.startup.failed":
                return answer
            await send({"type": "lifespan.startup.complete"})
            begun.set()
            await receive()
            answer = await inner.ask("lifespan.shutdown")
            await inner.finished()
            return answer or {"type": "lifespan.shutdown.complete"}
        finally:
            await inner.aclose()


class _InnerLifespan:
    """The lifespan protocol spoken to an app that may not know it."""

    def __init__(self, app: ASGIApp, scope: Scope) -> None:
        self._to_app: asyncio.Queue[MutableMapping[str, Any]] = asyncio.Queue()
        self._from_app: asyncio.Queue[MutableMapping[str, Any]] = asyncio.Queue()
        self._task = asyncio.ensure_future(self._run(app, scope))

    async def _run(self, app: ASGIApp, scope: Scope) -> None:
        await app(scope, self._to_app.get, self._from_app.put)

    async def ask(self, type: str) -> MutableMapping[str, Any] | None:
        """Send a lifespan message; None where the app does not speak the protocol (it raised or returned)."""
        if self._task.done():
            return None
        self._to_app.put_nowait({"type": type})
        answer = asyncio.ensure_future(self._from_app.get())
        await asyncio.wait((answer, self._task), return_when=asyncio.FIRST_COMPLETED)
        if answer.done():
            return answer.result()
        answer.cancel()
        return None

    async def aclose(self) -> None:
        """Leave no task behind, however this ends."""
        self._task.cancel()
        await self.finished()

    async def finished(self) -> None:
        await asyncio.wait((self._task,))
        if not self._task.cancelled():
            self._task.exception()  # an app without lifespan raises by convention (ASGI lifespan, "Scope")
