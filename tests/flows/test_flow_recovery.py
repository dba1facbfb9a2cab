"""What an operator does and what befalls him: restarts, upgrades, a locked file, clocks that are set. No run is lost by
it, and none is blamed for it."""

from __future__ import annotations

import asyncio
import itertools
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from riverflow import Event, Riverflow, Stage, StageContext
from riverflow.builtin.sqlite import connection
from riverflow.builtin.sqlite.log import SqliteLog
from riverflow.builtin.sqlite.migrate import APPLICATION_ID
from riverflow.builtin.sqlite.queries import migrations
from riverflow.builtin.sqlite.rows import entries_from
from riverflow.errors import HandlerError, SchemaMismatch, StoreUnavailable
from riverflow.models import Append
from riverflow.testing import FakeClock, ScriptedProvider

from .backend import SUCCESS, Backend, Reaction
from .world import EVENT, KEY, MOVIE, SECRET, SetClock, World, movie_workflow, open_world

pytestmark = pytest.mark.anyio

ENDPOINT = {"id": "ep_backend"}
DAY = 86_400.0


class Hanging:
    """A provider whose calls never end, but for the last."""

    def __init__(self, calls: int) -> None:
        self.left = calls
        self.begun = asyncio.Event()

    async def __call__(self, request: Any) -> Any:
        self.begun.set()
        self.left -= 1
        if self.left >= 0:
            await asyncio.Event().wait()
        return {**MOVIE}

    @property
    def provider(self) -> ScriptedProvider:
        """Each process makes one of its own."""
        self.begun = asyncio.Event()
        return ScriptedProvider(self)


async def kinds_of(world: World, accepted: dict[str, Any]) -> list[str]:
    return [entry["kind"] for entry in await world.timeline(accepted)]


# Stops ------------------------------------------------------------------------------------------------------


async def test_clean_restarts_are_no_attempts_of_a_stage(tmp_path: Path) -> None:
    """Ten stops in the middle of a call, each at the end of the drain time: the eleventh beginning is attempt 1."""
    hanging, clock = Hanging(10), FakeClock()
    whole: dict[str, Any] = {"answerer": "none", "clock": clock, "drain_timeout": 0.02}
    workflows = [movie_workflow(event_name=None)]
    async with open_world(tmp_path, provider=hanging.provider, workflows=workflows, **whole) as world:
        accepted = await world.submit()
        await hanging.begun.wait()
    for _ in range(9):
        async with open_world(tmp_path, provider=hanging.provider, workflows=workflows, **whole):
            await hanging.begun.wait()
    async with open_world(tmp_path, provider=hanging.provider, workflows=workflows, **whole) as world:
        assert await world.ended(accepted) == "run.completed"
        timeline = await world.timeline(accepted)
    assert [entry["kind"] for entry in timeline] == [
        "run.accepted",
        *["stage.interrupted"] * 10,
        "stage.completed",
        "run.completed",
    ]
    assert {entry["attempt"] for entry in timeline if entry["stage"] == "generate"} == {1}


async def test_a_crash_is_an_attempt_and_a_stop_beside_it_is_none(tmp_path: Path) -> None:
    """What counts and what does not is told apart after a restart, too: it follows from the log."""
    times: list[int] = []
    begun = asyncio.Event()

    async def fragile(context: StageContext) -> dict[str, Any]:
        times.append(context.attempt)
        if len(times) == 2:
            raise RuntimeError("the password is hunter2")
        if len(times) < 4:
            begun.set()
            await asyncio.Event().wait()
        return {"ok": True}

    stages = (Stage(name="fragile", kind="fragile"), Stage(name="finalise", kind="finalise"))
    clock = FakeClock()
    whole: dict[str, Any] = {"answerer": "none", "clock": clock, "drain_timeout": 0.02, "stages": {"fragile": fragile}}
    whole["workflows"] = [movie_workflow(event_name=None, pipeline=stages)]
    async with open_world(tmp_path, **whole) as world:
        accepted = await world.submit()
        await begun.wait()
    begun.clear()
    async with open_world(tmp_path, **whole) as world:
        retrying = await world.wrote(accepted, "stage.retrying")
        assert (retrying["error"], "hunter2" in str(retrying)) == ("RuntimeError", False)
        await world.clock.wait_for_sleepers()
        await world.clock.advance(6)
        await begun.wait()
    async with open_world(tmp_path, **whole) as world:
        assert await world.ended(accepted) == "run.completed"
        shown = [(entry["kind"], entry["attempt"]) for entry in await world.timeline(accepted) if entry["attempt"]]
    assert times == [1, 1, 2, 2]
    assert shown == [
        ("stage.interrupted", 1),
        ("stage.retrying", 1),
        ("stage.interrupted", 2),
        ("stage.completed", 2),
    ]


