"""The cases of ports.Queue, claims: leases, orphans, fences, fairness, giving back. Time is what each call says."""

from __future__ import annotations

import pytest

from ...models import Claim
from ...ports import Store
from .store_cases import HTTP, ME, MINE, NOW, YOU, StoreCases

__all__ = ["ClaimCases"]


class ClaimCases(StoreCases):
    """What every Queue promises of claims and leases."""

    async def claim(self, store: Store, now: float = NOW, *, owner: str = YOU, limit: int = 99) -> tuple[Claim, ...]:
        await store.queue.heartbeat(owner, now, now + 10)
        return await store.queue.claim_due(owner, now, lanes=HTTP, limit=limit)

    async def test_what_a_living_process_wrote_is_his(self, store: Store) -> None:
        run = self.run_of(1)
        await store.queue.heartbeat(ME, NOW, NOW + 10)
        await self.accept(store, run, self.delivery_of(run, "a"))
        assert await self.claim(store, NOW + 9.5) == ()

    async def test_the_work_of_a_dead_process_is_claimed_once(self, store: Store) -> None:
        run = self.run_of(1)
        delivery = self.delivery_of(run, "a")
        await store.queue.heartbeat(ME, NOW, NOW + 10)
        await self.accept(store, run, delivery)
        claims = await self.claim(store, NOW + 10)
        assert {(claim.run_id, claim.project_id, claim.delivery and claim.delivery.id) for claim in claims} == {
            (run.id, MINE, None),
            (run.id, MINE, delivery.id),
        }
        assert await self.claim(store, NOW + 11) == ()
        assert await self.claim(store, NOW + 11, owner="process_third") == ()

    async def test_a_heartbeat_in_time_keeps_the_lease(self, store: Store) -> None:
        await store.queue.heartbeat(ME, NOW, NOW + 10)
        await self.accept(store, self.run_of(1))
        await store.queue.heartbeat(ME, NOW + 8, NOW + 18)
        assert await self.claim(store, NOW + 17) == ()
        assert len(await self.claim(store, NOW + 18)) == 1

    async def test_an_owner_without_a_heartbeat_holds_nothing(self, store: Store) -> None:
        await self.accept(store, self.run_of(1))
        assert len(await self.claim(store)) == 1

    async def test_the_attempt_that_died_with_its_process_is_counted(self, store: Store) -> None:
        run = self.run_of(1)
        await self.accept(store, run, self.delivery_of(run, "a"))
        for attempt, now in ((2, NOW), (3, NOW + 100), (4, NOW + 200)):
            claims = await self.claim(store, now, owner=f"process_{attempt}")
            assert [claim.delivery.attempt for claim in claims if claim.delivery] == [attempt]
        assert [delivery.attempt for delivery in await store.queue.deliveries(MINE, run.id)] == [4]

    async def test_each_claim_of_a_run_raises_its_generation(self, store: Store) -> None:
        run = self.run_of(1)
        await self.accept(store, run)
        for generation in (2, 3):
            await self.claim(store, NOW + 100 * generation, owner=f"process_{generation}")
            stored = await store.log.load(MINE, run.id)
            assert stored is not None
            assert (stored.run.generation, stored.run.version) == (generation, 1)

    async def test_a_claim_says_the_generation_that_it_has_brought_a_run_to(self, store: Store) -> None:
        run = await self.ended(store)
        await self.accept(store, self.run_of(1))
        await self.follow(store, run, self.delivery_of(run, "a"))
        claims = await self.claim(store) + await self.claim(store, NOW + 100, owner="process_third")
        told = [(claim.run_id == run.id, claim.generation) for claim in claims]
        assert sorted(told, key=repr) == [(False, 2), (False, 3), (True, None), (True, None)]

    async def test_a_claimed_delivery_is_whole(self, store: Store) -> None:
        run = await self.ended(store)
        delivery = self.delivery_of(
            run, "b", event_name="enrich", endpoint_id="ep_1", expires_at=NOW + 300.25, body=b"\x00\xff"
        )
        await self.follow(store, run, delivery)
        await store.queue.release(ME)
        assert [claim.delivery for claim in await self.claim(store)] == [delivery]

    async def test_a_waiting_run_is_due_at_its_deadline(self, store: Store) -> None:
        run = self.run_of(1)
        await store.queue.heartbeat(ME, NOW, NOW + 1000)
        await self.accept(store, run)
        await self.follow(store, run, phase="waiting", deadline_at=NOW + 60)
        assert await self.claim(store, NOW + 59.9) == ()
        assert [claim.run_id for claim in await self.claim(store, NOW + 60)] == [run.id]

    async def test_who_writes_to_a_run_of_another_process_may_leave_it_to_that_one(self, store: Store) -> None:
        run = self.run_of(1)
        for owner in (ME, YOU):
            await store.queue.heartbeat(owner, NOW, NOW + 1000)
        await self.accept(store, run, owner=YOU)
        called = await self.follow(store, run, owner=YOU, status="ai_generated", deadline_at=NOW + 60)
        await self.follow(store, called, owner=None, deadline_at=NOW + 90)
        assert await self.claim(store, NOW + 100, owner=ME) == ()
        await store.queue.release(ME)
        assert await self.claim(store, NOW + 100, owner=ME) == ()
        await store.queue.release(YOU)
        assert [claim.run_id for claim in await self.claim(store, NOW + 100, owner=ME)] == [run.id]

    async def test_a_run_that_goes_on_is_on_its_writer_s_lease_again(self, store: Store) -> None:
        run = self.run_of(1)
        await store.queue.heartbeat(ME, NOW, NOW + 1000)
        await self.accept(store, run)
        waiting = await self.follow(store, run, phase="waiting", deadline_at=NOW + 60)
        await self.follow(store, waiting, phase="running", deadline_at=None)
        assert await self.claim(store, NOW + 100) == ()

    async def test_a_finished_run_is_never_due(self, store: Store) -> None:
        await self.ended(store)
        assert await self.claim(store, NOW + 1e6) == ()

    async def test_deliveries_of_other_lanes_stay(self, store: Store) -> None:
        run = await self.ended(store)
        local = self.delivery_of(run, "local", lane="local:enrich", url="local:enrich")
        await self.follow(store, run, local, self.delivery_of(run, "http"))
        assert [claim.delivery and claim.delivery.lane for claim in await self.claim(store)] == ["http"]
        claims = await store.queue.claim_due(YOU, NOW, lanes=("asgi", "local:enrich"), limit=9)
        assert [claim.delivery and claim.delivery.lane for claim in claims] == ["local:enrich"]

    @pytest.mark.parametrize("named", [True, False], ids=["by endpoint", "by url"])
    async def test_a_backlog_does_not_keep_others_from_their_turn(self, store: Store, named: bool) -> None:
        run = await self.ended(store)
        targets = ["busy"] * 40 + ["calm"] * 2 + ["quiet"]
        owed = [
            self.delivery_of(
                run,
                f"{number:02d}",
                url=f"https://{target}.example.com/" if not named else "https://example.com/",
                endpoint_id=f"ep_{target}" if named else None,
                due_at=NOW - 100 + number,
            )
            for number, target in enumerate(targets)
        ]
        await self.follow(store, run, *owed)
        await store.queue.release(ME)
        claims = await self.claim(store, limit=5)
        assert [claim.delivery and claim.delivery.id for claim in claims] == [
            "dlv_00",  # each target's first, the earliest due before the others …
            "dlv_40",
            "dlv_42",
            "dlv_01",  # … then each one's second
            "dlv_41",
        ]
        assert len(await self.claim(store)) == len(targets) - 5

    async def test_orphans_take_part_in_the_turns(self, store: Store) -> None:
        run = await self.ended(store)
        for number, owner in enumerate(("process_dead", "process_gone", ME)):
            name = f"{number}"
            run = await self.follow(store, run, self.delivery_of(run, name, endpoint_id=f"ep_{name}"), owner=owner)
        await store.queue.release(ME)
        claims = await self.claim(store, limit=2) + await self.claim(store, limit=2)
        attempts = sorted((claim.delivery.id, claim.delivery.attempt) for claim in claims if claim.delivery)
        assert attempts == [("dlv_0", 2), ("dlv_1", 2), ("dlv_2", 1)]

    async def test_a_long_backlog_does_not_keep_orphans_from_their_turn(self, store: Store) -> None:
        run = await self.ended(store)
        backlog = [self.delivery_of(run, f"{number}", endpoint_id="ep_busy") for number in range(9)]
        run = await self.follow(store, run, *backlog)
        await store.queue.release(ME)
        orphan = self.delivery_of(run, "orphan", endpoint_id="ep_calm")
        await self.follow(store, run, orphan, owner="process_dead")
        claims = await self.claim(store, limit=2)
        assert sorted(claim.delivery.endpoint_id or "" for claim in claims if claim.delivery) == ["ep_busy", "ep_calm"]

    async def test_what_a_dead_process_kept_for_later_is_claimed_when_its_lease_ends(self, store: Store) -> None:
        run = await self.ended(store)
        await store.queue.heartbeat(ME, NOW, NOW + 10)
        await self.follow(store, run, self.delivery_of(run, "a", due_at=NOW + 3600))
        assert await store.queue.next_due(NOW, HTTP) == NOW + 10
        assert [claim.delivery and claim.delivery.id for claim in await self.claim(store, NOW + 10)] == ["dlv_a"]

    async def test_release_ends_the_lease(self, store: Store) -> None:
        await store.queue.heartbeat(ME, NOW, NOW + 100)
        await store.queue.release(ME)
        await self.accept(store, self.run_of(1), owner=ME)
        assert len(await self.claim(store)) == 1

    async def test_release_gives_back_all_of_one_process(self, store: Store) -> None:
        mine, yours = self.run_of(1), self.run_of(2)
        for owner in (ME, YOU):
            await store.queue.heartbeat(owner, NOW, NOW + 100)
        await self.accept(store, mine, self.delivery_of(mine, "a"), owner=ME)
        await self.accept(store, yours, owner=YOU)
        await store.queue.release(ME)
        claims = await self.claim(store, owner="process_third")
        assert {claim.run_id for claim in claims} == {mine.id}
        assert [claim.delivery.attempt for claim in claims if claim.delivery] == [1]

    async def test_reschedule_gives_back_a_run_for_later(self, store: Store) -> None:
        run = self.run_of(1)
        await store.queue.heartbeat(ME, NOW, NOW + 1000)
        await self.accept(store, run)
        await store.queue.reschedule(run.id, None, NOW + 30)
        assert await self.claim(store, NOW + 29) == ()
        assert [claim.run_id for claim in await self.claim(store, NOW + 30)] == [run.id]

    async def test_a_delivery_that_has_ended_is_not_given_back(self, store: Store) -> None:
        run = await self.ended(store)
        delivery = self.delivery_of(run, "a")
        await self.follow(store, run, delivery)
        await store.queue.settle(self.settlement_of(delivery, "delivered"))
        ended = await store.queue.delivery(run.project_id, delivery.id)
        assert ended is not None
        await store.queue.reschedule(run.id, delivery.id, NOW + 30)
        assert await store.queue.delivery(run.project_id, delivery.id) == ended

    async def test_reschedule_gives_back_a_delivery_without_counting(self, store: Store) -> None:
        run = await self.ended(store)
        await store.queue.heartbeat(ME, NOW, NOW + 1000)
        delivery = self.delivery_of(run, "a")
        await self.follow(store, run, delivery)
        await store.queue.reschedule(run.id, delivery.id, NOW + 30)
        assert await self.claim(store, NOW + 29) == ()
        claims = await self.claim(store, NOW + 30)
        assert [(claim.delivery.attempt, claim.delivery.due_at) for claim in claims if claim.delivery] == [
            (1, NOW + 30)
        ]

    async def test_next_due_is_the_earliest_of_work_and_lease_ends(self, store: Store) -> None:
        assert await store.queue.next_due(NOW, HTTP) is None
        first, second = self.run_of(1), self.run_of(2)
        await store.queue.heartbeat(ME, NOW, NOW + 50)
        await store.queue.heartbeat("process_idle", NOW, NOW + 1)
        await self.accept(store, first)
        assert await store.queue.next_due(NOW, HTTP) == NOW + 50
        await self.accept(store, second)
        await self.follow(store, second, phase="waiting", deadline_at=NOW + 20)
        assert await store.queue.next_due(NOW, HTTP) == NOW + 20

    async def test_next_due_is_for_these_lanes_only(self, store: Store) -> None:
        run = await self.ended(store)
        await store.queue.heartbeat(ME, NOW, NOW + 50)
        local = self.delivery_of(run, "a", lane="local:enrich", url="local:enrich")
        await self.follow(store, run, local)
        assert await store.queue.next_due(NOW, HTTP) is None
        assert await store.queue.next_due(NOW, ("http", "local:enrich")) == NOW + 50
        await store.queue.reschedule(run.id, local.id, NOW + 7)
        assert await store.queue.next_due(NOW, HTTP) is None
        assert await store.queue.next_due(NOW, ("local:enrich",)) == NOW + 7

    async def test_next_due_looks_at_every_target(self, store: Store) -> None:
        run = await self.ended(store)
        owed = [self.delivery_of(run, f"{n}", endpoint_id=f"ep_{n}", due_at=NOW + 9 - n) for n in range(5)]
        await self.follow(store, run, *owed)
        await store.queue.release(ME)
        assert await store.queue.next_due(NOW, HTTP) == NOW + 5

    async def test_backlog_counts_what_is_due_and_unheld(self, store: Store) -> None:
        run = self.run_of(1)
        await store.queue.heartbeat(ME, NOW, NOW + 10)
        await self.accept(store, run, self.delivery_of(run, "a"), self.delivery_of(run, "b"))
        assert await store.queue.backlog(NOW) == 0
        await store.queue.reschedule(run.id, "dlv_a", NOW + 5)
        assert [await store.queue.backlog(NOW + 4), await store.queue.backlog(NOW + 5)] == [0, 1]
        assert await store.queue.backlog(NOW + 10) == 3
        await store.queue.release(ME)
        assert await store.queue.backlog(NOW + 5) == 3
