"""The store: the log of runs, the queue of what is due, documents."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol, runtime_checkable

import msgspec

from ..models import Append, Claim, Delivery, Document, Entry, Run, Settlement, Status
from .outside import Notifier

__all__ = ["Documents", "EntryPage", "Queue", "RunLog", "RunPage", "Store", "StoredRun"]


class StoredRun(msgspec.Struct, frozen=True, kw_only=True):
    """A run's row and its checkpoint entries (models.CHECKPOINTS), oldest first."""

    run: Run
    checkpoints: tuple[Entry, ...]


class EntryPage(msgspec.Struct, frozen=True, kw_only=True):
    """Entries in number order; `latest` is the newest number of the run, shown or not."""

    entries: tuple[Entry, ...]
    latest: int


class RunPage(msgspec.Struct, frozen=True, kw_only=True):
    """Runs, newest first; pass `next_before` as `before` for the next page."""

    runs: tuple[Run, ...]
    next_before: str | None


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
        *,
        status: Status | None = None,
        workflow: str | None = None,
        event_name: str | None = None,
        before: str | None = None,
        limit: int = 100,
    ) -> RunPage:
        """Runs newest first (ids sort by time), with ids below `before`."""
        ...

    async def prune(self, finished_before: float, *, limit: int = 1000) -> int:
        """Forget up to `limit` runs that ended earlier, with their entries and deliveries; how many went."""
        ...


class Queue(Protocol):
    """What is due: runs to advance or time out, deliveries to try.

    Work is on the lease of the process that wrote or claimed it for as long as that process's heartbeat lives.
    """

    async def heartbeat(self, owner: str, now: float, expires_at: float) -> None:
        """Keep (or take) the lease of a process."""
        ...

    async def claim_due(self, owner: str, now: float, *, lanes: Iterable[str], limit: int) -> tuple[Claim, ...]:
        """Take due work that is on no living process's lease: runs, and deliveries on one of `lanes`.

        The attempt is counted here: a claimed delivery whose last owner died has `attempt` raised by one. A claimed
        run's `generation` is raised by one. Fair: one endpoint's backlog does not keep another's from its turn.
        """
        ...

    async def settle(self, settlement: Settlement) -> int:
        """End a delivery attempt: the number of its entry. An attempt that is not the delivery's newest changes
        nothing but still leaves its entry. Does not touch the run's version."""
        ...

    async def reschedule(self, run_id: str, delivery_id: str | None, due_at: float) -> None:
        """Give work back, to be due at `due_at`, on nobody's lease."""
        ...

    async def release(self, owner: str) -> None:
        """Give back all that `owner` holds and end his lease (a graceful stop)."""
        ...

    async def next_due(self, now: float, lanes: Iterable[str]) -> float | None:
        """When the next work can be claimed: the earliest due time of unleased work, or end of a lease that holds
        some. None: nothing is waiting."""
        ...

    async def backlog(self, now: float) -> int:
        """How many pieces of work are due now and on nobody's lease."""
        ...

    async def deliveries(self, project_id: str, run_id: str) -> tuple[Delivery, ...]:
        """A run's deliveries, oldest first, dead and delivered ones included."""
        ...

    async def requeue(self, project_id: str, delivery_id: str, due_at: float) -> bool:
        """Make a dead, expired or delivered delivery due again from its first attempt; False: no such delivery."""
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
    ) -> int:
        """Write and return the new version. `expected_version` 0 means "must not exist", n "must be n", None
        "whatever is there". Raises VersionConflict."""
        ...

    async def list(self, project_id: str, kind: str) -> tuple[Document, ...]:
        """All of a kind, by name."""
        ...

    async def delete(self, project_id: str, kind: str, name: str) -> bool: ...

    async def changes(self) -> int:
        """A counter that grows with every put and delete, in any process."""
        ...

    async def mark(
        self, project_id: str, scope: str, key: str, value: bytes, *, now: float, expires_at: float
    ) -> bytes | None:
        """Leave a marker where there is none alive and return None; else return the value that is there."""
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
