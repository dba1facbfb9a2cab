"""What a store keeps, as plain dictionaries: the rows of runs, their logs, deliveries and due work, and the rules by
which a decision is written.

Everything here is one step of Python, so it is atomic by itself. It reads no clock, waits for nothing and never fails
but by refusing.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from ...errors import VersionConflict
from ...forgetting import without_payload, without_payloads
from ...models import Append, Delivery, Document, Entry, Run, Settlement

__all__ = ["RUN", "RUN_LANE", "Due", "Key", "Tables"]

RUN = ""
"""The delivery id of a row of due work that is the run itself."""

RUN_LANE = ""
"""The lane of such a row: every process can advance runs."""


class Key(NamedTuple):
    """A row of due work."""

    run_id: str
    delivery_id: str


class Due(msgspec.Struct, kw_only=True):
    """Work that is due or on lease. `target` is whose turn it takes."""

    project_id: str
    lane: str
    target: str
    due_at: float
    owner: str | None


class Tables:
    """The durable side of a memory store; several stores may share one, as processes share a database."""

    def __init__(self) -> None:
        self.runs: dict[str, Run] = {}
        self.entries: dict[str, list[Entry]] = {}
        self.deliveries: dict[str, Delivery] = {}
        self.due: dict[Key, Due] = {}
        self.processes: dict[str, float] = {}
        self.documents: dict[tuple[str, str, str], Document] = {}
        self.markers: dict[tuple[str, str, str], tuple[bytes, float]] = {}
        self.ended: list[Run] = []  # counted for ever, pruned or not
        self.changes = 0

    def owed_for(self, run_id: str) -> Iterator[Delivery]:
        """A run's deliveries in the order they were written."""
        return (delivery for delivery in self.deliveries.values() if delivery.run_id == run_id)

    # Decisions -------------------------------------------------------------------------------------------

    def append(self, append: Append) -> int:
        """See ports.RunLog.append."""
        run, settled = append.run, append.settled
        self._agree(append)
        run_log = self.entries.setdefault(run.id, [])
        first = len(run_log) + 1
        self.runs[run.id] = run
        if run.phase == "done":
            self.ended.append(run)
        for entry in (*(settled.entries if settled is not None else ()), *append.entries):
            run_log.append(msgspec.structs.replace(entry, number=len(run_log) + 1))
        if settled is not None:
            self._end_attempt(settled)
        if append.closes is not None:
            self._close(run.id, append.closes)
        for delivery in append.deliveries:
            self.owe(delivery, append.owner or None)
        self._lease(append)
        return first

    def settle(self, settlement: Settlement) -> int:
        """See ports.Queue.settle."""
        run_log = self.entries.get(settlement.run_id)
        if run_log is None:  # pruned: there is no log to leave the entry in
            return 0
        first = len(run_log) + 1
        for entry in settlement.entries:
            run_log.append(msgspec.structs.replace(entry, number=len(run_log) + 1))
        self._end_attempt(settlement)
        return first

    def forget_run(self, run_id: str) -> None:
        """Drop a run and all that belongs to it."""
        del self.runs[run_id], self.entries[run_id]
        for delivery in list(self.owed_for(run_id)):
            del self.deliveries[delivery.id]
        for key in [key for key in self.due if key.run_id == run_id]:
            del self.due[key]

    def strip_run(self, run_id: str) -> None:
        """Forget what was said in a run."""
        run = self.runs[run_id]
        self.runs[run_id] = msgspec.structs.replace(run, summary=without_payloads(run.summary))
        self.entries[run_id] = [without_payload(entry) for entry in self.entries[run_id]]
        for delivery in list(self.owed_for(run_id)):
            if delivery.status == "delivered":
                self.deliveries[delivery.id] = msgspec.structs.replace(delivery, body=b"{}")

    def _agree(self, append: Append) -> None:
        """Raises VersionConflict where the append's author has not seen the run's newest state."""
        run, expected = append.run, append.expected_version
        known = self.runs.get(run.id)
        if expected is None:
            if known is not None:
                raise VersionConflict(f"run {run.id} exists already")
            return
        if known is None or known.project_id != run.project_id:
            raise VersionConflict(f"run {run.id} does not exist")
        if known.version != expected:
            raise VersionConflict(f"run {run.id} is at version {known.version}, not {expected}")
        if known.generation != run.generation:
            raise VersionConflict(f"run {run.id} was taken over (generation {known.generation}, not {run.generation})")

    def _end_attempt(self, settled: Settlement) -> None:
        for owed in settled.deliveries:
            self.owe(owed, None)
        delivery = self.deliveries.get(settled.delivery_id)
        if delivery is None or delivery.attempt != settled.attempt:
            return
        # An early callback closes a stage while its delivery is under way: that one may still turn out delivered.
        if delivery.status != "pending" and (delivery.status, settled.status) != ("expired", "delivered"):
            return
        if settled.status == "pending":
            due_at = settled.entry.at if settled.due_at is None else settled.due_at
            self.change(delivery, attempt=delivery.attempt + 1, due_at=due_at)
            self.give_back(Key(delivery.run_id, delivery.id), due_at)
        else:
            self.change(delivery, status=settled.status)

    def _close(self, run_id: str, stage: str) -> None:
        for delivery in list(self.owed_for(run_id)):
            if delivery.stage == stage and delivery.status == "pending":
                self.change(delivery, status="expired")

    def change(self, delivery: Delivery, **changes: object) -> None:
        """Replace a delivery; one that has ended is no longer due."""
        changed: Delivery = msgspec.structs.replace(delivery, **changes)
        self.deliveries[delivery.id] = changed
        if changed.status != "pending":
            self.due.pop(Key(delivery.run_id, delivery.id), None)

    def owe(self, delivery: Delivery, owner: str | None) -> None:
        """Keep a delivery, due at its time or on lease."""
        self.deliveries[delivery.id] = delivery
        if delivery.status != "pending":
            return
        self.due[Key(delivery.run_id, delivery.id)] = Due(
            project_id=delivery.project_id,
            lane=delivery.lane,
            target=delivery.target,
            due_at=delivery.due_at,
            owner=owner,
        )

    def _lease(self, append: Append) -> None:
        """A running run is on its writer's lease, a waiting one is due at its deadline, a finished one never."""
        run, key = append.run, Key(append.run.id, RUN)
        if run.phase == "running":
            if append.owner is None:
                return
            due_at, owner = append.entries[-1].at if append.entries else run.created_at, append.owner or None
        elif run.phase == "waiting" and run.deadline_at is not None:
            due_at, owner = run.deadline_at, None
        else:
            self.due.pop(key, None)
            return
        self.due[key] = Due(project_id=run.project_id, lane=RUN_LANE, target="", due_at=due_at, owner=owner)

    # Leases ----------------------------------------------------------------------------------------------

    def lease(self, key: Key, owner: str) -> str | None:
        """Put work on a process's lease; who held it before."""
        row = self.due[key]
        before, row.owner = row.owner, owner
        return before

    def give_back(self, key: Key, due_at: float) -> None:
        """Work on nobody's lease, due then."""
        if key in self.due:
            self.due[key].owner, self.due[key].due_at = None, due_at

    def is_alive(self, owner: str, now: float) -> bool:
        """Whether a process's lease runs."""
        return self.processes.get(owner, now) > now
