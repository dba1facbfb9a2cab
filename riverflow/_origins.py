"""Which web pages may speak to riverflow from a browser: the same origin, and those that are allowed (WHATWG Fetch,
3.2; RFC 6454).

It sees a request's headers and says what to do; it neither answers nor knows any credential.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import urlsplit

import msgspec

from .config import Settings
from .errors import ConfigError
from .ports import Scope

__all__ = ["KEYS_ONLY", "Origins", "Visit"]

KEYS_ONLY = "riverflow.keys_only"
"""A member of the scope, true where a request counts for its key or token alone: no other authentication is asked."""

Headers = tuple[tuple[bytes, bytes], ...]

_ORIGIN = re.compile(r"https?://(\*\.)?[a-z0-9._~\-]+(:[0-9]{1,5})?|https?://\[[0-9a-f:.]+\](:[0-9]{1,5})?")
_VARY = (b"vary", b"origin")
_EXPOSED = (
    b"access-control-expose-headers",
    b"retry-after, ratelimit, ratelimit-policy, idempotent-replayed, allow",
)
_PREFLIGHT: Headers = (
    (b"access-control-allow-methods", b"GET, POST, PUT, PATCH, DELETE"),
    (b"access-control-allow-headers", b"authorization, content-type, idempotency-key, last-event-id, traceparent"),
    (b"access-control-max-age", b"600"),
)


class Visit(msgspec.Struct, frozen=True):
    """What a page's request may do. `headers` go with the answer; where it has no `ambient` credentials, those that the
    browser adds by itself (cookies, HTTP authentication) do not count; where it counts for its `key_alone`, nor does
    what is true of every page in a browser (a client certificate, what a proxy or an address says)."""

    headers: Headers
    ambient: bool
    key_alone: bool = False

    @property
    def preflight(self) -> Headers:
        """The headers that answer a preflight request."""
        return (*self.headers, *_PREFLIGHT)


_SAME = Visit((), ambient=True)
_ANYBODY = Visit(((b"access-control-allow-origin", b"*"), _EXPOSED), ambient=False, key_alone=True)
_NEIGHBOUR = Visit(_ANYBODY.headers, ambient=False)
_LOCAL = re.compile(r"https?://(localhost|127\.0\.0\.1|\[::1\])(:[0-9]{1,5})?")


class Origins:
    """The origins that are let in.

    Without a setting that is every origin in development, and none but the app's own in production. An origin that is
    named (`https://app.example.com`, `https://*.example.com`) comes with its cookies, for a host app's own login may
    be one; what only `*` lets in comes without: then a foreign page has nothing but the key or token that it was
    given. In development a page of this very machine (`http://localhost:5173`) may have a Bearer credential that the
    host app's login knows. Riverflow's own pages are for its own origin alone: who could read one could send every form
    on it. Raises ConfigError.
    """

    def __init__(self, settings: Settings) -> None:
        allowed = settings.allowed_origins
        self._neighbours = allowed is None and settings.development
        if allowed is None:
            allowed = "*" if settings.development else ()
        named = {origin.strip().lower().rstrip("/") for origin in _listed(allowed)} - {""}
        self._anybody = "*" in named
        self._exact = named - {"*"}
        for origin in self._exact - {"null"}:
            if not _ORIGIN.fullmatch(origin):
                raise ConfigError(
                    f"allowed_origins: {origin!r} is no origin: give scheme and host, such as https://app.example.com "
                    "or https://*.example.com, or * for every one"
                )
        self._suffixes = tuple(
            (scheme + "//", host[1:]) for scheme, _, host in (o.partition("//") for o in self._exact) if host[:1] == "*"
        )
        self._own = _authority(urlsplit(settings.public_url).netloc) if settings.public_url else None

    def visit(self, origin: bytes, scope: Scope, *, for_page: bool = False) -> Visit | None:
        """What a request with this `Origin` may do, `for_page` where it asks for a page of riverflow's own; None where
        it is refused."""
        name = origin.decode("latin-1").lower()
        if self._is_own(name, scope):
            return _SAME
        if for_page:
            return None
        if name in self._exact or (self._suffixes and self._is_below(name)):
            allow = (b"access-control-allow-origin", origin), (b"access-control-allow-credentials", b"true")
            return Visit((*allow, _EXPOSED, _VARY), ambient=True)
        if self._neighbours and _LOCAL.fullmatch(name):
            return _NEIGHBOUR
        return _ANYBODY if self._anybody else None

    def _is_own(self, name: str, scope: Scope) -> bool:
        """Whether a page of this very host asks. The scheme is left out: behind a proxy that ends TLS it differs."""
        authority = _authority(name.partition("://")[2])
        return bool(authority) and authority in (self._own, _authority(_host(scope)))

    def _is_below(self, name: str) -> bool:
        """Whether it is an origin below one of the wildcards, and an origin at all."""
        return _ORIGIN.fullmatch(name) is not None and any(
            name.startswith(scheme) and name.endswith(suffix) and len(name) > len(scheme) + len(suffix)
            for scheme, suffix in self._suffixes
        )


def _listed(allowed: str | Iterable[str]) -> Iterable[str]:
    return allowed.split(",") if isinstance(allowed, str) else allowed


def _host(scope: Scope) -> str:
    for name, value in scope["headers"]:
        if name == b"host":
            text: str = value.decode("latin-1")
            return text
    return ""


def _authority(text: str) -> str:
    """Host and port, without a default port."""
    return text.lower().removesuffix(":443").removesuffix(":80")