# Handlers at their deadline -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raised", "told"),
    [
        (HandlerError("the library is closed on Sundays"), "the library is closed on Sundays"),
        (ValueError("no such user: hunter2"), "ValueError"),
    ],
    ids=["said on purpose", "of somebody else"],
)
async def test_the_browser_hears_why_the_handler_gave_no_answer(tmp_path: Path, raised: Exception, told: str) -> None:
    async def handler(event: Event) -> dict[str, Any]:
        raise raised

    async with open_world(tmp_path, answerer="none", handlers={EVENT: handler}) as world:
        accepted = await world.submit(callback_timeout=20)
        await world.wrote(accepted, "delivery.attempted", 1)
        await world.clock.advance(5)
        await world.wrote(accepted, "delivery.attempted", 2)
        await world.clock.advance(15)
        assert await world.ended(accepted) == "run.failed"
        error = (await world.state(accepted))["error"]
    assert error["message"].startswith(f"The handler of {EVENT!r} gave no answer by ")
    assert error["message"].endswith(f": {told}")
    assert error["details"]["reason"] == told
    assert "hunter2" not in str(error)


async def test_of_a_handler_that_is_still_at_it_nothing_else_is_known(tmp_path: Path) -> None:
    begun = asyncio.Event()

    async def handler(event: Event) -> dict[str, Any]:
        begun.set()
        await asyncio.Event().wait()
        return {}

    async with open_world(tmp_path, answerer="none", handlers={EVENT: handler}, drain_timeout=0.02) as world:
        accepted = await world.submit(callback_timeout=20)
        await begun.wait()
        await world.clock.advance(20)
        assert await world.ended(accepted) == "run.failed"
        assert "gave no answer" in (await world.state(accepted))["error"]["message"]


