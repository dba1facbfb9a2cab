"""From a path to a door. The aliases of the contract (`/api/v1/…`, `/api/console/…`, `/api/ai/…`) become one
canonical path first, so each route stands in the table once.

The table is looked up (2 µs a request; Starlette's patterns, tried in turn, took 11); transports and plugins bring
Starlette patterns, which are matched after it.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Iterable, Sequence
from itertools import groupby
from urllib.parse import parse_qs

from starlette.routing import BaseRoute, Router, WebSocketRoute
from starlette.routing import Route as HttpRoute

from .._limits import Limits
from ..errors import NotFound, RateLimited
from ..ports import ASGIApp, Receive, Scope, Send, TransportRoute
from ._door import Door, Doors, Route, answer_problem, not_allowed, respond
from ._front import Paths, refuse

__all__ = ["build_router", "canonical_path"]


def canonical_path(path: str) -> str:
    """The one path behind an alias."""
    if path.startswith("/api/"):
        path = path[4:]
        return f"/v1{path}" if path.startswith("/ai/") else path
    return path


class Table:
    """The doors of the API by canonical path; a segment in braces is a parameter."""

    def __init__(self, doors: Doors, routes: Iterable[Route]) -> None:
        self._exact: dict[str, Door] = {}
        self._patterns: dict[tuple[int, str], list[tuple[re.Pattern[str], Door]]] = {}
        ordered = sorted(routes, key=lambda route: route.path)
        for path, rows in groupby(ordered, key=lambda route: route.path):
            door = Door(doors, tuple(rows))
            if "{" not in path:
                self._exact[path] = door
                continue
            segments = path.split("/")
            self._patterns.setdefault((len(segments), segments[2]), []).append((_pattern(path), door))

    def find(self, path: str) -> tuple[Door, dict[str, str]] | None:
        """The door of a path, and what its parameters are."""
        door = self._exact.get(path)
        if door is not None:
            return door, {}
        segments = path.split("/")
        if len(segments) < 3:
            return None
        for pattern, door in self._patterns.get((len(segments), segments[2]), ()):
            found = pattern.fullmatch(path)
            if found is not None:
                return door, found.groupdict()
        return None


def _pattern(path: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"\\{(\w+)\\}", r"(?P<\1>[^/]+)", re.escape(path)))


def build_router(doors: Doors, routes: Iterable[Route], transports: Sequence[TransportRoute]) -> Paths:
    """The ASGI app of everything below the prefix."""
    return _Paths(doors, routes, transports)


class _Paths:
    def __init__(self, doors: Doors, routes: Iterable[Route], transports: Sequence[TransportRoute]) -> None:
        patterns: list[BaseRoute] = []
        for route in transports:
            kind = WebSocketRoute if route.type == "websocket" else HttpRoute
            endpoint: ASGIApp = _Endpoint(route)
            if not route.path.startswith("/console/"):  # the console counts its own: it knows who has logged in
                endpoint = _Counting(endpoint, doors.limits, keyed=route.keyed)
            patterns.append(kind(route.path, endpoint))
        nowhere = _Counting(_not_found, doors.limits)
        self._table = Table(doors, routes)
        self._others = Router(routes=patterns, redirect_slashes=False, default=nowhere)

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        below = _below(scope)
        canonical = canonical_path(below)
        if canonical is not below:
            scope = {**scope, "path": scope.get("root_path", "") + canonical}
        found = self._table.find(canonical) if scope["type"] == "http" else None
        if found is None:
            return self._others(scope, receive, send)
        door, scope["path_params"] = found  # in place, as Starlette's own routes do: a copy takes 2.3 k instructions
        return door(scope, receive, send)

    def is_page(self, scope: Scope) -> bool:
        """The API's table goes before: it has `/console/workflow` and its like."""
        canonical = canonical_path(_below(scope))
        return f"{canonical}/".startswith(("/console/", "/approve/")) and self._table.find(canonical) is None


def _below(scope: Scope) -> str:
    """The path below the prefix."""
    root, path = scope.get("root_path", ""), scope["path"]
    below: str = path[len(root) :] if root and path.startswith(f"{root}/") else path
    return below


class _Counting:
    """Counts strangers before `app` is asked. An app is `keyed` where it looks for a good key itself
    (`Channels.authenticate`, which counts who has none): a request that brings one is left to it."""

    def __init__(self, app: ASGIApp, limits: Limits, *, keyed: bool = False) -> None:
        self._app = app
        self._limits = limits
        self._keyed = keyed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            if not (self._keyed and _brings_key(scope)):
                self._limits.stranger(scope)
        except RateLimited as error:
            await refuse(scope, receive, send, error)
        else:
            await self._app(scope, receive, send)


def _brings_key(scope: Scope) -> bool:
    """Whether there is a key to look at; a reader with a token is asked for none."""
    asked = parse_qs(scope["query_string"].decode("latin-1"), keep_blank_values=True)  # as the doors read it: %74oken
    return "token" not in asked and any(name == b"authorization" for name, _ in scope["headers"])


class _Endpoint:
    """Starlette takes a class instance for an ASGI app, but wraps a function into request and response objects."""

    def __init__(self, route: TransportRoute) -> None:
        self._route = route

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        route = self._route
        if scope["type"] == "http" and scope["method"] not in route.methods:
            await respond(send, not_allowed(route.methods))
        else:
            await route.app(scope, receive, send)


async def _not_found(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": 1000, "reason": "not found"})
        return
    await answer_problem(send, NotFound(f"nothing is served at {scope['path']}", code="route_not_found"))
