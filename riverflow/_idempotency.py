"""Requests that say who they are: sent again, they are answered again, and nothing is done twice (`Idempotency-Key`,
draft-ietf-httpapi-idempotency-key-header-07).

A marker names the id that the run will have before the run is written. Whatever happens in between, whoever comes with
the key knows where to look, and a run's id is written once only. This module writes no run.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import msgspec

from . import codec
from .errors import Conflict, InvalidRequest, Unprocessable
from .models import Json
from .ports import Clock, Documents

__all__ = ["Idempotency", "Marker", "checked_key", "key_of"]

_SCOPE = "idempotency"
_HEADER = b"idempotency-key"
_KEY = re.compile(r"[\x21-\x7e]{1,255}")
_QUOTED = re.compile(r'"((?:[\x20\x21\x23-\x5b\x5d-\x7e]|\\["\\])*)"')  # a string of RFC 9651, 3.3.3

BEING_ACCEPTED = 5.0  # seconds that another process is given for writing the run its marker promises


class Marker(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of the first request with a key: the SHA-256 of its body, the id of its run, the process (`owner`)
    that was to write it and since when, and what it was warned of."""

    run_id: str
    digest: str
    owner: str
    at: float
    warnings: tuple[str, ...] = ()


_decoder = msgspec.json.Decoder(Marker)


class Idempotency:
    """The keys of one process; they are kept for `ttl` seconds, and are each project's own."""

    def __init__(self, documents: Documents, clock: Clock, *, owner: str, ttl: float) -> None:
        self._documents = documents
        self._clock = clock
        self._owner = owner
        self._ttl = ttl
        self._in_hand: set[tuple[str, str]] = set()

    @contextmanager
    def in_hand(self, project_id: str, key: str) -> Iterator[None]:
        """While a request with the key is being answered here, another one is not. Raises Conflict."""
        if (project_id, key) in self._in_hand:
            raise _still_accepted()
        self._in_hand.add((project_id, key))
        try:
            yield
        finally:
            self._in_hand.discard((project_id, key))

    async def known(self, project_id: str, key: str, request: Json) -> Marker | None:
        """The marker of an earlier request with the key. Raises Unprocessable where that one had another body."""
        there = await self._documents.marked(project_id, _SCOPE, key, now=self._clock.now())
        return None if there is None else _same(_decoder.decode(there), request)

    async def leave(self, project_id: str, key: str, request: Json, run_id: str, warnings: list[str]) -> Marker:
        """Promise a run. Raises Conflict where another process was a moment faster, Unprocessable where with another
        body."""
        now = self._clock.now()
        marker = Marker(run_id=run_id, digest=_digest(request), owner=self._owner, at=now, warnings=tuple(warnings))
        there = await self._documents.mark(
            project_id, _SCOPE, key, codec.encode(marker), now=now, expires_at=now + self._ttl
        )
        if there is not None:
            _same(_decoder.decode(there), request)
            raise _still_accepted()
        return marker

    def check_abandoned(self, marker: Marker) -> None:
        """Whether the run that a marker promises will not be written by who promised it, so that another may. Raises
        Conflict while it may still come.

        Should both write it after all, only one of them succeeds: the id is taken then.
        """
        if marker.owner != self._owner and self._clock.now() < marker.at + BEING_ACCEPTED:
            raise _still_accepted()


def key_of(headers: Iterable[tuple[bytes, bytes]]) -> str | None:
    """The `Idempotency-Key` of a request, bare or as the draft's quoted string; None without. Raises InvalidRequest."""
    found = None
    for name, value in headers:
        if name == _HEADER:
            if found is not None:
                raise InvalidRequest("give one Idempotency-Key, not several", code="invalid_idempotency_key")
            found = value
    return None if found is None else checked_key(found.decode("latin-1"))


def checked_key(text: str) -> str:
    """A key as it is kept. Raises InvalidRequest."""
    quoted = _QUOTED.fullmatch(text)
    key = re.sub(r"\\(.)", r"\1", quoted[1]) if quoted else text
    if not _KEY.fullmatch(key) or (key[0] == '"' and not quoted):
        raise InvalidRequest(
            "Idempotency-Key: give 1 to 255 visible ASCII characters without spaces, such as a UUID",
            code="invalid_idempotency_key",
        )
    return key


def _same(marker: Marker, request: Json) -> Marker:
    if marker.digest != _digest(request):
        raise Unprocessable(
            "this Idempotency-Key came with another body before; a new request needs a new key",
            code="idempotency_key_reused",
        )
    return marker


def _digest(request: Json) -> str:
    return hashlib.sha256(request).hexdigest()


def _still_accepted() -> Conflict:
    return Conflict(
        "a request with this Idempotency-Key is being accepted at this moment; try again",
        code="idempotency_key_in_use",
        retry_after=1.0,
    )
