"""Writes a group's appends and settlements together: reads what they touch, decides in memory, writes in bulk.

This module knows no transaction and no thread. What it refuses has written nothing; what it does not refuse is written
when `write_decisions` returns.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from sqlite3 import Connection
from typing import Any

from ...codec import decode, encode
from ...errors import StoreError, VersionConflict
from ...models import Append, Delivery, DeliveryStatus, Entry, Run, Settlement
from .bulk import Bulk
from .queries import query
from .rows import (
    NO_DELIVERY,
    NO_NUMBER,
    NO_TEXT,
    Row,
    delivery_row,
    due_delivery_row,
    due_run_row,
    entries_row,
    run_row,
)
from .series import Catalogue, Tallies, series_of, whole_of

__all__ = ["Decision", "write_decisions"]

Decision = Append | Settlement
Key = tuple[str, str]
"""Run and delivery: a row of `due`."""


def write_decisions(db: Connection, decisions: Sequence[Decision], catalogue: Catalogue) -> list[int | StoreError]:
    """Write them in order. For each the number of its first entry, or why it is refused."""
    ledger = _Ledger(db, decisions, catalogue)
    results: list[int | StoreError] = []
    for decision in decisions:
        try:
            results.append(ledger.append(decision) if isinstance(decision, Append) else ledger.settle(decision))
        except StoreError as refusal:
            results.append(refusal)
    ledger.write(db)
    return results


class _Head:
    """What deciding needs to know of a run."""

    __slots__ = ("generation", "newest", "project_id", "version")

    def __init__(self, project_id: str, version: int, generation: int, newest: int) -> None:
        self.project_id = project_id
        self.version = version
        self.generation = generation
        self.newest = newest


class _Ledger:
    """The rows that a group of decisions comes to, beside the heads they were decided on."""

    def __init__(self, db: Connection, decisions: Sequence[Decision], catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._series: dict[int, Row] = {}
        self._tallies = Tallies()
        self._heads = _run_heads(db, decisions)
        self._attempts = _delivery_heads(db, decisions)
        self._owed = _pending(db, decisions)
        self._runs: dict[str, Row] = {}
        self._told: set[str] = set()
        self._entries: list[Row] = []
        self._deliveries: list[Row] = []
        self._ended: dict[str, Row] = {}
        self._due: dict[Key, Row] = {}
        self._moved: dict[Key, float] = {}
        self._gone: set[Key] = set()

    def append(self, append: Append) -> int:
        run, settled = append.run, append.settled
        head = self._agreed(append)
        first = head.newest + 1
        self._log(run.id, head, append.entries if settled is None else (*settled.entries, *append.entries))
        head.version = run.version
        self._runs[run.id] = run_row(run, head.newest, self._listed(run))
        if settled is not None:
            self._end_attempt(settled)
        if append.closes is not None:
            self._close(run.id, append.closes)
        for delivery in append.deliveries:
            self._owe(delivery, append.owner)
        self._lease(run, append)
        return first

    def settle(self, settlement: Settlement) -> int:
        head = self._heads.get(settlement.run_id)
        if head is None:  # pruned: there is no log to leave the entry in
            return 0
        first = head.newest + 1
        self._log(settlement.run_id, head, settlement.entries)
        self._told.add(settlement.run_id)
        self._end_attempt(settlement)
        return first

    def write(self, db: Connection) -> None:
        """New rows before changes of them, changes before removals: a group may hold a row's whole life."""
        bulk = _bulk()
        self._count(db, bulk)
        bulk["write_runs"].write(db, self._runs.values())
        bulk["move_newest"].write(db, ((run_id, self._heads[run_id].newest) for run_id in self._told))
        bulk["write_entries"].write(db, self._entries)
        bulk["write_deliveries"].write(db, self._deliveries)
        bulk["change_deliveries"].write(db, self._ended.values())
        bulk["write_due"].write(db, self._due.values())
        bulk["move_due"].write(db, ((*key, due_at) for key, due_at in self._moved.items()))
        bulk["delete_due"].write(db, self._gone)

    def _agreed(self, append: Append) -> _Head:
        """The head of the run, where the append's author has seen its newest state. Raises VersionConflict."""
        run, expected = append.run, append.expected_version
        head = self._heads.get(run.id)
        if expected is None:
            if head is not None:
                raise VersionConflict(f"run {run.id} exists already")
            head = self._heads[run.id] = _Head(run.project_id, run.version, run.generation, 0)
            return head
        if head is None or head.project_id != run.project_id:
            raise VersionConflict(f"run {run.id} does not exist")
        if head.version != expected:
            raise VersionConflict(f"run {run.id} is at version {head.version}, not {expected}")
        if head.generation != run.generation:
            raise VersionConflict(f"run {run.id} was taken over (generation {head.generation}, not {run.generation})")
        return head

    def _listed(self, run: Run) -> int:
        """The number of the run's series; one that is done is counted."""
        number = self._numbered(*series_of(run))
        if run.phase == "done":
            self._tallies.add(run, number, self._numbered(*whole_of(run)))
        return number

    def _numbered(self, number: int, words: Row) -> int:
        if self._catalogue.lacks(number):
            self._series[number] = (number, *words)
        return number

    def _count(self, db: Connection, bulk: dict[str, Bulk]) -> None:
        """Write new series and what has ended; once a minute, clear away the minutes of long ago."""
        bulk["write_series"].write(db, self._series.values())
        self._catalogue.learn(self._series)
        bulk["write_tallies"].write(db, self._tallies.rows())
        if (outdated := self._catalogue.outdated(self._tallies.newest)) is not None:
            db.execute(query("forget_minutes"), (outdated,))

    def _log(self, run_id: str, head: _Head, entries: Sequence[Entry]) -> None:
        if entries:
            head.newest += len(entries)
            self._entries.append(entries_row(run_id, head.newest, entries))

    def _end_attempt(self, settled: Settlement) -> None:
        for delivery in settled.deliveries:
            self._owe(delivery, NO_TEXT)
        attempt, status = self._attempts.get((settled.run_id, settled.delivery_id), (0, None))
        if attempt != settled.attempt or not _may_become(status, settled.status):
            return
        key = (settled.run_id, settled.delivery_id)
        if settled.status == "pending":
            due_at = settled.entry.at if settled.due_at is None else settled.due_at
            self._moved[key] = due_at
            self._change(key, "pending", attempt + 1, due_at)
        else:
            self._change(key, settled.status, attempt, None)

    def _close(self, run_id: str, stage: str) -> None:
        for delivery_id, its_stage in list(self._owed.get(run_id, {}).items()):
            if its_stage == stage:
                self._change((run_id, delivery_id), "expired", None, None)

    def _change(self, key: Key, status: DeliveryStatus, attempt: int | None, due_at: float | None) -> None:
        run_id, delivery_id = key
        if key in self._attempts:
            attempt = attempt or self._attempts[key][0]
            self._attempts[key] = (attempt, status)
        if status != "pending":
            self._owed.get(run_id, {}).pop(delivery_id, None)
            self._gone.add(key)
        self._ended[delivery_id] = (
            delivery_id,
            status,
            NO_NUMBER if attempt is None else attempt,
            NO_NUMBER if due_at is None else due_at,
        )

    def _owe(self, delivery: Delivery, owner: str) -> None:
        key = (delivery.run_id, delivery.id)
        self._deliveries.append(delivery_row(delivery))
        self._due[key] = due_delivery_row(delivery, owner)
        self._attempts[key] = (delivery.attempt, delivery.status)
        self._owed.setdefault(delivery.run_id, {})[delivery.id] = delivery.stage

    def _lease(self, run: Run, append: Append) -> None:
        """A running run is on its writer's lease, a waiting one is due at its deadline, a finished one never."""
        key = (run.id, NO_DELIVERY)
        if run.phase == "running":
            at = append.entries[-1].at if append.entries else run.created_at
            self._due[key] = due_run_row(run, at, append.owner)
            self._gone.discard(key)
        elif run.phase == "waiting" and run.deadline_at is not None:
            self._due[key] = due_run_row(run, run.deadline_at, NO_TEXT)
            self._gone.discard(key)
        else:
            self._gone.add(key)


