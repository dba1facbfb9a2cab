"""Reads the database when all is over, and compares it with what the world was told: one final state for each run, the
audit trail of each complete, nothing that was acknowledged lost.

It opens the file by itself, not through riverflow.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .nursery import WORKFLOWS
from .outside import Told

__all__ = ["audit", "unfinished"]

FINAL = ("run.completed", "run.failed")
PLANNED = {each.name: tuple(stage.name for stage in each.stages().stages) for each in WORKFLOWS}


def unfinished(database: Path) -> tuple[int, int]:
    """How many runs have not ended, how many deliveries are still owed."""
    with sqlite3.connect(database) as db:
        (runs,) = db.execute("SELECT count(*) FROM runs WHERE phase <> 'done'").fetchone()
        (owed,) = db.execute("SELECT count(*) FROM due WHERE delivery_id <> ''").fetchone()
    db.close()
    return runs, owed


_OWED = """
SELECT id, lane, CASE WHEN status <> 'pending' THEN status
    WHEN EXISTS (SELECT 1 FROM due WHERE due.run_id = deliveries.run_id AND delivery_id = id) THEN 'pending'
    ELSE 'delivered' END AS status
FROM deliveries WHERE run_id = ?
"""


def audit(database: Path, told: Told) -> list[str]:
    """What is not as promised."""
    with sqlite3.connect(database) as db:
        db.row_factory = sqlite3.Row
        problems = [*told.problems, *_lost(db, told), *_keys(told)]
        for run in db.execute("SELECT * FROM runs").fetchall():
            entries = list(_entries(db, run["id"]))
            problems += [f"run {run['id']} ({run['workflow']}): {what}" for what in _run(run, entries, told)]
            owed = db.execute(_OWED, (run["id"],)).fetchall()
            problems += [f"run {run['id']}: {what}" for what in _deliveries(owed, entries, told)]
    db.close()
    return problems


def _entries(db: sqlite3.Connection, run_id: str) -> Iterator[dict[str, Any]]:
    """A run's log. A row holds several entries, and the number of the last of them."""
    rows = db.execute("SELECT number, public, data FROM entries WHERE run_id = ? ORDER BY number", (run_id,))
    for row in rows.fetchall():
        entries = json.loads(row["data"])
        assert row["public"] == any(entry.get("public") for entry in entries), row["data"]
        for number, entry in enumerate(entries, row["number"] - len(entries) + 1):
            yield {"stage": None, "public": False, **entry, "number": number}


def _lost(db: sqlite3.Connection, told: Told) -> Iterator[str]:
    stored = {row[0] for row in db.execute("SELECT id FROM runs")}
    yield from (f"run {channel_id}: accepted, and lost" for channel_id in told.accepted.keys() - stored)
    started = stored - told.accepted.keys()
    if started:  # each flow has a key: whatever was started for it is what its client was told in the end
        yield f"{len(started)} runs were started that nobody was told of, such as {min(started)}"


def _keys(told: Told) -> Iterator[str]:
    for (channel_id, what), keys in told.keys.items():
        if len(keys) != 1:
            yield f"run {channel_id}: the backend was asked for {what} with the keys {sorted(keys)}"


def _run(run: Any, entries: list[Any], told: Told) -> Iterator[str]:
    kinds = [entry["kind"] for entry in entries]
    if [entry["number"] for entry in entries] != list(range(1, len(entries) + 1)) or kinds[0] != "run.accepted":
        yield f"its trail has holes: {[(entry['number'], entry['kind']) for entry in entries]}"
    finals = [entry for entry in entries if entry["kind"] in FINAL]
    if len(finals) != 1 or run["phase"] != "done":
        yield f"it is {run['phase']} at {run['stage']} with {len(finals)} final entries"
        return
    completed = [entry["stage"] for entry in entries if entry["kind"] == "stage.completed"]
    if len(set(completed)) != len(completed):
        yield f"stages were completed twice: {completed}"
    if finals[0]["kind"] == "run.completed" and (*completed, "finalise") != PLANNED[run["workflow"]]:
        yield f"it completed with the stages {completed} in its trail"
    public = [entry["number"] for entry in entries if entry["public"]]
    if told.numbers.get(run["id"]) != public:
        yield f"its reader saw {told.numbers.get(run['id'])}, and there are {public}"
    mark = told.acknowledged.get(run["id"])
    if mark is not None and "callback.received" not in kinds:
        yield f"the callback {mark} was acknowledged, and is not in the trail"
    if mark is not None and run["workflow"] == "remote" and finals[0]["data"]["data"] != {"by": mark}:
        yield f"the callback {mark} was acknowledged, and is not the result"


def _deliveries(owed: list[Any], entries: list[Any], told: Told) -> Iterator[str]:
    said: dict[str, list[str]] = {}
    for entry in entries:
        if entry["kind"] == "delivery.attempted":
            attempt = entry["data"]
            said.setdefault(attempt["delivery_id"], []).append(attempt["outcome"])
    for delivery in owed:
        what, outcomes = f"delivery {delivery['id']} ({delivery['status']})", said.get(delivery["id"], [])
        if delivery["status"] == "pending":
            yield f"{what} has not ended after {len(outcomes)} attempts"
        if delivery["status"] in ("delivered", "dead") and delivery["status"] not in outcomes:
            yield f"{what} has the trail {outcomes}"
        if delivery["status"] == "delivered" and delivery["lane"] == "http" and delivery["id"] not in told.taken:
            yield f"{what} was taken by nobody"
