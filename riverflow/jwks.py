"""The ed25519 keys of a sender who publishes them: a JWK Set (RFC 7517) at one address that the receiver names.

It verifies nothing: what it finds are secrets for `riverflow.webhooks`. A message can choose among the keys that are
there, by `kid`; it can name neither an address nor an algorithm.
"""

from __future__ import annotations

import asyncio
import base64
from types import TracebackType
from typing import Any

import msgspec

from .builtin.http import build_client
from .builtin.system import SystemClock
from .config import Settings
from .errors import ConfigError, HttpError, StoreUnavailable, WebhookVerificationError
from .ports import Clock, HttpClient, HttpRequest
from .webhooks import Secret

__all__ = ["Jwks"]

MAX_BYTES = 64 * 1024
MAX_KEYS = 16  # as many secrets as a receiver takes
TIMEOUT = 5.0
PAUSE = 60.0
"""Seconds between two requests, whatever is asked for: keys that do not exist make nobody a nuisance to the sender."""


class _Jwk(msgspec.Struct):
    kty: str = ""
    crv: str = ""
    x: str = ""
    kid: str | None = None
    use: str | None = None
    alg: str | None = None


class _Set(msgspec.Struct):
    keys: tuple[_Jwk, ...]


_set = msgspec.json.Decoder(_Set)


class Jwks:
    """The keys at `url`, fetched when they are first asked for and again after `max_age` seconds, or for a `kid` that
    is not among them. While the address does not answer, known keys count for `max_stale` seconds; then nothing does.

    Fetched by the guarded client of `settings` (None: those of production: https and public addresses only). Use it as
    an async context manager, or close it. Raises ConfigError for a URL that is none.
    """

    def __init__(
        self,
        url: str,
        *,
        settings: Settings | None = None,
        max_age: float = 3600.0,
        max_stale: float = 86_400.0,
        http: HttpClient | None = None,
        clock: Clock | None = None,
    ) -> None:
        if not url.startswith(("https://", "http://")):
            raise ConfigError(f"a JWK Set has an https URL, not {url[:80]!r}")
        self._url = url
        self._clock = clock or SystemClock()
        self._http = http or build_client(settings or Settings(), self._clock)
        self._max_age = max_age
        self._max_stale = max_stale
        self._keys: tuple[_Jwk, ...] = ()
        self._fetched_at: float | None = None
        self._asked_at: float | None = None
        self._asking = asyncio.Lock()

    async def __aenter__(self) -> Jwks:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        await self._http.aclose()

    async def secrets(self, kid: str | None = None) -> tuple[Secret, ...]:
        """The keys as secrets for `verify` and `Receiver`: that of the name `kid`, or (None) all.

        Raises WebhookVerificationError (`unknown_key`, 401) where there is none of that name, StoreUnavailable (503:
        the sender shall try again) where no key is known, or none that is fresh enough.
        """
        if self._age() >= self._max_age or not self._named(kid):
            async with self._asking:
                if self._age() >= self._max_age or not self._named(kid):
                    await self._refresh()
        if self._age() >= self._max_age + self._max_stale:
            raise StoreUnavailable("the sender's keys could not be fetched")
        found = self._named(kid)
        if not found:
            raise WebhookVerificationError("unknown_key", "no key of that name is in the sender's JWK Set")
        return tuple(Secret("whpk_" + each.x) for each in found)

    def _age(self) -> float:
        return float("inf") if self._fetched_at is None else self._clock.monotonic() - self._fetched_at

    def _named(self, kid: str | None) -> tuple[_Jwk, ...]:
        return self._keys if kid is None else tuple(key for key in self._keys if key.kid == kid)

    async def _refresh(self) -> None:
        """Ask once, unless that was done a moment ago. What is no good JWK Set changes nothing."""
        now = self._clock.monotonic()
        if self._asked_at is not None and now - self._asked_at < PAUSE:
            return
        self._asked_at = now
        request = HttpRequest(
            method="GET",
            url=self._url,
            headers=(("accept", "application/jwk-set+json, application/json"),),
            body=b"",
            purpose="delivery",  # the rule of URLs that lead outside
            timeout=TIMEOUT,
            max_body=MAX_BYTES,
        )
        try:
            answer = await self._http.send(request)
        except HttpError:
            return
        keys = _usable(answer.body) if answer.status == 200 and not answer.truncated else ()
        if keys:
            self._keys, self._fetched_at = keys, now


def _usable(body: bytes) -> tuple[_Jwk, ...]:
    """The ed25519 keys for signatures (RFC 8037, 2); of other kinds there may be any number."""
    try:
        found = _set.decode(body).keys
    except (msgspec.DecodeError, UnicodeDecodeError):
        return ()
    return tuple(key for key in found if _is_ed25519(key))[:MAX_KEYS]


def _is_ed25519(key: Any) -> bool:
    if (key.kty, key.crv) != ("OKP", "Ed25519") or key.use not in (None, "sig"):
        return False
    if key.alg not in (None, "EdDSA", "Ed25519"):
        return False
    try:
        return len(base64.b64decode(key.x + "=" * (-len(key.x) % 4), altchars=b"-_", validate=True)) == 32
    except ValueError:
        return False
