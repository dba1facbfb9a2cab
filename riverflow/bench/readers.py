"""Readers of channels, as bare protocols: WebSocket and server-sent events, thousands in one process.

They read what is pushed and answer pings; they validate nothing.
"""

from __future__ import annotations

import asyncio
import base64
import os
from collections.abc import Callable
from typing import cast

__all__ = ["EventStream", "WebSocket"]

Told = Callable[[bytes], None]

_TEXT, _CLOSE, _PING, _PONG = 1, 8, 9, 10


class _Reader(asyncio.Protocol):
    """What both have: a GET, an answer that is accepted or not, then a stream."""

    def __init__(self, request: bytes, told: Told) -> None:
        self._request = request
        self._told = told
        self._buffer = b""
        self._transport: asyncio.Transport | None = None
        self.accepted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.open = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's transports are no subclass
        self._transport.write(self._request)

    def connection_lost(self, error: Exception | None) -> None:
        self.open = False
        if not self.accepted.done():
            self.accepted.set_exception(ConnectionError("closed before it was accepted"))

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self.accepted.done():
            head, found, rest = self._buffer.partition(b"\r\n\r\n")
            if not found:
                return
            if head.split(b" ", 2)[1] not in (b"101", b"200"):
                self.accepted.set_exception(ConnectionError(f"refused: {head[:200]!r}"))
                self.close()
                return
            self._buffer = rest
            self.accepted.set_result(None)
        self._read()

    def _read(self) -> None:
        raise NotImplementedError

    def close(self) -> None:
        """Drop the connection."""
        if self._transport is not None:
            self._transport.close()


class WebSocket(_Reader):
    """A WebSocket client (RFC 6455) without extensions; `told` is called with each text message."""

    def __init__(self, host: str, path: str, told: Told) -> None:
        key = base64.b64encode(os.urandom(16)).decode()
        request = (
            f"GET {path} HTTP/1.1\r\nhost: {host}\r\nupgrade: websocket\r\nconnection: Upgrade\r\n"
            f"sec-websocket-key: {key}\r\nsec-websocket-version: 13\r\n\r\n"
        )
        super().__init__(request.encode(), told)

    def send(self, text: bytes) -> None:
        """Send a text message."""
        self._frame(_TEXT, text)

    def _frame(self, opcode: int, payload: bytes) -> None:
        # Masked with zeros, which leaves the payload as it is (RFC 6455, 5.3): the stub is not what is measured.
        size = len(payload)
        length = bytes([0x80 | size]) if size < 126 else b"\xfe" + size.to_bytes(2, "big")
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(bytes([0x80 | opcode]) + length + b"\0\0\0\0" + payload)

    def _read(self) -> None:
        while (frame := self._next()) is not None:
            opcode, payload = frame
            if opcode == _TEXT:
                self._told(payload)
            elif opcode == _PING:
                self._frame(_PONG, payload)
            elif opcode == _CLOSE:
                self.close()

    def _next(self) -> tuple[int, bytes] | None:
        data = self._buffer
        if len(data) < 2:
            return None
        size, start = data[1] & 0x7F, 2
        if size > 125:
            start = 4 if size == 126 else 10
            if len(data) < start:
                return None
            size = int.from_bytes(data[2:start], "big")
        if len(data) < start + size:
            return None
        self._buffer = data[start + size :]
        return data[0] & 0x0F, data[start : start + size]


class EventStream(_Reader):
    """An EventSource: `told` is called with the text of each event that carries data."""

    def __init__(self, host: str, path: str, told: Told) -> None:
        super().__init__(f"GET {path} HTTP/1.1\r\nhost: {host}\r\naccept: text/event-stream\r\n\r\n".encode(), told)

    def _read(self) -> None:
        *events, self._buffer = self._buffer.split(b"\n\n")
        for event in events:
            if b"data: " in event:
                self._told(event)
