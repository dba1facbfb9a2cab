"""The queue over plain tables: what is due is claimed in turns, by whoever is alive. It decides nothing about a run."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping

import msgspec

from ...models import Claim, Delivery, Entry, Settlement, Target
from ...ports import DeliveryFilter, DeliveryPage
from .deliveries import find, requeue
from .tables import RUN, RUN_LANE, Key, Tables

__all__ = ["MemoryQueue"]


class MemoryQueue:
    """ports.Queue over Tables."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    async def heartbeat(self, owner: str, now: float, expires_at: float) -> None:
        tables = self._tables
        tables.processes[owner] = expires_at
        holders = {row.owner for row in tables.due.values()}
        for ended in [name for name, until in tables.processes.items() if until <= now and name not in holders]:
            del tables.processes[ended]

    async def claim_due(
        self,
        owner: str,
        now: float,
        *,
        lanes: Iterable[str],
        limit: int,
        allowed: Mapping[str, int] | None = None,
    ) -> tuple[Claim, ...]:
        turns: list[tuple[int, float, Key]] = []
        for (_, _, target), backlog in self._backlogs(now, {RUN_LANE, *lanes}).items():
            backlog.sort()
            some = backlog[: (allowed or {}).get(target, limit)]
            turns += [(turn, due_at, key) for turn, (due_at, key) in enumerate(some)]
        turns.sort()
        return tuple(self._claimed(key, owner) for _, _, key in turns[:limit])

    def _backlogs(self, now: float, lanes: set[str]) -> dict[tuple[str, str, str], list[tuple[float, Key]]]:
        """What may be claimed, by last owner, lane and target."""
        backlogs: dict[tuple[str, str, str], list[tuple[float, Key]]] = defaultdict(list)
        for key, row in self._tables.due.items():
            if row.owner is not None and self._tables.is_alive(row.owner, now):
                continue
            # What a dead process held, it was about to do: nobody else watches its due time.
            until = now if row.owner is None else math.inf
            if row.lane in lanes and row.due_at <= until:
                backlogs[row.owner or "", row.lane, row.target].append((row.due_at, key))
        return backlogs

    def _claimed(self, key: Key, owner: str) -> Claim:
        tables = self._tables
        orphaned = tables.lease(key, owner) is not None
        row = tables.due[key]
        if key.delivery_id == RUN:
            run = tables.runs[key.run_id]
            tables.runs[run.id] = msgspec.structs.replace(run, generation=run.generation + 1)
            return Claim(run_id=run.id, project_id=row.project_id, generation=run.generation + 1)
        delivery = tables.deliveries[key.delivery_id]
        if orphaned:  # the attempt that died with its process is counted
            delivery = msgspec.structs.replace(delivery, attempt=delivery.attempt + 1)
            tables.deliveries[delivery.id] = delivery
        return Claim(run_id=key.run_id, project_id=row.project_id, delivery=delivery)

    async def settle(self, settlement: Settlement) -> int:
        return self._tables.settle(settlement)

    async def reschedule(self, run_id: str, delivery_id: str | None, due_at: float) -> None:
        tables = self._tables
        tables.give_back(Key(run_id, delivery_id or RUN), due_at)
        delivery = tables.deliveries.get(delivery_id or RUN)
        if delivery is not None and delivery.run_id == run_id and delivery.status == "pending":
            tables.deliveries[delivery.id] = msgspec.structs.replace(delivery, due_at=due_at)

    async def release(self, owner: str) -> None:
        for row in self._tables.due.values():
            if row.owner == owner:
                row.owner = None
        self._tables.processes.pop(owner, None)

    async def next_due(self, now: float, lanes: Iterable[str], *, skip: Iterable[str] = ()) -> float | None:
        able, skipped, tables = {RUN_LANE, *lanes}, set(skip), self._tables
        times = (
            row.due_at if row.owner is None else tables.processes.get(row.owner, now)
            for row in tables.due.values()
            if row.lane in able and row.target not in skipped
        )
        return min(times, default=None)

    async def backlog(self, now: float, *, skip: Iterable[str] = ()) -> int:
        skipped = set(skip)
        return sum(
            row.due_at <= now if row.owner is None else not self._tables.is_alive(row.owner, now)
            for row in self._tables.due.values()
            if row.target not in skipped
        )

    async def dead_letters(self, project_id: str) -> int:
        ended = ("dead", "expired")
        return sum(each.project_id == project_id and each.status in ended for each in self._tables.deliveries.values())

    async def deliveries(self, project_id: str, run_id: str) -> tuple[Delivery, ...]:
        owed = [delivery for delivery in self._tables.owed_for(run_id) if delivery.project_id == project_id]
        return tuple(sorted(owed, key=lambda delivery: delivery.created_at))

    async def delivery(self, project_id: str, delivery_id: str) -> Delivery | None:
        delivery = self._tables.deliveries.get(delivery_id)
        return delivery if delivery is not None and delivery.project_id == project_id else None

    async def find_deliveries(
        self,
        project_id: str,
        wanted: DeliveryFilter,
        *,
        before: str | None = None,
        after: str | None = None,
        limit: int = 100,
    ) -> DeliveryPage:
        return find(self._tables, project_id, wanted, before, after, limit)

    async def requeue(
        self,
        project_id: str,
        delivery_id: str,
        due_at: float,
        *,
        to: Target | None = None,
        entry: Entry | None = None,
    ) -> int | None:
        return requeue(self._tables, project_id, delivery_id, due_at, to, entry)
