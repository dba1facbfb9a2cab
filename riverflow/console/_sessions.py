"""Who has logged in: sessions in the store, named by the digest of a cookie that only the browser has.

A session remembers which key opened it and is worth nothing once the key is. This module decides nobody's rights.
"""

from __future__ import annotations

import hashlib
import secrets

import msgspec

from .. import codec
from ..errors import VersionConflict
from ..models import Identity
from ..ports import Clock, Documents

__all__ = ["LASTS", "Session", "Sessions", "is_root"]

LASTS = 12 * 3600.0
"""Seconds from login to the next one."""

_NOBODYS = ""  # sessions are looked up before it is known whose they are
_KIND = "console_session"
_KEPT = 1000  # of one project: the oldest of more are ended, so that nobody fills the store, nor ends others' logins


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """A login: with which key of which project, until when (Unix seconds). `root` is the SHA-256 (hex) of the setting
    `api_key`, where that was the key; it is worth nothing once the setting is another."""

    project_id: str
    expires_at: float
    key_id: str | None = None
    root: str | None = None


class Sessions:
    """The sessions of all projects, the same for every process on the store."""

    def __init__(self, documents: Documents, clock: Clock) -> None:
        self._documents = documents
        self._clock = clock

    async def begin(self, identity: Identity, key: str) -> str:
        """A new session: the text for the cookie, of which the store has only the digest."""
        cookie = secrets.token_urlsafe(32)
        now = self._clock.now()
        await self._forget_old(identity.project_id, now)
        session = Session(
            project_id=identity.project_id,
            expires_at=now + LASTS,
            key_id=None if identity.root else identity.key_id,
            root=_named(key) if identity.root else None,
        )
        await self._documents.put(_NOBODYS, _KIND, _named(cookie), codec.encode(session), now=now, expected_version=0)
        return cookie

    async def find(self, cookie: str) -> Session | None:
        """The session that a cookie opens, while it lasts."""
        document = await self._documents.get(_NOBODYS, _KIND, _named(cookie)) if cookie else None
        if document is None:
            return None
        session = msgspec.json.decode(document.body, type=Session)
        return session if session.expires_at > self._clock.now() else None

    async def end(self, cookie: str) -> None:
        """Log out, everywhere."""
        await self._documents.delete(_NOBODYS, _KIND, _named(cookie))

    async def _forget_old(self, project_id: str, now: float) -> None:
        known = {d.name: msgspec.json.decode(d.body, type=Session) for d in await self._documents.list(_NOBODYS, _KIND)}
        over = {name for name, session in known.items() if session.expires_at <= now}
        last = sorted(  # all last equally long
            (name for name, session in known.items() if session.project_id == project_id),
            key=lambda name: known[name].expires_at,
        )
        for name in over.union(last[: max(0, len(last) - _KEPT)]):
            try:
                await self._documents.delete(_NOBODYS, _KIND, name)
            except VersionConflict:
                continue  # somebody else was first


def is_root(session: Session, key: str | None) -> bool:
    """Whether the session was opened by this very key."""
    return bool(key) and session.root is not None and secrets.compare_digest(session.root, _named(key or ""))


def _named(cookie: str) -> str:
    return hashlib.sha256(cookie.encode()).hexdigest()
