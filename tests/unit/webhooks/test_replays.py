"""The replay stores that come with riverflow: the shipped suite, and what each promises beyond it."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import sqlite3
import stat
import threading
from collections.abc import Awaitable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from riverflow.errors import ConfigError, StoreUnavailable
from riverflow.testing.suites.replays import ReplaySuite
from riverflow.webhooks import MemoryReplays, ReplayStore, SQLiteReplays, Standing

NOW = 1_700_000_000.0


class TestMemory(ReplaySuite):
    @pytest.fixture
    def store(self) -> ReplayStore:
        return MemoryReplays()


class TestSQLite(ReplaySuite):
    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[ReplayStore]:
        store = SQLiteReplays(tmp_path / "replays.db")
        yield store
        store.close()


class Asynchronous:
    """A store as one over the network would be."""

    def __init__(self) -> None:
        self._inner = MemoryReplays()

    async def begin(self, keys: Sequence[str], claim: str, *, now: float, until: float) -> Standing:
        await asyncio.sleep(0)
        return self._inner.begin(keys, claim, now=now, until=until)

    async def finish(self, keys: Sequence[str], claim: str, *, until: float) -> None:
        self._inner.finish(keys, claim, until=until)

    async def forget(self, keys: Sequence[str], claim: str) -> None:
        self._inner.forget(keys, claim)


class TestAsynchronous(ReplaySuite):
    @pytest.fixture
    def store(self) -> ReplayStore:
        return Asynchronous()

    def call(self, outcome: Awaitable[Any]) -> Any:
        async def wait() -> Any:
            return await outcome

        return asyncio.run(wait())


def begin(store: Any, key: str, claim: str = "a", now: float = NOW) -> Standing:
    return store.begin([key], claim, now=now, until=now + 30)


# In memory -------------------------------------------------------------------------------------------------------


def test_memory_gives_up_the_oldest_that_are_done() -> None:
    store = MemoryReplays(capacity=3)
    for key in ("1", "2", "3", "4"):
        assert begin(store, key) == "new"
        store.finish([key], "a", until=NOW + 600)
    assert len(store) == 3
    assert [begin(store, key, "b") for key in ("4", "3", "2")] == ["done"] * 3
    assert begin(store, "1", "b") == "new"


def test_memory_full_of_work_refuses_more() -> None:
    store = MemoryReplays(capacity=3)
    for key in ("1", "2", "3"):
        assert begin(store, key) == "new"
    with pytest.raises(StoreUnavailable, match="full"):
        begin(store, "4")
    assert begin(store, "4", now=NOW + 30) == "new"  # the leases have ended


def test_memory_clears_away_what_is_over() -> None:
    store = MemoryReplays()
    for number in range(1000):
        now = NOW + 60 * number
        assert begin(store, str(number), now=now) == "new"
        store.finish([str(number)], "a", until=now + 600)
    assert len(store) <= 12


def test_memory_has_a_capacity() -> None:
    with pytest.raises(ConfigError):
        MemoryReplays(0)


# In a file -------------------------------------------------------------------------------------------------------


def test_a_file_remembers_after_a_restart(tmp_path: Path) -> None:
    first = SQLiteReplays(tmp_path / "replays.db")
    assert begin(first, "k") == "new"
    assert begin(first, "running") == "new"
    first.finish(["k"], "a", until=NOW + 600)
    first.close()
    second = SQLiteReplays(tmp_path / "replays.db")
    assert begin(second, "k", "b") == "done"
    assert begin(second, "running", "b") == "running"
    assert begin(first, "k", "b") == "done"  # it opens again
    first.close()
    second.close()


def test_a_file_does_not_grow_for_ever(tmp_path: Path) -> None:
    store = SQLiteReplays(tmp_path / "replays.db")
    for number in range(100):
        now = NOW + 60 * number
        assert begin(store, str(number), now=now) == "new"
        store.finish([str(number)], "a", until=now + 600)
    store.close()
    with sqlite3.connect(tmp_path / "replays.db") as db:
        assert db.execute("SELECT count(*) FROM received").fetchone()[0] <= 12
    db.close()


def test_what_another_process_is_about_to_claim_is_waited_for(tmp_path: Path) -> None:
    """A claim looks and writes in one step: it never decides on what it saw before it could write."""
    path = tmp_path / "replays.db"
    store = SQLiteReplays(path)
    assert begin(store, "warm") == "new"
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    other.execute("INSERT INTO received VALUES ('k', 'of another', ?)", (NOW + 30,))
    wants_to_write = threading.Event()

    def traced(statement: str) -> None:
        if statement.startswith(("BEGIN IMMEDIATE", "DELETE", "INSERT")):
            wants_to_write.set()

    assert store._db is not None
    store._db.set_trace_callback(traced)
    with ThreadPoolExecutor(1) as pool:
        found = pool.submit(begin, store, "k")
        assert wants_to_write.wait(10)
        other.execute("COMMIT")
        assert found.result(10) == "running"
    other.close()
    store.close()


def test_of_two_processes_one_gets_a_message(tmp_path: Path) -> None:
    """Forked with the connection open, and started anew."""
    store = SQLiteReplays(tmp_path / "replays.db")
    assert begin(store, "warm") == "new"
    context = multiprocessing.get_context("spawn")
    with context.Pool(3) as pool:
        found = pool.starmap(_begin_in, [(str(tmp_path / "replays.db"), f"c{number}") for number in range(6)])
    assert sorted(found) == ["new", *["running"] * 5]
    store.close()


def _begin_in(path: str, claim: str) -> Standing:
    store = SQLiteReplays(path)
    try:
        return begin(store, "shared", claim)
    finally:
        store.close()


def test_a_forked_process_opens_the_file_again(tmp_path: Path) -> None:
    store = SQLiteReplays(tmp_path / "replays.db")
    assert begin(store, "k") == "new"
    opened = store._db
    store._process += 1  # as a child sees it, without the trouble of forking a process with threads
    assert begin(store, "k", "b") == "running"
    assert store._db is not opened
    assert opened is not None
    opened.close()
    store.close()


@pytest.mark.parametrize("spoil", ["folder", "not a database", "locked", "read-only"])
def test_a_file_in_trouble_is_unavailable(tmp_path: Path, spoil: str) -> None:
    path = tmp_path / "replays.db"
    store = SQLiteReplays(path, timeout=0.05)
    if spoil == "folder":
        store = SQLiteReplays(tmp_path / "missing" / "replays.db")
    elif spoil == "not a database":
        path.write_bytes(b"x" * 8192)
    elif spoil == "read-only":
        if os.geteuid() == 0:
            path.mkdir()  # root may write anything but a folder
        else:
            path.touch()
            path.chmod(stat.S_IRUSR)
    else:
        begin(store, "warm")
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN EXCLUSIVE")
    for act in (
        lambda: begin(store, "k"),
        lambda: store.finish(["k"], "a", until=NOW),
        lambda: store.forget(["k"], "a"),
    ):
        with pytest.raises(StoreUnavailable):
            act()
    if spoil == "locked":
        other.close()
        assert begin(store, "k") == "new"
    store.close()
