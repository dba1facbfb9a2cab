"""A store with a past: runs that are done, and runs that wait, written in bulk past the store's own doors.

The rows have the form that riverflow writes; only their payloads are short, so that a million fit into a gigabyte.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from ..codec import encode
from ..models import Entry, Json, Project
from .flows import MODES, WARM_UP
from .rig import Rig, median, rig

__all__ = ["fill_finished", "fill_waiting", "history", "project_of", "recovery"]

_STEP = 20_000

_RUNS = """
INSERT INTO runs (id, project_id, workflow, event_name, status, stage, phase, version, generation, created_at,
    deadline_at, finished_at, summary, series)
WITH RECURSIVE n (i) AS (SELECT :first UNION ALL SELECT i + 1 FROM n WHERE i + 1 < :first + :count)
SELECT printf('01000000-0000-7000-8000-%012x', i), :project, 'bench', 'bench_event', :status, :stage, :phase, 3, 1,
    :now - 86400 + i * 0.001, :deadline, :finished, '{}', 0
FROM n
"""
_ENTRIES = """
INSERT INTO entries (run_id, number, public, checkpoint, data)
WITH RECURSIVE n (i) AS (SELECT :first UNION ALL SELECT i + 1 FROM n WHERE i + 1 < :first + :count)
SELECT printf('01000000-0000-7000-8000-%012x', i), number, public, 1,
    CAST(replace(data, '"at":0.0', printf('"at":%.3f', :now - 86400 + i * 0.001)) AS BLOB)
