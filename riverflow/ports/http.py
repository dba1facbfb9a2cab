"""The outbound HTTP client."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, Protocol

import msgspec

from ..models import Trust

__all__ = ["HttpClient", "HttpRequest", "HttpResponse"]


class HttpRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One outbound request. `timeout` bounds it in all (seconds); at most `max_body` bytes of the answer are kept.
    `purpose` chooses the egress rule: `delivery` for URLs that users name, `provider` for URLs that the
    operator configured. `tenant` is whose request it is (a project's id; empty: the operator's): connections are not
    shared between tenants. `trust` is for peers that the public roots do not vouch for, or that want a certificate."""

    method: str
    url: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    purpose: Literal["delivery", "provider"]
    timeout: float
    max_body: int
    tenant: str = ""
    trust: Trust | None = None


class HttpResponse(msgspec.Struct, frozen=True, kw_only=True):
    """An answer: header names in lower case; `truncated` where the body was longer than asked for."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    truncated: bool = False


class HttpClient(Protocol):
    """Sends one request and reads the whole (bounded) answer.

    Guarantees: redirects are answers, not followed; no cookies, no environment proxies; every address is vetted
    by the egress guard before a packet is sent, and only vetted addresses are dialled.
    Raises HttpError (`code` tells why) and nothing else.
    """

    async def send(self, request: HttpRequest) -> HttpResponse: ...
    async def aclose(self) -> None: ...
