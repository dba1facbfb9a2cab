"""The cases of ports.RunLog: one decision whole or not at all, numbers without holes, fencing, pages, pruning."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from ...errors import VersionConflict
from ...models import Append, Entry, Json, Settlement
from ...ports import Store
from .store_cases import HTTP, ME, MINE, NOW, THEIRS, YOU, StoreCases

__all__ = ["RunLogCases"]


class RunLogCases(StoreCases):
    """What every RunLog promises."""

    async def test_an_append_is_read_back_as_it_was_written(self, store: Store) -> None:
        run = self.run_of(1, event_name="enrich", phase="waiting", deadline_at=NOW + 300.123456)
        entries = (
            self.entry("run.accepted", data=msgspec.Raw('{"text":"größer als 日本 🚀"}'.encode())),
            self.entry("stage.started", stage="generate", attempt=3, at=NOW + 0.1234567),
            self.entry("ai_generated", public=True),
        )
        assert await store.log.append(Append(run=run, owner=ME, entries=entries)) == 1
        stored = await store.log.load(MINE, run.id)
        page = await store.log.entries_after(MINE, run.id, 0)
        assert stored is not None
        assert page is not None
        assert stored.run == run
        assert page.latest == 3
        assert page.entries == tuple(
            msgspec.structs.replace(entry, number=number) for number, entry in enumerate(entries, 1)
        )

    async def test_load_gives_the_checkpoints_oldest_first(self, store: Store) -> None:
        run = self.run_of(1)
        kinds = ("run.accepted", "stage.started", "stage.completed", "chunk", "callback.received", "stage.completed")
        await store.log.append(Append(run=run, owner=ME, entries=tuple(map(self.entry, kinds))))
        stored = await store.log.load(None, run.id)
        assert stored is not None
        assert [(entry.number, entry.kind) for entry in stored.checkpoints] == [
            (1, "run.accepted"),
            (3, "stage.completed"),
            (5, "callback.received"),
            (6, "stage.completed"),
        ]

    async def test_an_append_replaces_the_state_and_gives_the_first_number(self, store: Store) -> None:
        run = self.run_of(1)
        await self.accept(store, run)
        following = msgspec.structs.replace(
            run, version=2, status="ai_generated", stage="enrich", phase="waiting", deadline_at=NOW + 60
        )
        append = Append(run=following, owner=ME, expected_version=1, entries=(self.entry("a"), self.entry("b")))
        assert await store.log.append(append) == 2
        stored = await store.log.load(MINE, run.id)
        assert stored is not None
        assert stored.run == following

    async def test_a_settlement_s_entry_comes_first_of_all(self, store: Store) -> None:
        run = self.run_of(1)
        delivery = self.delivery_of(run, "a")
        await self.accept(store, run, delivery)
        following = msgspec.structs.replace(run, version=2)
        append = Append(
            run=following,
            owner=ME,
            expected_version=1,
            entries=(self.entry("stage.completed"),),
            settled=self.settlement_of(delivery, "delivered"),
        )
        assert await store.log.append(append) == 2
        page = await store.log.entries_after(MINE, run.id, 1)
        assert page is not None
        assert [entry.kind for entry in page.entries] == ["delivery.delivered", "stage.completed"]
        assert [owed.status for owed in await store.queue.deliveries(MINE, run.id)] == ["delivered"]

    async def test_a_conflict_writes_nothing(self, store: Store) -> None:
        run = self.run_of(1)
        owed = self.delivery_of(run, "first")
        await self.accept(store, run, owed)
        refused = Append(
            run=msgspec.structs.replace(run, version=8, status="error", phase="done", finished_at=NOW),
            owner=YOU,
            expected_version=7,
            entries=(self.entry("run.failed"),),
            deliveries=(self.delivery_of(run, "second"),),
            settled=self.settlement_of(owed, "dead"),
            closes="generate",
        )
        with pytest.raises(VersionConflict):
            await store.log.append(refused)
        stored = await store.log.load(MINE, run.id)
        page = await store.log.entries_after(MINE, run.id, 0)
        assert stored is not None
        assert page is not None
        assert stored.run == run
        assert page.latest == len(page.entries) == 1
        assert await store.queue.deliveries(MINE, run.id) == (owed,)
        assert [claim.run_id for claim in await store.queue.claim_due(YOU, NOW, lanes=(), limit=9)] == [run.id]

    async def test_a_new_run_must_be_new_and_a_known_one_known(self, store: Store) -> None:
        run = self.run_of(1)
        await self.accept(store, run)
        with pytest.raises(VersionConflict):
            await self.accept(store, run)
        with pytest.raises(VersionConflict):
            await self.follow(store, self.run_of(2))
        assert await store.log.load(None, self.run_of(2).id) is None

    async def test_of_two_decisions_on_one_version_one_is_written(self, store: Store) -> None:
        run = self.run_of(1)
        await self.accept(store, run)
        results = await asyncio.gather(*(self.follow(store, run) for _ in range(8)), return_exceptions=True)
        assert sum(isinstance(result, VersionConflict) for result in results) == 7
        page = await store.log.entries_after(MINE, run.id, 0)
        assert page is not None
        assert page.latest == 2

    async def test_a_conflict_does_not_touch_its_neighbours(self, store: Store) -> None:
        runs = [self.run_of(number) for number in range(1, 21)]
        await self.accept(store, runs[9])
        results = await asyncio.gather(*(self.accept(store, run) for run in runs), return_exceptions=True)
        assert [type(result) for result in results if result is not None] == [VersionConflict]
        assert len((await store.log.runs(MINE)).runs) == 20

    async def test_numbers_have_no_holes_under_concurrency(self, store: Store) -> None:
        run = self.run_of(1)
        delivery = self.delivery_of(run, "a")
        await self.accept(store, run, delivery)

        async def decide() -> int:
            while True:
                stored = await store.log.load(MINE, run.id)
                assert stored is not None
                following = msgspec.structs.replace(stored.run, version=stored.run.version + 1)
                entries = (self.entry("a"), self.entry("b"))
                try:
                    return await store.log.append(
                        Append(run=following, owner=ME, expected_version=stored.run.version, entries=entries)
                    )
                except VersionConflict:
                    continue

        stale = self.settlement_of(delivery, "dead", attempt=5)
        results = await asyncio.gather(
            *(decide() for _ in range(6)), *(store.queue.settle(stale) for _ in range(6)), decide()
        )
        page = await store.log.entries_after(MINE, run.id, 0)
        assert page is not None
        assert [entry.number for entry in page.entries] == list(range(1, 1 + 1 + 7 * 2 + 6))
        kinds = {entry.number: entry.kind for entry in page.entries}
        assert [kinds[number] for number in results] == ["a"] * 6 + ["delivery.dead"] * 6 + ["a"]
        assert all(kinds[number + 1] == "b" for number in (*results[:6], results[-1]))

    async def test_an_older_generation_is_fenced(self, store: Store) -> None:
        run = self.run_of(1)
        await self.accept(store, run, owner=ME)
        await store.queue.heartbeat(YOU, NOW, NOW + 10)
        assert len(await store.queue.claim_due(YOU, NOW, lanes=HTTP, limit=9)) == 1
        stored = await store.log.load(None, run.id)
        assert stored is not None
        assert (stored.run.version, stored.run.generation) == (1, 2)
        with pytest.raises(VersionConflict):
            await self.follow(store, run, owner=ME)
        await self.follow(store, stored.run, owner=YOU)

    async def test_entries_are_paged_and_filtered(self, store: Store) -> None:
        run = self.run_of(1)
        entries = tuple(self.entry(f"kind{number}", public=number % 2 == 0) for number in range(1, 8))
        await store.log.append(Append(run=run, owner=ME, entries=entries))
        page = await store.log.entries_after(MINE, run.id, 2, limit=3)
        shown = await store.log.entries_after(MINE, run.id, 2, public=True)
        nothing = await store.log.entries_after(MINE, run.id, 7)
        assert page is not None
        assert shown is not None
        assert nothing is not None
        assert ([entry.number for entry in page.entries], page.latest) == ([3, 4, 5], 7)
        assert ([entry.number for entry in shown.entries], shown.latest) == ([4, 6], 7)
        assert (nothing.entries, nothing.latest) == ((), 7)

    async def test_another_project_s_runs_do_not_exist(self, store: Store) -> None:
        run = self.run_of(1)
        await self.accept(store, run)
        assert await store.log.load(THEIRS, run.id) is None
        assert await store.log.entries_after(THEIRS, run.id, 0) is None
        assert (await store.log.runs(THEIRS)).runs == ()
        with pytest.raises(VersionConflict):
            await self.follow(store, msgspec.structs.replace(run, project_id=THEIRS))

    async def test_prune_forgets_what_ended_earlier_and_nothing_else(self, store: Store) -> None:
        runs = [self.run_of(number) for number in range(1, 5)]
        for run in runs:
            await self.accept(store, run, self.delivery_of(run, run.id[-1]))
        for run, at in zip(runs[:3], (NOW, NOW + 5, NOW + 10), strict=True):
            await self.end(store, run, at)
        assert await store.log.prune(NOW + 10) == 2
        assert await store.log.prune(NOW + 10) == 0
        assert [run.id[-1] for run in (await store.log.runs(MINE)).runs] == list("43")
        assert await store.log.entries_after(MINE, runs[0].id, 0) is None
        assert await store.queue.deliveries(MINE, runs[0].id) == ()
        assert len(await store.queue.deliveries(MINE, runs[2].id)) == 1
        claimed = await store.queue.claim_due(YOU, NOW + 10, lanes=HTTP, limit=99)
        assert {claim.run_id for claim in claimed} == {runs[2].id, runs[3].id}

    async def test_prune_spares_runs_with_dead_letters_and_what_is_owed(self, store: Store) -> None:
        """Given up of late, given up long ago, still owed, delivered."""
        runs = [self.run_of(number) for number in range(1, 5)]
        for run, due_at in zip(runs, (NOW + 50, NOW - 50, NOW, NOW), strict=True):
            delivery = msgspec.structs.replace(self.delivery_of(run, run.id[-1]), due_at=due_at)
            await self.accept(store, run, delivery)
            if run is not runs[2]:
                entry = Entry(kind="delivery.attempted", at=NOW)
                settled = Settlement(
                    delivery_id=delivery.id,
                    run_id=run.id,
                    attempt=1,
                    status="delivered" if run is runs[3] else "dead",
                    entry=entry,
                )
                await store.queue.settle(settled)
            await self.end(store, run, NOW)
        assert await store.log.prune(NOW + 1, given_up_after=NOW) == 2
        assert [run.id for run in (await store.log.runs(MINE)).runs] == [runs[2].id, runs[0].id]
        assert await store.log.prune(NOW + 1, given_up_after=NOW + 50) == 1
        assert await store.log.prune(NOW + 1) == 1

    async def test_nothing_of_a_pruned_run_is_left(self, store: Store) -> None:
        run = self.run_of(1)
        delivery = self.delivery_of(run, "a")
        await self.accept(store, run, delivery)
        await self.end(store, run)
        await store.log.prune(NOW + 1)
        await self.accept(store, run, delivery)
        page = await store.log.entries_after(MINE, run.id, 0)
        assert page is not None
        assert [(entry.number, entry.kind) for entry in page.entries] == [(1, "run.accepted")]

    async def test_payloads_are_forgotten_and_the_story_stays(self, store: Store) -> None:
        said = Json(b'{"plan":{"workflow":"w","customer_data":{"a":1}},"request":{"b":2}}')
        runs = [self.run_of(number) for number in (1, 2, 3)]
        for run, at in zip(runs, (NOW, NOW + 5, NOW + 10), strict=True):
            accepted = Entry(kind="run.accepted", at=NOW, data=said)
            await store.log.append(Append(run=run, owner=ME, entries=(accepted,)))
            await self.end(store, run, at)
        assert await store.log.strip(0.0, NOW + 5) == (2, NOW + 5)
        assert await store.log.strip(NOW + 5, NOW + 9) == (0, NOW + 9)
        left = b'{"plan":{"workflow":"w"},"request":null}'
        for run, wanted in zip(runs, (left, left, bytes(said)), strict=True):
            page = await store.log.entries_after(MINE, run.id, 0)
            assert page is not None
            assert (page.entries[0].number, page.entries[0].kind) == (1, "run.accepted")
            assert bytes(page.entries[0].data) == wanted

    async def test_forgetting_payloads_goes_on_where_it_stopped(self, store: Store) -> None:
        for number in range(1, 6):
            await self.accept(store, self.run_of(number))
            await self.end(store, self.run_of(number), NOW + number)
        went, reached = await store.log.strip(0.0, NOW + 100, limit=2)
        assert (went, reached) == (2, NOW + 2)
        assert await store.log.strip(reached, NOW + 100, limit=99) == (3, NOW + 100)

    async def test_single_runs_are_erased_of_ones_own_project_only(self, store: Store) -> None:
        runs = [self.run_of(number) for number in (1, 2)]
        for run in runs:
            await self.accept(store, run, self.delivery_of(run, run.id[-1]))
        ids = [run.id for run in runs]
        assert await store.log.erase("another", ids) == 0
        assert await store.log.erase(MINE, [ids[0], "nobody"]) == 1
        assert await store.log.load(MINE, ids[0]) is None
        assert await store.queue.deliveries(MINE, ids[0]) == ()
        assert await store.log.load(MINE, ids[1]) is not None

    async def test_prune_stops_at_its_limit_oldest_first(self, store: Store) -> None:
        await asyncio.gather(*(self.accept(store, self.run_of(number)) for number in range(1, 131)))
        await asyncio.gather(
            *(self.end(store, self.run_of(number), NOW + number) for number in range(1, 131)),
        )
        assert await store.log.prune(NOW + 1000, limit=120) == 120
        left = {int(run.id[-3:]) for run in (await store.log.runs(MINE)).runs}
        assert left == set(range(121, 131))
