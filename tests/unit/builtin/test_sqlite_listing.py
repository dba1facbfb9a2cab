"""What lists and totals stand on in SQLite: series through rollbacks and processes, old files, bounded searches."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from riverflow.builtin.sqlite import listing, open_sqlite
from riverflow.builtin.sqlite.migrate import APPLICATION_ID, statements
from riverflow.builtin.sqlite.queries import migrations
from riverflow.builtin.sqlite.series import number_of, series_of
from riverflow.codec import from_python
from riverflow.config import Settings
from riverflow.errors import StoreError
from riverflow.models import RunFilter, Standing, Summary, totals_of
from riverflow.ports import Store
from riverflow.testing import make_context
from riverflow.testing.suites.store_cases import MINE, NOW, StoreCases

from .test_sqlite_groups import held

BEFORE_LISTS = 2  # migrations
MATCHES = [1, 6, 7, 12, 18]  # on the borders of what one search of six looks at, from either end
HOUR = 3600


class TestListing(StoreCases):
    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        return tmp_path / "river.db"

    @pytest.fixture
    def make(self, path: Path) -> Callable[[], Store]:
        return lambda: open_sqlite(make_context(settings=Settings(database_url=f"sqlite:///{path}")))

    async def test_a_series_whose_first_group_was_rolled_back_is_listed(self, store: Store, path: Path) -> None:
        taken = self.delivery_of(self.run_of(90), "taken")
        await self.accept(store, self.run_of(90), taken)
        with held(path):
            appends = [
                asyncio.ensure_future(
                    self.accept(store, self.run_of(number, workflow="new"), *([taken] if number == 7 else []))
                )
                for number in range(12)
            ]
            await asyncio.sleep(0)
        results = await asyncio.gather(*appends, return_exceptions=True)
        assert [number for number, result in enumerate(results) if isinstance(result, StoreError)] == [7]
        assert len((await store.log.runs(MINE, RunFilter(workflow="new"))).runs) == 11

    async def test_what_a_rolled_back_group_ended_is_counted_once(self, store: Store, path: Path) -> None:
        taken = self.delivery_of(self.run_of(90), "taken")
        await self.accept(store, self.run_of(90), taken)
        runs = [self.run_of(number) for number in range(8)]
        for run in runs:
            await self.accept(store, run)
        with held(path):
            ends = [asyncio.ensure_future(self.end(store, run)) for run in runs]
            broken = asyncio.ensure_future(self.accept(store, self.run_of(9), taken))
            await asyncio.sleep(0)
        await asyncio.gather(*ends)
        with pytest.raises(StoreError):
            await broken
        (total,) = await store.log.totals(MINE, NOW // HOUR * HOUR, NOW + HOUR, HOUR)
        assert total.runs == 8

    async def test_all_that_a_group_ended_is_counted(self, store: Store, path: Path) -> None:
        runs = [self.run_of(number, workflow=f"flow{number % 3}") for number in range(12)]
        for run in runs:
            await self.accept(store, run)
        with held(path):
            ends = [asyncio.ensure_future(self.end(store, run, NOW + number)) for number, run in enumerate(runs)]
            await asyncio.sleep(0)
        ended = await asyncio.gather(*ends)
        for bucket in (60, HOUR):
            totals = await store.log.totals(MINE, NOW // HOUR * HOUR, NOW // HOUR * HOUR + HOUR, bucket)
            assert sorted(totals, key=str) == sorted(totals_of(ended, bucket), key=str)

    async def test_a_refused_decision_is_not_counted(self, store: Store) -> None:
        run = self.run_of(1)
        await self.accept(store, run)
        results = await asyncio.gather(self.end(store, run), self.end(store, run), return_exceptions=True)
        assert sum(isinstance(result, StoreError) for result in results) == 1
        (total,) = await store.log.totals(MINE, NOW // HOUR * HOUR, NOW + HOUR, HOUR)
        assert total.runs == 1

    async def test_processes_number_series_alike(self, store: Store, make: Callable[[], Store], path: Path) -> None:
        other = make()
        await other.open()
        for number in range(6):
            await self.accept(other if number % 2 else store, self.run_of(number, workflow=f"flow{number // 2}"))
        assert len((await store.log.runs(MINE)).runs) == 6
        await other.aclose()
        with closing(sqlite3.connect(path)) as db:
            numbers = [number for (number,) in db.execute("SELECT id FROM series ORDER BY workflow")]
        assert numbers == [number_of(series_of(self.run_of(0, workflow=f"flow{number}"))) for number in range(3)]

    async def test_words_do_not_run_into_each_other(self) -> None:
        one, other = self.run_of(1, workflow="ab", event_name="c"), self.run_of(1, workflow="a", event_name="bc")
        assert number_of(series_of(one)) != number_of(series_of(other))

    async def test_minutes_of_long_ago_are_cleared_away(self, store: Store, path: Path) -> None:
        for number, at in enumerate((NOW, NOW + 3 * 86_400)):
            run = self.run_of(number, created_at=at)
            await self.accept(store, run)
            await self.end(store, run, at)
        with closing(sqlite3.connect(path)) as db:
            spans = [span for (span,) in db.execute("SELECT span FROM tallies ORDER BY span, at")]
        assert spans.count(60) == 2  # the newer minute, in its own series and in that of everything
        assert spans.count(3600) == 4

    @pytest.mark.parametrize("back", [False, True])
    async def test_a_search_stops_and_says_how_far_it_came(
        self, store: Store, monkeypatch: pytest.MonkeyPatch, back: bool
    ) -> None:
        monkeypatch.setattr(listing, "LOOKED_THROUGH", 5)
        for number in range(1, 24):
            customer = from_python({"user_id": "u1" if number in MATCHES else "u2"})
            await self.accept(store, self.run_of(number, summary=Summary(customer=customer)))
        wanted, found, pages, cursor = RunFilter(customer=("user_id", "u1")), [], 0, None
        while True:
            where: dict[str, Any] = {"after": cursor or self.run_of(0).id} if back else {"before": cursor}
            page = await store.log.runs(MINE, wanted, limit=2, **where)
            found += [int(run.id[-3:]) for run in page.runs]
            pages += 1
            if not page.has_more:
                break
            assert page.searched_to is not None
            cursor = page.searched_to
        assert sorted(found) == MATCHES
        assert pages == 4  # of 6 runs each: what is left after the fourth is nothing

    async def test_a_full_page_of_a_search_goes_on_from_its_last_run(
        self, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(listing, "LOOKED_THROUGH", 50)
        for number in range(1, 9):
            await self.accept(store, self.run_of(number, summary=Summary(customer=from_python({"a": 1}))))
        page = await store.log.runs(MINE, RunFilter(customer=("a", "1")), limit=3)
        assert (len(page.runs), page.has_more, page.searched_to) == (3, True, None)

    @pytest.mark.parametrize("value", ["*", "?", "u[1]", "[", "100%", "a_b", "''", '"', "\\", "\n", "ü🚀", "}"])
    async def test_a_search_takes_every_character_for_itself(self, store: Store, value: str) -> None:
        await self.accept(store, self.run_of(1, summary=Summary(customer=from_python({"k": value}))))
        await self.accept(store, self.run_of(2, summary=Summary(customer=from_python({"k": f"{value}x"}))))
        await self.accept(store, self.run_of(3, summary=Summary(customer=from_python({"k": "other"}))))
        found = (await store.log.runs(MINE, RunFilter(customer=("k", value)))).runs
        assert [run.id[-1] for run in found] == ["1"]


@pytest.mark.anyio
async def test_the_runs_of_an_older_file_are_listed_and_counted(tmp_path: Path) -> None:
    path = tmp_path / "old.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        for script in migrations()[:BEFORE_LISTS]:
            for statement in statements(script):
                db.execute(statement)
        db.execute(f"PRAGMA application_id = {APPLICATION_ID:d}")
        db.execute(f"PRAGMA user_version = {BEFORE_LISTS:d}")
        for number, (workflow, event, status, phase, seconds) in enumerate(
            (
                ("chat", None, "success", "done", 0.5),
                ("chat", None, "success", "done", 0.51),
                ("movie", "made", "error", "done", 300.0),
                ("movie", "made", "ai_generated", "waiting", None),
                ("movie", "made", "pending", "running", None),
            )
        ):
            db.execute(
                "INSERT INTO runs VALUES (?, ?, ?, ?, ?, 'x', ?, 3, 1, ?, NULL, ?, 4)",
                (f"018bcfe5-6800-7000-8000-{number:012d}", MINE, workflow, event, status, phase, NOW,
                 None if seconds is None else NOW + seconds),
            )  # fmt: skip
    store = open_sqlite(make_context(settings=Settings(database_url=f"sqlite:///{path}")))
    await store.open()
    everything = (await store.log.runs(MINE)).runs
    assert [run.id[-1] for run in everything] == list("43210")
    assert [run.summary for run in everything] == [Summary()] * 5
    found = (await store.log.runs(MINE, RunFilter(workflow="movie", statuses=("error",)))).runs
    assert [run.id[-1] for run in found] == ["2"]
    assert await store.log.standing(MINE) == Standing(running=1, waiting=1)
    begin = NOW // HOUR * HOUR
    ended = [run for run in everything if run.phase == "done"]
    for wanted, runs in (
        (RunFilter(), ended),
        (RunFilter(workflow="chat"), [r for r in ended if r.workflow == "chat"]),
    ):
        for bucket in (60, HOUR):
            totals = await store.log.totals(MINE, begin, begin + HOUR, bucket, wanted)
            assert sorted(totals, key=str) == sorted(totals_of(runs, bucket), key=str)
    await store.aclose()
