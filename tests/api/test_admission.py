"""Admission: when too much is waiting, new requests are refused at once, and taken again when it is less."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from riverflow import Workflow, hookimpl
from riverflow._admission import LOOK_AGAIN, Admission
from riverflow.errors import Overloaded, StoreUnavailable
from riverflow.ports import Context
from riverflow.testing import FakeClock, ScriptedProvider

from .desk import Desk, Sit, problem

pytestmark = pytest.mark.anyio


class Gated:
    """A provider that answers when it is let."""

    def __init__(self) -> None:
        self.open, self.begun = asyncio.Event(), asyncio.Semaphore(0)
        self._provider = ScriptedProvider(self._wait)

    async def _wait(self, request: Any) -> Any:
        self.begun.release()
        await self.open.wait()
        return "done"

    @hookimpl
    def riverflow_providers(self) -> Mapping[str, Callable[[Context], Any]]:
        return {"gated": lambda context: self._provider}


SLOW = Workflow(name="slow", provider="gated", model="m")


async def submit(desk: Desk) -> Any:
    return await desk.client.post("/v1/ai/async", json={"workflow": "slow"})


async def test_over_the_backlog_bound_a_request_is_503_and_later_taken_again(seated: Sit) -> None:
    gate = Gated()
    async with seated(plugins=[gate], workflows=[SLOW], concurrency=2, max_backlog=3) as desk:
        taken = [await submit(desk) for _ in range(5)]  # two are worked on, three wait
        assert [answer.status_code for answer in taken] == [200] * 5
        for _ in range(3):
            refused = await submit(desk)
            assert problem(refused, 503, "backlog_full")["error"]["type"] == "service_unavailable_error"
            assert refused.headers["retry-after"] == "5"
        assert (await desk.client.get("/console/workflow")).status_code == 200
        assert (await desk.client.get(f"/v1/ai/{taken[4].json()['channel_id']}")).status_code == 200
        gate.open.set()
        for answer in taken:  # nothing that was accepted is lost
            await desk.until(answer.json()["channel_id"], "success")
        await desk.clock.advance(LOOK_AGAIN)
        assert (await submit(desk)).status_code == 200


async def test_over_the_bound_of_running_stages_a_request_is_503(seated: Sit) -> None:
    gate = Gated()
    async with seated(plugins=[gate], workflows=[SLOW], max_running=2) as desk:
        taken = [await submit(desk) for _ in range(2)]
        for _ in taken:
            await gate.begun.acquire()
        refused = await submit(desk)
        problem(refused, 503, "too_many_running")
        assert refused.headers["retry-after"] == "5"
        gate.open.set()
        for answer in taken:
            await desk.until(answer.json()["channel_id"], "success")
        assert (await submit(desk)).status_code == 200


async def test_a_repetition_is_answered_whatever_the_load(seated: Sit) -> None:
    gate = Gated()
    async with seated(plugins=[gate], workflows=[SLOW], max_running=1) as desk:
        keyed = {"headers": {"idempotency-key": "one"}, "json": {"workflow": "slow"}}
        first = await desk.client.post("/v1/ai/async", **keyed)
        await gate.begun.acquire()
        again = await desk.client.post("/v1/ai/async", **keyed)
        assert again.json()["channel_id"] == first.json()["channel_id"]
        other = {**keyed, "headers": {"idempotency-key": "two"}}
        problem(await desk.client.post("/v1/ai/async", **other), 503, "too_many_running")
        gate.open.set()
        await desk.until(first.json()["channel_id"], "success")
        assert (await desk.client.post("/v1/ai/async", **other)).status_code == 200


async def test_from_python_it_is_an_error_that_may_be_tried_again(seated: Sit) -> None:
    gate = Gated()
    async with seated(plugins=[gate], workflows=[SLOW], max_running=1) as desk:
        await desk.river.submit(workflow="slow")
        await gate.begun.acquire()
        with pytest.raises(Overloaded) as refused:
            await desk.river.submit(workflow="slow")
        assert refused.value.retryable
        assert refused.value.retry_after == 5
        gate.open.set()


# The bounds themselves --------------------------------------------------------------------------------------


class Store:
    """A backlog that is counted."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.backlog, self.asked, self.room, self.running, self.broken = 0, 0, 0, 0, False

    async def count(self) -> int:
        self.asked += 1
        if self.broken:
            raise StoreUnavailable("locked")
        return self.backlog

    def admission(self, max_backlog: int = 10, max_running: int = 0) -> Admission:
        return Admission(
            max_backlog=max_backlog,
            max_running=max_running,
            room=lambda: self.room,
            running=lambda: self.running,
            backlog=self.count,
            monotonic=self.clock.monotonic,
        )


async def is_taken(admission: Admission) -> bool:
    """As the engine asks."""
    try:
        if not admission.at_ease:
            await admission.check()
    except Overloaded:
        return False
    return True


async def test_while_there_is_room_the_store_is_not_asked() -> None:
    store = Store()
    store.room, store.backlog = 1, 1000
    admission = store.admission()
    for _ in range(100):
        assert await is_taken(admission)
    assert store.asked == 0


async def test_the_store_is_asked_once_a_second_however_many_come() -> None:
    store = Store()
    admission = store.admission()
    store.backlog = 10
    for _ in range(3):
        for _ in range(100):
            assert not await is_taken(admission)
        await store.clock.advance(LOOK_AGAIN)
    assert store.asked == 3


async def test_what_is_queued_between_two_looks_counts() -> None:
    store = Store()
    admission = store.admission(max_backlog=5)
    taken = 0
    while await is_taken(admission):
        admission.queued()
        taken += 1
    assert taken == 5


async def test_once_it_refuses_nobody_slips_in_before_those_who_wait() -> None:
    store = Store()
    store.backlog = 10
    admission = store.admission()
    assert not await is_taken(admission)
    store.room = 1
    assert not await is_taken(admission)
    store.backlog = 9
    await store.clock.advance(LOOK_AGAIN)
    assert await is_taken(admission)
    assert admission.at_ease


async def test_a_store_that_does_not_answer_leaves_the_last_number() -> None:
    store = Store()
    store.backlog = 10
    admission = store.admission()
    assert not await is_taken(admission)
    store.broken = True
    await store.clock.advance(LOOK_AGAIN)
    assert not await is_taken(admission)
    store.broken, store.backlog = False, 0
    await store.clock.advance(LOOK_AGAIN)
    assert await is_taken(admission)
