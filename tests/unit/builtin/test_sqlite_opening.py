"""Opening a SQLite store: addresses, files that will not do, migrations."""

from __future__ import annotations

import asyncio
import os
import re
import sqlite3
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from riverflow.builtin.sqlite import connection, open_sqlite, riverflow_stores
from riverflow.builtin.sqlite.address import Address
from riverflow.builtin.sqlite.bulk import Bulk
from riverflow.builtin.sqlite.listing import statement
from riverflow.builtin.sqlite.migrate import APPLICATION_ID, migrate, statements
from riverflow.builtin.sqlite.queries import migrations, query, schema
from riverflow.config import Settings
from riverflow.errors import ConfigError, SchemaMismatch, StoreUnavailable
from riverflow.ports import Store
from riverflow.testing import make_context

pytestmark = pytest.mark.anyio

MEMORY = Address(None)


def a_store(url: str) -> Store:
    return open_sqlite(make_context(settings=Settings(database_url=url)))


def shape(db: sqlite3.Connection) -> list[tuple[str, str, str]]:
    """What a database consists of; comments and spacing apart."""
    rows = db.execute("SELECT type, name, coalesce(sql, '') FROM sqlite_master ORDER BY type, name")
    lines = ((kind, name, [line.partition("--")[0] for line in sql.splitlines()]) for kind, name, sql in rows)
    return [(kind, name, re.sub(r"\s+(?=[,)])", "", " ".join(" ".join(parts).split()))) for kind, name, parts in lines]


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("sqlite:///riverflow.db", "riverflow.db"),
        ("sqlite:///data/river%20flow.db", "data/river flow.db"),
        ("sqlite:////var/lib/river.db", "/var/lib/river.db"),
        ("memory://", None),
    ],
)
def test_a_url_names_a_file_or_memory(url: str, path: str | None) -> None:
    assert Address.parse(url).path == path


@pytest.mark.parametrize(
    "url", ["sqlite://", "sqlite:///", "sqlite://host/x.db", "sqlite:///:memory:", "sqlite:///x.db?a=b", "memory://x"]
)
def test_a_url_that_names_neither_is_refused_with_the_cure(url: str) -> None:
    with pytest.raises(ConfigError, match=r"sqlite:////absolute/path\.db or memory://"):
        a_store(url)


def test_both_schemes_are_supplied() -> None:
    assert set(riverflow_stores()) == {"sqlite", "memory"}


async def test_a_missing_directory_is_named(tmp_path: Path) -> None:
    store = a_store(f"sqlite:///{tmp_path}/nowhere/river.db")
    with pytest.raises(StoreUnavailable, match=r"no directory .*/nowhere; create it first"):
        await store.open()
    await store.aclose()


async def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "river.db").write_bytes(b"not a database at all" * 100)
    with pytest.raises(StoreUnavailable, match=r"river\.db: file is not a database"):
        await a_store(f"sqlite:///{tmp_path}/river.db").open()


async def test_another_program_s_database_is_left_alone(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "theirs.db") as theirs:
        theirs.execute("CREATE TABLE auth_user (id INTEGER)")
    theirs.close()
    with pytest.raises(SchemaMismatch, match="belongs to another program"):
        await a_store(f"sqlite:///{tmp_path}/theirs.db").open()
    theirs = sqlite3.connect(tmp_path / "theirs.db")
    assert [name for (name,) in theirs.execute("SELECT name FROM sqlite_master")] == ["auth_user"]
    theirs.close()


async def test_a_newer_schema_is_refused_with_the_cure(tmp_path: Path) -> None:
    store = a_store(f"sqlite:///{tmp_path}/river.db")
    await store.open()
    await store.aclose()
    with sqlite3.connect(tmp_path / "river.db") as db:
        db.execute(f"PRAGMA user_version = {len(migrations()) + 1}")
    db.close()
    with pytest.raises(SchemaMismatch, match="install the riverflow that wrote it, or a newer one"):
        await a_store(f"sqlite:///{tmp_path}/river.db").open()


async def test_processes_that_start_together_all_open(tmp_path: Path) -> None:
    stores = [a_store(f"sqlite:///{tmp_path}/river.db") for _ in range(6)]
    await asyncio.gather(*(store.open() for store in stores))
    await asyncio.gather(*(store.documents.put("p", "k", "n", b"", now=0.0) for store in stores))
    assert await stores[0].documents.changes() == 6
    await asyncio.gather(*(store.aclose() for store in stores))