FROM n CROSS JOIN (SELECT 1 AS number, 0 AS public, :accepted AS data UNION ALL SELECT :entries, 1, :ended)
"""
_DUE = """
INSERT INTO due (run_id, delivery_id, project_id, stage, lane, target, due_at, owner)
WITH RECURSIVE n (i) AS (SELECT :first UNION ALL SELECT i + 1 FROM n WHERE i + 1 < :first + :count)
SELECT printf('01000000-0000-7000-8000-%012x', i), '', :project, 'enrich', '', '', :deadline, NULL FROM n
"""


def fill_finished(path: Path, project: str, count: int, *, entries: int = 4) -> None:
    """Add `count` completed runs with their logs."""
    now = time.time()
    _fill(path, count, (_RUNS, _ENTRIES), {
        "project": project, "status": "completed", "stage": "finalise", "phase": "done", "now": now,
        "deadline": None, "finished": now - 3600, **_said(entries),
    })  # fmt: skip


def fill_waiting(path: Path, project: str, count: int) -> None:
    """Add `count` runs that wait for their callbacks for an hour to come."""
    now = time.time()
    _fill(path, count, (_RUNS, _ENTRIES, _DUE), {
        "project": project, "status": "ai_generated", "stage": "enrich", "phase": "waiting", "now": now,
        "deadline": now + 3600, "finished": None, **_said(2),
    })  # fmt: skip


def _said(entries: int) -> dict[str, object]:
    """The log of each run: what accepting it wrote, and what its last decision did."""
    padding = Json(b'{"padding":"' + b"x" * 80 + b'"}')
    kinds = ("run.accepted", *["stage.completed"] * (entries - 2), "run.completed")
    accepted, *ended = (
        Entry(kind=kind, at=0.0, stage="generate", attempt=1, public=kind == "run.completed", data=padding)
        for kind in kinds
    )
    return {"entries": entries, "accepted": encode((accepted,)).decode(), "ended": encode(ended).decode()}


def _fill(path: Path, count: int, statements: tuple[str, ...], values: dict[str, object]) -> None:
    db = sqlite3.connect(path, isolation_level=None)
    try:
        db.execute("PRAGMA synchronous = OFF")
        for first in range(0, count, _STEP):
            db.execute("BEGIN")
            for statement in statements:
                db.execute(statement, {**values, "first": first, "count": min(_STEP, count - first)})
            db.execute("COMMIT")
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    finally:
        db.close()


def project_of(path: Path) -> str:
    """The id of the default project in a store that riverflow has opened once."""
    db = sqlite3.connect(path)
    try:
        (body,) = db.execute("SELECT body FROM documents WHERE kind = 'project' AND name = 'default'").fetchone()
    finally:
        db.close()
    return msgspec.json.decode(body, type=Project).id


async def history(
    folder: Path, *, done: int, waiting: int, flows: int, rounds: int, size: int, say: Callable[[str], None]
) -> dict[str, tuple[float, list[float]]]:
    """CPU a flow of mode R in a store with so many runs that are `done`, and in one with so many that are `waiting`,
    over the same with none: the median and all ratios of each."""
    kind = MODES["R"].kind
    ratios: dict[str, list[float]] = {"done": [], "waiting": []}
    async with rig(folder, size=size, structured=False) as set_up:
        for name, fill, count in (("done", fill_finished, done), ("waiting", fill_waiting, waiting)):
            path = folder / f"{name}.db"
            first = await set_up.system("riverflow", "R", name=name)
            await first.stop()
            began = time.perf_counter()
            await asyncio.to_thread(fill, path, project_of(path), count)
            took, megabytes = time.perf_counter() - began, path.stat().st_size / 1e6
            say(f"history: {count} runs that are {name} written in {took:.0f} s, {megabytes:.0f} MB")
        systems = {name: await set_up.system("riverflow", "R", name=name) for name in ("young", *ratios)}
        for system in systems.values():
            await set_up.load(system, kind, min(WARM_UP, flows))
        for number in range(1, rounds + 1):
            figures = await set_up.round(list(systems.values()), kind, flows)
            runs = dict(zip(systems, figures, strict=True))
            for name, found in ratios.items():
                found.append(runs[name].cpu_us / runs["young"].cpu_us)
            told = ", ".join(f"{name} {run.cpu_us:.0f}" for name, run in runs.items())
            say(f"history round {number}: µs a flow: {told}")
    return {name: (median(found), [round(each, 3) for each in found]) for name, found in ratios.items()}


async def recovery(folder: Path, *, waiting: int, size: int, say: Callable[[str], None]) -> dict[str, float]:
    """Seconds from the start of the process until it serves, and until work that a dead process held is under way
    again, with `waiting` runs in the store and (`empty_*`) with none."""
    found: dict[str, float] = {}
    for name, count in (("empty_", 0), ("", waiting)):
        async with rig(folder, size=size, structured=False) as set_up:
            path = folder / f"recovery{count}.db"
            hurried = {"lease": 0.5}  # so that what is measured is the start, not the dead process's lease
            first = await set_up.system("riverflow", "R", name=path.stem, settings=hurried)
            await first.stop()
            if count:
                await asyncio.to_thread(fill_waiting, path, project_of(path), count)
            await _strand(set_up, path, hurried)
            asked = (await set_up.stub.ask("measure"))["asked"]
            await set_up.stub.ask("hold", hold=False)
            began = time.perf_counter()
            await set_up.system("riverflow", "R", name=path.stem, settings=hurried)
            found[f"{name}serves_s"] = time.perf_counter() - began
            await set_up.stub.ask("asked", more_than=asked)
            found[f"{name}claims_s"] = time.perf_counter() - began
        say(f"recovery with {count} waiting: serves in {found[name + 'serves_s']:.2f} s, claims in "
            f"{found[name + 'claims_s']:.2f} s")  # fmt: skip
    return found


async def _strand(set_up: Rig, path: Path, settings: dict[str, float]) -> None:
    """A process that dies with a run under way: the provider holds its answer back, then the process is killed."""
    await set_up.stub.ask("silent")
    await set_up.stub.ask("hold", hold=True)
    doomed = await set_up.system("riverflow", "R", name=path.stem, settings=settings)
    await set_up.stub.ask("submit", port=doomed.ready["port"], count=1)
    await asyncio.sleep(0.2)
    await doomed.stop(kill=True)
    await asyncio.sleep(0.7)  # the lease runs out
