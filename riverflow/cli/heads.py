"""Requests whose heads do not end: uvicorn's parser in C keeps whatever comes, and waits for the rest for ever.

It bounds bytes, fields and time of a head, and knows nothing of what is asked.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

__all__ = ["MAX_FIELDS", "MAX_HEAD", "WITHIN", "BoundedHeads"]

MAX_HEAD = 128 * 1024  # bytes; the app's own limit, which has better words, is below
MAX_FIELDS = 256  # of the head, and of a trailer
WITHIN = 10.0  # seconds from the first byte of a head (of the first one: from connecting) to its last

_ANSWER = b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


class BoundedHeads(HttpToolsProtocol):
    """uvicorn's protocol, which closes a connection on which no request comes together.

    Where a whole head comes in one piece, as it nearly always does, that costs one look.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._head = 0
        self._limit: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._limit = self.loop.call_later(WITHIN, transport.close)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        scope: Any = self.scope  # None, and `headers` too, until a request begins
        if scope is not None and len(self.headers) > MAX_FIELDS:
            self._refuse()
        elif scope is not None and "method" in scope:  # what the parser adds where the head ends
            if self._limit is not None:
                self._begin_anew()
        else:
            self._head += len(data)
            if self._head > MAX_HEAD:
                self._refuse()
            elif self._limit is None:
                self._limit = self.loop.call_later(WITHIN, self.transport.close)

    def connection_lost(self, exc: Exception | None) -> None:
        self._begin_anew()
        super().connection_lost(exc)

    def _begin_anew(self) -> None:
        self._head = 0
        if self._limit is not None:
            self._limit.cancel()
            self._limit = None

    def _refuse(self) -> None:
        if not self.transport.is_closing():
            if self.cycle is None or self.cycle.response_complete:
                self.transport.write(_ANSWER)
            self.transport.close()
