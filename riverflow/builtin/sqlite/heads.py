"""What the writer remembers of the runs it wrote last, so that a group of decisions about them reads nothing first.

It decides nothing and writes nothing. Whoever changes runs past it, or rolls back, has to make it forget.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection
from sqlite3 import Connection

from ...codec import decode, encode
from ...models import Append, DeliveryStatus, Run, Settlement
from .queries import query

__all__ = ["KEPT", "Decision", "Head", "Heads", "Owed"]

Decision = Append | Settlement

KEPT = 4096
"""Runs that are remembered between groups: those with decisions in the last seconds. About 1 kB each."""


class Owed:
    """What deciding needs to know of a delivery."""

    __slots__ = ("attempt", "stage", "status")

    def __init__(self, attempt: int, status: DeliveryStatus, stage: str) -> None:
        self.attempt = attempt
        self.status = status
        self.stage = stage


class Head:
    """What deciding needs to know of a run. `owner` has it on lease, as far as that is known."""

    __slots__ = ("deliveries", "done", "generation", "newest", "owner", "project_id", "version")

    def __init__(self, project_id: str, version: int, generation: int, newest: int, done: bool) -> None:
        self.project_id = project_id
        self.version = version
        self.generation = generation
        self.newest = newest
        self.done = done
        self.owner: str | None = None
        self.deliveries: dict[str, Owed] = {}

    @property
    def owes(self) -> bool:
        """Whether a delivery is yet to end."""
        return any(owed.status == "pending" for owed in self.deliveries.values())


class Heads:
    """The heads of runs by id, whole: with all deliveries there are. One writer's.

    They are true while no other connection has committed, which `PRAGMA data_version` tells within a transaction
    (https://www.sqlite.org/pragma.html#pragma_data_version), and this one has written no run but through the ledger.
    """

    __slots__ = ("_known", "_last", "_version")

    def __init__(self) -> None:
        self._known: OrderedDict[str, Head] = OrderedDict()
        self._last: str | None = None
        self._version = 0

    def look_up(self, db: Connection, run_ids: Collection[str]) -> None:
        """Know these runs. To be asked within the transaction that writes them."""
        version: int = db.execute(query("data_version")).fetchone()[0]
        if version != self._version:
            self.forget()
            self._version = version
        missing = {run_id for run_id in run_ids if run_id not in self._known}
        if self._last is not None:  # ids sort by time: what comes after the last is there no more than it is known
            missing = {run_id for run_id in missing if run_id <= self._last}
        if missing:
            self._read(db, missing)

    def get(self, run_id: str) -> Head | None:
        """The head of a run that was looked up; None: there is no such run."""
        return self._known.get(run_id)

    def born(self, run: Run) -> Head:
        """The head of a new run."""
        head = self._known[run.id] = Head(run.project_id, run.version, run.generation, 0, done=False)
        if self._last is None or run.id > self._last:
            self._last = run.id
        return head

    def keep(self, run_ids: Collection[str]) -> None:
        """Decisions about these runs are written: let go of those of which none is to be expected any more, and of the
        least recent beyond `KEPT`."""
        known = self._known
        for run_id in run_ids:
            head = known.get(run_id)
            if head is None:
                continue
            if head.done and not head.owes:
                del known[run_id]
            else:
                known.move_to_end(run_id)
        while len(known) > KEPT:
            known.popitem(last=False)

    def forget(self) -> None:
        """What is remembered may not be so."""
        self._known.clear()
        self._last = None

    def _read(self, db: Connection, run_ids: set[str]) -> None:
        last, found = db.execute(query("run_heads"), (encode(list(run_ids)).decode(),)).fetchone()
        self._last = last
        for run_id, *head, deliveries in decode(found):
            self._known[run_id] = read = Head(*head)
            read.deliveries = {delivery_id: Owed(*owed) for delivery_id, *owed in deliveries}
