"""API keys: made and shown once, found by their digest, and remembered when they were last used.

What a key may do is in its document; whether a request is let in is the gate's to say, and no key itself is kept here.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import math
from collections.abc import Iterable

import msgspec

from . import codec
from ._directory import KEY, Directory, Stored
from ._projects import NOWHERE
from .errors import Conflict, NotFound
from .models import ApiKey, Identity
from .ports import Clock, Documents, Ids

__all__ = ["PREFIX", "KeyRing", "digest_of"]

PREFIX = "mr_live_"
STRANGERS = 1000  # bad keys that are remembered

_DIGEST = "key_digest"  # from a key's digest to its place: who shows a key names no project
_USE = "key_use"


class _Place(msgspec.Struct, frozen=True):
    project_id: str
    key_id: str


class _Known(msgspec.Struct, frozen=True):
    """A key that lets in, as it was found."""

    identity: Identity
    until: float
    place: tuple[str, str]


_place = msgspec.json.Decoder(_Place)


def digest_of(key: bytes) -> bytes:
    """What is kept of a key: its SHA-256. It has 256 bits of entropy, so no slow hash would add anything."""
    return hashlib.sha256(key).digest()


class KeyRing:
    """The stored keys of all projects."""

    def __init__(self, directory: Directory, documents: Documents, *, clock: Clock, ids: Ids) -> None:
        self._directory = directory
        self._documents = documents
        self._clock = clock
        self._ids = ids
        self._known: dict[bytes, _Known] = {}
        self._revision = -1
        self._strange: dict[bytes, None] = {}  # what let nobody in at that revision
        self._is_any = False
        self._used: dict[tuple[str, str], float] = {}  # not yet written

    # Finding

    def look(self, digest: bytes) -> Identity | None:
        """The identity of a key that was found before and still lets in: what most requests ask."""
        if self._revision != self._directory.revision:
            self._known.clear()
            self._strange.clear()
            self._is_any = False
            self._revision = self._directory.revision
            return None
        known = self._known.get(digest)
        if known is None:
            return None
        now = self._clock.now()
        if now >= known.until:
            return None
        self._used[known.place] = now
        return known.identity

    async def identify(self, digest: bytes) -> Identity | None:
        """Whom a key stands for; None where it is unknown, revoked or expired. The same bad key again costs the store
        nothing, until something is configured anew."""
        if digest in self._strange:
            return None
        before = self._directory.revision
        identity = await self._found(digest, before)
        if identity is None and before == self._directory.revision == self._revision:
            self._strange[digest] = None
            if len(self._strange) > STRANGERS:
                del self._strange[next(iter(self._strange))]
        return identity

    async def _found(self, digest: bytes, before: int) -> Identity | None:
        found = await self._documents.get(NOWHERE, _DIGEST, digest.hex())
        if found is None:
            return None
        place = _place.decode(found.body)
        key = await self._opening(place.project_id, place.key_id)
        if key is None:
            return None
        identity = _identity(place.project_id, key)
        if before == self._directory.revision == self._revision:
            until = math.inf if key.expires_at is None else key.expires_at
            self._known[digest] = _Known(identity, until, (place.project_id, key.id))
        self._used[place.project_id, key.id] = self._clock.now()
        return identity

    async def identity_of(self, project_id: str, key_id: str) -> Identity | None:
        """Whom a key stands for, by its id: for who was let in by it before, and must leave when it is revoked."""
        key = await self._opening(project_id, key_id)
        return None if key is None else _identity(project_id, key)

    async def any(self) -> bool:
        """Whether there is a key in any project."""
        self._is_any = self._is_any or bool(await self._documents.list(NOWHERE, _DIGEST))
        return self._is_any

    async def _opening(self, project_id: str, key_id: str) -> ApiKey | None:
        """The key, where it lets anybody in."""
        try:
            await self._directory.known_project(project_id)
            key: ApiKey = (await self._directory.find(project_id, KEY, key_id)).value
        except NotFound:
            return None
        return key if key.opens(self._clock.now()) else None

    # Changing

    async def issue(
        self, project_id: str, name: str, scopes: Iterable[str], expires_at: float | None = None
    ) -> tuple[Stored, str]:
        """A new key: its document and the key itself, which nobody can show again."""
        secret = self._ids.secret().partition("_")[2]
        text = PREFIX + base64.urlsafe_b64encode(base64.b64decode(secret)).rstrip(b"=").decode("ascii")
        digest = digest_of(text.encode()).hex()
        key = ApiKey(
            id=self._ids.opaque("key"),
            name=name,
            digest=digest,
            hint=f"{PREFIX}…{text[-4:]}",
            scopes=tuple(sorted(set(scopes))),
            created_at=self._clock.now(),
            expires_at=expires_at,
        )
        stored = await self._directory.create(project_id, KEY, key.id, key)
        place = codec.encode(_Place(project_id, key.id))
        await self._documents.put(NOWHERE, _DIGEST, digest, place, now=key.created_at, expected_version=0)
        self._strange.clear()
        return stored, text

    async def revoke(self, project_id: str, key_id: str) -> Stored:
        """From now on the key lets nobody in, in other processes within a second. Again is as good as once."""
        while True:
            stored = await self._directory.find(project_id, KEY, key_id)
            if stored.value.revoked_at is not None:
                return stored
            revoked = msgspec.structs.replace(stored.value, revoked_at=self._clock.now())
            try:
                return await self._directory.replace(project_id, KEY, stored, revoked)
            except Conflict:
                continue  # somebody renamed it meanwhile: that must not keep it alive

    async def remove(self, project_id: str, key_id: str) -> None:
        """Forget a key: it lets nobody in. Raises NotFound."""
        stored = await self._directory.find(project_id, KEY, key_id)
        await self._documents.delete(NOWHERE, _DIGEST, stored.value.digest)
        await self._directory.remove(project_id, KEY, key_id)
        await self._documents.delete(project_id, _USE, key_id)
        self._used.pop((project_id, key_id), None)

    # Use

    async def last_used(self, project_id: str) -> dict[str, float]:
        """When each key of a project was last used here, or (a minute later) anywhere."""
        used = await self._written(project_id)
        for (project, key_id), at in self._used.items():
            if project == project_id:
                used[key_id] = max(at, used.get(key_id, at))
        return used

    async def note(self) -> None:
        """Write down what was used since the last time: one small write for each such key, all in one transaction."""
        used, self._used = self._used, {}
        try:
            for project_id in {project_id for project_id, _ in used}:
                before = await self._written(project_id)
                there = await self._directory.all(project_id, KEY)
                news = {key: at for (project, key), at in used.items() if project == project_id and key in there}
                late = {key: at for key, at in news.items() if at > before.get(key, -math.inf)}
                await asyncio.gather(*(self._write(project_id, key_id, at) for key_id, at in late.items()))
        except BaseException:
            self._used = used | self._used
            raise

    async def _written(self, project_id: str) -> dict[str, float]:
        documents = await self._documents.list(project_id, _USE)
        return {document.name: document.updated_at for document in documents}

    async def _write(self, project_id: str, key_id: str, at: float) -> None:
        # The date is all that it says: nothing is in the body, and no cache depends on it.
        await self._documents.put(project_id, _USE, key_id, b"{}", now=at, silent=True)


def _identity(project_id: str, key: ApiKey) -> Identity:
    return Identity(project_id=project_id, scopes=frozenset(key.scopes), subject=key.id, key_id=key.id)
