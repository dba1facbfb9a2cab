"""The log of a SQLite database is copied into its file beside the writer."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, cast

import pytest

from riverflow.builtin.sqlite.address import Address
from riverflow.builtin.sqlite.checkpoints import ROUNDS, Checkpoints
from riverflow.builtin.sqlite.connection import connect, connect_copier
from riverflow.builtin.sqlite.rounds import copy_round
from riverflow.builtin.sqlite.store import SqliteStore
from riverflow.builtin.sqlite.worker import Worker
from riverflow.builtin.system import SystemClock

pytestmark = pytest.mark.anyio

MEGABYTE = 1024 * 1024


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "river.db"


@pytest.fixture
async def store(path: Path) -> AsyncIterator[SqliteStore]:
    store = SqliteStore(Address(str(path)), SystemClock())
    await store.open()
    yield store
    await store.aclose()


async def write(store: SqliteStore, times: int, body: bytes = b"{}", kind: str = "k") -> None:
    """So many commits, one after the other."""
    for number in range(times):
        await store.documents.put("p", kind, str(number % 50), body, now=0.0)


def in_the_file(path: Path) -> int:
    """How many documents there are for whoever does not read the log."""
    db = sqlite3.connect(f"file:{path}?immutable=1", uri=True)
    try:
        return int(db.execute("SELECT count(*) FROM documents").fetchone()[0])
    except sqlite3.DatabaseError:  # not even the table was copied, or half of it
        return 0
    finally:
        db.close()


async def test_after_some_rounds_the_log_is_copied_into_the_file(store: SqliteStore, path: Path) -> None:
    await write(store, 40)
    assert in_the_file(path) == 0
    await write(store, ROUNDS)
    async with asyncio.timeout(10):
        while in_the_file(path) < 40:
            await store.documents.get("p", "k", "0")


async def test_a_log_that_is_written_to_all_the_time_begins_anew(store: SqliteStore, path: Path) -> None:
    body = b'"' + b"x" * 10_000 + b'"'  # with 20 kB a disk that other tests keep busy is left behind by the writer
    await asyncio.gather(*(write(store, 30 * ROUNDS, body, kind) for kind in "abcdefgh"))
    written = 8 * 30 * ROUNDS * len(body)
    assert path.with_name("river.db-wal").stat().st_size < 45 * MEGABYTE < written / 3


async def test_what_the_copier_could_not_copy_the_writer_copies(path: Path) -> None:
    address = Address(str(path))
    writer = Worker("test-writer", lambda: connect(address), copy_round(address))
    copier = Worker("test-copier", lambda: connect_copier(address), copy_round(address))
    await writer.start()
    await copier.start()
    await writer.look(lambda db: db.execute("CREATE TABLE documents AS SELECT 1"))
    stays = sqlite3.connect(path, isolation_level=None)
    stays.execute("BEGIN")
    stays.execute("SELECT * FROM documents").fetchone()
    await writer.look(lambda db: db.execute("INSERT INTO documents VALUES (2)"))

    class LeavesAfterwards:
        async def look(self, run: Callable[[sqlite3.Connection], Any]) -> Any:
            left = await copier.look(run)
            stays.close()
            return left

    checkpoints = Checkpoints(writer, cast("Worker", LeavesAfterwards()))
    for _ in range(ROUNDS):
        checkpoints.count()
    await checkpoints.rest()
    assert in_the_file(path) == 2
    await copier.stop()
    await writer.stop()


async def test_a_reader_who_stays_does_not_stop_the_writer(store: SqliteStore, path: Path) -> None:
    await write(store, 50)
    stays = sqlite3.connect(path, isolation_level=None)
    stays.execute("BEGIN")
    stays.execute("SELECT count(*) FROM documents").fetchone()
    await write(store, 3 * ROUNDS, b'"new"')
    assert stays.execute("SELECT DISTINCT body FROM documents").fetchall() == [(b"{}",)]
    stays.close()


async def test_a_store_that_is_closed_while_its_log_is_copied_is_whole(path: Path) -> None:
    store = SqliteStore(Address(str(path)), SystemClock())
    await store.open()
    await write(store, ROUNDS)
    await store.aclose()
    assert [file.name for file in path.parent.iterdir()] == ["river.db"]
    assert in_the_file(path) == 50


async def test_what_is_written_as_the_store_closes_begins_no_checkpoint(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = SqliteStore(Address(str(path)), SystemClock())
    await store.open()
    await write(store, ROUNDS - 1)
    last = asyncio.create_task(write(store, 1))
    await asyncio.sleep(0)
    await store.aclose()
    await last
    await asyncio.sleep(0)
    assert [record.message for record in caplog.records] == []
    assert in_the_file(path) == 50
