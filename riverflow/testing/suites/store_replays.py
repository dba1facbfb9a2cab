"""The cases of ports.Queue, the cold side: deliveries found by filter and page by page, and sent again elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from ...models import Delivery, DeliveryStatus, Target
from ...ports import DeliveryFilter, Store
from .store_cases import HTTP, MINE, NOW, THEIRS, YOU, StoreCases

__all__ = ["ReplayCases"]


class ReplayCases(StoreCases):
    """What every Queue promises of deliveries that are looked for and sent again."""

    async def found(self, store: Store, **asked: Any) -> list[str]:
        """Names of what a filter takes; `before`, `after` and `limit` are the page's."""
        page = {name: asked.pop(name) for name in ("before", "after", "limit") if name in asked}
        answer = await store.queue.find_deliveries(MINE, DeliveryFilter(**asked), **page)
        return [delivery.id.removeprefix("dlv_") for delivery in answer.deliveries]

    async def owed(self, store: Store, names: str, **changes: Any) -> list[Delivery]:
        """Deliveries of one run that has ended, a second apart in the order of their names."""
        run = await self.ended(store)
        deliveries = [self.delivery_of(run, name, created_at=NOW + n, **changes) for n, name in enumerate(names)]
        await self.follow(store, run, *deliveries)
        return deliveries

    async def end_attempts(self, store: Store, deliveries: Sequence[Delivery], *statuses: DeliveryStatus) -> None:
        for delivery, status in zip(deliveries, statuses, strict=True):
            await store.queue.settle(self.settlement_of(delivery, status, due_at=NOW + 60))

    async def test_one_delivery_is_found_whole(self, store: Store) -> None:
        (delivery,) = await self.owed(store, "a", event_name="enrich", endpoint_id="ep_1", expires_at=NOW + 9.5)
        assert await store.queue.delivery(MINE, delivery.id) == delivery
        assert await store.queue.delivery(THEIRS, delivery.id) is None
        assert await store.queue.delivery(MINE, "dlv_unknown") is None

    async def test_all_of_a_project_newest_first_and_without_their_bodies(self, store: Store) -> None:
        await self.owed(store, "abc")
        page = await store.queue.find_deliveries(MINE, DeliveryFilter())
        assert [(delivery.id, delivery.body) for delivery in page.deliveries] == [
            ("dlv_c", b""),
            ("dlv_b", b""),
            ("dlv_a", b""),
        ]
        assert not page.has_more
        assert (await store.queue.find_deliveries(THEIRS, DeliveryFilter())).deliveries == ()

    async def test_what_was_made_at_the_same_time_has_an_order_too(self, store: Store) -> None:
        run = await self.ended(store)
        await self.follow(store, run, *(self.delivery_of(run, name) for name in "abcd"))
        assert await self.found(store) == ["d", "c", "b", "a"]
        assert await self.found(store, before="dlv_c", limit=1) == ["b"]
        assert await self.found(store, after="dlv_c") == ["d"]

    async def test_pages_forward_and_back(self, store: Store) -> None:
        await self.owed(store, "abcdefg")
        assert await self.found(store, limit=3) == ["g", "f", "e"]
        assert await self.found(store, limit=3, before="dlv_e") == ["d", "c", "b"]
        assert await self.found(store, limit=3, before="dlv_b") == ["a"]
        assert await self.found(store, limit=3, after="dlv_b") == ["e", "d", "c"]
        assert await self.found(store, limit=9, after="dlv_e") == ["g", "f"]
        assert await self.found(store, limit=9, before="dlv_f", after="dlv_b") == ["e", "d", "c"]

    async def test_whether_there_are_more_in_that_direction(self, store: Store) -> None:
        await self.owed(store, "abc")
        for page, more in (
            ({"limit": 2}, True),
            ({"limit": 3}, False),
            ({"limit": 1, "before": "dlv_b"}, False),
            ({"limit": 1, "before": "dlv_c"}, True),
            ({"limit": 1, "after": "dlv_a"}, True),
            ({"limit": 1, "after": "dlv_b"}, False),
        ):
            answer = await store.queue.find_deliveries(MINE, DeliveryFilter(), **page)
            assert answer.has_more is more, page

    async def test_nothing_stands_beside_a_delivery_that_is_not_there(self, store: Store) -> None:
        await self.owed(store, "ab")
        run = self.run_of(7, project_id=THEIRS)
        await self.accept(store, run, self.delivery_of(run, "theirs", created_at=NOW + 9))
        for cursor in ("dlv_unknown", "dlv_theirs"):
            assert await self.found(store, before=cursor) == []
            assert await self.found(store, after=cursor) == []

    async def test_filters_by_status(self, store: Store) -> None:
        deliveries = await self.owed(store, "abcdef")
        await self.end_attempts(store, deliveries[:5], "dead", "delivered", "expired", "dead", "pending")
        assert await self.found(store, status=("dead",)) == ["d", "a"]
        assert await self.found(store, status=("dead", "expired")) == ["d", "c", "a"]
        assert await self.found(store, status=("delivered",)) == ["b"]
        assert await self.found(store, status=("pending",)) == ["f", "e"]
        assert await self.found(store, status=("pending", "delivered")) == ["f", "e", "b"]
        assert await self.found(store, status=("dead",), before="dlv_d") == ["a"]
        assert await self.found(store, status=("dead", "expired"), after="dlv_a", limit=1) == ["c"]

    async def test_filters_by_where_it_goes_what_it_tells_and_which_run_it_is_of(self, store: Store) -> None:
        one, other = self.run_of(1), self.run_of(2)
        await self.accept(
            store,
            one,
            self.delivery_of(one, "a", endpoint_id="ep_1", event_name="enrich"),
            self.delivery_of(one, "b", endpoint_id="ep_2", event_name="approve", created_at=NOW + 1),
        )
        await self.accept(
            store,
            other,
            self.delivery_of(other, "c", endpoint_id="ep_1", created_at=NOW + 2),
            self.delivery_of(other, "d", type="run.failed", created_at=NOW + 3),
        )
        assert await self.found(store, endpoint_id="ep_1") == ["c", "a"]
        assert await self.found(store, run_id=one.id) == ["b", "a"]
        assert await self.found(store, event="enrich") == ["a"]
        assert await self.found(store, event="run.failed") == ["d"]
        assert await self.found(store, event="task.completed") == ["c", "b", "a"]
        assert await self.found(store, endpoint_id="ep_1", run_id=other.id, event="task.completed") == ["c"]
        assert await self.found(store, endpoint_id="ep_1", status=("pending",)) == ["c", "a"]
        assert await self.found(store, run_id=one.id, status=("dead",)) == []

    async def test_filters_by_time(self, store: Store) -> None:
        deliveries = await self.owed(store, "abcde")
        assert await self.found(store, since=NOW + 1, until=NOW + 3) == ["c", "b"]
        assert await self.found(store, since=NOW + 4) == ["e"]
        assert await self.found(store, until=NOW) == []
        assert await self.found(store, until=NOW + 4, before="dlv_c") == ["b", "a"]
        assert await self.found(store, until=NOW + 2, before="dlv_e") == ["b", "a"]
        assert await self.found(store, since=NOW + 3, after="dlv_a") == ["e", "d"]
        await self.end_attempts(store, deliveries, "dead", "dead", "dead", "dead", "dead")
        assert await self.found(store, status=("dead",), since=NOW + 1, until=NOW + 3) == ["c", "b"]

    async def test_a_delivery_is_sent_again_to_another_place(self, store: Store) -> None:
        (delivery,) = await self.owed(store, "a", endpoint_id="ep_1", expires_at=NOW + 1, event_name="enrich")
        await self.end_attempts(store, [delivery], "dead")
        elsewhere = Target(url="https://elsewhere.example.com/hook", endpoint_id="ep_2")
        assert await store.queue.requeue(MINE, delivery.id, NOW + 5, to=elsewhere)
        await store.queue.heartbeat(YOU, NOW, NOW + 10)
        (claim,) = await store.queue.claim_due(YOU, NOW + 5, lanes=HTTP, limit=9)
        assert claim.delivery is not None
        assert (claim.delivery.id, claim.delivery.url, claim.delivery.endpoint_id, claim.delivery.expires_at) == (
            delivery.id,
            elsewhere.url,
            "ep_2",
            None,
        )
        assert (claim.delivery.body, claim.delivery.event_name) == (delivery.body, "enrich")

    async def test_sent_again_to_a_url_of_no_endpoint_it_belongs_to_none(self, store: Store) -> None:
        (delivery,) = await self.owed(store, "a", endpoint_id="ep_1", lane="asgi", url="asgi:///hook")
        await self.end_attempts(store, [delivery], "expired")
        assert await store.queue.requeue(MINE, delivery.id, NOW, to=Target(url="http://127.0.0.1:9/hook"))
        again = await store.queue.delivery(MINE, delivery.id)
        assert again is not None
        assert (again.endpoint_id, again.url, again.lane) == (None, "http://127.0.0.1:9/hook", "http")
        assert await store.queue.next_due(NOW, HTTP) == NOW

    async def test_sending_again_leaves_its_entry(self, store: Store) -> None:
        (delivery,) = await self.owed(store, "a")
        await self.end_attempts(store, [delivery], "dead")
        number = await store.queue.requeue(MINE, delivery.id, NOW, entry=self.entry("delivery.replayed"))
        page = await store.log.entries_after(MINE, delivery.run_id, 0)
        assert page is not None
        assert (page.latest, page.entries[-1].number, page.entries[-1].kind) == (number, number, "delivery.replayed")
        assert await store.queue.requeue(MINE, delivery.id, NOW, entry=self.entry("delivery.replayed")) is None
        page = await store.log.entries_after(MINE, delivery.run_id, 0)
        assert page is not None
        assert page.latest == number

    async def test_an_attempt_of_before_does_not_end_what_is_sent_again(self, store: Store) -> None:
        """The second attempt is under way in a process that was thought dead, while somebody sends the delivery
        again."""
        (delivery,) = await self.owed(store, "a")
        await store.queue.settle(self.settlement_of(delivery, "pending", due_at=NOW))
        await store.queue.settle(self.settlement_of(delivery, "dead", attempt=2))
        assert await store.queue.requeue(MINE, delivery.id, NOW)
        await store.queue.settle(self.settlement_of(delivery, "dead", attempt=2))
        assert await self.found(store, status=("pending",)) == ["a"]

    async def test_a_marker_can_be_taken_away(self, store: Store) -> None:
        mark, unmark = store.documents.mark, store.documents.unmark
        assert await mark(MINE, "failing", "ep_1", b"1", now=NOW, expires_at=NOW + 99) is None
        assert not await unmark(THEIRS, "failing", "ep_1")
        assert not await unmark(MINE, "token", "ep_1")
        assert await unmark(MINE, "failing", "ep_1")
        assert not await unmark(MINE, "failing", "ep_1")
        assert await mark(MINE, "failing", "ep_1", b"2", now=NOW, expires_at=NOW + 99) is None

    @pytest.mark.parametrize("allowed", [0, 1, 3])
    async def test_no_more_of_a_target_than_are_allowed(self, store: Store, allowed: int) -> None:
        run = await self.ended(store)
        busy = [self.delivery_of(run, f"b{n}", endpoint_id="ep_busy", due_at=NOW - 9) for n in range(5)]
        calm = [self.delivery_of(run, f"c{n}", url=f"https://calm.example.com/{n}") for n in range(2)]
        await self.follow(store, run, *busy, *calm)
        await store.queue.release("process_me")
        await store.queue.heartbeat(YOU, NOW, NOW + 10)
        limits = {"ep_busy": allowed, "ep_of_nobody": 0}
        claims = await store.queue.claim_due(YOU, NOW, lanes=HTTP, limit=99, allowed=limits)
        taken = [claim.delivery.id for claim in claims if claim.delivery]
        assert sorted(taken) == [f"dlv_b{n}" for n in range(allowed)] + ["dlv_c0", "dlv_c1"]
        assert await store.queue.next_due(NOW, HTTP, skip=["ep_busy"]) == NOW + 10, "only the lease is left"
        assert await store.queue.next_due(NOW, HTTP) == NOW - 9
        assert await store.queue.backlog(NOW) == 5 - allowed
        assert await store.queue.backlog(NOW, skip=["ep_busy"]) == 0

    async def test_receivers_that_are_no_endpoints_are_told_apart_by_project_and_host(self, store: Store) -> None:
        mine, theirs = await self.ended(store), self.run_of(5, project_id=THEIRS)
        await self.follow(store, mine, self.delivery_of(mine, "a", url="https://one.example.com/x?y=1"))
        await self.accept(store, theirs, self.delivery_of(theirs, "b", url="https://one.example.com/"))
        await store.queue.release("process_me")
        await store.queue.heartbeat(YOU, NOW, NOW + 10)
        target = self.delivery_of(mine, "c", url="https://one.example.com/other").target
        claims = await store.queue.claim_due(YOU, NOW, lanes=HTTP, limit=9, allowed={target: 0})
        assert [claim.delivery.id for claim in claims if claim.delivery] == ["dlv_b"]

    async def test_orphans_of_a_target_that_is_skipped_are_waited_for_by_nobody(self, store: Store) -> None:
        run = await self.ended(store)
        await self.follow(store, run, self.delivery_of(run, "a", endpoint_id="ep_1"), owner="process_dead")
        assert await store.queue.next_due(NOW, HTTP, skip=["ep_1"]) is None
        assert await store.queue.next_due(NOW, HTTP) == NOW
        await store.queue.heartbeat(YOU, NOW, NOW + 10)
        assert await store.queue.claim_due(YOU, NOW, lanes=HTTP, limit=9, allowed={"ep_1": 0}) == ()

    async def test_a_settlement_may_leave_more_entries_and_what_is_owed_for_it(self, store: Store) -> None:
        (delivery,) = await self.owed(store, "a")
        alert = self.delivery_of(self.run_of(99), "alert", type="delivery.exhausted", endpoint_id="ep_ops")
        settlement = self.settlement_of(delivery, "dead", also=(self.entry("delivery.exhausted"),), deliveries=(alert,))
        await store.queue.heartbeat("process_me", NOW, NOW + 100)
        number = await store.queue.settle(settlement)
        page = await store.log.entries_after(MINE, delivery.run_id, number - 1)
        assert page is not None
        assert [(entry.number, entry.kind) for entry in page.entries] == [
            (number, "delivery.dead"),
            (number + 1, "delivery.exhausted"),
        ]
        await store.queue.heartbeat(YOU, NOW, NOW + 10)
        claims = await store.queue.claim_due(YOU, NOW, lanes=HTTP, limit=9)
        assert [claim.delivery for claim in claims] == [alert], "it is on nobody's lease"
