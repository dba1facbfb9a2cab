"""The configuration documents of a project as structs: what code declares, and what the store keeps.

It reads and writes each time it is asked and remembers nothing; who is read from memory is the directory's concern.
"""

from __future__ import annotations

import hashlib

import msgspec

from ._kinds import ENDPOINT, STRUCTURED_OUTPUT, WORKFLOW, Kind, Stored
from ._vault import Vault
from .config import Declarations
from .errors import ConfigError, Conflict, Unprocessable, VersionConflict
from .models import Endpoint
from .ports import Clock, Documents

__all__ = ["Shelf", "check_writable"]


class Shelf:
    """Documents by project, kind and name; their secrets go through the vault."""

    def __init__(self, documents: Documents, vault: Vault, clock: Clock, declared: Declarations) -> None:
        self._documents = documents
        self._vault = vault
        self._clock = clock
        self._declared = declared

    def declared(self, kind: Kind) -> dict[str, Stored]:
        """What code defines of a kind, by name (endpoints: by id)."""
        if kind is WORKFLOW:
            return {w.name: Stored(name=w.name, value=w) for w in self._declared.workflows}
        if kind is STRUCTURED_OUTPUT:
            return {s.name: Stored(name=s.name, value=s) for s in self._declared.structured_outputs}
        if kind is ENDPOINT:
            return {e.id: Stored(name=e.id, value=e) for e in map(_with_id, self._declared.endpoints)}
        return {}

    async def read(self, project_id: str, kind: Kind) -> list[Stored]:
        """What the store keeps of a kind. Raises ConfigError where a secret does not open."""
        return [
            Stored(
                name=document.name,
                value=self._vault.unpack(kind, project_id, document.name, document.body),
                version=document.version,
                updated_at=document.updated_at,
            )
            for document in await self._documents.list(project_id, kind.name)
        ]

    async def write(
        self, project_id: str, kind: Kind, name: str, value: msgspec.Struct, *, expected_version: int
    ) -> Stored:
        """Raises Conflict where it has another version, Unprocessable where a secret would lie open."""
        try:
            body = self._vault.pack(kind, project_id, name, value)
        except ConfigError as error:
            raise Unprocessable(str(error), code="secret_key_required") from None
        now = self._clock.now()
        try:
            version = await self._documents.put(
                project_id, kind.name, name, body, now=now, expected_version=expected_version
            )
        except VersionConflict:
            raise Conflict(f"{kind.name} {name!r} was changed by somebody else; read it again") from None
        return Stored(name=name, value=value, version=version, updated_at=now)

    async def remove(self, project_id: str, kind: Kind, name: str) -> None:
        await self._documents.delete(project_id, kind.name, name)


def check_writable(kind: Kind, stored: Stored) -> None:
    """Raises Conflict where a thing is defined in code."""
    if stored.in_code:
        raise Conflict(
            f"{kind.name} {stored.name!r} is defined in code or in the configuration file; change it there",
            code="defined_in_code",
        )


def _with_id(endpoint: Endpoint) -> Endpoint:
    if endpoint.id:
        return endpoint
    digest = hashlib.sha256(endpoint.url.encode()).hexdigest()[:20]
    return msgspec.structs.replace(endpoint, id=f"ep_{digest}")
