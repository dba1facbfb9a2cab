"""What the writer remembers of runs: it saves reading, and is never believed once somebody else has written."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from riverflow.builtin.sqlite import connection, heads, open_sqlite
from riverflow.builtin.sqlite import store as store_module
from riverflow.builtin.sqlite.address import Address
from riverflow.config import Settings
from riverflow.errors import StoreError, VersionConflict
from riverflow.ports import Store
from riverflow.testing import make_context
from riverflow.testing.suites.store_cases import HTTP, ME, MINE, NOW, YOU, StoreCases


class Reads(list[str]):
    """What a writer's connection reads of runs and deliveries before it decides."""

    def note(self, statement: str) -> None:
        if statement.startswith("SELECT") and "FROM runs" in statement:
            self.append(statement)


class TestHeads(StoreCases):
    @pytest.fixture
    def make(self, tmp_path: Path) -> Callable[[], Store]:
        return lambda: open_sqlite(make_context(settings=Settings(database_url=f"sqlite:///{tmp_path}/river.db")))

    @pytest.fixture
    def reads(self, monkeypatch: pytest.MonkeyPatch) -> Reads:
        reads = Reads()

        def connect(address: Address) -> sqlite3.Connection:
            db = connection.connect(address)
            db.set_trace_callback(reads.note)
            return db

        monkeypatch.setattr(store_module, "connect", connect)
        return reads

    @pytest.fixture
    async def store(self, reads: Reads, make: Callable[[], Store]) -> AsyncIterator[Store]:
        """With a run in it, so that the writer has looked around."""
        store = make()
        await store.open()
        await self.accept(store, self.run_of(1))
        reads.clear()
        yield store
        await store.aclose()

    @pytest.fixture
    async def other(self, store: Store, make: Callable[[], Store]) -> AsyncIterator[Store]:
        """Another process's store on the same file."""
        other = make()
        await other.open()
        yield other
        await other.aclose()

    async def test_a_run_s_whole_life_reads_nothing(self, store: Store, reads: Reads) -> None:
        run = self.run_of(2)
        first, last = self.delivery_of(run, "first", stage="enrich"), self.delivery_of(run, "last")
        await self.accept(store, run, first)
        await store.queue.settle(self.settlement_of(first, "pending", due_at=NOW + 1))
        run = await self.follow(store, run, phase="waiting", deadline_at=NOW + 9)
        await store.documents.mark(MINE, "token", "t", b"", now=NOW, expires_at=NOW + 9)
        await store.queue.heartbeat(ME, NOW, NOW + 9)
        run = await self.follow(store, run, last, phase="done", finished_at=NOW, deadline_at=None, closes="enrich")
        assert await store.queue.settle(self.settlement_of(last, "delivered")) == 5
        with pytest.raises(VersionConflict, match="at version 1"):
            await self.follow(store, self.run_of(1, version=9))
        assert reads == []
        owed = await store.queue.deliveries(MINE, run.id)
        assert [(each.status, each.attempt) for each in owed] == [("expired", 2), ("delivered", 1)]

    async def test_a_run_that_was_there_before_is_read_once(self, store: Store, reads: Reads, other: Store) -> None:
        run = await self.follow(other, self.run_of(1))
        reads.clear()
        for _ in range(3):
            run = await self.follow(store, run)
        assert len(reads) == 1

    async def test_a_run_that_another_process_took_over_is_fenced(self, store: Store, other: Store) -> None:
        run = self.run_of(2)
        delivery = self.delivery_of(run, "a")
        await self.accept(store, run, delivery)
        assert len(await other.queue.claim_due(YOU, NOW, lanes=HTTP, limit=9)) == 3
        with pytest.raises(VersionConflict, match="taken over"):
            await self.follow(store, run)
        assert await store.queue.settle(self.settlement_of(delivery, "delivered")) == 2
        assert [(each.status, each.attempt) for each in await store.queue.deliveries(MINE, run.id)] == [("pending", 2)]

    async def test_entries_of_another_process_leave_no_number_twice(self, store: Store, other: Store) -> None:
        run = self.run_of(2)
        delivery = self.delivery_of(run, "a")
        await self.accept(store, run, delivery)
        await other.queue.settle(self.settlement_of(delivery, "delivered"))
        await self.follow(store, run)
        page = await store.log.entries_after(MINE, run.id, 0)
        assert page is not None
        assert [entry.kind for entry in page.entries] == ["run.accepted", "delivery.delivered", "stage.completed"]
        assert await store.queue.settle(self.settlement_of(delivery, "dead")) == 4
        assert [each.status for each in await store.queue.deliveries(MINE, run.id)] == ["delivered"]

    async def test_a_run_that_another_process_pruned_is_gone(self, store: Store, other: Store) -> None:
        run = self.run_of(2)
        delivery = self.delivery_of(run, "a", stage="enrich")
        await self.accept(store, run, delivery)
        run = await self.end(store, run)
        assert await other.log.erase(MINE, [run.id]) == 1
        assert await store.queue.settle(self.settlement_of(delivery, "delivered")) == 0
        with pytest.raises(VersionConflict, match="does not exist"):
            await self.follow(store, run)

    async def test_a_run_that_another_process_began_is_there(self, store: Store, other: Store) -> None:
        await self.accept(other, self.run_of(9))
        with pytest.raises(VersionConflict, match="exists already"):
            await self.accept(store, self.run_of(9))

    async def test_a_run_older_than_the_last_is_looked_for(self, store: Store, reads: Reads) -> None:
        """Ids sort by time, mostly: a clock may be set back."""
        await self.end(store, await self.follow(store, self.run_of(1)))
        await self.accept(store, self.run_of(3))
        assert reads == []
        await self.accept(store, self.run_of(2))
        assert len(reads) == 1
        with pytest.raises(VersionConflict, match="exists already"):
            await self.accept(store, self.run_of(1))

    async def test_what_was_rolled_back_is_not_remembered(self, store: Store) -> None:
        taken = self.delivery_of(self.run_of(1), "taken")
        run = await self.follow(store, self.run_of(1), taken)
        new = self.run_of(2)
        with pytest.raises(StoreError, match="UNIQUE"):
            await self.accept(store, new, taken)
        with pytest.raises(StoreError, match="UNIQUE"):
            await self.follow(store, run, taken)
        await self.accept(store, new)
        run = await self.follow(store, run)
        results = await asyncio.gather(
            self.follow(store, run), self.accept(store, self.run_of(3), taken), return_exceptions=True
        )
        assert type(results[1]) is StoreError
        assert results[0] == replace(run, version=run.version + 1)
        page = await store.log.entries_after(MINE, run.id, 0)
        assert page is not None
        assert [entry.number for entry in page.entries] == [1, 2, 3, 4]

    async def test_what_this_process_does_past_the_log_is_seen(self, store: Store) -> None:
        run = self.run_of(2)
        delivery = self.delivery_of(run, "a")
        await self.accept(store, run, delivery)
        await store.queue.settle(self.settlement_of(delivery, "dead"))
        assert await store.queue.requeue(MINE, delivery.id, NOW, entry=self.entry("delivery.requeued")) == 3
        assert await store.queue.settle(self.settlement_of(delivery, "delivered")) == 4
        assert [each.status for each in await store.queue.deliveries(MINE, run.id)] == ["delivered"]
        assert len(await store.queue.claim_due(YOU, NOW, lanes=HTTP, limit=9)) == 2
        with pytest.raises(VersionConflict, match="taken over"):
            await self.follow(store, run)

    async def test_a_lease_that_is_given_back_is_taken_again(self, store: Store, other: Store) -> None:
        await store.queue.heartbeat(ME, NOW, NOW + 9)
        run = await self.follow(store, await self.follow(store, self.run_of(1)))
        await other.queue.release(ME)
        await store.queue.heartbeat(ME, NOW, NOW + 9)
        await store.queue.heartbeat(YOU, NOW, NOW + 99)
        run = await self.follow(store, run)
        assert await other.queue.claim_due(YOU, NOW, lanes=(), limit=9) == ()
        run = await self.follow(store, run)
        run = await self.follow(store, run, owner=YOU)
        assert await other.queue.claim_due(ME, NOW + 9, lanes=(), limit=9) == ()
        await self.follow(store, run, owner="")
        assert len(await other.queue.claim_due(ME, NOW, lanes=(), limit=9)) == 1

    async def test_the_least_recent_are_forgotten_first(
        self, store: Store, reads: Reads, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(heads, "KEPT", 3)
        waiting = [self.run_of(number, phase="waiting") for number in range(2, 7)]
        for run in waiting:
            await self.accept(store, run)
            waiting[0] = await self.follow(store, waiting[0])
        assert reads == []
        for number in range(10, 20):
            for over in (self.run_of(number * 10 + digit) for digit in range(4)):  # these take no room
                await self.accept(store, over)
                await self.end(store, over)
            waiting[0] = await self.follow(store, waiting[0])
            waiting[-1] = await self.follow(store, waiting[-1])
        assert reads == []
        await self.follow(store, waiting[1])
        assert len(reads) == 1
        for run in (waiting[0], waiting[2], waiting[3], waiting[4]):
            await self.follow(store, run)
