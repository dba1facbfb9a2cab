"""The run log: appends go to the writer, reads to the reader. How a group is written is the ledger's business."""

from __future__ import annotations

from sqlite3 import Connection

from ...codec import decode, encode
from ...models import CHECKPOINTS, Append, Status
from ...ports import EntryPage, RunPage, StoredRun
from .queries import query
from .rows import entry_from, run_from
from .worker import Worker

__all__ = ["SqliteLog"]

_PRUNED_AT_ONCE = 50  # runs a transaction: with their entries a few milliseconds, which other writers wait


class SqliteLog:
    """ports.RunLog on SQLite."""

    def __init__(self, writer: Worker, reader: Worker) -> None:
        self._writer = writer
        self._reader = reader

    async def append(self, append: Append) -> int:
        first: int = await self._writer.submit(append)
        return first

    async def load(self, project_id: str | None, run_id: str) -> StoredRun | None:
        wanted = {"project_id": project_id, "run_id": run_id, "kinds": encode(sorted(CHECKPOINTS)).decode()}

        def look(db: Connection) -> StoredRun | None:
            row = db.execute(query("run"), wanted).fetchone()
            if row is None:
                return None
            entries = db.execute(query("checkpoints"), wanted).fetchall()
            return StoredRun(run=run_from(row), checkpoints=tuple(map(entry_from, entries)))

        return await self._reader.look(look)

    async def entries_after(
        self, project_id: str, run_id: str, after: int, *, limit: int = 1000, public: bool = False
    ) -> EntryPage | None:
        wanted = {"project_id": project_id, "run_id": run_id, "after": after, "limit": limit, "public": int(public)}

        def look(db: Connection) -> EntryPage | None:
            newest = db.execute(query("newest_entry"), wanted).fetchone()
            if newest is None:
                return None
            rows = db.execute(query("entries_after"), wanted).fetchall() if newest[0] > after else ()
            return EntryPage(entries=tuple(map(entry_from, rows)), latest=newest[0])

        return await self._reader.look(look)

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
        wanted = {
            "project_id": project_id,
            "status": status,
            "workflow": workflow,
            "event_name": event_name,
            "before": before,
            "limit": limit + 1,
        }
        rows = await self._reader.look(lambda db: db.execute(query("runs_page"), wanted).fetchall())
        runs = tuple(map(run_from, rows[:limit]))
        return RunPage(runs=runs, next_before=runs[-1].id if runs and len(rows) > limit else None)

    async def prune(self, finished_before: float, *, limit: int = 1000) -> int:
        """Forget ended runs, a few a transaction: one that is interrupted has forgotten whole runs only."""
        pruned = 0
        while pruned < limit:
            batch = min(limit - pruned, _PRUNED_AT_ONCE)
            went = await self._writer.change(lambda db, batch=batch: _prune(db, finished_before, batch))  # type: ignore[misc]
            pruned += went
            if went < batch:
                break
        return pruned


def _prune(db: Connection, finished_before: float, limit: int) -> int:
    ids: bytes = db.execute(query("prunable"), (finished_before, limit)).fetchone()[0]
    for name in ("prune_entries", "prune_deliveries", "prune_due", "prune_runs"):
        db.execute(query(name), (ids.decode(),))
    return len(decode(ids))
