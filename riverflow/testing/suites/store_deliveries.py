"""The cases of ports.Queue, deliveries: how attempts end, what a decided stage closes, sending again."""

from __future__ import annotations

import pytest

from ...models import DeliveryStatus
from ...ports import Store
from .store_cases import HTTP, ME, MINE, NOW, THEIRS, YOU, StoreCases

__all__ = ["DeliveryCases"]


class DeliveryCases(StoreCases):
    """What every Queue promises of deliveries and their attempts."""

    async def statuses(self, store: Store, run_id: str) -> list[tuple[str, str, int]]:
        owed = await store.queue.deliveries(MINE, run_id)
        return [(delivery.id, delivery.status, delivery.attempt) for delivery in owed]

    async def claimed(self, store: Store, now: float = NOW) -> list[tuple[str, int]]:
        await store.queue.heartbeat(YOU, now, now + 10)
        claims = await store.queue.claim_due(YOU, now, lanes=HTTP, limit=99)
        return [(claim.delivery.id, claim.delivery.attempt) for claim in claims if claim.delivery]

    @pytest.mark.parametrize("status", ["delivered", "dead", "expired"])
    async def test_an_attempt_that_ends_a_delivery(self, store: Store, status: DeliveryStatus) -> None:
        run = await self.ended(store)
        delivery = self.delivery_of(run, "a")
        await self.follow(store, run, delivery)
        number = await store.queue.settle(self.settlement_of(delivery, status))
        page = await store.log.entries_after(MINE, run.id, number - 1)
        assert page is not None
        assert [(entry.number, entry.kind) for entry in page.entries] == [(page.latest, f"delivery.{status}")]
        assert await self.statuses(store, run.id) == [("dlv_a", status, 1)]
        assert await self.claimed(store, NOW + 1e6) == []

    async def test_settling_does_not_touch_the_run_s_version(self, store: Store) -> None:
        run = self.run_of(1)
        delivery = self.delivery_of(run, "a")
        await self.accept(store, run, delivery)
        await store.queue.settle(self.settlement_of(delivery, "delivered"))
        stored = await store.log.load(MINE, run.id)
        assert stored is not None
        assert stored.run == run

    async def test_a_failed_attempt_is_tried_again_with_the_next_number(self, store: Store) -> None:
        run = await self.ended(store)
        delivery = self.delivery_of(run, "a")
        await store.queue.heartbeat(ME, NOW, NOW + 1000)
        await self.follow(store, run, delivery)
        await store.queue.settle(self.settlement_of(delivery, "pending", due_at=NOW + 5.5))
        assert await self.statuses(store, run.id) == [("dlv_a", "pending", 2)]
        assert [owed.due_at for owed in await store.queue.deliveries(MINE, run.id)] == [NOW + 5.5]
        assert await self.claimed(store, NOW + 5) == []
        assert await self.claimed(store, NOW + 5.5) == [("dlv_a", 2)]

    @pytest.mark.parametrize("status", ["delivered", "dead", "pending"])
    async def test_an_old_attempt_leaves_its_entry_and_nothing_else(self, store: Store, status: DeliveryStatus) -> None:
        run = await self.ended(store)
        delivery = self.delivery_of(run, "a")
        await self.follow(store, run, delivery)
        assert await self.claimed(store) == [("dlv_a", 2)]
        number = await store.queue.settle(self.settlement_of(delivery, status, attempt=1, due_at=NOW + 1))
        page = await store.log.entries_after(MINE, run.id, number - 1)
        assert page is not None
        assert [entry.kind for entry in page.entries] == [f"delivery.{status}"]
        assert await self.statuses(store, run.id) == [("dlv_a", "pending", 2)]
        assert await self.claimed(store, NOW + 9) == []

    async def test_an_ended_delivery_is_not_revived_by_its_last_attempt(self, store: Store) -> None:
        run = await self.ended(store)
        delivery = self.delivery_of(run, "a")
        await self.follow(store, run, delivery)
        await store.queue.settle(self.settlement_of(delivery, "delivered"))
        await store.queue.settle(self.settlement_of(delivery, "pending", due_at=NOW))
        await store.queue.settle(self.settlement_of(delivery, "dead"))
        assert await self.statuses(store, run.id) == [("dlv_a", "delivered", 1)]
        assert await self.claimed(store, NOW + 1e6) == []

    async def test_a_decided_stage_expires_its_pending_deliveries(self, store: Store) -> None:
        run = self.run_of(1, stage="enrich")
        owed = [self.delivery_of(run, name) for name in "abc"]
        elsewhere = self.delivery_of(run, "d", stage="other")
        await self.accept(store, run, *owed, elsewhere)
        await store.queue.settle(self.settlement_of(owed[0], "delivered"))
        await self.follow(
            store,
            run,
            self.delivery_of(run, "e", created_at=NOW + 1),
            closes="enrich",
            settled=self.settlement_of(owed[1], "dead"),
        )
        assert await self.statuses(store, run.id) == [
            ("dlv_a", "delivered", 1),
            ("dlv_b", "dead", 1),
            ("dlv_c", "expired", 1),
            ("dlv_d", "pending", 1),
            ("dlv_e", "pending", 1),
        ]
        assert [name for name, _ in await self.claimed(store)] == ["dlv_d", "dlv_e"]

    async def test_what_comes_of_an_attempt_is_owed_from_its_time_on_or_only_kept(self, store: Store) -> None:
        run = self.run_of(1)
        await store.queue.heartbeat(ME, NOW, NOW + 1000)
        await self.accept(store, run)
        tried = self.delivery_of(run, "tried")  # of which the store knows nothing: a handler was called
        rest = (
            self.delivery_of(run, "later", attempt=2, due_at=NOW + 5.5),
            self.delivery_of(run, "lost", status="dead", attempt=3, created_at=NOW + 1),
        )
        settled = self.settlement_of(tried, "pending", due_at=NOW + 5.5, deliveries=rest)
        await self.follow(store, run, phase="waiting", deadline_at=NOW + 60, settled=settled)
        page = await store.log.entries_after(MINE, run.id, 1)
        assert page is not None
        assert [entry.kind for entry in page.entries] == ["delivery.pending", "stage.completed"]
        assert await self.statuses(store, run.id) == [("dlv_later", "pending", 2), ("dlv_lost", "dead", 3)]
        assert await store.queue.dead_letters(MINE) == 1
        assert await self.claimed(store, NOW + 5) == []
        assert await self.claimed(store, NOW + 5.5) == [("dlv_later", 2)]
        assert await store.queue.requeue(MINE, "dlv_lost", NOW + 6)
        assert await self.claimed(store, NOW + 6) == [("dlv_lost", 1)]

    async def test_another_run_s_deliveries_are_not_closed(self, store: Store) -> None:
        one, other = self.run_of(1), self.run_of(2)
        await self.accept(store, one, self.delivery_of(one, "a"))
        await self.accept(store, other, self.delivery_of(other, "b"))
        await self.follow(store, one, closes="generate")
        assert await self.statuses(store, other.id) == [("dlv_b", "pending", 1)]

    async def test_a_delivery_under_way_when_its_stage_was_decided_may_still_arrive(self, store: Store) -> None:
        run = self.run_of(1)
        one, two = self.delivery_of(run, "a"), self.delivery_of(run, "b")
        await self.accept(store, run, one, two)
        await self.follow(store, run, closes="generate")
        await store.queue.settle(self.settlement_of(one, "delivered"))
        await store.queue.settle(self.settlement_of(two, "pending", due_at=NOW))
        assert await self.statuses(store, run.id) == [("dlv_a", "delivered", 1), ("dlv_b", "expired", 1)]
        assert await self.claimed(store, NOW + 1e6) == []

    @pytest.mark.parametrize("status", ["delivered", "dead", "expired"])
    async def test_an_ended_delivery_can_be_sent_again(self, store: Store, status: DeliveryStatus) -> None:
        run = await self.ended(store)
        delivery = self.delivery_of(run, "a", expires_at=NOW + 1, attempt=8)
        await self.follow(store, run, delivery)
        await store.queue.settle(self.settlement_of(delivery, status, attempt=8))
        assert await store.queue.requeue(MINE, delivery.id, NOW + 60)
        (owed,) = await store.queue.deliveries(MINE, run.id)
        assert (owed.status, owed.attempt, owed.due_at, owed.expires_at) == ("pending", 1, NOW + 60, None)
        assert await self.claimed(store, NOW + 59) == []
        assert await self.claimed(store, NOW + 60) == [("dlv_a", 1)]

    async def test_what_is_pending_or_unknown_is_not_sent_again(self, store: Store) -> None:
        run = await self.ended(store)
        await store.queue.heartbeat(ME, NOW, NOW + 1000)
        await self.follow(store, run, self.delivery_of(run, "a"))
        assert not await store.queue.requeue(MINE, "dlv_a", NOW)
        assert not await store.queue.requeue(MINE, "dlv_unknown", NOW)
        assert await self.claimed(store) == []

    async def test_deliveries_are_listed_oldest_first(self, store: Store) -> None:
        run = self.run_of(1)
        await self.accept(store, run, self.delivery_of(run, "a", created_at=NOW + 1), self.delivery_of(run, "b"))
        assert [delivery.id for delivery in await store.queue.deliveries(MINE, run.id)] == ["dlv_b", "dlv_a"]

    async def test_another_project_s_deliveries_do_not_exist(self, store: Store) -> None:
        run = self.run_of(1)
        delivery = self.delivery_of(run, "a")
        await self.accept(store, run, delivery)
        await store.queue.settle(self.settlement_of(delivery, "dead"))
        assert await store.queue.deliveries(THEIRS, run.id) == ()
        assert not await store.queue.requeue(THEIRS, delivery.id, NOW)
        assert await self.statuses(store, run.id) == [("dlv_a", "dead", 1)]

    async def test_settling_for_a_run_that_was_pruned_is_let_pass(self, store: Store) -> None:
        run = await self.ended(store)
        delivery = self.delivery_of(run, "a")
        await self.follow(store, run, delivery)
        await store.log.prune(NOW + 1)
        assert await store.queue.settle(self.settlement_of(delivery, "delivered")) == 0
        assert await store.log.load(MINE, run.id) is None
