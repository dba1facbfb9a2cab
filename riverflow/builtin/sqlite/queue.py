"""The queue of what is due: leases, claims, attempts. Time is what the caller says it is; no clock is read here."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from sqlite3 import Connection
from typing import Any

from ...codec import encode
from ...models import Claim, Delivery, Entry, Settlement, Target
from ...ports import DeliveryFilter, DeliveryPage
from .deliveries import delivery_of, find_deliveries, requeue
from .queries import query
from .rows import NO_DELIVERY, RUN_LANE, delivery_from
from .worker import Worker

__all__ = ["SqliteQueue"]


class SqliteQueue:
    """ports.Queue on SQLite."""

    def __init__(self, writer: Worker, reader: Worker) -> None:
        self._writer = writer
        self._reader = reader

    async def heartbeat(self, owner: str, now: float, expires_at: float) -> None:
        def change(db: Connection) -> None:
            db.execute(query("heartbeat"), (owner, expires_at))
            db.execute(query("forget_processes"), (now,))

        await self._writer.change(change, aside=True)

    async def claim_due(
        self,
        owner: str,
        now: float,
        *,
        lanes: Iterable[str],
        limit: int,
        allowed: Mapping[str, int] | None = None,
    ) -> tuple[Claim, ...]:
        wanted = {"lanes": _lanes(lanes), "limit": limit, "allowed": encode(allowed).decode() if allowed else None}
        return await self._writer.change(lambda db: _claim(db, owner, now, wanted))

    async def settle(self, settlement: Settlement) -> int:
        number: int = await self._writer.submit(settlement)
        return number

    async def reschedule(self, run_id: str, delivery_id: str | None, due_at: float) -> None:
        def change(db: Connection) -> None:
            db.execute(query("move_due"), (run_id, delivery_id or NO_DELIVERY, due_at))
            if delivery_id is not None:
                db.execute(query("postpone_delivery"), (due_at, delivery_id, run_id))

        await self._writer.change(change)

    async def release(self, owner: str) -> None:
        def change(db: Connection) -> None:
            db.execute(query("release_due"), (owner,))
            db.execute(query("end_lease"), (owner,))

        await self._writer.change(change)

    async def next_due(self, now: float, lanes: Iterable[str], *, skip: Iterable[str] = ()) -> float | None:
        wanted = {"now": now, "lanes": _lanes(lanes), "skip": _json(skip)}

        def look(db: Connection) -> float | None:
            times = [db.execute(query(name), wanted).fetchone()[0] for name in ("earliest_due", "earliest_lease_end")]
            return min((at for at in times if at is not None), default=None)

        return await self._reader.look(look)

    async def backlog(self, now: float, *, skip: Iterable[str] = ()) -> int:
        wanted = {"now": now, "skip": _json(skip)}
        row = await self._reader.look(lambda db: db.execute(query("backlog"), wanted).fetchone())
        return int(row[0])

    async def dead_letters(self, project_id: str) -> int:
        row = await self._reader.look(lambda db: db.execute(query("dead_letters"), (project_id,)).fetchone())
        return int(row[0])

    async def deliveries(self, project_id: str, run_id: str) -> tuple[Delivery, ...]:
        wanted = {"project_id": project_id, "run_id": run_id}
        rows = await self._reader.look(lambda db: db.execute(query("deliveries_of_run"), wanted).fetchall())
        return tuple(map(delivery_from, rows))

    async def delivery(self, project_id: str, delivery_id: str) -> Delivery | None:
        return await self._reader.look(lambda db: delivery_of(db, project_id, delivery_id))

    async def find_deliveries(
        self,
        project_id: str,
        wanted: DeliveryFilter,
        *,
        before: str | None = None,
        after: str | None = None,
        limit: int = 100,
    ) -> DeliveryPage:
        return await self._reader.look(lambda db: find_deliveries(db, project_id, wanted, before, after, limit))

    async def requeue(
        self,
        project_id: str,
        delivery_id: str,
        due_at: float,
        *,
        to: Target | None = None,
        entry: Entry | None = None,
    ) -> int | None:
        return await self._writer.change(lambda db: requeue(db, project_id, delivery_id, due_at, to, entry))


def _lanes(lanes: Iterable[str]) -> str:
    return encode([RUN_LANE, *sorted(set(lanes))]).decode()


def _claim(db: Connection, owner: str, now: float, wanted: dict[str, Any]) -> tuple[Claim, ...]:
    taken = _claimable(db, now, wanted)
    if not taken:
        return ()
    keys = [(run_id, delivery_id) for run_id, delivery_id, *_ in taken]
    db.execute(query("lease_due"), (owner, encode(keys).decode()))
    runs = _json(run_id for run_id, delivery_id in keys if not delivery_id)
    db.execute(query("raise_generation"), (runs,))
    generations = dict(db.execute(query("generations"), (runs,)).fetchall())
    orphans = _json(delivery_id for _, delivery_id, *_, last_owner in taken if delivery_id and last_owner is not None)
    db.execute(query("raise_attempt"), (orphans,))
    rows = db.execute(query("deliveries_by_id"), (_json(delivery_id for _, delivery_id in keys if delivery_id),))
    deliveries = {row[0]: delivery_from(row) for row in rows.fetchall()}
    return tuple(
        Claim(run_id=run_id, project_id=project_id, delivery=deliveries[delivery_id])
        if delivery_id
        else Claim(run_id=run_id, project_id=project_id, generation=generations[run_id])
        for run_id, delivery_id, project_id, *_ in taken
    )


def _claimable(db: Connection, now: float, wanted: dict[str, Any]) -> Sequence[Any]:
    """What may be taken, in turns over nobody's work and each dead process's; a row ends with its last owner."""
    dead = [owner for (owner,) in db.execute(query("dead_owners"), (now,)).fetchall()]
    found = []
    for last_owner in (None, *dead):
        # What a dead process held, it was about to do: nobody else watches its due time, and `next_due` says so.
        until = now if last_owner is None else math.inf
        rows = db.execute(query("claimable"), {**wanted, "owner": last_owner, "until": until}).fetchall()
        found += [(*row, last_owner) for row in rows]
    found.sort(key=lambda row: (row[4], row[3]))
    return found[: wanted["limit"]]


def _json(ids: Iterable[str]) -> str:
    return encode(list(ids)).decode()
