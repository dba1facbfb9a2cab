"""The SQLite store's threads: groups, what breaks in them, what stands in their way, the loop they must not stop."""

from __future__ import annotations

import asyncio
import sqlite3
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from blockbuster import blockbuster_ctx

from riverflow.builtin.sqlite import connection, open_sqlite
from riverflow.builtin.sqlite import store as store_module
from riverflow.builtin.sqlite.worker import LARGE, Look, Worker
from riverflow.config import Settings
from riverflow.errors import StoreError, StoreUnavailable, VersionConflict
from riverflow.models import Append
from riverflow.ports import Store
from riverflow.testing import make_context
from riverflow.testing.suites.store_cases import HTTP, ME, MINE, NOW, YOU, StoreCases


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Another process's write transaction: everything queued meanwhile is one group afterwards (but for the first)."""
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


class Frames:
    """Counts the commits of a file by its write-ahead log: each commit's last frame carries the database's size
    (https://www.sqlite.org/fileformat.html, 4.1)."""

    def __init__(self, path: Path) -> None:
        self._path = path.with_name(f"{path.name}-wal")

    def commits(self) -> int:
        log = self._path.read_bytes()
        page = int.from_bytes(log[8:12], "big")
        frames = (log[start : start + 24] for start in range(32, len(log), 24 + page))
        return sum(frame[4:8] != b"\0\0\0\0" for frame in frames)


