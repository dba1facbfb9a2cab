"""The HttpClient that is riverflow's own: HTTP/1.1 over asyncio, read by llhttp.

It decides no egress and resolves no name: connections go to vetted addresses only. A caller who is cancelled takes his
connection down at once, whatever state it is in. Of what a durable run costs, aiohttp took 20 % for this (and libraries
with threads of their own cannot abort); this takes a fifth of that.
"""

from __future__ import annotations

import asyncio
import ssl

from ...errors import HttpError
from ...models import Trust
from ...ports import HttpRequest, HttpResponse
from ...urls import Url
from .bounded import Bounded
from .exchange import Connection
from .guard import Destination, Guard, Pool
from .headers import DEFAULTS, check_names, check_text
from .limits import Limits
from .tls import trusting

__all__ = ["HttptoolsClient"]

MAX_IDLE = 64  # connections kept for one destination
POOLS = 256  # destinations that connections are kept for
FORMS = 1024  # forms of request heads that are kept: what is sent to one URL differs in the values of its headers


class HttptoolsClient:
    """ports.HttpClient over asyncio and httptools. `authorities` are further root certificates (PEM) to trust."""

    def __init__(self, guard: Guard, *, user_agent: str, limits: Limits, authorities: bytes | None = None) -> None:
        self._guard = guard
        self._limits = limits
        self._authorities = authorities
        self._defaults = (*DEFAULTS, ("user-agent", user_agent))
        self._tls = trusting(authorities)
        self._forms: Bounded[tuple[str, str, tuple[str, ...]], str] = Bounded(FORMS)
        self._pools: Bounded[Pool | tuple[Pool, Trust], _Connections] = Bounded(POOLS)
        self._closed = False

    async def send(self, request: HttpRequest) -> HttpResponse:
        """Send one request over a kept or a new connection."""
        loop = asyncio.get_running_loop()
        ends = loop.time() + request.timeout
        destination = self._guard.known(request.url, request.purpose, request.tenant)
        if destination is None:
            destination = await self._guard.vet(request.url, request.purpose, request.timeout, request.tenant)
        message = self._message(destination.url, request)
        if self._closed:
            raise HttpError("the client is closed", code="connection_error")
        pool = self._pool(destination, request.trust)
        while (connection := pool.take(loop.time())) is not None:
            try:
                return await pool.exchange(connection, message, request.max_body, ends)
            except HttpError as error:
                # It was closed as we wrote: no byte of an answer came, so another connection gets its turn.
                if error.code != "connection_error" or connection.heard:
                    raise
        return await pool.exchange(await pool.dial(ends), message, request.max_body, ends)

    async def aclose(self) -> None:
        """Close every connection, in use or not."""
        self._closed = True
        self._guard.close()
        for pool in self._pools.clear():
            pool.close(in_use=True)

    def _pool(self, destination: Destination, trust: Trust | None) -> _Connections:
        key = destination.pool if trust is None else (destination.pool, trust)
        pool = self._pools.use(key)
        if pool is None:
            tls = self._tls if trust is None else trusting(self._authorities, trust)
            secure = destination.url.scheme == "https"
            pool = _Connections(destination, tls if secure else None, self._limits)
            old = self._pools.put(key, pool)
            if old is not None:
                old.close(in_use=False)
        return pool

    def _message(self, url: Url, request: HttpRequest) -> bytes:
        """The request as it goes out (RFC 9112, 3). Raises HttpError (`protocol_error`)."""
        head = self._head(url, request)
        if request.body or request.method in ("POST", "PUT", "PATCH"):
            return b"%bcontent-length: %d\r\n\r\n%b" % (head, len(request.body), request.body)
        return head + b"\r\n"

    def _head(self, url: Url, request: HttpRequest) -> bytes:
        names, values = zip(*request.headers, strict=True) if request.headers else ((), ())
        key = (request.method, request.url, names)
        form = self._forms.get(key)
        if form is None:
            form = self._form(url, request.method, names)
            self._forms.put(key, form)
        check_text(values)
        return (form % values).encode("ascii")

    def _form(self, url: Url, method: str, names: tuple[str, ...]) -> str:
        """A head with `%s` in place of each value."""
        given = check_names(names)
        lines = [
            (f"{method} {url.target} HTTP/1.1", ""),
            (f"host: {url.authority}", ""),
            *[(f"{name}: ", "%s") for name in names],
            *[(f"{name}: {value}", "") for name, value in self._defaults if name not in given],
        ]
        return "".join([f"{text.replace('%', '%%')}{place}\r\n" for text, place in lines])


