"""Every sealed document of a store: with which keys they are sealed, and sealing them anew with the newest.

It may run beside a riverflow that knows both keys, may be stopped at any point and begun again: each document is
written whole or not at all, and what is sealed with the newest key is left alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator

import msgspec

from ._kinds import PROJECT, SEALED_KINDS, Kind
from ._projects import NOWHERE
from ._rotation import kept
from ._vault import CURE, Vault
from .errors import ConfigError, VersionConflict
from .models import Document, Endpoint, Project
from .ports import Documents

__all__ = ["reseal", "survey"]


async def survey(documents: Documents, vault: Vault) -> Counter[str | None]:
    """How many documents each key seals, by the keys' ids; under None those with a secret that lies open."""
    found: Counter[str | None] = Counter()
    async for kind, document in _every(documents, vault):
        found.update(vault.sealed_with(kind, document.body))
    return found


async def reseal(documents: Documents, vault: Vault, now: float) -> int:
    """Seal with the newest key what is not, and forget retired secrets whose overlap is over at `now`: how many
    documents were written. Raises ConfigError where there is no key, or one that is still needed is missing."""
    if not vault.key_ids:
        raise ConfigError(f"there is no secret key to seal with: {CURE}")
    written = 0
    async for kind, document in _every(documents, vault):
        written += await _resealed(documents, vault, kind, document, now)
    return written


async def _resealed(documents: Documents, vault: Vault, kind: Kind, document: Document | None, now: float) -> bool:
    while document is not None:
        value = vault.unpack(kind, document.project_id, document.name, document.body)
        tidy = _tidied(value, now)
        if vault.sealed_with(kind, document.body) <= {vault.key_ids[0]} and tidy == value:
            return False
        place = (document.project_id, kind.name, document.name)
        body = vault.pack(kind, document.project_id, document.name, tidy)
        try:
            # Dated as it was: its content is the same.
            await documents.put(*place, body, now=document.updated_at, expected_version=document.version)
        except VersionConflict:
            document = await documents.get(*place)  # it was changed, or removed, this moment
        else:
            return True
    return False


def _tidied(value: msgspec.Struct, now: float) -> msgspec.Struct:
    if isinstance(value, Endpoint | Project):
        return msgspec.structs.replace(value, retired=kept(value, now))
    return value


async def _every(documents: Documents, vault: Vault) -> AsyncIterator[tuple[Kind, Document]]:
    for document in await documents.list(NOWHERE, PROJECT.name):
        yield PROJECT, document
        project = vault.unpack(PROJECT, NOWHERE, document.name, document.body)
        for kind in SEALED_KINDS:
            for each in await documents.list(project.id, kind.name):
                yield kind, each
