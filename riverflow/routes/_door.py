"""What every HTTP route shares: who is asking, how much he sends, and how errors are answered.

A door is a bare ASGI endpoint: no request object is built (20 µs a request through Starlette's). It knows no route.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl

import msgspec

from .. import codec
from .._checks import Checks
from .._directory import Directory
from .._engine import Engine
from .._keys import KeyRing
from .._limits import Limits
from ..config import Settings
from ..errors import Forbidden, InvalidRequest, MethodNotAllowed, RiverflowError, TooLarge, Unauthenticated
from ..models import Identity
from ..ports import ASGIApp, Ids, Receive, Scope, Send
from ..problems import SAFE_HEADERS, problem_body, problem_messages

__all__ = ["Call", "Door", "Doors", "Reply", "Route"]

logger = logging.getLogger("riverflow.http")

_HEADERS = ((b"content-type", b"application/json"), *SAFE_HEADERS)


class Reply(msgspec.Struct, frozen=True):
    """A JSON answer, already encoded; or `parts`, which are sent as they come (`headers` then name their type)."""

    body: bytes = b""
    status: int = 200
    headers: tuple[tuple[bytes, bytes], ...] = ()
    parts: AsyncIterator[bytes] | None = None


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """One authenticated request as a route sees it."""

    engine: Engine
    directory: Directory
    keys: KeyRing
    settings: Settings
    checks: Checks
    ids: Ids
    identity: Identity
    scope: Any
    body: bytes

    @property
    def project_id(self) -> str:
        return self.identity.project_id

    def param(self, name: str) -> str:
        """A path parameter."""
        value: str = self.scope["path_params"][name]
        return value

    def query(self) -> dict[str, str]:
        return dict(parse_qsl(self.scope.get("query_string", b"").decode("latin-1")))

    @property
    def base_url(self) -> str:
        """The base with prefix as the caller reaches it: configured, or as this request came in. What others are told
        must not follow a Host header: see `public_url`."""
        return self.public_url or base_url_of(self.scope)

    @property
    def public_url(self) -> str:
        """The base with prefix that backends are told to call back at: configured, in development as this request came
        in, else empty."""
        if self.settings.public_url:
            return self.settings.public_url.rstrip("/")
        return base_url_of(self.scope) if self.settings.development else ""


Verb = Callable[[Call], Awaitable[Reply]]


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """A row of the API's table. `path` is a Starlette pattern below the prefix; `takes` and `gives` are the structs of
    the bodies (None: no body), `query`, `headers` and `tells` those of what else is read and of the answer's own
    headers (header names with `_` for `-`), `scope` what the caller must be allowed. A `rationed` route sends
    something to somebody at the press of a button (test, replay): how often is limited even for a good key."""

    method: str
    path: str
    verb: Verb
    scope: str
    summary: str
    takes: Any = None
    gives: Any = None
    query: Any = None
    headers: Any = None
    tells: Any = None
    status: int = 200
    errors: tuple[int, ...] = ()
    rationed: bool = False


class Doors(msgspec.Struct, frozen=True, kw_only=True):
    """What the doors of one app share."""

    engine: Engine
    directory: Directory
    keys: KeyRing
    settings: Settings
    checks: Checks
    ids: Ids
    limits: Limits
    authenticate: Callable[[Scope], Awaitable[Identity]]


class Door:
    """The ASGI endpoint of one path: its methods, and for each the way in and out."""

    def __init__(self, doors: Doors, routes: Sequence[Route]) -> None:
        self._doors = doors
        self._routes: Mapping[str, Route] = {route.method: route for route in routes}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        route = self._routes.get(scope["method"])
        if route is None:
            await respond(send, not_allowed(self._routes))
            return
        try:
            reply = await self._answer(route, scope, receive)
        except RiverflowError as error:
            if error.status >= 500:
                logger.warning("%s %s: %s", scope["method"], scope["path"], error)
            await answer_problem(send, error)
        except Exception as error:
            logger.exception("%s %s: unforeseen error", scope["method"], scope["path"])
            await answer_problem(send, RiverflowError(str(error)))
        else:
            await respond(send, reply)

    async def _answer(self, route: Route, scope: Scope, receive: Receive) -> Reply:
        doors, limits = self._doors, self._doors.limits
        try:
            identity = await doors.authenticate(scope)
        except Unauthenticated:
            limits.stranger(scope)
            raise
        quota = limits.admit(identity, scope) if limits.by_key else ()
        if route.scope not in identity.scopes and not identity.may(route.scope):
            raise Forbidden(f"this key may not {route.scope!r}", extra={"required_scope": route.scope})
        body = await read_body(scope, receive, doors.settings.max_body_bytes) if route.takes else b""
        call = Call(
            engine=doors.engine,
            directory=doors.directory,
            keys=doors.keys,
            settings=doors.settings,
            checks=doors.checks,
            ids=doors.ids,
            identity=identity,
            scope=scope,
            body=body,
        )
        if route.rationed:
            limits.ration(identity)
        reply = await route.verb(call)
        return msgspec.structs.replace(reply, headers=(*reply.headers, *quota)) if quota else reply


async def read_body(scope: Scope, receive: Receive, limit: int) -> bytes:
    """The whole body, bounded. Raises TooLarge before more than `limit` bytes are kept, InvalidRequest where the caller
    leaves midway."""
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit() and int(value) > limit:
            raise _too_large(limit)
    parts: list[bytes] = []
    size, more = 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise InvalidRequest("the connection was closed before the body was complete")
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > limit:
            raise _too_large(limit)
        more = message.get("more_body", False)
    return b"".join(parts)


def body_as(call: Call, struct: Any, what: str, *, optional: bool = False) -> Any:
    """The body as a struct; where it is `optional`, none is as good as an empty object. Raises InvalidRequest that says
    of `what`."""
    text = b"{}" if optional and not call.body.strip() else call.body
    try:
        return msgspec.convert(codec.decode(text), struct)
    except msgspec.ValidationError as error:
        raise InvalidRequest(f"{what}: {error}", code="invalid_type") from None


async def respond(send: Send, reply: Reply) -> None:
    """Send a reply."""
    if reply.parts is not None:
        await _stream(send, reply, reply.parts)
        return
    headers = [*_HEADERS, (b"content-length", b"%d" % len(reply.body)), *reply.headers]
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    await send({"type": "http.response.body", "body": reply.body})


async def _stream(send: Send, reply: Reply, parts: AsyncIterator[bytes]) -> None:
    """What breaks midway cuts the connection: nothing else tells a reader that the rest is missing."""
    await send({"type": "http.response.start", "status": reply.status, "headers": [*SAFE_HEADERS, *reply.headers]})
    async for part in parts:
        await send({"type": "http.response.body", "body": part, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def answer_problem(send: Send, error: RiverflowError) -> None:
    for message in problem_messages(error):
        await send(message)


def problem_app(error: RiverflowError) -> ASGIApp:
    """An ASGI app that answers every request with one error."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await answer_problem(send, error)

    return app


def base_url_of(scope: Scope) -> str:
    """Scheme, host and prefix of a request, without a trailing slash."""
    host = ""
    for name, value in scope["headers"]:
        if name == b"host":
            host = value.decode("latin-1")
            break
    if not host:
        address, port = scope.get("server") or ("localhost", None)
        host = f"{address}:{port}" if port else address
    return f"{scope.get('scheme', 'http')}://{host}{scope.get('root_path', '')}".rstrip("/")


def _too_large(limit: int) -> TooLarge:
    return TooLarge(f"the body is over the limit of {limit} bytes (setting max_body_bytes)")


def not_allowed(methods: Iterable[str]) -> Reply:
    """405 with the methods that are (RFC 9110, 15.5.6)."""
    body = problem_body(MethodNotAllowed("Method Not Allowed"))
    return Reply(body, 405, ((b"allow", ", ".join(sorted(methods)).encode()),))
