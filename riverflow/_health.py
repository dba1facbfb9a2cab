"""For how long each endpoint has only failed.

What it knows is this process's own; that an endpoint fails for minutes is left in the store as a marker, so that a
restart does not begin the count of days anew. A delivery that arrives costs nothing here. It switches nothing off.
"""

from __future__ import annotations

import logging

import msgspec

from .errors import StoreError
from .ports import Clock, DeliveryFilter, Documents, Queue

__all__ = ["Health"]

FAILURES = 5  # in a row, over at least so many seconds, before a failing endpoint is written down
SETTLED = 60.0
KEPT = 30 * 86_400.0  # seconds that the marker outlives the time at which it would have counted
KNOWN = 10_000  # failing endpoints that are remembered

logger = logging.getLogger("riverflow.health")

Key = tuple[str, str]
"""Project and endpoint."""


class _Streak(msgspec.Struct):
    since: float
    failures: int = 0
    marked: float | None = None  # since when it fails according to the store


class Health:
    """The endpoints that fail. After `limit` seconds of nothing but failures one should be switched off; 0: never."""

    def __init__(self, documents: Documents, queue: Queue, clock: Clock, *, limit: float) -> None:
        self._documents = documents
        self._queue = queue
        self._clock = clock
        self._limit = limit
        self._streaks: dict[Key, _Streak] = {}

    def ails(self, project_id: str, endpoint_id: str) -> bool:
        """Whether the newest that is known of an endpoint is a failure."""
        return (project_id, endpoint_id) in self._streaks

    async def recovered(self, project_id: str, endpoint_id: str) -> None:
        """Something has arrived there, or it is over with this endpoint."""
        streak = self._streaks.pop((project_id, endpoint_id), None)
        if streak is not None and streak.marked is not None:
            try:
                await self._documents.unmark(project_id, "failing", endpoint_id)
            except StoreError:
                logger.warning("that endpoint %s has recovered could not be written", endpoint_id, exc_info=True)

    async def failing_since(self, project_id: str, endpoint_id: str, edited_at: float | None) -> float | None:
        """An attempt has failed: since when there was nothing but failures, where that is too long; else None. An
        endpoint is judged from when it was last `edited_at`."""
        now = self._clock.now()
        streak = self._streak((project_id, endpoint_id), now)
        streak.failures += 1
        if not self._limit or streak.failures < FAILURES or now - streak.since < SETTLED:
            return None
        if streak.marked is None:
            streak.marked = await self._mark(project_id, endpoint_id, streak.since)
        since = max(streak.marked, edited_at or 0.0)
        if now - since < self._limit:
            return None
        # Another process may have reached it meanwhile.
        wanted = DeliveryFilter(endpoint_id=endpoint_id, status=("delivered",), since=since)
        if (await self._queue.find_deliveries(project_id, wanted, limit=1)).deliveries:
            await self.recovered(project_id, endpoint_id)
            return None
        return since

    def _streak(self, key: Key, now: float) -> _Streak:
        streak = self._streaks.get(key)
        if streak is None:
            streak = self._streaks[key] = _Streak(since=now)
            if len(self._streaks) > KNOWN:
                del self._streaks[next(iter(self._streaks))]
        return streak

    async def _mark(self, project_id: str, endpoint_id: str, since: float) -> float:
        now = self._clock.now()
        there = await self._documents.mark(
            project_id, "failing", endpoint_id, str(since).encode(), now=now, expires_at=now + self._limit + KEPT
        )
        return since if there is None else float(there)
