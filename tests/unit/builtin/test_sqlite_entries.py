"""What a decision adds to a log is one row: read in parts, forgotten in parts, made of rows that lay apart."""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from riverflow.builtin.sqlite import log as log_module
from riverflow.builtin.sqlite import open_sqlite, rows
from riverflow.builtin.sqlite.migrate import APPLICATION_ID, statements
from riverflow.builtin.sqlite.queries import migrations
from riverflow.builtin.sqlite.rows import Row
from riverflow.config import Settings
from riverflow.models import CHECKPOINTS, Append, Entry, Json
from riverflow.ports import EntryPage, Store
from riverflow.testing import make_context
from riverflow.testing.suites.store_cases import ME, MINE, NOW, StoreCases

BEFORE_ROWS = 3
"""The schema version in which each entry was a row."""

APART = (
    Entry(kind="run.accepted", at=NOW + 0.1 + 0.2, data=Json('{"plan":{},"request":"größer 日本 🚀"}'.encode())),
    Entry(kind="stage.started", at=math.nextafter(NOW, 0), stage='a "quoted" stage', attempt=2, data=Json(b"{}")),
    Entry(kind="ai_generated", at=NOW, public=True, data=Json(b'{"n":12345678901234567890,"x":[1e-7,0.1,null]}')),
    Entry(kind="callback.received", at=1e15 + 0.125, stage="enrich", data=Json(b"null")),
)


