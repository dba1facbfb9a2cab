"""The HTTP API as the pages use it: the same verbs with the same checks, called in process for who is logged in.

It knows no page, and no rule of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlencode

from .. import codec
from ..errors import Forbidden, NotFound
from ..models import Identity
from ..ports import Scope
from ..routes import Call, Doors, Reply, Route

__all__ = ["Api"]


class Api:
    """Asks the table of routes by method and path pattern."""

    def __init__(self, doors: Doors, routes: Iterable[Route]) -> None:
        self._routes = {(route.method, route.path): route for route in routes}
        self._limits = doors.limits
        shared = set(Call.__struct_fields__) & set(Doors.__struct_fields__)
        self._shared = {name: getattr(doors, name) for name in shared}

    def has(self, method: str, path: str) -> bool:
        """Whether there is such a route."""
        return (method, path) in self._routes

    async def ask(
        self,
        identity: Identity,
        scope: Scope,
        method: str,
        path: str,
        body: Any = None,
        query: Mapping[str, str] | None = None,
        **params: str,
    ) -> Any:
        """The decoded answer. Raises what the API would answer with."""
        reply = await self.reply(identity, scope, method, path, body, query, **params)
        return codec.decode(reply.body)

    async def reply(
        self,
        identity: Identity,
        scope: Scope,
        method: str,
        path: str,
        body: Any = None,
        query: Mapping[str, str] | None = None,
        **params: str,
    ) -> Reply:
        """The answer as it would be sent."""
        route = self._routes.get((method, path))
        if route is None:
            raise NotFound(f"nothing is served at {method} {path}", code="route_not_found")
        if not identity.may(route.scope):
            raise Forbidden(f"this login may not {route.scope!r}", extra={"required_scope": route.scope})
        if route.rationed:
            self._limits.ration(identity)
        asked = {**scope, "path_params": params, "query_string": urlencode(query or {}).encode()}
        text = codec.encode(body) if body is not None else b""
        return await route.verb(Call(**self._shared, identity=identity, scope=asked, body=text))
