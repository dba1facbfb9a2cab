"""The conformance suite of ports.Store: the log's, the queue's and the documents' cases, and those of opening and
closing."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

import pytest

from ...errors import StoreUnavailable, VersionConflict
from ...models import Run
from ...ports import Store
from .store_cases import HTTP, ME, MINE, NOW, YOU
from .store_deliveries import DeliveryCases
from .store_documents import DocumentCases
from .store_isolation import IsolationCases
from .store_listing import ListingCases
from .store_log import RunLogCases
from .store_queue import ClaimCases
from .store_replays import ReplayCases

__all__ = ["StoreSuite"]


class StoreSuite(RunLogCases, ListingCases, ClaimCases, DeliveryCases, ReplayCases, DocumentCases, IsolationCases):
    """Subclass it in a test module, and give it stores through the fixture `make`::

        class TestMine(StoreSuite):
            @pytest.fixture
            def make(self, tmp_path):
                return lambda: MyStore(f"my://{tmp_path}/test")

    Each call makes a store that is not open yet; all calls of one test are for one database, empty at first. Say
    `durable = False` where nothing outlives the store, `shared = False` where only one store at a time may have the
    database open; those cases are then skipped. The suite gives every time as an argument, near Unix second 1.7e9.
    """

    async def test_what_was_written_outlives_the_store(self, make: Callable[[], Store]) -> None:
        if not self.durable:
            pytest.skip("this store forgets")
        run = self.run_of(1)
        before = make()
        await before.open()
        await self.accept(before, run, self.delivery_of(run, "a"))
        await before.documents.put(MINE, "key", "k", b"{}", now=NOW)
        await before.documents.mark(MINE, "token", "t", b"used", now=NOW, expires_at=NOW + 10)
        await before.queue.heartbeat(ME, NOW, NOW + 10)
        changes = await before.documents.changes()
        await before.aclose()
        after = make()
        await after.open()
        stored = await after.log.load(MINE, run.id)
        assert stored is not None
        assert stored.run == run
        assert await after.queue.claim_due(YOU, NOW + 9, lanes=HTTP, limit=9) == ()
        assert len(await after.queue.claim_due(YOU, NOW + 10, lanes=HTTP, limit=9)) == 2
        assert await after.documents.changes() == changes
        assert await after.documents.get(MINE, "key", "k") is not None
        assert await after.documents.mark(MINE, "token", "t", b"", now=NOW, expires_at=NOW + 10) == b"used"
        await after.aclose()

    async def test_closing_finishes_what_was_begun(self, make: Callable[[], Store]) -> None:
        store = make()
        await store.open()
        begun = [asyncio.ensure_future(self.accept(store, self.run_of(number))) for number in range(1, 31)]
        await asyncio.sleep(0)
        await store.aclose()
        await asyncio.gather(*begun)
        if self.durable:
            again = make()
            await again.open()
            assert len((await again.log.runs(MINE)).runs) == 30
            await again.aclose()

    async def test_nothing_works_before_opening_or_after_closing(self, make: Callable[[], Store]) -> None:
        store = make()
        with pytest.raises(StoreUnavailable):
            await self.accept(store, self.run_of(1))
        await store.open()
        await store.aclose()
        with pytest.raises(StoreUnavailable):
            await self.accept(store, self.run_of(1))
        with pytest.raises(StoreUnavailable):
            await store.log.load(MINE, self.run_of(1).id)
        await store.aclose()

    async def test_stores_on_one_database_see_each_other(self, store: Store, make: Callable[[], Store]) -> None:
        if not self.shared:
            pytest.skip("one store at a time")
        other = make()
        await other.open()
        run = self.run_of(1)
        await self.accept(store, run)
        before = await other.documents.changes()
        await store.documents.put(MINE, "key", "k", b"{}", now=NOW)
        stored = await other.log.load(MINE, run.id)
        assert stored is not None
        assert stored.run == run
        assert await other.documents.changes() > before
        await other.aclose()

    async def test_decisions_of_several_stores_are_one_after_the_other(
        self, store: Store, make: Callable[[], Store]
    ) -> None:
        if not self.shared:
            pytest.skip("one store at a time")
        other = make()
        await other.open()
        run = self.run_of(1)
        await self.accept(store, run)

        async def decide(by: Store) -> Run:
            while True:
                stored = await by.log.load(MINE, run.id)
                assert stored is not None
                try:
                    return await self.follow(by, stored.run)
                except VersionConflict:
                    continue

        decided = await asyncio.gather(*(decide(by) for by in (store, other) * 10))
        assert sorted(following.version for following in decided) == list(range(2, 22))
        page = await store.log.entries_after(MINE, run.id, 0)
        assert page is not None
        assert [entry.number for entry in page.entries] == list(range(1, 22))
        await other.aclose()

    async def test_work_is_claimed_by_one_of_several_stores(self, store: Store, make: Callable[[], Store]) -> None:
        if not self.shared:
            pytest.skip("one store at a time")
        other = make()
        await other.open()
        runs = [self.run_of(number) for number in range(1, 41)]
        await asyncio.gather(*(self.accept(store, run, owner="process_gone") for run in runs))
        owners = {ME: store, YOU: other}
        for owner, by in owners.items():
            await by.queue.heartbeat(owner, NOW, NOW + 10)
        claims = await asyncio.gather(
            *(by.queue.claim_due(owner, NOW, lanes=HTTP, limit=5) for owner, by in owners.items() for _ in range(4))
        )
        assert sorted(claim.run_id for some in claims for claim in some) == [run.id for run in runs]
        await other.aclose()

    async def test_a_notifier_tells_of_another_store_s_append(self, store: Store, make: Callable[[], Store]) -> None:
        if not self.shared or store.notifier is None:
            pytest.skip("nobody else to be told of")
        run = self.run_of(1)
        await self.accept(store, run)
        woken = asyncio.Event()

        def wake(run_id: str | None) -> None:
            if run_id in (None, run.id):
                woken.set()

        other = make()
        await other.open()
        assert other.notifier is not None
        listening = asyncio.create_task(store.notifier.listen(wake))
        # Messages may be lost, above all before the listener listens: so it is told until it has heard.
        while not woken.is_set():
            run = await self.follow(other, run)
            other.notifier.publish(run.id, run.version)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(woken.wait(), 0.1)
        listening.cancel()
        await asyncio.wait({listening})
        await other.aclose()
