"""Forgets payloads and single runs, a few a transaction. What counts as a payload is not decided here."""

from __future__ import annotations

from collections.abc import Sequence
from sqlite3 import Connection

from ...codec import encode
from ...forgetting import without_payload, without_payloads
from .queries import query
from .rows import entries_in, run_from

__all__ = ["erase_runs", "strip_runs"]


def strip_runs(db: Connection, since: float, until: float, limit: int) -> tuple[int, float]:
    """Forget the payloads of about `limit` runs that ended after `since`, up to `until`, oldest first: how many,
    and up to which time of ending all are done."""
    bound = db.execute(query("strip_bound"), (since, until, limit - 1)).fetchone()
    reached = until if bound is None else bound[0]
    rows = db.execute(query("strippable"), (since, reached)).fetchall()
    for row in rows:
        run = run_from(row)
        for rowid, data in db.execute(query("entries_to_strip"), (run.id,)).fetchall():
            entries = entries_in(data)
            kept = tuple(map(without_payload, entries))
            if kept != entries:
                db.execute(query("strip_entries"), (encode(kept), rowid))
        db.execute(query("strip_deliveries"), (run.id,))
        db.execute(query("strip_run"), (encode(without_payloads(run.summary)).decode(), run.id))
    return len(rows), reached


def erase_runs(db: Connection, project_id: str, run_ids: Sequence[str]) -> int:
    """Forget runs of a project with all that belongs to them: how many there were."""
    found = db.execute(query("erasable"), (project_id, encode(list(run_ids)).decode())).fetchall()
    ids = encode([run_id for (run_id,) in found]).decode()
    for name in ("prune_entries", "prune_deliveries", "prune_due", "prune_runs"):
        db.execute(query(name), (ids,))
    return len(found)
