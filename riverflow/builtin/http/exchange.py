"""One HTTP/1.1 connection and the exchange on it: bytes out, one bounded answer in. llhttp (by httptools) reads.

It dials nothing, keeps no pool and decides no egress; who uses it says how long an exchange may take.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

import httptools

from ...errors import HttpError
from ...ports import HttpResponse

__all__ = ["Connection"]

MAX_HEAD = 64 * 1024  # bytes of an answer's status line and headers, interim answers included
MAX_HEADERS = 128  # of them, trailers included


class Connection(asyncio.Protocol):
    """A connection that is asked one thing at a time. After `exchange` its future has the answer, or an HttpError;
    where `reusable` is then still true, the connection can be asked again.

    `closed(connection)` is called once, when it is gone; `silence` is how many seconds may pass between two pieces of
    an answer whose head has come.
    """

    __slots__ = (
        "_answer",
        "_body",
        "_closed",
        "_count",
        "_ends",
        "_head",
        "_headers",
        "_limit",
        "_parser",
        "_read",
        "_silence",
        "_silent",
        "_size",
        "_timer",
        "_watched_to",
        "heard",
        "idle_since",
        "reusable",
        "transport",
    )

    def __init__(self, closed: Callable[[Connection], None], silence: float) -> None:
        self._closed = closed
        self._silence = silence
        self._silent: asyncio.TimerHandle | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._watched_to = 0.0
        self._answer: asyncio.Future[HttpResponse] | None = None
        self.transport: asyncio.Transport | None = None
        self.reusable = False
        self.heard = False
        self.idle_since = 0.0

    def exchange(self, message: bytes, limit: int, answer: asyncio.Future[HttpResponse], ends: float) -> None:
        """Send a whole request; `answer` gets at most `limit` bytes of what comes back, by `ends` on the loop's clock.
        `heard` says from then on whether a byte of an answer has come."""
        assert self.transport is not None
        self._answer, self._limit, self._ends = answer, limit, ends
        if self._timer is None or ends < self._watched_to:
            self._watch_to(ends)
        self._headers: dict[str, str] = {}
        self._body: list[bytes] = []
        self._count = self._read = self._size = 0
        self._head = True
        self.heard = self.reusable = False
        self._parser = httptools.HttpResponseParser(self)
        self.transport.write(message)

    def abort(self) -> None:
        """Take the connection down without a farewell."""
        self.reusable = False
        if self.transport is not None:
            self.transport.abort()

    def fail(self, error: HttpError) -> None:
        """End the exchange, and the connection with it."""
        self.abort()
        answer = self._ended()
        if answer is not None and not answer.done():
            answer.set_exception(error)

    def _watch_to(self, ends: float) -> None:
        """Look then whether the exchange has taken too long. An exchange that ends in time leaves its timer to the next
        one: to set and cancel one each takes 1.4 µs."""
        if self._timer is not None:
            self._timer.cancel()
        self._watched_to = ends
        self._timer = asyncio.get_running_loop().call_at(ends, self._look)

    def _look(self) -> None:
        self._timer = None
        if self._answer is None:
            return
        if self._ends > self._watched_to:  # that one began later
            self._watch_to(self._ends)
        else:
            self._time_out()

    def _time_out(self) -> None:
        """End an exchange that has taken too long."""
        self.fail(HttpError("there was no whole answer in time", code="timeout"))

    def _ended(self) -> asyncio.Future[HttpResponse] | None:
        if self._silent is not None:
            self._silent.cancel()
            self._silent = None
        answer, self._answer = self._answer, None
        return answer

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's are none of asyncio's classes

    def data_received(self, data: bytes) -> None:
        if self._answer is None:  # an answer to nothing, or what follows an answer that was long enough
            self.abort()
            return
        self.heard = True
        self._read += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self.fail(HttpError("the answer switches protocols", code="protocol_error"))
        except (httptools.HttpParserError, _NoAnswer):
            self.fail(HttpError("the answer is not valid HTTP, or its headers are too large", code="protocol_error"))
        else:
            if self._answer is not None and not self._head:
                self._be_patient()
            if self._read > MAX_HEAD and (self._head or self._read > MAX_HEAD + 16 * self._limit):
                self.fail(HttpError("the answer's headers are too large", code="protocol_error"))

    def _be_patient(self) -> None:
        """More of the answer must come; most answers come in one piece."""
        if self._silent is not None:
            self._silent.cancel()
        self._silent = asyncio.get_running_loop().call_later(self._silence, self._time_out)

    def eof_received(self) -> bool:
        # Without a length, the end of the connection is the end of the body (RFC 9112, 6.3).
        if not (self._answer is None or self._head or self._headers.keys() & {"content-length", "transfer-encoding"}):
            self._done(truncated=False, again=False)
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self.reusable = False
        self.fail(HttpError("the connection broke before there was a whole answer", code="connection_error"))
        self.transport = None
        if self._timer is not None:
            self._timer.cancel()
        self._closed(self)

    # httptools

    def on_header(self, name: bytes, value: bytes) -> None:
        self._count += 1
        if self._answer is None or self._count > MAX_HEADERS:
            raise _NoAnswer
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        known = self._headers.get(key)
        self._headers[key] = text if known is None else f"{known}, {text}"  # RFC 9110, 5.3

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if status < 100:  # RFC 9110, 15: three digits, the first from 1 to 5
            raise _NoAnswer
        self._head = status < 200

    def on_body(self, chunk: bytes) -> None:
        self._body.append(chunk)
        self._size += len(chunk)
        if self._size > self._limit:
            self._done(truncated=True, again=False)

    def on_message_complete(self) -> None:
        if self._head:  # an interim answer (RFC 9110, 15.2): the next one may be the answer
            self._headers = {}
        elif self._answer is not None:
            self._done(truncated=False, again=self._parser.should_keep_alive())

    def _done(self, *, truncated: bool, again: bool) -> None:
        answer = self._ended()
        if not again:
            self.abort()
        self.reusable = again
        if answer is not None and not answer.done():
            body = b"".join(self._body)
            answer.set_result(
                HttpResponse(
                    status=self._parser.get_status_code(),
                    headers=self._headers,
                    body=body[: self._limit] if truncated else body,
                    truncated=truncated,
                )
            )


class _NoAnswer(Exception):
    """More headers than anybody needs, an answer after the answer, or no status."""