class TestEntries(StoreCases):
    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        return tmp_path / "river.db"

    @pytest.fixture
    def make(self, path: Path) -> Callable[[], Store]:
        return lambda: open_sqlite(make_context(settings=Settings(database_url=f"sqlite:///{path}")))

    async def page(self, store: Store, after: int, **options: Any) -> EntryPage:
        page = await store.log.entries_after(MINE, self.run_of(1).id, after, **options)
        assert page is not None
        return page

    def rows(self, path: Path) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(path)) as db:
            return db.execute("SELECT number, public, checkpoint, data FROM entries ORDER BY rowid").fetchall()

    async def test_a_decision_is_one_row_with_the_attempt_that_it_settles(self, store: Store, path: Path) -> None:
        run = self.run_of(1)
        delivery = self.delivery_of(run, "a")
        await self.accept(store, run, delivery)
        settled = self.settlement_of(delivery, "delivered", also=(self.entry("delivery.exhausted"),))
        entries = (self.entry("stage.completed"), self.entry("run.ai_generated", public=True))
        following = replace(run, version=2)
        await store.log.append(Append(run=following, owner=ME, expected_version=1, entries=entries, settled=settled))
        await store.queue.settle(self.settlement_of(delivery, "dead", attempt=9))
        assert [row[:3] for row in self.rows(path)] == [(1, 0, 1), (5, 1, 1), (6, 0, 0)]
        assert [entry["kind"] for entry in json.loads(self.rows(path)[1][3])] == [
            "delivery.delivered",
            "delivery.exhausted",
            "stage.completed",
            "run.ai_generated",
        ]
        assert [entry.number for entry in (await self.page(store, 0)).entries] == [1, 2, 3, 4, 5, 6]

    async def test_a_decision_that_says_nothing_leaves_no_row(self, store: Store, path: Path) -> None:
        await self.accept(store, self.run_of(1))
        append = Append(run=self.run_of(1, version=2), owner=ME, expected_version=1, entries=())
        assert await store.log.append(append) == 2
        assert len(self.rows(path)) == 1
        assert (await self.page(store, 0)).latest == 1

    async def test_a_page_begins_and_ends_within_rows(self, store: Store) -> None:
        run = self.run_of(1)
        for version in range(1, 5):
            entries = tuple(self.entry(f"kind{number}", public=number == 0) for number in range(3))
            state, expected = replace(run, version=version), version - 1 or None
            await store.log.append(Append(run=state, owner=ME, expected_version=expected, entries=entries))
        for after in range(13):
            for limit in (1, 2, 3, 4, 99):
                page = await self.page(store, after, limit=limit)
                assert [entry.number for entry in page.entries] == list(range(after + 1, 13))[:limit]
                shown = await self.page(store, after, limit=limit, public=True)
                assert [entry.number for entry in shown.entries] == [n for n in (1, 4, 7, 10) if n > after][:limit]
                assert page.latest == shown.latest == 12

    async def test_of_a_long_log_no_more_is_read_than_a_page(
        self, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        run = self.run_of(1)
        await self.accept(store, run)
        for _ in range(300):
            run = await self.follow(store, run)
        read = list[Row]()

        def entries_from(row: Row) -> tuple[Entry, ...]:
            read.append(row)
            return rows.entries_from(row)

        monkeypatch.setattr(log_module, "entries_from", entries_from)
        assert [entry.number for entry in (await self.page(store, 100, limit=5)).entries] == [101, 102, 103, 104, 105]
        assert len(read) <= 6

    async def test_only_what_was_said_in_a_row_is_forgotten(self, store: Store) -> None:
        run = self.run_of(1)
        said = (
            Entry(kind="run.accepted", at=NOW, data=Json(b'{"plan":{"workflow":"w"},"request":{"b":2}}')),
            Entry(kind="stage.started", at=NOW + 0.1, stage="generate", attempt=4, data=Json(b'{"kept":true}')),
            Entry(kind="run.completed", at=NOW + 0.2, public=True, data=Json(b'{"data":{"a":1},"status":"success"}')),
        )
        await store.log.append(Append(run=run, owner=ME, entries=said))
        await self.end(store, run)
        assert await store.log.strip(0.0, NOW) == (1, NOW)
        left = (await self.page(store, 0)).entries
        assert left[:3] == (
            replace(said[0], number=1, data=Json(b'{"plan":{"workflow":"w"},"request":null}')),
            replace(said[1], number=2),
            replace(said[2], number=3, data=Json(b'{"data":null,"status":"success"}')),
        )
        assert [entry.number for entry in left] == [1, 2, 3, 4]

    async def test_entries_of_an_older_file_are_read_back_alike(self, path: Path, make: Callable[[], Store]) -> None:
        self.lay_apart(path)
        store = make()
        await store.open()
        wanted = tuple(replace(entry, number=number) for number, entry in enumerate(APART, 1))
        page = await self.page(store, 0)
        assert page.entries == wanted
        assert [(entry.at, bytes(entry.data)) for entry in page.entries] == [(e.at, bytes(e.data)) for e in APART]
        assert (await self.page(store, 0, public=True)).entries == wanted[2:3]
        stored = await store.log.load(MINE, self.run_of(1).id)
        assert stored is not None
        assert stored.checkpoints == (wanted[0], wanted[3])
        await self.end(store, stored.run)
        assert [entry.number for entry in (await self.page(store, 3)).entries] == [4, 5]
        await store.aclose()

    def test_every_checkpoint_of_an_older_file_is_known_as_one(self, path: Path) -> None:
        """Where a kind that was written before joins models.CHECKPOINTS, a migration has to mark its rows."""
        script = next(script for script in migrations() if "single_entries" in script)
        named = script.partition("kind IN (")[2].partition(")")[0]
        assert {name.strip(" '") for name in named.split(",")} == CHECKPOINTS

    def lay_apart(self, path: Path) -> None:
        """A file of that version, with a run under way."""
        with closing(sqlite3.connect(path, isolation_level=None)) as db:
            for script in migrations()[:BEFORE_ROWS]:
                for statement in statements(script):
                    db.execute(statement)
            db.execute(f"PRAGMA application_id = {APPLICATION_ID:d}")
            db.execute(f"PRAGMA user_version = {BEFORE_ROWS:d}")
            run = self.run_of(1)
            db.execute(
                "INSERT INTO runs (id, project_id, workflow, status, stage, phase, version, generation, created_at,"
                " newest) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (run.id, MINE, run.workflow, run.status, run.stage, run.phase, 1, 1, NOW, len(APART)),
            )
            db.executemany(
                "INSERT INTO entries VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    (run.id, number, each.kind, each.at, each.stage, each.attempt, each.public, bytes(each.data))
                    for number, each in enumerate(APART, 1)
                ),
            )
