"""A handler in the process is called while its run is on the process's lease: nothing is owed for it unless it goes
wrong, and nothing is lost when it does."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from riverflow import Event, Stage
from riverflow._payloads import iso
from riverflow.builtin.sqlite.log import SqliteLog
from riverflow.errors import HandlerError, StoreUnavailable
from riverflow.models import Append
from riverflow.testing import FakeClock

from .backend import SUCCESS, Backend, Reaction
from .world import EVENT, KEY, SECRET, SetClock, World, movie_workflow, open_world

pytestmark = pytest.mark.anyio

DOWN = Reaction(status=503)


class Worker:
    """A handler that is at work until it is let go; `stubborn`: even when it is cancelled."""

    def __init__(self, *, stubborn: bool = False) -> None:
        self.stubborn = stubborn
        self.events: list[Event] = []
        self.begun = asyncio.Event()
        self.released = asyncio.Event()

    async def __call__(self, event: Event) -> dict[str, Any]:
        self.events.append(event)
        self.begun.set()
        while True:
            try:
                await self.released.wait()
            except asyncio.CancelledError:
                if not self.stubborn:
                    raise
            else:
                return {"by": f"attempt {event.attempt}"}


async def listed(world: World) -> list[tuple[str, str, int]]:
    """The deliveries that there are: where to, how they stand, and after how many attempts."""
    page = (await world.http.get("/v1/deliveries")).json()
    return [(each["url"], each["status"], each["attempt"]) for each in page["data"]]


async def shown(world: World, accepted: dict[str, Any]) -> dict[str, Any]:
    """The whole request, as a page has it."""
    answer = await world.http.get(f"/v1/requests/{accepted['channel_id']}")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def test_what_goes_well_is_in_the_log_and_on_the_page_and_no_delivery(tmp_path: Path) -> None:
    backend = Backend(KEY, SECRET)
    backend.plan(EVENT, Reaction(SUCCESS))
    async with open_world(tmp_path, answerer="handler", backend=backend) as world:
        accepted = await world.submit()
        assert await world.ended(accepted) == "run.completed"
        attempted = await world.wrote(accepted, "delivery.attempted")
        assert (attempted["outcome"], attempted["url"]) == ("delivered", f"local:{EVENT}")
        assert await listed(world) == []
        (told,) = (await shown(world, accepted))["deliveries"]
    assert (told["url"], told["status"], told["owed"]) == (f"local:{EVENT}", "delivered", False)
    assert [each["outcome"] for each in told["attempts"]] == ["delivered"]
    sent = backend.received[0].payload
    assert told["body"] == sent | {"callback_token": "rcb_***"}
    assert sent["callback_token"] not in str(told)


async def test_while_it_is_at_work_the_page_says_so(tmp_path: Path) -> None:
    worker = Worker()
    async with open_world(tmp_path, answerer="none", handlers={EVENT: worker}) as world:
        accepted = await world.submit(callback_timeout=20)
        await worker.begun.wait()
        found = await shown(world, accepted)
        worker.released.set()
        assert await world.ended(accepted) == "run.completed"
    assert found["why"] == f"In enrich: the handler for {EVENT} is running, 20 s left."
    (told,) = found["deliveries"]
    assert (told["status"], told["attempts"], told["owed"]) == ("pending", [], False)
    assert [stage["state"] for stage in found["stages"]] == ["done", "running", "ahead"]


async def test_what_fails_is_owed_from_then_on(tmp_path: Path) -> None:
    backend = Backend(KEY, SECRET)
    backend.plan(EVENT, DOWN, Reaction(SUCCESS))
    async with open_world(tmp_path, answerer="handler", backend=backend) as world:
        accepted = await world.submit()
        await world.wrote(accepted, "delivery.attempted")
        assert await listed(world) == [(f"local:{EVENT}", "pending", 2)]
        await world.clock.wait_for_sleepers()
        await world.clock.advance(5)
        assert await world.ended(accepted) == "run.completed"
        assert await listed(world) == [(f"local:{EVENT}", "delivered", 2)]
        (told,) = (await shown(world, accepted))["deliveries"]
    assert [each["outcome"] for each in told["attempts"]] == ["retrying", "delivered"]
    assert [(each.attempt, each.key) for each in backend.received] == [(1, backend.received[0].key), (2, told["id"])]


async def test_what_is_given_up_is_a_dead_letter_that_can_be_sent_again(tmp_path: Path) -> None:
    backend = Backend(KEY, SECRET)
    backend.plan(EVENT, DOWN, Reaction(SUCCESS))
    async with open_world(tmp_path, answerer="handler", backend=backend, retry=(0,)) as world:
        accepted = await world.submit()
        await world.wrote(accepted, "delivery.exhausted")
        page = (await world.http.get("/v1/deliveries", params={"status": "dead"})).json()["data"]
        assert page[0]["url"] == f"local:{EVENT}"
        again = await world.http.post(f"/v1/deliveries/{page[0]['id']}/replay", json={})
        assert again.status_code == 200, again.text
        assert await world.ended(accepted) == "run.completed"


async def test_an_answer_that_is_put_off_is_taken_from_the_callback(tmp_path: Path) -> None:
    backend = Backend(KEY, SECRET)
    backend.plan(EVENT, Reaction())
    async with open_world(tmp_path, answerer="handler", backend=backend) as world:
        accepted = await world.submit(callback_timeout=20)
        await world.wrote(accepted, "delivery.attempted")
        assert "answers later" in (await shown(world, accepted))["why"]
        assert await listed(world) == []
        assert (await world.call_back(accepted, SUCCESS)).status_code == 200
        assert await world.ended(accepted) == "run.completed"
        late = await world.submit(callback_timeout=20)
        await world.wrote(late, "delivery.attempted")
        await world.clock.wait_for_sleepers()
        await world.clock.advance(20)
        assert await world.ended(late) == "run.failed"


async def test_a_callback_may_come_before_the_handler_has_ended(tmp_path: Path) -> None:
    worker = Worker()
    async with open_world(tmp_path, answerer="none", handlers={EVENT: worker}) as world:
        accepted = await world.submit()
        await worker.begun.wait()
        assert (await world.call_back(accepted, SUCCESS)).status_code == 200
        assert await world.ended(accepted) == "run.completed"
        worker.released.set()
        await world.wrote(accepted, "delivery.attempted")
        assert (await world.state(accepted))["data"] == SUCCESS["data"]
        assert await listed(world) == []


@pytest.mark.parametrize("fails", [False, True], ids=["answers", "fails"])
async def test_more_time_is_given_to_a_handler_by_whoever_asks_for_it(tmp_path: Path, fails: bool) -> None:
    worker = Worker(stubborn=True)

    async def handler(event: Event) -> dict[str, Any]:
        answer = await worker(event)
        if fails:
            raise HandlerError("not today")
        return answer

    async with open_world(tmp_path, answerer="none", handlers={EVENT: handler}) as world:
        accepted = await world.submit(callback_timeout=20)
        await worker.begun.wait()
        heartbeat = f"/v1/callback/{accepted['channel_id']}/heartbeat"
        await world.clock.advance(10)
        assert (await world.http.post(heartbeat, json={"extend": 30})).status_code == 200
        await world.clock.wait_for_sleepers()
        await world.clock.advance(15)
        assert (await world.state(accepted))["status"] == "ai_generated"
        if not fails:
            worker.released.set()
            assert await world.ended(accepted) == "run.completed"
            return
        await world.clock.wait_for_sleepers()
        await world.clock.advance(15)
        assert await world.ended(accepted) == "run.failed"
        worker.released.set()
        await world.wrote(accepted, "delivery.attempted")
        assert await listed(world) == []


async def test_a_handler_that_does_not_let_itself_be_stopped_is_timed_out(tmp_path: Path) -> None:
    worker = Worker(stubborn=True)
    async with open_world(tmp_path, answerer="none", handlers={EVENT: worker}) as world:
        accepted = await world.submit(callback_timeout=20)
        await worker.begun.wait()
        await world.clock.wait_for_sleepers()
        await world.clock.advance(19.9)
        assert (await world.state(accepted))["status"] == "ai_generated"
        await world.clock.wait_for_sleepers()
        await world.clock.advance(0.2)
        assert await world.ended(accepted) == "run.failed"
        assert "had not come to its end" in (await world.state(accepted))["error"]["message"]
        worker.released.set()
        await world.wrote(accepted, "delivery.attempted")
        assert (await world.timeline(accepted))[-1]["kind"] == "delivery.attempted"


async def test_a_stop_is_no_attempt_and_the_next_process_calls_again(tmp_path: Path) -> None:
    worker, clock = Worker(), FakeClock()
    whole: dict[str, Any] = {"answerer": "none", "handlers": {EVENT: worker}, "clock": clock, "drain_timeout": 0.02}
    async with open_world(tmp_path, **whole) as world:
        accepted = await world.submit()
        await worker.begun.wait()
    worker.released.set()
    async with open_world(tmp_path, **whole) as world:
        assert await world.ended(accepted) == "run.completed"
        kinds = [entry["kind"] for entry in await world.timeline(accepted)]
    assert "stage.interrupted" in kinds
    assert [event.attempt for event in worker.events] == [1, 1]
    assert len({event.idempotency_key for event in worker.events}) == 1


async def test_a_process_that_has_no_such_handler_leaves_it_to_one_that_has(tmp_path: Path) -> None:
    worker, clock = Worker(), FakeClock()
    whole: dict[str, Any] = {"answerer": "none", "clock": clock, "drain_timeout": 0.02}
    async with open_world(tmp_path, handlers={EVENT: worker}, **whole) as world:
        accepted = await world.submit()
        await worker.begun.wait()
    async with open_world(tmp_path, **whole) as world:
        while not (owed := await listed(world)):
            await clock.advance(0.1)
        assert owed == [(f"local:{EVENT}", "pending", 1)]
    worker.released.set()
    async with open_world(tmp_path, handlers={EVENT: worker}, **whole) as world:
        assert await world.ended(accepted) == "run.completed"
    assert [event.attempt for event in worker.events] == [1, 1]


async def test_a_stop_is_no_attempt_though_somebody_else_has_written_to_the_run(tmp_path: Path) -> None:
    worker, clock = Worker(), FakeClock()
    whole: dict[str, Any] = {"answerer": "none", "clock": clock, "drain_timeout": 0.02}
    async with open_world(tmp_path, **whole) as other:
        async with open_world(tmp_path, handlers={EVENT: worker}, **whole) as world:
            accepted = await world.submit()
            await worker.begun.wait()
            told = await other.http.post(f"/v1/callback/{accepted['channel_id']}/progress", json={"percent": 50})
            assert told.status_code == 200, told.text
        worker.released.set()
        async with open_world(tmp_path, handlers={EVENT: worker}, **whole) as world:
            assert await world.ended(accepted) == "run.completed"
    assert [event.attempt for event in worker.events] == [1, 1]


async def test_time_that_cannot_be_written_down_does_not_take_the_run_from_its_handler(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker, append = Worker(), SqliteLog.append

    async def full(self: SqliteLog, decision: Append) -> int:
        if "callback.extended" in [entry.kind for entry in decision.entries]:
            raise StoreUnavailable("the disk is full")
        return await append(self, decision)

    async with open_world(tmp_path, answerer="none", handlers={EVENT: worker}) as world:
        accepted = await world.submit(callback_timeout=20)
        await worker.begun.wait()
        monkeypatch.setattr(SqliteLog, "append", full)
        heartbeat = f"/v1/callback/{accepted['channel_id']}/heartbeat"
        assert (await world.http.post(heartbeat, json={})).status_code == 503
        for _ in range(3):
            await world.clock.wait_for_sleepers()
            await world.clock.advance(5)
            assert (await shown(world, accepted))["phase"] == "running"
        worker.released.set()
        assert await world.ended(accepted) == "run.completed"
    assert [event.attempt for event in worker.events] == [1]


RELAY = movie_workflow(
    event_name=None,
    pipeline=(
        Stage(name="generate", kind="generate"),
        Stage.hand_off("first"),
        Stage.hand_off("second"),
        Stage(name="finalise", kind="finalise"),
    ),
)


@pytest.mark.parametrize("ends", ["puts it off", "fails", "answers"])
async def test_a_handler_that_somebody_else_has_answered_for_leaves_the_next_one_alone(
    tmp_path: Path, ends: str
) -> None:
    first, second, clock = Worker(), Worker(), FakeClock()

    async def slow(event: Event) -> Any:
        answer = await first(event)
        if ends == "fails":
            raise HandlerError("too late")
        return event.defer() if ends == "puts it off" else answer

    handlers = {"first": slow, "second": second}
    whole: dict[str, Any] = {"answerer": "none", "workflows": [RELAY], "clock": clock, "drain_timeout": 0.02}
    async with open_world(tmp_path, handlers=handlers, **whole) as world:
        accepted = await world.submit(callback_timeout=20)
        await first.begun.wait()
        await clock.wait_for_sleepers()
        await clock.advance(15)
        assert (await world.call_back(accepted, SUCCESS)).status_code == 200
        await second.begun.wait()
        first.released.set()
        await world.wrote(accepted, "delivery.attempted")
        found = await shown(world, accepted)
        assert (found["phase"], found["stage"]) == ("running", "second")
        status = "expired" if ends == "fails" else "delivered"
        assert [(each["stage"], each["status"]) for each in found["deliveries"]] == [
            ("first", status),
            ("second", "pending"),
        ]
        assert await listed(world) == []
    second.released.set()
    async with open_world(tmp_path, handlers=handlers, **whole) as world:
        assert await world.ended(accepted) == "run.completed"
        assert (await world.state(accepted))["data"] == {"by": "attempt 1"}
    assert [len(each.events) for each in (first, second)] == [1, 2]


async def test_the_next_handler_is_timed_out_though_the_one_before_has_ended_since(tmp_path: Path) -> None:
    first, second = Worker(), Worker(stubborn=True)
    handlers = {"first": first, "second": second}
    async with open_world(tmp_path, answerer="none", handlers=handlers, workflows=[RELAY]) as world:
        accepted = await world.submit(callback_timeout=20)
        await first.begun.wait()
        assert (await world.call_back(accepted, SUCCESS)).status_code == 200
        await second.begun.wait()
        first.released.set()
        await world.wrote(accepted, "delivery.attempted")
        await world.clock.wait_for_sleepers()
        await world.clock.advance(20)
        assert await world.ended(accepted) == "run.failed"
        second.released.set()
        await world.wrote(accepted, "delivery.attempted", 2)


async def test_another_process_gives_it_time_and_does_not_take_it(tmp_path: Path) -> None:
    worker, clock = Worker(), FakeClock()
    shared: dict[str, Any] = {"answerer": "none", "clock": clock, "lease": 60.0}
    async with open_world(tmp_path, handlers={EVENT: worker}, **shared) as one:
        accepted = await one.submit(callback_timeout=20)
        await worker.begun.wait()
        async with open_world(tmp_path, **shared) as two:
            heartbeat = f"/v1/callback/{accepted['channel_id']}/heartbeat"
            assert (await two.http.post(heartbeat, json={"extend": 300})).status_code == 200
            found = await shown(two, accepted)
            assert (found["phase"], found["deadline_at"]) == ("running", iso(clock.now() + 300))
        for _ in range(7):  # what the other one held when it stopped, this one finds within a lease
            await clock.wait_for_sleepers()
            await clock.advance(10)
        worker.released.set()
        assert await one.ended(accepted) == "run.completed"
    assert [event.attempt for event in worker.events] == [1]


async def test_an_answer_after_the_deadline_does_not_count_and_the_run_is_timed_out(tmp_path: Path) -> None:
    worker, clock = Worker(), SetClock()
    async with open_world(tmp_path, answerer="none", handlers={EVENT: worker}, clock=clock) as world:
        accepted = await world.submit(callback_timeout=20)
        await worker.begun.wait()
        clock.set_by = 21.0  # nobody is woken by that
        worker.released.set()
        assert await world.ended(accepted) == "run.failed"
        assert (await world.state(accepted))["error"]["details"]["code"] == "callback_timeout"
        assert "callback.received" not in [entry["kind"] for entry in await world.timeline(accepted)]