def _may_become(status: str | None, ended: DeliveryStatus) -> bool:
    """An early callback closes a stage while its delivery is under way: that one may still turn out delivered."""
    return status == "pending" or (status == "expired" and ended == "delivered")


def _run_heads(db: Connection, decisions: Sequence[Decision]) -> dict[str, _Head]:
    ids = {decision.run.id if isinstance(decision, Append) else decision.run_id for decision in decisions}
    return {row[0]: _Head(*row[1:]) for row in _read(db, "run_heads", ids)}


def _delivery_heads(db: Connection, decisions: Sequence[Decision]) -> dict[Key, tuple[int, str | None]]:
    settled = (decision.settled if isinstance(decision, Append) else decision for decision in decisions)
    ids = {settlement.delivery_id for settlement in settled if settlement is not None}
    return {(run_id, id_): (attempt, status) for id_, run_id, attempt, status in _read(db, "delivery_heads", ids)}


def _pending(db: Connection, decisions: Sequence[Decision]) -> dict[str, dict[str, str]]:
    """Stages of owed deliveries by run and delivery, for the runs of which a stage is closed."""
    closing = {d.run.id for d in decisions if isinstance(d, Append) and d.closes is not None}
    owed: dict[str, dict[str, str]] = {}
    for run_id, delivery_id, stage in _read(db, "pending_of_runs", closing):
        owed.setdefault(run_id, {})[delivery_id] = stage
    return owed


def _read(db: Connection, name: str, ids: set[str]) -> Any:
    if not ids:
        return ()
    return decode(db.execute(query(name), (encode(list(ids)).decode(),)).fetchone()[0])


@cache
def _bulk() -> dict[str, Bulk]:
    names = (
        "write_series",
        "write_tallies",
        "write_runs",
        "move_newest",
        "write_entries",
        "write_deliveries",
        "change_deliveries",
        "write_due",
        "move_due",
        "delete_due",
    )
    return {name: Bulk(name) for name in names}