class TestGroups(StoreCases):
    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        return tmp_path / "river.db"

    @pytest.fixture
    def make(self, path: Path) -> Callable[[], Store]:
        return lambda: open_sqlite(make_context(settings=Settings(database_url=f"sqlite:///{path}")))

    async def test_what_waits_together_is_committed_together(self, store: Store, path: Path) -> None:
        frames = Frames(path)
        before = frames.commits()
        with held(path):
            appends = [asyncio.ensure_future(self.accept(store, self.run_of(number))) for number in range(64)]
            await asyncio.sleep(0)
        await asyncio.gather(*appends)
        assert frames.commits() - before <= 2

    async def test_a_conflict_fails_alone_in_its_group(self, store: Store, path: Path) -> None:
        await self.accept(store, self.run_of(5))
        with held(path):
            appends = [asyncio.ensure_future(self.accept(store, self.run_of(number))) for number in range(10)]
            documents = asyncio.ensure_future(
                store.documents.put(MINE, "key", "k", b"", now=NOW, expected_version=3),
            )
            await asyncio.sleep(0)
        results = await asyncio.gather(*appends, documents, return_exceptions=True)
        assert [number for number, result in enumerate(results) if result is not None] == [5, 10]
        assert {type(results[5]), type(results[10])} == {VersionConflict}

    async def test_only_the_broken_operation_of_a_group_fails(self, store: Store, path: Path) -> None:
        taken = self.delivery_of(self.run_of(90), "taken")
        await self.accept(store, self.run_of(90), taken)
        with held(path):
            appends = [
                asyncio.ensure_future(self.accept(store, run, *([taken] if number == 7 else [])))
                for number, run in enumerate(map(self.run_of, range(12)))
            ]
            await asyncio.sleep(0)
        results = await asyncio.gather(*appends, return_exceptions=True)
        assert [number for number, result in enumerate(results) if result is not None] == [7]
        assert isinstance(results[7], StoreError)
        assert await store.log.load(None, self.run_of(7).id) is None
        assert len((await store.log.runs(MINE)).runs) == 12

    async def test_a_value_that_sqlite_cannot_take_fails_its_writer_only(self, store: Store) -> None:
        results = await asyncio.gather(
            self.accept(store, self.run_of(1, workflow="\ud800")),
            self.accept(store, self.run_of(2)),
            return_exceptions=True,
        )
        assert [type(result) for result in results] == [StoreError, type(None)]

    async def test_a_whole_life_in_one_group(self, store: Store, path: Path) -> None:
        """What is written together has the effect it has one after the other."""
        run = self.run_of(1)
        delivery = self.delivery_of(run, "a", stage="enrich")
        second = self.delivery_of(run, "b", stage="enrich")
        third = self.delivery_of(run, "c", stage="enrich")
        waiting = self.run_of(1, version=2, phase="waiting", deadline_at=NOW + 9)
        with held(path):
            life = asyncio.gather(
                store.documents.changes(),
                self.accept(store, self.run_of(2)),
                self.accept(store, run, delivery, second, third),
                self.follow(store, run, phase="waiting", deadline_at=NOW + 9),
                store.queue.settle(self.settlement_of(delivery, "pending", due_at=NOW + 1)),
                store.queue.settle(self.settlement_of(second, "pending", due_at=NOW + 1)),
                store.queue.settle(self.settlement_of(delivery, "delivered", attempt=2)),
                self.follow(store, waiting, phase="done", finished_at=NOW, deadline_at=None, closes="enrich"),
                store.queue.settle(self.settlement_of(second, "delivered", attempt=2)),
            )
            await asyncio.sleep(0)
        await life
        stored = await store.log.load(MINE, run.id)
        page = await store.log.entries_after(MINE, run.id, 0)
        assert stored is not None
        assert page is not None
        assert (stored.run.version, stored.run.phase) == (3, "done")
        assert [entry.number for entry in page.entries] == [1, 2, 3, 4, 5, 6, 7]
        assert page.latest == 7
        owed = await store.queue.deliveries(MINE, run.id)
        assert [(one.id, one.status, one.attempt) for one in owed] == [
            ("dlv_a", "delivered", 2),
            ("dlv_b", "delivered", 2),
            ("dlv_c", "expired", 1),
        ]
        claims = await store.queue.claim_due(YOU, NOW + 1e6, lanes=HTTP, limit=99)
        assert [claim.run_id for claim in claims] == [self.run_of(2).id]

    async def test_a_run_that_pauses_and_goes_on_in_one_group_stays_leased(self, store: Store, path: Path) -> None:
        await store.queue.heartbeat(ME, NOW, NOW + 100)
        run = self.run_of(1)
        await self.accept(store, run)
        paused = self.run_of(1, version=2, phase="waiting")
        with held(path):
            group = asyncio.gather(
                self.accept(store, self.run_of(2)),
                self.follow(store, run, phase="waiting"),
                self.follow(store, paused, phase="running"),
            )
            await asyncio.sleep(0)
        await group
        assert len(await store.queue.claim_due(YOU, NOW + 100, lanes=(), limit=9)) == 2

    async def test_a_backlog_leaves_out_the_targets_to_skip(self, store: Store) -> None:
        run = self.run_of(1)
        owed = [self.delivery_of(run, name, endpoint_id=f"ep_{name}") for name in "abcd"]
        await store.queue.heartbeat(ME, NOW, NOW + 10)
        await self.accept(store, run, *owed)
        for given_back in owed[:2]:
            await store.queue.reschedule(run.id, given_back.id, NOW)
        assert [await store.queue.backlog(NOW, skip=skip) for skip in ((), ["ep_a"], ["ep_c"])] == [2, 1, 2]
        assert [await store.queue.backlog(NOW + 10, skip=skip) for skip in ((), ["ep_a", "ep_c"])] == [5, 3]

    async def test_ended_leases_that_hold_nothing_are_forgotten(self, store: Store, path: Path) -> None:
        await self.accept(store, self.run_of(1), owner="process_dead")
        for owner, expires_at in (("process_dead", NOW + 10), ("process_idle", NOW + 10), (ME, NOW + 99)):
            await store.queue.heartbeat(owner, NOW, expires_at)
        await store.queue.heartbeat(ME, NOW + 10, NOW + 99)
        with closing(sqlite3.connect(path)) as db:
            assert {owner for (owner,) in db.execute("SELECT owner FROM processes")} == {"process_dead", ME}

    async def test_new_markers_clear_away_expired_ones(self, store: Store, path: Path) -> None:
        for number in range(6):
            await store.documents.mark(MINE, "token", f"old{number}", b"", now=NOW, expires_at=NOW + 1)
        for number in range(2):
            await store.documents.mark(MINE, "token", f"new{number}", b"", now=NOW + 1, expires_at=NOW + 9)
        with closing(sqlite3.connect(path)) as db:
            assert sorted(key for (key,) in db.execute("SELECT key FROM markers")) == ["new0", "new1"]

    async def test_more_rows_than_a_statement_holds(self, store: Store) -> None:
        run = self.run_of(1)
        entries = tuple(self.entry(f"kind{number}") for number in range(1, 201))
        await store.log.append(Append(run=run, owner=ME, entries=entries))
        page = await store.log.entries_after(MINE, run.id, 0)
        assert page is not None
        assert [entry.kind for entry in page.entries] == [entry.kind for entry in entries]

    async def test_a_locked_file_is_unavailable_and_comes_back(
        self, store: Store, path: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[[], Store]
    ) -> None:
        monkeypatch.setattr(connection, "BUSY_TIMEOUT", 0.02)
        hasty = make()
        await hasty.open()
        with held(path):
            results = await asyncio.gather(
                *(self.accept(hasty, self.run_of(number)) for number in range(3)), return_exceptions=True
            )
            assert (await hasty.log.runs(MINE)).runs == ()
        assert [type(result) for result in results] == [StoreUnavailable] * 3
        assert "locked by another process" in str(results[0])
        await self.accept(hasty, self.run_of(1))
        await hasty.aclose()

    async def test_a_full_disk_is_unavailable_and_what_was_written_stays(
        self, make: Callable[[], Store], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def small(address: Any) -> sqlite3.Connection:
            db = connection.connect(address)
            db.execute("PRAGMA max_page_count = 60")
            return db

        monkeypatch.setattr(store_module, "connect", small)
        store = make()
        await store.open()
        await self.accept(store, self.run_of(1))
        with pytest.raises(StoreUnavailable, match="full"):
            await store.documents.put(MINE, "key", "k", b"x" * 1_000_000, now=NOW)
        await self.accept(store, self.run_of(2))
        assert len((await store.log.runs(MINE)).runs) == 2
        await store.aclose()

    async def test_a_caller_who_leaves_does_not_disturb_the_group(self, store: Store, path: Path) -> None:
        with held(path):
            appends = [asyncio.ensure_future(self.accept(store, self.run_of(number))) for number in range(3)]
            await asyncio.sleep(0)
            appends[1].cancel()
            await asyncio.wait({appends[1]})
        await asyncio.gather(appends[0], appends[2])
        assert len((await store.log.runs(MINE)).runs) == 3

    async def test_reading_does_not_wait_for_a_writer(self, store: Store, path: Path) -> None:
        await self.accept(store, self.run_of(1))
        with held(path):
            writing = asyncio.ensure_future(self.accept(store, self.run_of(2)))
            assert len((await store.log.runs(MINE)).runs) == 1
            assert not writing.done()
        await writing

    async def test_the_loop_is_never_stopped(self, make: Callable[[], Store]) -> None:
        run = self.run_of(1)
        with blockbuster_ctx():
            store = make()
            await store.open()
            await self.accept(store, run, self.delivery_of(run, "a"))
            await self.end(store, run)
            await store.log.load(MINE, run.id)
            await store.queue.claim_due(YOU, NOW, lanes=HTTP, limit=9)
            await store.documents.put(MINE, "key", "k", b"", now=NOW)
            await store.log.prune(NOW + 1)
            await store.aclose()

    async def test_two_processes_write_to_one_file(self, store: Store, path: Path) -> None:
        processes = [
            await asyncio.create_subprocess_exec(sys.executable, "-c", _WRITER, str(path), str(number))
            for number in range(2)
        ]
        assert [await process.wait() for process in processes] == [0, 0]
        assert await store.documents.changes() == 2 * 100
        documents = await store.documents.list(MINE, "shared")
        assert [document.version for document in documents] == [200]


_WRITER = """
import asyncio, sys
from riverflow.builtin.sqlite import open_sqlite
from riverflow.config import Settings
from riverflow.testing import make_context

async def main(path):
    store = open_sqlite(make_context(settings=Settings(database_url=f"sqlite:///{path}")))
    await store.open()
    for _ in range(50):
        await asyncio.gather(*(store.documents.put("prj_mine", "shared", "one", b"", now=0.0) for _ in range(2)))
    await store.aclose()

asyncio.run(main(sys.argv[1]))
"""


class TestWorker:
    pytestmark = pytest.mark.anyio

    @pytest.fixture
    async def worker(self) -> AsyncIterator[tuple[Worker, threading.Event, list[int]]]:
        """A worker whose rounds wait for an event, and the sizes of its rounds."""
        go, sizes = threading.Event(), list[int]()

        def do(db: sqlite3.Connection, operations: Sequence[Any]) -> Sequence[object]:
            assert go.wait(10)
            sizes.append(len(operations))
            return [operation.run(db) for operation in operations]

        worker = Worker("test-worker", lambda: sqlite3.connect(":memory:"), do)
        await worker.start()
        yield worker, go, sizes
        go.set()
        await worker.stop()

    async def test_a_round_takes_all_that_waits(self, worker: tuple[Worker, threading.Event, list[int]]) -> None:
        work, go, sizes = worker
        futures = [work.submit(Look(lambda db, number=number: number)) for number in range(100)]
        go.set()
        assert await asyncio.gather(*futures) == list(range(100))
        assert sum(sizes) == 100
        assert len(sizes) <= 2

    async def test_a_round_wakes_the_loop_once(
        self, worker: tuple[Worker, threading.Event, list[int]], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        work, go, sizes = worker
        loop = asyncio.get_running_loop()
        calls: list[Any] = []
        wake = loop.call_soon_threadsafe
        monkeypatch.setattr(loop, "call_soon_threadsafe", lambda *args: (calls.append(args), wake(*args))[1])
        futures = [work.submit(Look(lambda db: None)) for _ in range(50)]
        go.set()
        await asyncio.gather(*futures)
        assert len(calls) == len(sizes)

    async def test_after_a_large_round_it_pauses_and_after_a_small_one_it_does_not(self) -> None:
        paused, go_on, sizes = threading.Event(), threading.Event(), list[int]()

        def do(db: sqlite3.Connection, operations: Sequence[Any]) -> Sequence[object]:
            sizes.append(len(operations))
            return [operation.run(db) for operation in operations]

        def pause() -> None:
            paused.set()
            go_on.wait(10)

        worker = Worker("test-worker", lambda: sqlite3.connect(":memory:"), do, pause=pause)
        await worker.start()
        for size in (LARGE - 1, 1, LARGE):
            await asyncio.gather(*(worker.look(lambda db: None) for _ in range(size)))
        assert not paused.is_set()
        first = worker.submit(Look(lambda db: None))
        assert await asyncio.to_thread(paused.wait, 10)
        second = worker.submit(Look(lambda db: None))
        await asyncio.sleep(0)
        go_on.set()
        await asyncio.gather(first, second)
        paused.clear()
        await worker.look(lambda db: None)
        assert not paused.is_set()
        assert sizes == [LARGE - 1, 1, LARGE, 2, 1]
        await worker.stop()

    async def test_a_round_that_breaks_does_not_end_the_thread(
        self, worker: tuple[Worker, threading.Event, list[int]]
    ) -> None:
        work, go, _ = worker
        go.set()
        with pytest.raises(ZeroDivisionError):
            await work.look(lambda db: 1 // 0)
        assert await work.look(lambda db: 1) == 1