async def test_opening_waits_for_another_process_that_creates_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = sqlite3.connect(tmp_path / "river.db", isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    waits = []

    def wait(seconds: float) -> None:
        waits.append(seconds)
        other.execute("COMMIT")

    monkeypatch.setattr(connection, "time", SimpleNamespace(monotonic=time.monotonic, sleep=wait))
    store = a_store(f"sqlite:///{tmp_path}/river.db")
    await store.open()
    assert len(waits) == 1
    await store.aclose()
    other.close()


async def test_a_closed_store_leaves_one_file_and_no_thread(tmp_path: Path) -> None:
    before = set(threading.enumerate())
    store = a_store(f"sqlite:///{tmp_path}/river.db")
    await store.open()
    await store.documents.put("p", "k", "n", b"", now=0.0)
    mine = set(threading.enumerate()) - before
    assert {thread.name.removeprefix("riverflow-sqlite-") for thread in mine} == {"writer", "reader", "copier"}
    await store.aclose()
    assert os.listdir(tmp_path) == ["river.db"]
    for thread in mine:
        await asyncio.to_thread(thread.join, 10)
        assert not thread.is_alive()


def test_the_migrations_add_up_to_the_schema() -> None:
    migrated, whole = sqlite3.connect(":memory:", isolation_level=None), sqlite3.connect(":memory:")
    migrate(migrated, MEMORY)
    whole.executescript(schema())
    assert shape(migrated) == shape(whole)
    assert migrated.execute("PRAGMA user_version").fetchone() == (len(migrations()),)
    assert migrated.execute("PRAGMA application_id").fetchone() == (APPLICATION_ID,)
    migrated.close()
    whole.close()


def test_migrating_twice_changes_nothing() -> None:
    db = sqlite3.connect(":memory:", isolation_level=None)
    migrate(db, MEMORY)
    changes = db.total_changes
    migrate(db, MEMORY)
    assert db.total_changes == changes
    db.close()


def test_a_script_is_cut_at_its_statements() -> None:
    script = "-- one;\nCREATE TABLE a (x); -- a\nCREATE TABLE b (\n  y TEXT DEFAULT ';'\n);\n"
    assert [part.count("CREATE") for part in statements(script)] == [1, 1]


@pytest.mark.parametrize(
    ("name", "uses"),
    [
        ("claimable", "SEARCH due USING COVERING INDEX due_turn (owner=? AND lane=? AND target=? AND due_at<?)"),
        ("earliest_due", "SEARCH due USING COVERING INDEX due_turn (owner=? AND lane=? AND target=?)"),
        ("dead_owners", "SEARCH due USING COVERING INDEX due_turn (owner>?)"),
        ("runs_page", "SEARCH runs USING COVERING INDEX runs_of_series (series=? AND id>? AND id<?)"),
        ("runs_page", "SEARCH found USING COVERING INDEX runs_of_series (series=? AND id=?)"),
        ("runs_page_back", "SEARCH runs USING COVERING INDEX runs_of_series (series=? AND id>? AND id<?)"),
        ("runs_page_back", "SEARCH found USING COVERING INDEX runs_of_series (series=? AND id=?)"),
        ("runs_search", "SEARCH runs USING PRIMARY KEY (id>? AND id<?)"),
        ("standing", "SEARCH found USING COVERING INDEX runs_of_series (series=?)"),
        ("totals", "SEARCH tallies USING PRIMARY KEY (span=? AND series=? AND at>? AND at<?)"),
        ("deliveries_of_run", "SEARCH deliveries USING INDEX deliveries_of_run (run_id=?)"),
        ("forget_minutes", "SEARCH tallies USING PRIMARY KEY (span=? AND series=? AND at<?)"),
        ("dead_letters", "SEARCH deliveries USING COVERING INDEX deliveries_given_up (project_id=? AND status=?)"),
        ("entries_after", "SEARCH entries USING INDEX entries_of_run (run_id=? AND number>?)"),
        ("checkpoints", "SEARCH entries USING INDEX entries_of_run (run_id=?)"),
        ("prunable", "SEARCH runs USING COVERING INDEX runs_finished (finished_at<?)"),
        ("run_heads", "SEARCH runs USING PRIMARY KEY (id=?)"),
        ("run_heads", "SEARCH deliveries USING INDEX deliveries_of_run (run_id=?)"),
        ("release_due", "SEARCH due USING COVERING INDEX due_turn (owner=?)"),
        ("lease_due", "SEARCH due USING PRIMARY KEY (run_id=? AND delivery_id=?)"),
        ("runs_with_news", "SEARCH entries USING INTEGER PRIMARY KEY (rowid>?)"),
    ],
)
def test_a_statement_goes_by_its_index(name: str, uses: str) -> None:
    db = sqlite3.connect(":memory:")
    db.executescript(schema())
    text = query(name) if "matching" not in query(name) else statement(name)
    named = dict.fromkeys(re.findall(r":(\w+)", text))
    assert_goes_by(db, text, named or [None] * text.count("?"), uses)
    db.close()


@pytest.mark.parametrize(
    ("name", "row", "uses"),
    [
        ("change_deliveries", ("", "", 0, 0), "SEARCH deliveries USING INDEX sqlite_autoindex_deliveries_1 (id=?)"),
        ("move_due", ("", "", 0), "SEARCH due USING PRIMARY KEY (run_id=? AND delivery_id=?)"),
        ("delete_due", ("", ""), "SEARCH due USING PRIMARY KEY (run_id=? AND delivery_id=?)"),
    ],
)
@pytest.mark.parametrize("rows", [1, 2, 8, 64])
def test_a_statement_for_many_rows_goes_by_its_index(name: str, row: tuple[object, ...], uses: str, rows: int) -> None:
    db, asked = sqlite3.connect(":memory:"), list[str]()
    db.executescript(schema())
    db.set_trace_callback(asked.append)
    Bulk(name).write(db, [row] * rows)
    db.set_trace_callback(None)
    assert_goes_by(db, asked[-1], (), uses)
    db.close()


def assert_goes_by(db: sqlite3.Connection, text: str, values: Any, uses: str) -> None:
    plan = [row[3] for row in db.execute(f"EXPLAIN QUERY PLAN {text}", values)]
    assert uses in plan, plan
    whole = tuple(f"SCAN {table}" for table in ("due", "runs", "entries", "work", "found", "tallies", "deliveries"))
    assert not [step for step in plan if step.startswith(whole)], plan
