"""Endpoints that riverflow itself has switched off though they are declared in code: what is written there cannot be
changed, so that they are off is remembered beside it.

It decides nothing. An endpoint whose URL was changed since is another one, and on.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from . import codec
from ._kinds import Stored
from .errors import VersionConflict
from .models import Endpoint
from .ports import Clock, Documents

__all__ = ["Switches"]

KIND = "webhook_off"


class _Off(msgspec.Struct, frozen=True):
    url: str
    because: str


class Switches:
    """The switches of endpoints that are declared in code."""

    def __init__(self, documents: Documents, clock: Clock) -> None:
        self._documents = documents
        self._clock = clock

    async def applied(self, project_id: str, declared: Mapping[str, Stored]) -> dict[str, Stored]:
        """The declared endpoints as they are."""
        known = dict(declared)
        for document in await self._documents.list(project_id, KIND) if known else ():
            stored, off = known.get(document.name), msgspec.json.decode(document.body, type=_Off)
            if stored is not None and stored.value.url == off.url:
                value = msgspec.structs.replace(stored.value, enabled=False, disabled_because=off.because)
                known[document.name] = msgspec.structs.replace(stored, value=value)
        return known

    async def off(self, project_id: str, endpoint: Endpoint, because: str) -> bool:
        """Switch one off; False where another process was first."""
        body, now = codec.encode(_Off(endpoint.url, because)), self._clock.now()
        there = await self._documents.get(project_id, KIND, endpoint.id)
        if there is not None and msgspec.json.decode(there.body, type=_Off).url == endpoint.url:
            return False
        try:
            version = 0 if there is None else there.version
            await self._documents.put(project_id, KIND, endpoint.id, body, now=now, expected_version=version)
        except VersionConflict:
            return False
        return True

    async def on(self, project_id: str, endpoint_id: str) -> None:
        """Switch one on again."""
        await self._documents.delete(project_id, KIND, endpoint_id)
