"""Bare HTTP/1.1 over asyncio protocols, for the stub: fast enough not to be what limits a measurement.

It speaks what the benchmark's own processes say to one another and no more: keep-alive, bodies with a length, chunked
answers, no TLS.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import cast

import httptools
import msgspec

__all__ = ["Answer", "Client", "Handle", "ServerProtocol", "WireError", "response"]

Handle = Callable[[bytes, bytes, dict[bytes, bytes], Callable[[bytes], None]], None]
"""Takes a request's path, body and headers (names in lower case), and what to answer with: whole response bytes."""


class WireError(Exception):
    """A connection ended in the middle of an exchange."""


class Answer(msgspec.Struct, frozen=True):
    """A response: status and body."""

    status: int
    body: bytes


def response(body: bytes, status: bytes = b"200 OK") -> bytes:
    """A JSON response, ready to be written."""
    head = b"HTTP/1.1 %b\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % (status, len(body))
    return head + body


class ServerProtocol(asyncio.Protocol):
    """One connection of a client: requests one after the other."""

    def __init__(self, handle: Handle) -> None:
        self._handle = handle
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport | None = None
        self._start()

    def _start(self) -> None:
        self._url = b""
        self._headers: dict[bytes, bytes] = {}
        self._body = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's transports are no subclass

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.lower()] = value

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        url, body, headers = self._url, self._body, self._headers
        self._start()
        self._handle(url, body, headers, self._write)

    def _write(self, answer: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(answer)


class _Connection(asyncio.Protocol):
    """One connection to the system under test; one exchange at a time."""

    def __init__(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._transport: asyncio.Transport | None = None
        self._waiting: asyncio.Future[Answer] | None = None
        self._body = b""
        self.open = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's transports are no subclass

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def connection_lost(self, error: Exception | None) -> None:
        self.open = False
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(WireError("the connection was closed before the answer"))

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        answer = Answer(self._parser.get_status_code(), self._body)
        self._body = b""
        waiting, self._waiting = self._waiting, None
        if waiting is not None and not waiting.done():
            waiting.set_result(answer)

    def exchange(self, request: bytes) -> asyncio.Future[Answer]:
        assert self._transport is not None
        self._waiting = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return self._waiting

    def close(self) -> None:
        self.open = False
        if self._transport is not None:
            self._transport.close()


class Client:
    """Keep-alive connections to one address; as many as are needed at once."""

    def __init__(self, host: str, port: int, headers: Sequence[tuple[str, str]] = ()) -> None:
        self._host = host
        self._port = port
        said = "".join(f"{name}: {value}\r\n" for name, value in (("host", f"{host}:{port}"), *headers))
        self._head = f" HTTP/1.1\r\n{said}content-type: application/json\r\ncontent-length: ".encode()
        self._free: list[_Connection] = []

    async def post(self, path: bytes, body: bytes) -> Answer:
        """POST and read the whole answer. Raises WireError."""
        connection = await self._connection()
        answer = await connection.exchange(b"POST %b%b%d\r\n\r\n%b" % (path, self._head, len(body), body))
        self._free.append(connection)
        return answer

    def close(self) -> None:
        """Close the idle connections."""
        for connection in self._free:
            connection.close()
        self._free.clear()

    async def _connection(self) -> _Connection:
        while self._free:
            connection = self._free.pop()
            if connection.open:
                return connection
        _, made = await asyncio.get_running_loop().create_connection(_Connection, self._host, self._port)
        return made
