"""A scripted HTTP receiver on a real socket of 127.0.0.1, friendly or hostile, for the suites of clients and senders.

It speaks raw bytes on purpose: no HTTP library would send what a hostile peer sends.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import NamedTuple

__all__ = ["Received", "Receiver", "Reply", "answer", "receiving"]

Reply = bytes | Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Received(NamedTuple):
    """One request as it came: the request line, header lines by lower-case name, the body, and the connection's number
    (from 1)."""

    line: str
    headers: dict[str, str]
    body: bytes
    connection: int


class Receiver:
    """Answers each request with the next reply of `script`, the last one for ever. `received` are the requests in
    order, `names` the server names of TLS handshakes; `asked` is set by the first request, `left` when a peer that was
    not answered has gone."""

    def __init__(self) -> None:
        self.port = 0
        self.script: list[Reply] = [answer(200, b"ok")]
        self.received: list[Received] = []
        self.names: list[str | None] = []
        self.connections = 0
        self.asked = asyncio.Event()
        self.left = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    def url(self, host: str = "127.0.0.1", path: str = "/hook", scheme: str = "http") -> str:
        return f"{scheme}://{host}:{self.port}{path}"

    def replies(self, *script: Reply) -> None:
        self.script = list(script)

    async def silent(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """A reply: nothing, until the peer has gone."""
        await reader.read()
        self.left.set()

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def aclose(self) -> None:
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        number = self.connections
        try:
            while True:
                self.received.append(await _read_request(reader, number))
                self.asked.set()
                reply = self.script[0] if len(self.script) == 1 else self.script.pop(0)
                if isinstance(reply, bytes):
                    writer.write(reply)
                    await writer.drain()
                else:
                    await reply(reader, writer)
                if writer.is_closing():
                    return
        except (OSError, asyncio.IncompleteReadError):
            return
        finally:
            writer.transport.abort()


def answer(status: int, body: bytes = b"", *lines: str) -> bytes:
    """A whole HTTP/1.1 answer; `lines` are further header lines."""
    head = [f"HTTP/1.1 {status} Status", f"Content-Length: {len(body)}", *lines]
    return "\r\n".join(head).encode("latin-1") + b"\r\n\r\n" + body


@asynccontextmanager
async def receiving(tls: ssl.SSLContext | None = None, host: str = "127.0.0.1") -> AsyncIterator[Receiver]:
    """A receiver that listens; over TLS where a context is given; on all loopback addresses with host `0.0.0.0`."""
    receiver = Receiver()
    if tls is not None:
        tls.sni_callback = lambda _, name, __: receiver.names.append(name)
    server = await asyncio.start_server(receiver.accept, host, 0, ssl=tls)
    receiver.port = server.sockets[0].getsockname()[1]
    try:
        yield receiver
    finally:
        server.close()
        await receiver.aclose()


async def _read_request(reader: asyncio.StreamReader, connection: int) -> Received:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    line, *fields = head.split("\r\n")[:-2]
    headers = {name.lower(): value.strip() for name, _, value in (field.partition(":") for field in fields)}
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return Received(line, headers, body, connection)
