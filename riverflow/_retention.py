"""Forgets what is old enough: payloads first, then whole runs, once an hour and in small batches; and, within a minute,
the runs of projects that were deleted.

One process does a round, whichever comes first: a marker in the store says so. Nothing waits for it, and no subscriber
reads what it takes away: only runs that ended long ago are touched.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec

from ._projects import GONE, NOWHERE
from .config import Settings
from .errors import StoreError
from .ports import Clock, Store

__all__ = ["EVERY", "Retention", "Round"]

EVERY = 3600.0  # seconds
LOOK = 60.0  # seconds between two looks for deleted projects
BATCH = 500  # runs between two breaths
BREATH = 0.2  # seconds that others have the store for themselves
_DAY = 86_400.0
_KIND, _NAME = "retention", "reached"

logger = logging.getLogger("riverflow.retention")


class Round(msgspec.Struct, frozen=True, kw_only=True):
    """What a round has done: runs whose payloads were forgotten, runs that were forgotten whole."""

    stripped: int = 0
    pruned: int = 0


class _Reached(msgspec.Struct):
    until: float = 0.0


_reached = msgspec.json.Decoder(_Reached)


class Retention:
    """Keeps `retention_days` and `payload_days` for as long as it is entered."""

    def __init__(self, store: Store, settings: Settings, clock: Clock) -> None:
        self._store = store
        self._settings = settings
        self._clock = clock

    @asynccontextmanager
    async def going_on(self) -> AsyncIterator[None]:
        """A round an hour until left."""
        task = asyncio.create_task(self._keep(), name="riverflow retention")
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait((task,))

    async def round(self) -> Round:
        """Forget what is old enough now, whoever did so last. Raises StoreError."""
        now, settings = self._clock.now(), self._settings
        stripped = await self._strip(now - settings.payload_days * _DAY) if settings.payload_days else 0
        pruned = await self._prune(now) if settings.retention_days else 0
        if stripped or pruned:
            logger.info("retention: %d runs forgotten, of %d more the payloads", pruned, stripped)
        return Round(stripped=stripped, pruned=pruned)

    async def _keep(self) -> None:
        while True:
            try:
                if await self._first():
                    await self.round()
                await self._forget_projects()
            except StoreError:
                logger.warning("the store does not answer the retention; it is tried again", exc_info=True)
            except Exception:
                logger.exception("the retention failed; it is tried again")
            await self._clock.sleep(LOOK)

    async def _forget_projects(self) -> None:
        """Forget what deleted projects have left behind. Interrupted, it goes on at the next look."""
        store, forgotten = self._store, 0
        for project in await store.documents.list(NOWHERE, GONE):
            while runs := (await store.log.runs(project.name, limit=BATCH)).runs:
                forgotten += await store.log.erase(project.name, [run.id for run in runs])
                await self._clock.sleep(BREATH)
            await store.documents.delete(NOWHERE, GONE, project.name)
            logger.info("retention: %d runs of the deleted project %s forgotten", forgotten, project.name)

    async def _first(self) -> bool:
        """Whether no other process has had this hour's round."""
        now = self._clock.now()
        there = await self._store.documents.mark(NOWHERE, _KIND, "round", b"1", now=now, expires_at=now + EVERY - 60.0)
        return there is None

    async def _prune(self, now: float) -> int:
        """A run with dead letters stays as long as they do, and one that owes something until it is paid."""
        before, pruned = now - self._settings.retention_days * _DAY, 0
        given_up = now - self._settings.dead_letter_days * _DAY
        while went := await self._store.log.prune(before, limit=BATCH, given_up_after=given_up):
            pruned += went
            await self._clock.sleep(BREATH)
        return pruned

    async def _strip(self, before: float) -> int:
        documents = self._store.documents
        known = await documents.get(NOWHERE, _KIND, _NAME)
        since, stripped = _reached.decode(known.body).until if known is not None else 0.0, 0
        while since < before:
            went, since = await self._store.log.strip(since, before, limit=BATCH)
            body = msgspec.json.encode(_Reached(until=since))
            await documents.put(NOWHERE, _KIND, _NAME, body, now=self._clock.now())
            stripped += went
            await self._clock.sleep(BREATH)
        return stripped
