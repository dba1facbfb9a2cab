"""Calls an ASGI app in the same process over the `http` scope, streams included (ASGI 3.0, HTTP spec 2.3).

It knows no network, no retries and no timeouts: bound it with `asyncio.timeout`. httpx's own ASGI transport collects
the whole body first and so cannot show a stream.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import unquote, urlsplit

import anyio

from .ports import ASGIApp, Scope

__all__ = ["Response", "request"]

Headers = Mapping[str, str] | Iterable[tuple[str, str]]
_BUFFERED = 16  # messages an app may be ahead of its reader


class Response:
    """An answer whose body arrives as the app sends it. `headers` has lower-case names, repeated ones joined by a
    comma (RFC 9110, 5.3); `raw_headers` is what the app sent. An exception of the app is raised where the body is
    read, or, where the body was whole, at the end of the block."""

    def __init__(self, exchange: _Exchange, start: Mapping[str, Any]) -> None:
        self._exchange = exchange
        self.status: int = start["status"]
        self.raw_headers: list[tuple[bytes, bytes]] = [(bytes(k), bytes(v)) for k, v in start.get("headers", ())]
        self.headers: dict[str, str] = {}
        for name, value in self.raw_headers:
            key, text = name.decode("latin-1").lower(), value.decode("latin-1")
            self.headers[key] = f"{self.headers[key]}, {text}" if key in self.headers else text

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._exchange.chunks:
            yield chunk
        if not self._exchange.complete:
            self._exchange.check()

    async def read(self, limit: int | None = None) -> bytes:
        """The body that is still to come; with `limit`, reading ends once there are more bytes than that."""
        body = bytearray()
        async for chunk in self:
            body += chunk
            if limit is not None and len(body) > limit:
                break
        return bytes(body)


class _Exchange:
    """Both ends of one call: what the app may `receive` and `send`, and what the caller reads."""

    def __init__(self, body: Sequence[bytes]) -> None:
        self._body = list(body) or [b""]
        self._given = 0
        self._over = asyncio.Event()
        self._feed, self.chunks = anyio.create_memory_object_stream[bytes](_BUFFERED)
        self.start: asyncio.Future[Mapping[str, Any]] = asyncio.get_running_loop().create_future()
        self.complete = self.refused = self.reported = False
        self.failure: BaseException | None = None

    async def run(self, app: ASGIApp, scope: Scope) -> None:
        try:
            await app(scope, self._receive, self._send)
        except Exception as error:
            self.failure = error
        finally:
            self._feed.close()
            if not self.start.done():
                self.start.set_result({})

    async def _receive(self) -> dict[str, Any]:
        if self._given < len(self._body):
            chunk = self._body[self._given]
            self._given += 1
            return {"type": "http.request", "body": chunk, "more_body": self._given < len(self._body)}
        await self._over.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Mapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            if not self.start.done():
                self.start.set_result(message)
        elif message["type"] == "http.response.body" and not self.complete:
            await self._pass_on(message.get("body", b""))
            if not message.get("more_body", False):
                self.complete = True
                self._over.set()
                self._feed.close()

    async def _pass_on(self, chunk: bytes) -> None:
        try:
            if chunk:
                await self._feed.send(bytes(chunk))
            elif self._over.is_set():
                raise anyio.BrokenResourceError
        except (anyio.BrokenResourceError, anyio.ClosedResourceError):
            self.refused = True
            raise OSError("the client has left") from None  # ASGI HTTP spec 2.4, "Response Body"

    def check(self) -> None:
        """Raise what the app raised, or say that it ended before its response did."""
        self.reported = True
        if self.failure is not None:
            raise self.failure
        if not self.complete:
            raise RuntimeError("the app ended before its response was complete")

    def leave(self) -> None:
        """Tell the app that nobody reads any more (`http.disconnect`)."""
        self._over.set()
        self.chunks.close()
        self._feed.close()


@asynccontextmanager
async def request(
    app: ASGIApp,
    method: str,
    path: str,
    *,
    headers: Headers = (),
    body: bytes | Sequence[bytes] = b"",
    scheme: str = "http",
    client: tuple[str, int] | None = None,
) -> AsyncIterator[Response]:
    """Send one request and read its response: `async with request(app, "GET", "/x?y=1") as response: …`.

    `path` may carry a query. Several body chunks arrive as several `http.request` messages. Leaving the block sends
    `http.disconnect` and waits for the app to end (background tasks included); leaving it by an exception cancels
    the app. Raises what the app raises, and RuntimeError where it ends without a whole response.
    """
    exchange = _Exchange([body] if isinstance(body, bytes) else body)
    task = asyncio.create_task(exchange.run(app, _scope(method, path, headers, scheme, client)))
    try:
        start = await exchange.start
        if not start:
            exchange.check()
        yield Response(exchange, start)
        exchange.leave()
        await asyncio.wait([task])
    except BaseException:
        exchange.leave()
        task.cancel()
        await asyncio.wait([task])
        raise
    if exchange.failure is not None and not exchange.reported and not exchange.refused:
        raise exchange.failure


def _scope(method: str, path: str, headers: Headers, scheme: str, client: tuple[str, int] | None) -> Scope:
    given = headers.items() if isinstance(headers, Mapping) else headers
    fields = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in given]
    if not any(name == b"host" for name, _ in fields):
        fields.insert(0, (b"host", b"localhost"))
    raw, _, query = path.partition("?")
    host = urlsplit("//" + dict(fields)[b"host"].decode("latin-1"))
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": method.upper(),
        "scheme": scheme,
        "path": unquote(raw),
        "raw_path": raw.encode("latin-1"),
        "query_string": query.encode("latin-1"),
        "root_path": "",
        "headers": fields,
        "client": client,
        "server": (host.hostname or "localhost", host.port or (443 if scheme == "https" else 80)),
        "extensions": {},
    }
