"""The simulated network: ASGI exchanges of the world's clients with a process, and what a process sends out.

Here messages are late, lost and doubled; what they say is nobody's business here.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from ...errors import HttpError
from ...ports import HttpRequest, HttpResponse, Scope
from .faults import Faults

__all__ = ["Answered", "Connection", "Lost", "SimulatedHttp", "http_scope", "websocket_scope"]

_UNREAD = 8  # messages that the network holds for a client who does not read

Host = Callable[[HttpRequest], Awaitable[HttpResponse]]


class Lost(Exception):
    """The connection has ended; what became of the request is unknown."""


class Answered(NamedTuple):
    """A whole HTTP answer."""

    status: int
    body: bytes


class Connection:
    """One ASGI exchange. The app has `receive` and `send`, the client all else."""

    def __init__(self, body: bytes = b"", *, websocket: bool = False) -> None:
        first = {"type": "websocket.connect"} if websocket else {"type": "http.request", "body": body}
        self._websocket = websocket
        self._incoming: deque[dict[str, Any]] = deque([first])
        self._outgoing: deque[dict[str, Any]] = deque()
        self._left = self._severed = False
        self._news: list[asyncio.Future[None]] = []

    # The app's side

    async def receive(self) -> dict[str, Any]:
        while not self._incoming:
            if self._left:
                return {"type": f"{'websocket' if self._websocket else 'http'}.disconnect"}
            await self._changed()
        return self._incoming.popleft()

    async def send(self, message: Any) -> None:
        while len(self._outgoing) >= _UNREAD and not self._left:
            await self._changed()
        if not self._left:
            self._outgoing.append(dict(message))
            self._wake()
        elif self._websocket:
            raise OSError("the client is gone")

    # The client's side

    async def next(self) -> dict[str, Any]:
        """The app's next message. Raises Lost where the process died."""
        while not self._outgoing:
            if self._severed:
                raise Lost("the connection was cut")
            await self._changed()
        message = self._outgoing.popleft()
        self._wake()
        return message

    async def whole(self) -> Answered:
        """The answer to a request, read to its end. Raises Lost."""
        status, parts = 0, []
        while True:
            message = await self.next()
            if message["type"] == "http.response.start":
                status = message["status"]
                continue
            parts.append(message.get("body", b""))
            if not message.get("more_body", False):
                return Answered(status, b"".join(parts))

    def say(self, text: str) -> None:
        """A WebSocket message to the app."""
        self._incoming.append({"type": "websocket.receive", "text": text})
        self._wake()

    def leave(self) -> None:
        """The client hangs up."""
        self._left = True
        self._wake()

    def sever(self) -> None:
        """The process at the other end is gone; what it had sent may still be read."""
        self._severed = self._left = True
        self._wake()

    async def _changed(self) -> None:
        news: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._news.append(news)
        await news

    def _wake(self) -> None:
        waiting, self._news = self._news, []
        for news in waiting:
            if not news.done():
                news.set_result(None)


def http_scope(method: str, path: str, headers: dict[str, str] | None = None) -> Scope:
    """The ASGI scope of a request."""
    return {**_scope(path, headers), "type": "http", "method": method, "scheme": "https"}


def websocket_scope(path: str) -> Scope:
    """The ASGI scope of a WebSocket."""
    return {**_scope(path, None), "type": "websocket", "scheme": "wss", "subprotocols": []}


def _scope(path: str, headers: dict[str, str] | None) -> dict[str, Any]:
    path, _, query = path.partition("?")
    return {
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": query.encode(),
        "headers": [(name.lower().encode(), value.encode()) for name, value in (headers or {}).items()],
        "client": ("192.0.2.1", 4711),
        "server": ("api.sim", 443),
        "state": {},
        "extensions": {},
    }


class SimulatedHttp:
    """ports.HttpClient of one process. `hosts` maps host names to who answers there; what is on its way arrives though
    the process has died (`begin` starts it outside)."""

    def __init__(
        self, hosts: Mapping[str, Host], faults: Faults, begin: Callable[[Coroutine[Any, Any, None]], object]
    ) -> None:
        self._hosts = hosts
        self._faults = faults
        self._begin = begin

    async def send(self, request: HttpRequest) -> HttpResponse:
        """One exchange, within the request's own time."""
        if self._faults.strikes("unreachable"):
            raise HttpError("connection refused", code="connection_error")
        answer: asyncio.Future[HttpResponse] = asyncio.get_running_loop().create_future()
        self._begin(self._carry(request, answer))
        if self._faults.strikes("doubled"):
            self._begin(self._carry(request, asyncio.get_running_loop().create_future()))
        try:
            async with asyncio.timeout(request.timeout):
                return await answer
        except TimeoutError:
            raise HttpError(f"no answer within {request.timeout:g} s", code="timeout") from None

    async def _carry(self, request: HttpRequest, answer: asyncio.Future[HttpResponse]) -> None:
        await asyncio.sleep(self._faults.delay())
        if self._faults.strikes("request_lost"):
            return
        response = await self._hosts[urlsplit(request.url).hostname or ""](request)
        await asyncio.sleep(self._faults.delay())
        if not self._faults.strikes("answer_lost") and not answer.done():
            answer.set_result(response)

    async def aclose(self) -> None:
        return None
