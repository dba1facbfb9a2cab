"""The store: the log of runs, the queue of what is due, documents."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Protocol, runtime_checkable

import msgspec

from ..models import (
    Append,
    Claim,
    Delivery,
    DeliveryStatus,
    Document,
    Entry,
    Run,
    RunFilter,
    Settlement,
    Standing,
    Target,
    Total,
)
from .outside import Notifier

__all__ = [
    "EVERY_RUN",
    "DeliveryFilter",
    "DeliveryPage",
    "Documents",
    "EntryPage",
    "Queue",
    "RunLog",
    "RunPage",
    "Store",
    "StoredRun",
]


class StoredRun(msgspec.Struct, frozen=True, kw_only=True):
    """A run's row and its checkpoint entries (models.CHECKPOINTS), oldest first."""

    run: Run
    checkpoints: tuple[Entry, ...]


class EntryPage(msgspec.Struct, frozen=True, kw_only=True):
    """Entries in number order; `latest` is the newest number of the run, shown or not."""

    entries: tuple[Entry, ...]
    latest: int


class RunPage(msgspec.Struct, frozen=True, kw_only=True):
    """Runs, newest first; `has_more` where there are more of them in the direction asked for. `searched_to` is set
    where a store has stopped looking before the page was full: an id to go on from in that direction."""

    runs: tuple[Run, ...]
    has_more: bool
    searched_to: str | None = None


EVERY_RUN: Final = RunFilter()
"""The filter that takes every run."""


class DeliveryFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which deliveries are asked for; what is not set does not narrow. `event` is an event name or a type
    (`task.completed`, …); `since` (from) and `until` (before) bound the time at which they were made."""

    status: tuple[DeliveryStatus, ...] = ()
    run_id: str | None = None
    endpoint_id: str | None = None
    event: str | None = None
    since: float | None = None
    until: float | None = None


class DeliveryPage(msgspec.Struct, frozen=True, kw_only=True):
    """Deliveries, newest first; `has_more` where the filter takes more of them in the direction asked for."""

    deliveries: tuple[Delivery, ...]
    has_more: bool


class RunLog(Protocol):
    """The runs and their logs. Every method is atomic; what it returns is durable.

    A project id is given wherever a caller asks, and rows of another project do not exist for him.
    """

    async def append(self, append: Append) -> int:
        """Write a decision; return the number of its first entry (the others follow without a hole; a settlement's
        entry comes first of all). Raises VersionConflict (nothing was written) and StoreUnavailable."""
        ...

    async def load(self, project_id: str | None, run_id: str) -> StoredRun | None:
        """The run as it stands. `project_id` None is for claimed work only."""
        ...

    async def entries_after(
        self, project_id: str, run_id: str, after: int, *, limit: int = 1000, public: bool = False
    ) -> EntryPage | None:
        """Entries numbered above `after`, only public ones where asked. None: no such run."""
        ...

    async def runs(
        self,
        project_id: str,
        wanted: RunFilter = EVERY_RUN,
        *,
        before: str | None = None,
        after: str | None = None,
        limit: int = 100,
    ) -> RunPage:
        """A project's runs, newest first (ids sort by time): the first `limit` with ids below `before`, or the last
        `limit` with ids above `after`. Only a search by customer data may stop early, and says so in `searched_to`."""
        ...

    async def totals(
        self, project_id: str, since: float, until: float, bucket: int, wanted: RunFilter = EVERY_RUN
    ) -> tuple[Total, ...]:
        """Runs that ended from `since` to before `until` (Unix seconds, on the border of a bucket) by status and
        duration, counted in buckets of so many seconds: a multiple of 60 that divides an hour, for at least the last
        two days, or a multiple of 3600, for as long as the store has been there. Runs are counted as they end, those
        that have been pruned since as well. Of the filter, statuses, tags, workflow, event name, provider and model
        count."""
        ...

    async def standing(self, project_id: str) -> Standing:
        """How many runs are not done."""
        ...

    async def prune(self, finished_before: float, *, limit: int = 1000, given_up_after: float | None = None) -> int:
        """Forget up to `limit` runs that ended earlier, with their entries and deliveries; how many went. Where
        `given_up_after` is given, runs stay that still owe a delivery, or have one that was given up (dead or expired)
        and whose last try was due after that time."""
        ...

    async def strip(self, since: float, until: float, *, limit: int = 1000) -> tuple[int, float]:
        """Forget the payloads (riverflow.forgetting) of about `limit` runs that ended after `since`, up to
        `until`, oldest first; of their deliveries' bodies those that were delivered. How many runs, and the time of
        ending up to which all are done (`until`, where none is left): where to go on from."""
        ...

    async def erase(self, project_id: str, run_ids: Sequence[str]) -> int:
        """Forget these runs with their entries and deliveries, whatever state they are in; how many there were."""
        ...


class Queue(Protocol):
    """What is due: runs to advance or time out, deliveries to try.

    Work is on the lease of the process that wrote or claimed it for as long as that process's heartbeat lives.
    """

    async def heartbeat(self, owner: str, now: float, expires_at: float) -> None:
        """Keep (or take) the lease of a process."""
        ...

    async def claim_due(
        self,
        owner: str,
        now: float,
        *,
        lanes: Iterable[str],
        limit: int,
        allowed: Mapping[str, int] | None = None,
    ) -> tuple[Claim, ...]:
        """Take due work that is on no living process's lease: runs, and deliveries on one of `lanes`.

        The attempt is counted here: a claimed delivery whose last owner died has `attempt` raised by one. A claimed
        run's `generation` is raised by one (and told). Fair: one endpoint's backlog does not keep another's from its
        turn. Of a target (models.Delivery.target) that is named in `allowed` at most so many are taken.
        """
        ...

    async def settle(self, settlement: Settlement) -> int:
        """End a delivery attempt: the number of its (first) entry. An attempt that is not the delivery's newest changes
        nothing but still leaves its entries and what is owed in consequence. Does not touch the run's version."""
        ...

    async def reschedule(self, run_id: str, delivery_id: str | None, due_at: float) -> None:
        """Give work back, to be due at `due_at`, on nobody's lease."""
        ...

    async def release(self, owner: str) -> None:
        """Give back all that `owner` holds and end his lease (a graceful stop)."""
        ...

    async def next_due(self, now: float, lanes: Iterable[str], *, skip: Iterable[str] = ()) -> float | None:
        """When the next work can be claimed: the earliest due time of unleased work, or end of a lease that holds
        some; deliveries to the targets `skip` do not count. None: nothing is waiting."""
        ...

    async def backlog(self, now: float, *, skip: Iterable[str] = ()) -> int:
        """How many pieces of work are due now and on nobody's lease; deliveries to the targets `skip` do not count."""
        ...

    async def deliveries(self, project_id: str, run_id: str) -> tuple[Delivery, ...]:
        """A run's deliveries, oldest first, dead and delivered ones included."""
        ...

    async def dead_letters(self, project_id: str) -> int:
        """How many deliveries were given up: dead or expired."""
        ...

    async def delivery(self, project_id: str, delivery_id: str) -> Delivery | None:
        """One delivery, whole."""
        ...

    async def find_deliveries(
        self,
        project_id: str,
        wanted: DeliveryFilter,
        *,
        before: str | None = None,
        after: str | None = None,
        limit: int = 100,
    ) -> DeliveryPage:
        """A project's deliveries, newest first, without their bodies: the first `limit` that are older than the
        delivery `before`, or the last `limit` that are newer than the delivery `after`. Nothing is older or newer than
        a delivery that is not there."""
        ...

    async def requeue(
        self,
        project_id: str,
        delivery_id: str,
        due_at: float,
        *,
        to: Target | None = None,
        entry: Entry | None = None,
    ) -> int | None:
        """Make a dead, expired or delivered delivery due again from its first attempt, on nobody's lease; from now on
        it goes `to` there, where that is given (its body stays as it is). In the same breath `entry` is added to the
        run's log. The number of the run's newest entry; None: no such delivery."""
        ...


