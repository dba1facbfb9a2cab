"""The HttpClient that lets go: aiohttp, where a caller who is cancelled closes the connection, at once.

It decides no egress and resolves no name: each vetted destination has a session of its own, pinned to its addresses.
"""

from __future__ import annotations

import asyncio
import io
import socket
import ssl
from collections.abc import Sequence

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from ...errors import HttpError
from ...ports import HttpRequest, HttpResponse
from ...urls import refuse
from .bounded import Bounded
from .guard import Destination, Guard
from .headers import DEFAULTS, check_outgoing, joined
from .tls import trusting

__all__ = ["AiohttpClient"]

CONNECT_TIMEOUT = 10.0
IDLE_TIMEOUT = 30.0
SESSIONS = 256  # destinations that connections are kept for
AT_ONCE = 64 * 1024  # bytes of a body that are handed over in one piece; more go out as the peer takes them

_TIMEOUTS = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT)  # the total is bounded from outside
_NUMERIC = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV


class AiohttpClient:
    """ports.HttpClient over aiohttp; about twice pyreqwest's CPU with 64 in flight, and less than half of httpx's.

    `authorities` are further root certificates (PEM) to trust.
    """

    def __init__(self, guard: Guard, *, user_agent: str, authorities: bytes | None = None) -> None:
        self._guard = guard
        self._headers = dict((*DEFAULTS, ("user-agent", user_agent)))
        self._tls = trusting(authorities)
        self._sessions: Bounded[tuple[str, str, int, tuple[str, ...]], _Session] = Bounded(SESSIONS)
        self._closed = False

    async def send(self, request: HttpRequest) -> HttpResponse:
        """Send one request over a kept or a new connection."""
        check_outgoing(request.headers)
        destination = self._guard.known(request.url, request.purpose)
        try:
            async with asyncio.timeout(request.timeout):
                if destination is None:
                    destination = await self._guard.vet(request.url, request.purpose, request.timeout)
                return await self._exchange(destination, request)
        except TimeoutError as error:
            raise HttpError("there was no whole answer in time", code="timeout") from error
        except (aiohttp.ClientConnectionError, OSError) as error:
            raise _network_error(error, destination) from error
        except (aiohttp.ClientError, ValueError, TypeError) as error:
            raise HttpError("the request or its answer is not valid HTTP", code="protocol_error") from error

    async def aclose(self) -> None:
        """Close every connection, in use or not."""
        self._closed = True
        for session in self._sessions.clear():
            await session.aclose()

    async def _exchange(self, destination: Destination, request: HttpRequest) -> HttpResponse:
        if self._closed:
            raise HttpError("the client is closed", code="connection_error")
        session = await self._session(destination)
        session.users += 1
        try:
            return await session.exchange(_url(destination), request)
        finally:
            session.users -= 1
            if session.retired and not session.users:
                await session.aclose()

    async def _session(self, destination: Destination) -> _Session:
        url = destination.url
        key = (url.scheme, url.host, url.port, destination.addresses)
        session = self._sessions.use(key)
        if session is None:
            session = _Session(destination.addresses, self._tls, self._headers)
            old = self._sessions.put(key, session)
            if old is not None:
                await old.retire()
        return session


class _Session:
    """The connections to one destination, and how many requests use them."""

    def __init__(self, addresses: Sequence[str], tls: ssl.SSLContext, headers: dict[str, str]) -> None:
        connector = aiohttp.TCPConnector(
            resolver=_Pinned(addresses), use_dns_cache=False, ssl=tls, limit=0, keepalive_timeout=IDLE_TIMEOUT
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            headers=headers,
            skip_auto_headers=("accept", "content-type"),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=_TIMEOUTS,
            auto_decompress=False,
            trust_env=False,
            response_class=_Response,
        )
        self.users = 0
        self.retired = False

    async def exchange(self, url: URL, request: HttpRequest) -> HttpResponse:
        body = request.body if len(request.body) <= AT_ONCE else io.BytesIO(request.body)
        sending = self._session.request(
            request.method, url, headers=request.headers, data=body or None, allow_redirects=False
        )
        response = await sending
        try:
            return await _read(response, request.max_body)
        finally:
            _end(response)

    async def retire(self) -> None:
        """Close when the last request is done."""
        self.retired = True
        if not self.users:
            await self.aclose()

    async def aclose(self) -> None:
        await self._session.close()


class _Response(aiohttp.ClientResponse):
    """An answer that, when nobody waits for it any more, takes its connection down without a farewell: a graceful close
    first sends what is still buffered, and over TLS waits up to 30 s for the peer to agree."""

    async def start(self, connection: aiohttp.connector.Connection) -> aiohttp.ClientResponse:
        try:
            return await super().start(connection)
        except asyncio.CancelledError:
            _abort(connection)
            raise


class _Pinned(AbstractResolver):
    """Answers with the vetted addresses, in order, whatever the host is called. SNI and Host remain the name."""

    def __init__(self, addresses: Sequence[str]) -> None:
        self._addresses = addresses

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=socket.IPPROTO_TCP,
                flags=_NUMERIC,
            )
            for address in self._addresses
        ]

    async def close(self) -> None:
        return None


def _url(destination: Destination) -> URL:
    """The URL as it was vetted: aiohttp must find the same host in it. Raises HttpError (`policy`)."""
    url = URL(destination.text, encoded=True)
    if url.raw_host != destination.url.host:
        raise refuse("the host name can be read in two ways")
    return url


async def _read(response: aiohttp.ClientResponse, limit: int) -> HttpResponse:
    """At most `limit` bytes of the body, and whether there were more."""
    if response.status < 200:
        raise HttpError("the answer switches protocols", code="protocol_error")
    headers = joined((name.decode("latin-1"), value.decode("latin-1")) for name, value in response.raw_headers)
    body = await response.content.readany()
    while len(body) <= limit and (chunk := await response.content.readany()):
        body += chunk
    return HttpResponse(status=response.status, headers=headers, body=body[:limit], truncated=len(body) > limit)


def _end(response: aiohttp.ClientResponse) -> None:
    """A connection whose answer was read to its end is free by itself; any other is of no more use."""
    if response.connection is not None:
        _abort(response.connection)
    response.release()


def _abort(connection: aiohttp.connector.Connection) -> None:
    if connection.transport is not None:
        connection.transport.abort()


def _network_error(error: Exception, destination: Destination | None) -> HttpError:
    """The port's error. Its text names no address and nothing of what the peer said."""
    https = destination is not None and destination.url.scheme == "https"
    if https and isinstance(error, aiohttp.ClientConnectorError) and _in_handshake(error):
        return HttpError("the TLS handshake failed", code="tls_error")
    return HttpError("the connection failed", code="connection_error")


def _in_handshake(error: aiohttp.ClientConnectorError) -> bool:
    """Whether TLS is the cause, or a connection that broke after it was made."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return True
    return isinstance(error.os_error, (ssl.SSLError, ConnectionResetError, ConnectionAbortedError))
