"""The small chores around secrets, once a minute: when keys were last used is written down, secrets whose overlap is
over are forgotten.

It owns its one task. Nothing waits for it, and nothing is wrong where it comes late.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import msgspec

from ._directory import ENDPOINT, Directory
from ._keys import KeyRing
from ._rotation import kept
from .errors import Conflict, StoreError
from .ports import Clock

__all__ = ["EVERY", "Upkeep"]

EVERY = 60.0  # seconds

logger = logging.getLogger("riverflow.upkeep")


class Upkeep:
    """Does the chores for as long as it is entered, and once more at the end."""

    def __init__(self, directory: Directory, keys: KeyRing, clock: Clock) -> None:
        self._directory = directory
        self._keys = keys
        self._clock = clock

    @asynccontextmanager
    async def going_on(self) -> AsyncIterator[None]:
        """Do them once a minute until left."""
        task = asyncio.create_task(self._keep(), name="riverflow upkeep")
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait((task,))
            await self._once()

    async def _keep(self) -> None:
        while True:
            await self._clock.sleep(EVERY)
            await self._once()

    async def _once(self) -> None:
        try:
            await self._keys.note()
            await self._forget_retired()
        except StoreError:
            logger.warning("the store does not answer the upkeep; it is tried again", exc_info=True)
        except Exception:
            logger.exception("the upkeep failed; it is tried again")

    async def _forget_retired(self) -> None:
        """Remove secrets whose overlap is over. Only where they were seen: who has no traffic signs nothing."""
        now = self._clock.now()
        for stored in [*(await self._directory.projects.all()).values()]:
            project = msgspec.structs.replace(stored.value, retired=kept(stored.value, now))
            if project != stored.value:
                with suppress(Conflict):  # somebody else was first
                    await self._directory.projects.replace(stored, project)
        for place in [*self._directory.rotating]:
            await self._forget_endpoints(place, now)

    async def _forget_endpoints(self, place: tuple[str, str], now: float) -> None:
        project_id, endpoint_id = place
        stored = (await self._directory.all(project_id, ENDPOINT)).get(endpoint_id)
        if stored is None or not stored.value.retired:
            self._directory.rotating.discard(place)
            return
        endpoint = msgspec.structs.replace(stored.value, retired=kept(stored.value, now))
        if endpoint != stored.value:
            with suppress(Conflict):
                await self._directory.replace(project_id, ENDPOINT, stored, endpoint)
