"""From a path to a door. The aliases of the contract (`/api/v1/…`, `/api/console/…`, `/api/ai/…`) become one
canonical path first, so each route stands in the table once.

Starlette matches the patterns; the two busiest paths are looked up before.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby

from starlette.routing import BaseRoute, Router, WebSocketRoute
from starlette.routing import Route as HttpRoute

from ..errors import NotFound
from ..ports import ASGIApp, Receive, Scope, Send, TransportRoute
from ._door import Door, Doors, Route, answer_problem

__all__ = ["build_router", "canonical_path"]


def canonical_path(path: str) -> str:
    """The one path behind an alias."""
    if path.startswith("/api/"):
        path = path[4:]
        return f"/v1{path}" if path.startswith("/ai/") else path
    return path


def build_router(
    doors: Doors, routes: Iterable[Route], transports: Sequence[TransportRoute], extra: Sequence[BaseRoute] = ()
) -> ASGIApp:
    """The ASGI app of everything below the prefix."""
    table = sorted(routes, key=lambda route: route.path)
    paths = {path: Door(doors, tuple(rows)) for path, rows in groupby(table, key=lambda route: route.path)}
    exact = {path: door for path, door in paths.items() if "{" not in path}
    patterns: list[BaseRoute] = [HttpRoute(path, _endpoint(door)) for path, door in paths.items() if "{" in path]
    for route in transports:
        kind = WebSocketRoute if route.type == "websocket" else HttpRoute
        patterns.append(kind(route.path, _endpoint(route.app)))
    router = Router(routes=[*patterns, *extra], redirect_slashes=False, default=_not_found)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        root = scope.get("root_path", "")
        path = scope["path"]
        below = path[len(root) :] if root and path.startswith(root) else path
        canonical = canonical_path(below)
        if canonical is not below:
            scope = {**scope, "path": root + canonical}
        door = exact.get(canonical) if scope["type"] == "http" else None
        if door is not None:
            await door(scope, receive, send)
        else:
            await router(scope, receive, send)

    return app


class _endpoint:
    """Starlette takes a class instance for an ASGI app, but wraps a function into request and response objects."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)


async def _not_found(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": 1000, "reason": "not found"})
        return
    await answer_problem(send, NotFound(f"nothing is served at {scope['path']}", code="route_not_found"))
