"""What is asked of every request before a door is found: that its head is of bearable size, and, where a web page sent
it, that the page's origin may.

Requests of anything but browsers carry no `Origin` and pass with one look at their headers. It knows no route.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable
from typing import Protocol

from .._origins import KEYS_ONLY, Origins, Visit
from ..errors import Forbidden, HeadersTooLarge, RequestError, UriTooLong
from ..ports import Receive, Scope, Send
from ..problems import problem_messages
from ._masks import masked

__all__ = ["MAX_HEAD", "MAX_TARGET", "Front", "refuse"]

logger = logging.getLogger("riverflow.http")

MAX_TARGET = 8000  # bytes of path and query (RFC 9110, 4.1); a socket token has at most 4 kB
MAX_HEAD = 64 * 1024  # bytes of all header values
_TOLD = 100  # refused origins that are logged, each once

_POLICY_VIOLATION = 1008  # RFC 6455, 7.4.1

# What the page is told, and the cure for the log.
_DOORS_REFUSE = (
    "a page of this origin may not speak to riverflow (setting allowed_origins)",
    "if it is yours, name its origin in allowed_origins",
)
_PAGES_REFUSE = (
    "only riverflow's own pages may ask for its pages",
    "the console is for its own pages alone; if this is its origin, a proxy changes `Host`: set public_url",
)


class Paths(Protocol):
    """The ASGI app of all doors. `is_page` says whether a request is for a page of riverflow's own."""

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]: ...

    def is_page(self, scope: Scope) -> bool: ...


class Front:
    """The ASGI app round all doors."""

    def __init__(self, doors: Paths, origins: Origins) -> None:
        self._doors = doors
        self._origins = origins
        self._told: set[bytes] = set()

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """No coroutine of its own: what nothing is to be said about goes straight to the doors."""
        origin = None
        size = 0
        for name, value in scope["headers"]:
            size += len(value)
            if name == b"origin":
                origin = value
        target = len(scope["path"]) + len(scope.get("query_string", b""))
        if size > MAX_HEAD or target > MAX_TARGET:
            return refuse(scope, receive, send, _oversize(target))
        if origin is None:
            return self._doors(scope, receive, send)
        return self._receive_page(origin, scope, receive, send)

    async def _receive_page(self, origin: bytes, scope: Scope, receive: Receive, send: Send) -> None:
        for_page = self._doors.is_page(scope)
        visit = self._origins.visit(origin, scope, for_page=for_page)
        if visit is None:
            message, cure = _PAGES_REFUSE if for_page else _DOORS_REFUSE
            self._tell(origin, scope, cure)
            await refuse(scope, receive, send, Forbidden(message, code="origin_not_allowed"))
        elif scope["type"] == "http" and scope["method"] == "OPTIONS" and _is_preflight(scope):
            await send({"type": "http.response.start", "status": 204, "headers": list(visit.preflight)})
            await send({"type": "http.response.body", "body": b""})
        else:
            scope = scope if visit.ambient else _without_ambient(scope, visit.key_alone)
            await self._doors(scope, receive, _showing(visit, send) if visit.headers else send)

    def _tell(self, origin: bytes, scope: Scope, cure: str) -> None:
        if origin not in self._told and len(self._told) < _TOLD:
            self._told.add(origin)
            logger.warning(
                "a page of %r was refused at %r: %s",
                *(origin.decode("latin-1")[:200], masked(scope["path"]), cure),
            )


async def refuse(scope: Scope, receive: Receive, send: Send, error: RequestError) -> None:
    """Answer a request, or the attempt to open a socket, with an error.

    A socket is refused before it is accepted: to a client that comes back whatever it is told, that is the answer on
    which it waits longer each time.
    """
    start, body = problem_messages(error)
    if scope["type"] == "websocket":
        await receive()  # websocket.connect
        if "websocket.http.response" not in scope.get("extensions", {}):
            await send({"type": "websocket.close", "code": _POLICY_VIOLATION, "reason": error.code})
            return
        start, body = ({**message, "type": f"websocket.{message['type']}"} for message in (start, body))
    await send(start)
    await send(body)


def _oversize(target: int) -> RequestError:
    if target > MAX_TARGET:
        return UriTooLong(f"path and query are over {MAX_TARGET} bytes")
    return HeadersTooLarge(f"the headers are over {MAX_HEAD} bytes")


def _is_preflight(scope: Scope) -> bool:
    return any(name == b"access-control-request-method" for name, _ in scope["headers"])


def _without_ambient(scope: Scope, key_alone: bool) -> Scope:
    """Without what a browser adds by itself, which a Bearer credential never is; for a `key_alone`, also without what
    the connection or a proxy may say of it, which only an authenticator knows."""
    kept = [
        (name, value)
        for name, value in scope["headers"]
        if name != b"cookie" and (name != b"authorization" or value[:7].lower() == b"bearer ")
    ]
    return {**scope, "headers": kept, KEYS_ONLY: key_alone}


def _showing(visit: Visit, send: Send) -> Send:
    async def sending(message: Scope) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", ()), *visit.headers]}
        await send(message)

    return sending
