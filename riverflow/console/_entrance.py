"""Who may see the console: a session that a key opened, the host app's own login, or nobody at all.

An `admin` is needed whichever way he comes. What he may do there is the API's question.
"""

from __future__ import annotations

import hashlib
import ipaddress
import re
import secrets
from collections.abc import Mapping
from urllib.parse import urlsplit

from .._gate import Gate
from .._keys import KeyRing
from .._limits import Limits
from ..config import Settings
from ..errors import Unauthenticated
from ..models import ADMIN, Identity
from ..ports import Scope
from ._sessions import LASTS, Sessions, is_root
from ._visit import Visit, cookies_of, header_of

__all__ = ["Entrance"]

_LOCAL_NAME = re.compile(r"(localhost|127\.0\.0\.1|\[::1\])(:[0-9]+)?", re.IGNORECASE)
_FORWARDED = re.compile(rb"forwarded|via|x-real-ip|(x-forwarded|x-original|cf)-.*")


class Entrance:
    """The door of one console."""

    def __init__(
        self,
        *,
        gate: Gate,
        keys: KeyRing,
        limits: Limits,
        sessions: Sessions,
        settings: Settings,
        project_id: str,
        hosted: bool,
    ) -> None:
        self._gate = gate
        self._keys = keys
        self._limits = limits
        self._sessions = sessions
        self._settings = settings
        self._project_id = project_id
        self._hosted = hosted  # the host app's own login may let somebody in
        # Cookies know no ports: two riverflows on one host must not log each other out.
        self._cookie = f"riverflow_{hashlib.sha256(project_id.encode()).hexdigest()[:8]}"

    def crumb(self, scope: Scope) -> str:
        """The visitor's cookie, or nothing."""
        return cookies_of(scope).get(self._cookie, "")

    async def meet(self, visit: Visit) -> None:
        """Say who it is, where that is known. Raises RateLimited for a stranger who comes too often."""
        visit.who = await self._session(visit.crumb)
        visit.session = visit.who is not None
        if visit.who is None:
            visit.who = await self._of_host(visit.scope)
        if visit.who is None and await self.is_open(visit.scope):
            visit.who = Identity(project_id=self._project_id, subject="development")
            visit.open = True
        if visit.who is None:
            self._limits.stranger(visit.scope)

    async def log_in(self, visit: Visit) -> str:
        """The cookie of a new session for the key in the form. Raises Unauthenticated for what is no key of an admin,
        and RateLimited: who is logged in may guess no more often than a stranger, who was counted when he came in."""
        if visit.who is not None:
            self._limits.stranger(visit.scope)
        key = visit.field("key")
        identity = await self._gate.recognise(key) if key else None
        if identity is None:
            raise Unauthenticated("This is not a valid API key: it is unknown, expired or revoked.")
        if ADMIN not in identity.scopes:
            raise Unauthenticated("This key is good, but not for the console: it needs the scope “admin”.")
        return await self._sessions.begin(identity, key)

    async def log_out(self, cookie: str) -> None:
        if cookie:
            await self._sessions.end(cookie)

    def set_cookie(self, scope: Scope, value: str) -> str:
        """The Set-Cookie header. It names no path: the browser takes the one that it sees, which a proxy may have
        changed (RFC 6265, 5.1.4)."""
        lasts = f"; Max-Age={LASTS:.0f}" if value else "; Max-Age=0"
        return f"{self._cookie}={value}; HttpOnly; SameSite=Strict{lasts}{'; Secure' if self._secure(scope) else ''}"

    def fresh_crumb(self) -> str:
        """The value of a cookie for somebody without a session, to which his forms are bound."""
        return secrets.token_urlsafe(32)

    def same_origin(self, scope: Scope) -> bool:
        """Whether a form comes from a page of ours, as far as the browser says (Fetch Metadata; RFC 6454, 7)."""
        site = header_of(scope, b"sec-fetch-site")
        if site:
            return site in ("same-origin", "none")
        if not header_of(scope, b"origin"):
            return True  # not a browser, or an old one: the token decides
        return bool(self._own_scheme(scope))

    async def is_open(self, scope: Scope) -> bool:
        """Nobody has to log in where nobody could: in development, without any key or authenticator, for a browser on
        this very machine that asked for it by a local name (so that no web page can rebind its own name to here), for
        no page of another site, and not through a proxy or a tunnel, where one shows (nginx speaks HTTP/1.0 unless
        told otherwise)."""
        if not self._settings.development or not await self._nobody_could():
            return False
        if not (self.same_origin(scope) or _is_link_nearby(scope)):
            return False
        if scope.get("http_version") == "1.0" or any(_FORWARDED.fullmatch(name) for name, _ in scope["headers"]):
            return False
        return _LOCAL_NAME.fullmatch(header_of(scope, b"host")) is not None and _is_loopback(scope)

    async def keyless(self) -> bool:
        """Whether there is no key at all that somebody could log in with."""
        return not self._settings.api_key and not await self._keys.any()

    async def _session(self, cookie: str) -> Identity | None:
        session = await self._sessions.find(cookie)
        if session is None:
            return None
        if session.key_id is not None:
            identity = await self._keys.identity_of(session.project_id, session.key_id)
        else:
            key = self._settings.api_key
            identity = await self._gate.recognise(key) if key and is_root(session, key) else None
        return identity if identity is not None and ADMIN in identity.scopes else None

    async def _nobody_could(self) -> bool:
        return not self._hosted and await self.keyless()

    async def _of_host(self, scope: Scope) -> Identity | None:
        """The host app's own login. It cannot be asked for what an API key may do: pages take no Bearer keys."""
        without = {**scope, "headers": [pair for pair in scope["headers"] if pair[0] != b"authorization"]}
        try:
            identity = await self._gate.authenticate(without)
        except Unauthenticated:
            return None
        return identity if ADMIN in identity.scopes else None

    def _secure(self, scope: Scope) -> bool:
        """Over https the cookie never travels without it. A forged header only takes the cookie from its forger."""
        public: Mapping[str, str] = {urlsplit(self._settings.public_url or "").netloc: self._settings.public_url or ""}
        by_name = public.get(header_of(scope, b"host"), "")
        return (
            scope.get("scheme") == "https"
            or header_of(scope, b"x-forwarded-proto") == "https"
            or by_name.startswith("https:")
            or self._own_scheme(scope) == "https"
        )

    def _own_scheme(self, scope: Scope) -> str:
        """The scheme of the `Origin`, where that is ours."""
        scheme, _, name = header_of(scope, b"origin").partition("://")
        ours = header_of(scope, b"host"), urlsplit(self._settings.public_url or "").netloc
        return scheme if name and name in ours else ""


def _is_link_nearby(scope: Scope) -> bool:
    """Whether somebody followed a link on a page of this very host, such as of an app on another port: that page cannot
    read the answer, and looking changes nothing. A link from another site leads to a page that asks again."""
    said = tuple(header_of(scope, b"sec-fetch-" + name) for name in (b"site", b"mode", b"dest"))
    return scope["method"] in ("GET", "HEAD") and said == ("same-site", "navigate", "document")


def _is_loopback(scope: Scope) -> bool:
    client = scope.get("client")
    if not client:
        return False
    try:
        return ipaddress.ip_address(client[0]).is_loopback
    except ValueError:
        return False
