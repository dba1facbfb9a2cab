"""The fast HttpClient: pyreqwest (Rust's reqwest), one small client for each vetted address.

It decides no egress and resolves no name: a client is built for one host with that host pinned to one address.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pyreqwest.exceptions as failures
from pyreqwest.client import Client, ClientBuilder
from pyreqwest.http import Url
from pyreqwest.request import RequestBuilder

from ...errors import HttpError
from ...ports import HttpRequest, HttpResponse
from ...urls import refuse
from .bounded import Bounded
from .guard import Destination, Guard
from .headers import DEFAULTS, check_outgoing, joined

__all__ = ["PyreqwestClient"]

CONNECT_TIMEOUT = timedelta(seconds=10)
IDLE_TIMEOUT = timedelta(seconds=30)
MAX_IDLE = 64  # connections kept for one address
CLIENTS = 256  # addresses that connections are kept for; building one costs 5 ms (TLS roots)


class PyreqwestClient:
    """ports.HttpClient over pyreqwest; about 40 µs of CPU a request with 64 in flight.

    `authorities` are further root certificates (PEM) to trust. A caller who is cancelled before the answer's headers
    came is let go at once, but pyreqwest (0.15) keeps the connection until the request's timeout is over, whatever is
    cancelled, closed or dropped: it can stop a request only while the request's own body is not yet complete.
    """

    def __init__(self, guard: Guard, *, user_agent: str, authorities: bytes | None = None) -> None:
        self._guard = guard
        self._user_agent = user_agent
        self._authorities = authorities
        self._clients: Bounded[tuple[str, int, str], Client] = Bounded(CLIENTS)
        self._closed = False

    async def send(self, request: HttpRequest) -> HttpResponse:
        """Send one request to the first vetted address that takes a connection."""
        check_outgoing(request.headers)
        if self._closed:
            raise HttpError("the client is closed", code="connection_error")
        deadline = asyncio.get_running_loop().time() + request.timeout
        destination = self._guard.known(request.url, request.purpose)
        if destination is None:
            destination = await self._guard.vet(request.url, request.purpose, request.timeout)
        last = destination.addresses[-1]
        for address in destination.addresses:
            try:
                return await self._exchange(destination, address, request, deadline)
            except failures.PyreqwestError as error:
                if address is last or not _unconnected(error):
                    raise _translated(error, destination) from error
            except ValueError as error:
                raise HttpError("the request is malformed", code="protocol_error") from error
        raise HttpError("no address could be reached", code="connection_error")

    async def aclose(self) -> None:
        """Close every connection."""
        self._closed = True
        for client in self._clients.clear():
            await client.close()

    async def _exchange(
        self, destination: Destination, address: str, request: HttpRequest, deadline: float
    ) -> HttpResponse:
        client = self._client(destination, address)
        building: RequestBuilder = client.request(request.method, destination.text).headers(request.headers)
        if request.body:
            building = building.body_bytes(request.body)
        left = deadline - asyncio.get_running_loop().time()
        building = building.timeout(timedelta(seconds=max(left, 0.001)))
        async with building.build_streamed() as response:
            if response.status < 200:
                raise HttpError("the answer switches protocols", code="protocol_error")
            headers = _headers(response.headers)
            body, truncated = await _read(response.body_reader, request.max_body, headers.get("content-length"))
            return HttpResponse(status=response.status, headers=headers, body=body, truncated=truncated)

    def _client(self, destination: Destination, address: str) -> Client:
        key = (destination.url.host, destination.url.port, address)
        client = self._clients.use(key)
        if client is None:
            client = self._build(destination, address)
            self._clients.put(key, client)  # what has to go closes itself when its last request is done
        return client

    def _build(self, destination: Destination, address: str) -> Client:
        _check_reading(destination)
        builder = (
            ClientBuilder()
            .error_for_status(False)
            .follow_redirects(False)
            .referer(False)
            .no_proxy()
            .gzip(False)
            .brotli(False)
            .zstd(False)
            .deflate(False)
            .http1_only()
            .http1_lower_case_headers()
            .user_agent(self._user_agent)
            .default_headers(DEFAULTS)
            .connect_timeout(CONNECT_TIMEOUT)
            .pool_idle_timeout(IDLE_TIMEOUT)
            .pool_max_idle_per_host(MAX_IDLE)
            .resolve(destination.url.host, address, destination.url.port)
        )
        if self._authorities is not None:
            builder = builder.add_root_certificate_pem(self._authorities)
        return builder.build()


def _check_reading(destination: Destination) -> None:
    """The Rust parser must find the host that was vetted, else the pin would not hold. Raises HttpError (`policy`)."""
    try:
        host = Url(destination.text).host_str or ""
    except ValueError:
        host = ""
    if host.strip("[]") != destination.url.host:
        raise refuse("the host name can be read in two ways")


async def _read(reader: Any, limit: int, length: str | None) -> tuple[bytes, bool]:
    """At most `limit` bytes, and whether there were more. One byte more is asked for, to know."""
    chunk = await reader.read(limit + 1)
    if chunk is None:
        return b"", False
    body = bytes(chunk)
    while len(body) <= limit and str(len(body)) != length:
        chunk = await reader.read(limit + 1 - len(body))
        if chunk is None:
            break
        body += bytes(chunk)
    return body[:limit], len(body) > limit


def _headers(found: Any) -> dict[str, str]:
    try:
        return joined(found.items())
    except ValueError:  # a value that is not ASCII: it alone is left out
        return {name: value for name in found.keys() if (value := _value(found, name)) is not None}  # noqa: SIM118


def _value(found: Any, name: str) -> str | None:
    try:
        return ", ".join(found.getall(name))
    except ValueError:
        return None


def _causes(error: failures.PyreqwestError) -> list[str]:
    if not isinstance(error, failures.DetailedPyreqwestError):
        return []
    return [cause["message"] for cause in error.details.get("causes") or ()]


def _unconnected(error: failures.PyreqwestError) -> bool:
    """Whether nothing was sent: only then may another address be tried."""
    return "client error (Connect)" in _causes(error)


def _translated(error: failures.PyreqwestError, destination: Destination) -> HttpError:
    """The port's error. Its text names no address and nothing of what the peer said."""
    if isinstance(error, failures.RequestTimeoutError):
        return HttpError("there was no whole answer in time", code="timeout")
    if isinstance(error, failures.DecodeError):
        return HttpError("the answer is not valid HTTP", code="protocol_error")
    causes = _causes(error)
    if destination.url.scheme == "https" and _unconnected(error) and "tcp connect error" not in causes:
        return HttpError("the TLS handshake failed", code="tls_error")
    return HttpError("the connection failed", code="connection_error")