class _Connections:
    """The connections to one destination: the idle ones, the newest used first so that the others can go stale."""

    def __init__(self, destination: Destination, tls: ssl.SSLContext | None, limits: Limits) -> None:
        self._url = destination.url
        self._addresses = destination.addresses
        self._tls = tls
        self._limits = limits
        self._idle: list[Connection] = []
        self._all: set[Connection] = set()
        self._sweep: asyncio.TimerHandle | None = None
        self._closed = False

    def take(self, now: float) -> Connection | None:
        """A kept connection, if there is one that is still good."""
        while self._idle:
            connection = self._idle.pop()
            if connection.reusable and now - connection.idle_since < self._limits.idle:
                return connection
            connection.abort()
        return None

    async def dial(self, ends: float) -> Connection:
        """A new connection, to the first vetted address that takes it. Raises HttpError."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout_at(ends):
                return await self._dial(loop)
        except TimeoutError as error:
            raise HttpError("no connection was made in time", code="timeout") from error
        except ssl.SSLError as error:
            raise HttpError("the TLS handshake failed", code="tls_error") from error
        except OSError as error:
            if self._tls is not None and isinstance(error, ConnectionResetError | ConnectionAbortedError):
                raise HttpError("the TLS handshake failed", code="tls_error") from error  # it was made, then broke
            raise HttpError("the connection failed", code="connection_error") from error

    async def exchange(self, connection: Connection, message: bytes, limit: int, ends: float) -> HttpResponse:
        """One request and its answer. Raises HttpError; leaving it early takes the connection down."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[HttpResponse] = loop.create_future()
        connection.exchange(message, limit, answer, ends)
        try:
            response = await answer
        except asyncio.CancelledError:
            connection.abort()
            raise
        if connection.reusable:
            self._keep(connection, loop)
        return response

    def close(self, *, in_use: bool) -> None:
        """Let go of the idle connections, and of all where `in_use` is set."""
        self._closed = True
        for connection in [*(self._all if in_use else self._idle)]:
            connection.abort()
        if self._sweep is not None:
            self._sweep.cancel()

    async def _dial(self, loop: asyncio.AbstractEventLoop) -> Connection:
        name = self._url.host if self._tls is not None else None
        for address in self._addresses:
            try:
                async with asyncio.timeout(self._limits.connect):
                    _, connection = await loop.create_connection(
                        lambda: Connection(self._all.discard, self._limits.read),
                        address,
                        self._url.port,
                        ssl=self._tls,
                        server_hostname=name,
                    )
            except ssl.SSLError:
                raise
            except OSError:  # TimeoutError is one
                if address is self._addresses[-1]:
                    raise
            else:
                self._all.add(connection)
                return connection
        raise OSError("no address")

    def _keep(self, connection: Connection, loop: asyncio.AbstractEventLoop) -> None:
        if self._closed or len(self._idle) >= MAX_IDLE:
            connection.abort()
            return
        connection.idle_since = loop.time()
        self._idle.append(connection)
        if self._sweep is None:
            self._sweep = loop.call_later(self._limits.idle, self._drop_stale, loop)

    def _drop_stale(self, loop: asyncio.AbstractEventLoop) -> None:
        """Close what nobody has used for long; the oldest stand first."""
        now = loop.time()
        while self._idle and not (self._idle[0].reusable and now - self._idle[0].idle_since < self._limits.idle):
            self._idle.pop(0).abort()
        wait = self._limits.idle - (now - self._idle[0].idle_since) if self._idle else None
        self._sweep = loop.call_later(wait, self._drop_stale, loop) if wait is not None else None
