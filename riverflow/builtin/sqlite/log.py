"""The run log: appends go to the writer, reads to the reader. How a group is written is the ledger's business."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice
from sqlite3 import Connection

from ...codec import decode, encode
from ...models import CHECKPOINTS, Append, Entry, RunFilter, Standing, Total
from ...ports import EVERY_RUN, EntryPage, RunPage, StoredRun
from .forgetting import erase_runs, strip_runs
from .listing import find_runs, find_standing, find_totals
from .queries import query
from .rows import Row, entries_from, run_from
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
        wanted = {"project_id": project_id, "run_id": run_id}

        def look(db: Connection) -> StoredRun | None:
            row = db.execute(query("run"), wanted).fetchone()
            if row is None:
                return None
            rows = db.execute(query("checkpoints"), wanted).fetchall()
            entries = (entry for each in rows for entry in entries_from(each))
            return StoredRun(
                run=run_from(row), checkpoints=tuple(entry for entry in entries if entry.kind in CHECKPOINTS)
            )

        return await self._reader.look(look)

    async def entries_after(
        self, project_id: str, run_id: str, after: int, *, limit: int = 1000, public: bool = False
    ) -> EntryPage | None:
        wanted = {"project_id": project_id, "run_id": run_id, "after": after, "public": int(public)}

        def look(db: Connection) -> EntryPage | None:
            newest = db.execute(query("newest_entry"), wanted).fetchone()
            if newest is None:
                return None
            rows: Iterable[Row] = db.execute(query("entries_after"), wanted) if newest[0] > after else ()
            return EntryPage(entries=tuple(islice(_entries(rows, after, public), limit)), latest=newest[0])

        return await self._reader.look(look)

    async def runs(
        self,
        project_id: str,
        wanted: RunFilter = EVERY_RUN,
        *,
        before: str | None = None,
        after: str | None = None,
        limit: int = 100,
    ) -> RunPage:
        return await self._reader.look(lambda db: find_runs(db, project_id, wanted, before, after, limit))

    async def totals(
        self, project_id: str, since: float, until: float, bucket: int, wanted: RunFilter = EVERY_RUN
    ) -> tuple[Total, ...]:
        return await self._reader.look(lambda db: find_totals(db, project_id, since, until, bucket, wanted))

    async def standing(self, project_id: str) -> Standing:
        return await self._reader.look(lambda db: find_standing(db, project_id))

    async def prune(self, finished_before: float, *, limit: int = 1000, given_up_after: float | None = None) -> int:
        """Forget ended runs, a few a transaction: one that is interrupted has forgotten whole runs only."""
        wanted = {"before": finished_before, "limit": limit, "given_up_after": given_up_after}
        found = decode((await self._reader.look(lambda db: db.execute(query("prunable"), wanted).fetchone()))[0])
        for start in range(0, len(found), _PRUNED_AT_ONCE):
            batch = encode(found[start : start + _PRUNED_AT_ONCE]).decode()
            await self._writer.change(lambda db, batch=batch: _forget(db, batch))  # type: ignore[misc]
        return len(found)

    async def strip(self, since: float, until: float, *, limit: int = 1000) -> tuple[int, float]:
        """Forget payloads, a few runs a transaction."""
        stripped, reached = 0, since
        while stripped < limit:
            batch = min(limit - stripped, _PRUNED_AT_ONCE)
            went, reached = await self._writer.change(
                lambda db, since=reached, batch=batch: strip_runs(db, since, until, batch)  # type: ignore[misc]
            )
            stripped += went
            if reached >= until:
                break
        return stripped, reached

    async def erase(self, project_id: str, run_ids: Sequence[str]) -> int:
        """Forget single runs, a few a transaction."""
        erased = 0
        for start in range(0, len(run_ids), _PRUNED_AT_ONCE):
            batch = run_ids[start : start + _PRUNED_AT_ONCE]
            erased += await self._writer.change(lambda db, batch=batch: erase_runs(db, project_id, batch))  # type: ignore[misc]
        return erased


def _entries(rows: Iterable[Row], after: int, public: bool) -> Iterable[Entry]:
    """Those asked for: a row may begin before `after`, and hold what is public beside what is not."""
    for row in rows:
        for entry in entries_from(row):
            if entry.number > after and (entry.public or not public):
                yield entry


def _forget(db: Connection, run_ids: str) -> None:
    for name in ("prune_entries", "prune_deliveries", "prune_due", "prune_runs"):
        db.execute(query(name), (run_ids,))
