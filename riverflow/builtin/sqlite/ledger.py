"""Writes a group's appends and settlements together: looks up what they touch, decides in memory, writes in bulk.

This module knows no transaction and no thread. What it refuses has written nothing; what it does not refuse is written
when `write_decisions` returns.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from sqlite3 import Connection

from ...errors import StoreError, VersionConflict
from ...models import Append, Delivery, DeliveryStatus, Entry, Run, Settlement
from .bulk import Bulk
from .heads import Decision, Head, Heads, Owed
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

__all__ = ["write_decisions"]

Key = tuple[str, str]
"""Run and delivery: a row of `due`."""


def write_decisions(
    db: Connection, decisions: Sequence[Decision], catalogue: Catalogue, heads: Heads
) -> list[int | StoreError]:
    """Write them in order. For each the number of its first entry, or why it is refused."""
    about = {decision.run.id if isinstance(decision, Append) else decision.run_id for decision in decisions}
    heads.look_up(db, about)
    ledger = _Ledger(catalogue, heads)
    results: list[int | StoreError] = []
    for decision in decisions:
        try:
            results.append(ledger.append(decision) if isinstance(decision, Append) else ledger.settle(decision))
        except StoreError as refusal:
            results.append(refusal)
    ledger.write(db)
    heads.keep(about)
    return results


class _Ledger:
    """The rows that a group of decisions comes to. The heads they are decided on follow each decision."""

    def __init__(self, catalogue: Catalogue, heads: Heads) -> None:
        self._catalogue = catalogue
        self._heads = heads
        self._tallies = Tallies()
        self._runs: dict[str, Row] = {}
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
        self._runs[run.id] = run_row(run, self._listed(run))
        if settled is not None:
            self._end_attempt(head, settled)
        if append.closes is not None:
            self._close(head, run.id, append.closes)
        for delivery in append.deliveries:
            self._owe(head, delivery, append.owner or NO_TEXT)
        self._lease(head, append)
        return first

    def settle(self, settlement: Settlement) -> int:
        head = self._heads.get(settlement.run_id)
        if head is None:  # pruned: there is no log to leave the entry in
            return 0
        first = head.newest + 1
        self._log(settlement.run_id, head, settlement.entries)
        self._end_attempt(head, settlement)
        return first

    def write(self, db: Connection) -> None:
        """New rows before changes of them, changes before removals: a group may hold a row's whole life."""
        bulk = _bulk()
        self._count(db, bulk)
        bulk["write_runs"].write(db, self._runs.values())
        bulk["write_entries"].write(db, self._entries)
        bulk["write_deliveries"].write(db, self._deliveries)
        bulk["change_deliveries"].write(db, self._ended.values())
        bulk["write_due"].write(db, self._due.values())
        bulk["move_due"].write(db, ((*key, due_at) for key, due_at in self._moved.items()))
        bulk["delete_due"].write(db, self._gone)

    def _agreed(self, append: Append) -> Head:
        """The head of the run, where the append's author has seen its newest state. Raises VersionConflict."""
        run, expected = append.run, append.expected_version
        head = self._heads.get(run.id)
        if expected is None:
            if head is not None:
                raise VersionConflict(f"run {run.id} exists already")
            return self._heads.born(run)
        if head is None or head.project_id != run.project_id:
            raise VersionConflict(f"run {run.id} does not exist")
        if head.version != expected:
            raise VersionConflict(f"run {run.id} is at version {head.version}, not {expected}")
        if head.generation != run.generation:
            raise VersionConflict(f"run {run.id} was taken over (generation {head.generation}, not {run.generation})")
        return head

    def _listed(self, run: Run) -> int:
        """The number of the run's series; one that is done is counted."""
        number = self._catalogue[series_of(run)]
        if run.phase == "done":
            self._tallies.add(run, number, self._catalogue[whole_of(run)])
        return number

    def _count(self, db: Connection, bulk: dict[str, Bulk]) -> None:
        """Write new series and what has ended; once a minute, clear away the minutes of long ago."""
        bulk["write_series"].write(db, self._catalogue.unwritten())
        bulk["write_tallies"].write(db, self._tallies.rows())
        if (outdated := self._catalogue.outdated(self._tallies.newest)) is not None:
            db.execute(query("forget_minutes"), (outdated,))

    def _log(self, run_id: str, head: Head, entries: Sequence[Entry]) -> None:
        if entries:
            head.newest += len(entries)
            self._entries.append(entries_row(run_id, head.newest, entries))

    def _end_attempt(self, head: Head, settled: Settlement) -> None:
        for delivery in settled.deliveries:
            self._owe(head, delivery, NO_TEXT)
        owed = head.deliveries.get(settled.delivery_id)
        if owed is None or owed.attempt != settled.attempt or not _may_become(owed.status, settled.status):
            return
        if settled.status != "pending":
            self._change((settled.run_id, settled.delivery_id), owed, settled.status)
            return
        due_at = settled.entry.at if settled.due_at is None else settled.due_at
        self._moved[settled.run_id, settled.delivery_id] = due_at
        owed.attempt += 1
        self._ended[settled.delivery_id] = (settled.delivery_id, "pending", owed.attempt, due_at)

    def _close(self, head: Head, run_id: str, stage: str) -> None:
        for delivery_id, owed in head.deliveries.items():
            if owed.status == "pending" and owed.stage == stage:
                self._change((run_id, delivery_id), owed, "expired")

    def _change(self, key: Key, owed: Owed, status: DeliveryStatus) -> None:
        """A delivery has ended. That it went well is told by its row in `due`, which goes."""
        if status != "delivered" or owed.status != "pending":
            self._ended[key[1]] = (key[1], status, owed.attempt, NO_NUMBER)
        owed.status = status
        self._gone.add(key)

    def _owe(self, head: Head, delivery: Delivery, owner: str) -> None:
        head.deliveries[delivery.id] = Owed(delivery.attempt, delivery.status, delivery.stage)
        self._deliveries.append(delivery_row(delivery))
        if delivery.status == "pending":
            self._due[delivery.run_id, delivery.id] = due_delivery_row(delivery, owner)

    def _lease(self, head: Head, append: Append) -> None:
        """A running run is on its writer's lease, a waiting one is due at its deadline, a finished one never."""
        run, owner = append.run, append.owner
        key = (run.id, NO_DELIVERY)
        head.done = run.phase == "done"
        if run.phase == "running":
            if owner is None or head.owner == owner != NO_TEXT:  # the row says so already
                return
            head.owner = owner
            at = append.entries[-1].at if append.entries else run.created_at
            self._due[key] = due_run_row(run, at, owner)
            self._gone.discard(key)
            return
        head.owner = None
        if run.phase == "waiting" and run.deadline_at is not None:
            self._due[key] = due_run_row(run, run.deadline_at, NO_TEXT)
            self._gone.discard(key)
        else:
            self._gone.add(key)


def _may_become(status: DeliveryStatus, ended: DeliveryStatus) -> bool:
    """An early callback closes a stage while its delivery is under way: that one may still turn out delivered."""
    return status == "pending" or (status == "expired" and ended == "delivered")


@cache
def _bulk() -> dict[str, Bulk]:
    names = (
        "write_series",
        "write_tallies",
        "write_runs",
        "write_entries",
        "write_deliveries",
        "change_deliveries",
        "write_due",
        "move_due",
        "delete_due",
    )
    return {name: Bulk(name) for name in names}