class Documents(Protocol):
    """Small versioned documents, and markers that expire."""

    async def get(self, project_id: str, kind: str, name: str) -> Document | None: ...

    async def put(
        self,
        project_id: str,
        kind: str,
        name: str,
        body: bytes,
        *,
        now: float,
        expected_version: int | None = None,
        silent: bool = False,
    ) -> int:
        """Write and return the new version. `expected_version` 0 means "must not exist", n "must be n", None
        "whatever is there"; `silent` leaves the counter of changes as it is, for what nobody keeps in memory. Raises
        VersionConflict."""
        ...

    async def list(self, project_id: str, kind: str) -> tuple[Document, ...]:
        """All of a kind, by name."""
        ...

    async def delete(self, project_id: str, kind: str, name: str) -> bool: ...

    async def changes(self) -> int:
        """A counter that grows with every put (but for silent ones) and delete, in any process."""
        ...

    async def mark(
        self, project_id: str, scope: str, key: str, value: bytes, *, now: float, expires_at: float
    ) -> bytes | None:
        """Leave a marker where there is none alive and return None; else return the value that is there."""
        ...

    async def marked(self, project_id: str, scope: str, key: str, *, now: float) -> bytes | None:
        """The value of a marker that is alive; None: there is none."""
        ...

    async def unmark(self, project_id: str, scope: str, key: str) -> bool:
        """Take a marker away; whether there was one."""
        ...


@runtime_checkable
class Store(Protocol):
    """One place for all that must survive. `notifier` is its own way to wake other processes, or None."""

    @property
    def log(self) -> RunLog: ...
    @property
    def queue(self) -> Queue: ...
    @property
    def documents(self) -> Documents: ...
    @property
    def notifier(self) -> Notifier | None: ...

    async def open(self) -> None:
        """Connect and bring the schema up to date. Raises StoreUnavailable, SchemaMismatch."""
        ...

    async def aclose(self) -> None:
        """Finish what was begun, then let go. Appends after this raise StoreUnavailable."""
        ...
