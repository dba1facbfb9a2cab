"""The HttpClient that is always there: httpx's own engine (httpcore's connections), with a pool of our own.

It decides no egress and resolves no name: connections go to vetted addresses only. httpx's client and pool are passed
by: they follow environment proxies, keep cookies, and rescan every pooled connection on each request (5 ms at 64).
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterable, Sequence
from typing import Any

import anyio
import httpcore

from ...errors import HttpError
from ...models import Trust
from ...ports import HttpRequest, HttpResponse
from ...urls import Url
from .bounded import Bounded
from .guard import Destination, Guard, Pool
from .headers import DEFAULTS, check_names, check_text, joined
from .limits import Limits, Patience
from .tls import trusting

__all__ = ["HttpxClient"]

MAX_IDLE = 64  # connections kept for one destination
POOLS = 256  # destinations that connections are kept for


class HttpxClient:
    """ports.HttpClient over httpcore. `authorities` are further root certificates (PEM) to trust."""

    def __init__(self, guard: Guard, *, user_agent: str, limits: Limits, authorities: bytes | None = None) -> None:
        self._guard = guard
        self._limits = limits
        self._extensions = {"timeout": {"connect": limits.connect}}  # the total counts outside
        self._authorities = authorities
        self._defaults = (*DEFAULTS, ("user-agent", user_agent))
        self._tls = trusting(authorities)
        self._pools: Bounded[Pool | tuple[Pool, Trust], _Pool] = Bounded(POOLS)
        self._closed = False

    async def send(self, request: HttpRequest) -> HttpResponse:
        """Send one request over a kept or a new connection."""
        check_names([name for name, _ in request.headers])
        check_text([value for _, value in request.headers])
        destination = self._guard.known(request.url, request.purpose, request.tenant)
        try:
            async with asyncio.timeout(request.timeout) as timer:
                if destination is None:
                    destination = await self._guard.vet(request.url, request.purpose, request.timeout, request.tenant)
                return await self._exchange(destination, request, timer)
        except (TimeoutError, httpcore.TimeoutException) as error:
            raise HttpError("there was no whole answer in time", code="timeout") from error
        except (httpcore.NetworkError, httpcore.ConnectionNotAvailable, OSError) as error:
            raise _network_error(error, destination) from error
        except (httpcore.ProtocolError, ValueError, TypeError) as error:
            raise HttpError("the request or its answer is not valid HTTP", code="protocol_error") from error

    async def aclose(self) -> None:
        """Close every idle connection; those in use are closed when their requests end."""
        self._closed = True
        self._guard.close()
        for pool in self._pools.clear():
            await pool.aclose()

    async def _exchange(self, destination: Destination, request: HttpRequest, timer: asyncio.Timeout) -> HttpResponse:
        if self._closed:
            raise HttpError("the client is closed", code="connection_error")
        pool = await self._pool(destination, request.trust)
        connection = await pool.take()
        try:
            response = await connection.handle_async_request(self._outgoing(destination.url, request))
            try:
                return await _read(response, request.max_body, Patience(timer, self._limits.read))
            finally:
                await response.aclose()
        finally:
            with anyio.CancelScope(shield=True):
                await pool.give_back(connection)

    def _outgoing(self, url: Url, request: HttpRequest) -> httpcore.Request:
        given = {name.lower() for name, _ in request.headers}
        headers = [("host", url.authority), *request.headers]
        headers += [header for header in self._defaults if header[0] not in given]
        if request.body or request.method in ("POST", "PUT", "PATCH"):
            headers.append(("content-length", str(len(request.body))))
        return httpcore.Request(
            request.method,
            httpcore.URL(scheme=url.scheme, host=url.host, port=url.port, target=url.target),
            headers=headers,
            content=request.body,
            extensions=self._extensions,
        )

    async def _pool(self, destination: Destination, trust: Trust | None) -> _Pool:
        key = destination.pool if trust is None else (destination.pool, trust)
        pool = self._pools.use(key)
        if pool is None:
            tls = self._tls if trust is None else trusting(self._authorities, trust)
            pool = _Pool(destination, tls, self._limits.idle)
            old = self._pools.put(key, pool)
            if old is not None:
                await old.aclose()
        return pool


class _Pool:
    """Idle connections to one destination, the newest used first so that the others can go stale."""

    def __init__(self, destination: Destination, tls: ssl.SSLContext, idle: float) -> None:
        url = destination.url
        self._origin = httpcore.Origin(url.scheme.encode(), url.host.encode(), url.port)
        self._backend = _Pinned(destination.addresses)
        self._tls = tls
        self._kept = idle
        self._idle: list[httpcore.AsyncHTTPConnection] = []
        self._closed = False

    async def take(self) -> httpcore.AsyncHTTPConnection:
        while self._idle:
            connection = self._idle.pop()
            if connection.is_available() and not connection.has_expired():
                return connection
            await connection.aclose()
        return httpcore.AsyncHTTPConnection(
            self._origin, ssl_context=self._tls, keepalive_expiry=self._kept, network_backend=self._backend
        )

    async def give_back(self, connection: httpcore.AsyncHTTPConnection) -> None:
        usable = connection.is_available() and not _spoke_unasked(connection)
        if usable and len(self._idle) < MAX_IDLE and not self._closed:
            self._idle.append(connection)
        else:
            await connection.aclose()

    async def aclose(self) -> None:
        self._closed = True
        while self._idle:
            await self._idle.pop().aclose()


def _spoke_unasked(connection: httpcore.AsyncHTTPConnection) -> bool:
    """Whether the peer sent more than its answer, which would be taken for the next one. httpcore does not say; what
    comes later it finds by itself."""
    engine: Any = connection._connection
    return bool(engine._h11_state.trailing_data[0])


class _Pinned(httpcore.AnyIOBackend):
    """Dials the vetted addresses, in order, whatever the host is called. SNI and Host remain the name."""

    def __init__(self, addresses: Sequence[str]) -> None:
        self._addresses = addresses

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        last = self._addresses[-1]
        for address in self._addresses:
            try:
                return await super().connect_tcp(address, port, timeout, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                if address is last:
                    raise
        raise httpcore.ConnectError("no address")


async def _read(response: httpcore.Response, limit: int, patience: Patience) -> HttpResponse:
    """At most `limit` bytes of the body, and whether there were more."""
    if response.status < 200:
        raise HttpError("the answer switches protocols", code="protocol_error")
    headers = joined((name.decode("latin-1"), value.decode("latin-1")) for name, value in response.headers)
    body = bytearray()
    patience.renew()
    async for chunk in response.aiter_stream():
        body += chunk
        if len(body) > limit:
            break
        patience.renew()
    return HttpResponse(status=response.status, headers=headers, body=bytes(body[:limit]), truncated=len(body) > limit)


def _network_error(error: Exception, destination: Destination | None) -> HttpError:
    """The port's error. Its text names no address and nothing of what the peer said."""
    https = destination is not None and destination.url.scheme == "https"
    if https and isinstance(error, httpcore.ConnectError) and _in_handshake(error):
        return HttpError("the TLS handshake failed", code="tls_error")
    return HttpError("the connection failed", code="connection_error")


def _in_handshake(error: BaseException | None) -> bool:
    """Whether TLS is the cause, or a connection that broke after it was made: a failed dial leaves a plain OSError."""
    while error is not None:
        if isinstance(error, OSError):
            return isinstance(error, ssl.SSLError)
        error = error.__cause__ or error.__context__
    return True