async def test_of_a_backend_nothing_is_said_but_that_it_was_late(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        accepted = await world.submit(callback_timeout=20)
        await world.wrote(accepted, "delivery.attempted")
        await world.clock.advance(20)
        assert await world.ended(accepted) == "run.failed"
        error = (await world.state(accepted))["error"]
    assert error["message"].startswith("No callback was received")
    assert "reason" not in error["details"]


# Schemas ----------------------------------------------------------------------------------------------------


FIRST_WROTE = {
    "runs.newest": "(SELECT max(number) FROM newer.entries WHERE run_id = id)",
    "deliveries.status": "CASE WHEN status <> 'pending' OR id IN (SELECT delivery_id FROM newer.due) THEN status"
    " ELSE 'delivered' END",
}
"""What the first release wrote where today's tells it from other rows."""


def as_of_the_first_release(path: Path) -> None:
    """Write the file anew with the first migration alone, and all that its tables have room for."""
    new = path / "river.db"
    new.rename(path / "newer.db")
    with closing(sqlite3.connect(new, isolation_level=None)) as db:
        db.executescript(migrations()[0])
        db.execute("ATTACH ? AS newer", (str(path / "newer.db"),))
        for row in db.execute("SELECT run_id, number, data FROM newer.entries ORDER BY rowid").fetchall():
            for each in entries_from(row[1:]):
                apart = (each.kind, each.at, each.stage, each.attempt, each.public, bytes(each.data))
                db.execute("INSERT INTO main.entries VALUES (?, ?, ?, ?, ?, ?, ?, ?)", (row[0], each.number, *apart))
        tables = "SELECT name FROM main.sqlite_master WHERE type = 'table' AND name <> 'entries'"
        for (table,) in db.execute(tables).fetchall():
            columns = [row[1] for row in db.execute(f"PRAGMA main.table_info({table})")]
            kept = [FIRST_WROTE.get(f"{table}.{column}", column) for column in columns]
            db.execute(f"INSERT INTO main.{table} ({', '.join(columns)}) SELECT {', '.join(kept)} FROM newer.{table}")
        db.execute(f"PRAGMA application_id = {APPLICATION_ID:d}")
        db.execute("PRAGMA user_version = 1")
        db.execute("DETACH newer")


async def test_a_file_of_the_first_release_is_migrated_with_its_runs_in_flight(tmp_path: Path) -> None:
    hanging, clock, backend = Hanging(1), FakeClock(), Backend(KEY, SECRET)
    whole: dict[str, Any] = {"clock": clock, "backend": backend, "endpoint": ENDPOINT, "drain_timeout": 0.02}
    backend.plan(EVENT, Reaction(status=503), Reaction(), Reaction())
    provider = ScriptedProvider({**MOVIE}, {**MOVIE}, hanging)
    async with open_world(tmp_path, provider=provider, **whole) as world:
        retried = await world.submit()
        await world.wrote(retried, "delivery.attempted")
        waiting = await world.submit()
        await world.wrote(waiting, "delivery.attempted")
        running = await world.submit()
        await hanging.begun.wait()
    as_of_the_first_release(tmp_path)
    backend.plan(EVENT, *[Reaction(SUCCESS)] * 2)
    async with open_world(tmp_path, **whole) as world:
        assert await world.ended(running) == "run.completed"
        await clock.wait_for_sleepers()
        await clock.advance(5)
        assert await world.ended(retried) == "run.completed"
        assert (await world.call_back(waiting, SUCCESS)).status_code == 200
        assert await world.ended(waiting) == "run.completed"
        for accepted in (running, retried, waiting):
            assert (await world.state(accepted))["data"] == SUCCESS["data"]
            assert (await kinds_of(world, accepted)).count("run.completed") == 1
        listed = (await world.http.get("/v1/requests")).json()
        assert len(listed["data"]) == 3
    with closing(sqlite3.connect(tmp_path / "river.db")) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (len(migrations()),)


async def test_a_newer_file_is_refused_at_the_start_and_left_as_it_is(tmp_path: Path) -> None:
    async with open_world(tmp_path, answerer="none"):
        pass
    with closing(sqlite3.connect(tmp_path / "river.db")) as db:
        db.execute(f"PRAGMA user_version = {len(migrations()) + 3}")
    before = (tmp_path / "river.db").read_bytes()
    with pytest.raises(SchemaMismatch, match="install the riverflow that wrote it, or a newer one"):
        async with Riverflow(database_url=f"sqlite:///{tmp_path}/river.db", environ={}).lifespan():
            pass
    assert (tmp_path / "river.db").read_bytes() == before


# A file that somebody else holds --------------------------------------------------------------------------------


@contextmanager
def held(path: Path) -> Iterator[None]:
    with closing(sqlite3.connect(path / "river.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


async def test_a_locked_file_is_told_and_outlived(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Longer than anybody waits: 503 at the door and at /health, a line in the log; afterwards all goes on."""
    monkeypatch.setattr(connection, "BUSY_TIMEOUT", 0.1)
    released = asyncio.Event()

    async def slow(request: Any) -> Any:
        await released.wait()
        return {**MOVIE}

    provider = ScriptedProvider(slow, {**MOVIE})
    async with open_world(
        tmp_path, answerer="none", provider=provider, workflows=[movie_workflow(event_name=None)]
    ) as world:
        accepted = await world.submit()
        assert (await world.http.get("/health")).json() == {"status": "ok"}
        await world.clock.advance(2)
        with held(tmp_path):
            refused = await world.http.post("/v1/ai/async", json={"workflow": "movie", "messages": []})
            health = await world.http.get("/health")
            released.set()
            while "could not be given back" not in caplog.text:  # noqa: ASYNC110 - a log tells nobody
                await asyncio.sleep(0.01)
            assert (await world.state(accepted))["status"] == "pending"  # what is written can still be read
        for answer in (refused, health):
            assert (answer.status_code, answer.json()["error"]["code"]) == (503, "service_unavailable")
            assert int(answer.headers["retry-after"]) >= 1
        assert "locked by another process" in caplog.text
        for _ in range(5):
            await world.clock.advance(1)
        assert await world.ended(accepted) == "run.completed"
        assert (await world.http.get("/health")).status_code == 200
        assert await world.ended(await world.submit()) == "run.completed"


async def test_a_store_that_takes_little_things_only_makes_no_storm_at_the_provider(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Claims go through and outcomes do not: the provider is asked once in five seconds, not once in a millisecond."""
    append, clock = SqliteLog.append, FakeClock()
    asked: list[float] = []

    async def outcomes_refused(log: SqliteLog, what: Append) -> int:
        if len(asked) < 3 and what.expected_version is not None:
            raise StoreUnavailable("database or disk is full")
        return await append(log, what)

    async def generate(request: Any) -> Any:
        asked.append(clock.monotonic())
        return {**MOVIE}

    monkeypatch.setattr(SqliteLog, "append", outcomes_refused)

    async def check(context: StageContext) -> dict[str, Any]:
        return {"checked": True}

    stages = (
        Stage(name="generate", kind="generate"),
        Stage(name="check", kind="check"),
        Stage(name="finalise", kind="finalise"),
    )
    whole: dict[str, Any] = {
        "workflows": [movie_workflow(event_name=None, pipeline=stages)],
        "stages": {"check": check},
    }
    whole |= {"provider": ScriptedProvider(*[generate] * 9), "answerer": "none", "clock": clock}
    async with open_world(tmp_path, **whole) as world:
        accepted = await world.submit()
        async with asyncio.timeout(10):
            while len(asked) < 3:
                await clock.advance(0.5)
        assert await world.ended(accepted) == "run.completed"
    assert len(asked) == 3
    assert min(later - before for before, later in itertools.pairwise(asked)) >= 5


async def test_a_process_that_stops_is_not_healthy_any_more(tmp_path: Path) -> None:
    hanging = Hanging(1)
    async with open_world(tmp_path, answerer="none", provider=hanging.provider, drain_timeout=0.2) as world:
        await world.submit()
        await hanging.begun.wait()
        assert (await world.http.head("/health")).status_code == 200
        running = world.river._running
        assert running is not None
        inside = httpx.AsyncClient(transport=httpx.ASGITransport(app=running.router), base_url="http://river")
        asking = asyncio.create_task(first_trouble(world.river))
    async with inside:
        late = await inside.get("/health")
    for answer in (await asking, late):  # who comes while it stops, and who was let in before
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "shutting_down")


async def first_trouble(river: Riverflow) -> httpx.Response:
    """Ask for its health until that is not good."""
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=river), base_url="http://river") as http:
        while True:
            answer = await http.get("/health")
            if answer.status_code != 200:
                return answer
            await asyncio.sleep(0)


# Clocks that are set --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("by", [DAY, -DAY, 3600.0, -3600.0])
async def test_a_clock_that_is_set_loses_no_run_and_raises_no_storm(tmp_path: Path, by: float) -> None:
    """A day forth or back: what is in a stage is finished, what waits is answered or times out once, what is to be
    tried again is tried as often as its schedule says and no more."""
    released, clock = asyncio.Event(), SetClock()

    async def slow(request: Any) -> Any:
        await released.wait()
        return {**MOVIE}

    provider = ScriptedProvider({**MOVIE}, {**MOVIE}, slow, {**MOVIE})
    async with open_world(tmp_path, clock=clock, provider=provider, lease=10) as world:
        world.backend.plan(EVENT, Reaction(), Reaction(status=503), *[Reaction(SUCCESS)] * 4)
        waiting = await world.submit()
        await world.wrote(waiting, "delivery.attempted")
        retried = await world.submit()
        await world.wrote(retried, "delivery.attempted")
        running = await world.submit()
        clock.set_by = by
        for _ in range(8):
            await clock.advance(1)
        released.set()
        assert await world.ended(running) == "run.completed"
        later = await world.submit()
        assert await world.ended(later) == "run.completed"
        if by < 0:  # nothing is due before its time on the clock: what waits, waits for as long as it takes
            assert (await world.call_back(waiting, SUCCESS)).status_code == 200
            clock.set_by = 0.0
            for _ in range(3):
                await clock.advance(5)
        else:
            assert await world.ended(waiting) == "run.failed"
        assert await world.ended(retried) == ("run.completed" if by < 0 else "run.failed")
        assert len(world.backend.received) <= 5
        for accepted in (waiting, retried, running, later):
            kinds = await kinds_of(world, accepted)
            assert len([kind for kind in kinds if kind in ("run.completed", "run.failed")]) == 1
            assert kinds.count("stage.completed") <= 2
