"""Operational events: told to who names them, as webhooks, handlers and hook entries; and never of one another."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from riverflow.testing import ScriptedProvider

from .backend import FAILURE, Reaction
from .receivers import Receiver, receiver
from .world import EVENT, World, movie_workflow, open_world

pytestmark = pytest.mark.anyio

DOWN = Reaction(status=503)
PLAIN = [movie_workflow(event_name=None)]
COMPLETED = "task.completed"
OPERATIONS = ("callback.overdue", "delivery.exhausted", "endpoint.disabled", "run.failed")


async def _told(world: World, ops: Receiver, count: int = 1) -> list[dict[str, Any]]:
    """Wait until the operator's receiver has so many messages: their payloads. (A run's own timeline tells of them.)"""
    while len(ops.backend.received) < count:
        await world.clock.advance(0)
    return [each.payload for each in ops.backend.received]


async def _kinds(world: World, accepted: dict[str, Any]) -> list[str]:
    return [entry["kind"] for entry in await world.timeline(accepted)]


async def test_a_delivery_that_was_given_up(tmp_path: Path) -> None:
    once = {"retry": [0, 1], "id": "ep_backend"}
    async with (
        open_world(tmp_path, workflows=PLAIN, endpoint=once) as world,
        receiver(world, "delivery.exhausted") as ops,
    ):
        world.backend.plan(COMPLETED, Reaction(status=500, headers={"retry-after": "0"}))
        accepted = await world.submit()
        await world.wrote(accepted, "delivery.attempted", 1)
        await world.clock.advance(1.2)
        entry = await world.wrote(accepted, "delivery.exhausted")
        (told,) = await _told(world, ops)
        assert told["type"] == "delivery.exhausted"
        assert told["channel_id"] == accepted["channel_id"]
        assert told["data"] == entry
        assert (entry["endpoint_id"], entry["type"], entry["status"], entry["attempts"]) == (
            "ep_backend",
            COMPLETED,
            500,
            2,
        )
        assert set(told) == {"type", "timestamp", "channel_id", "data"}
        message = ops.backend.received[0]
        assert message.headers["mr-channel-id"] == accepted["channel_id"]
        assert "." not in message.key
        assert len(ops.backend.received) == 1


async def test_a_run_that_failed_and_a_callback_that_did_not_come(tmp_path: Path) -> None:
    async with (
        open_world(tmp_path) as world,
        receiver(world, "run.failed", "callback.overdue") as ops,
        receiver(world, "task.failed") as tenant,
    ):
        accepted = await world.submit()
        await world.wrote(accepted, "delivery.attempted")
        await world.clock.advance(300)
        assert await world.ended(accepted) == "run.failed"
        told = {each["type"]: each["data"] for each in await _told(world, ops, 2)}
        assert told["callback.overdue"]["stage"] == "enrich"
        assert told["callback.overdue"]["event"] == EVENT
        assert told["callback.overdue"]["deadline_at"]
        assert told["run.failed"]["error"]["code"] == "callback_timeout"
        assert {data["channel_id"] for data in told.values()} == {accepted["channel_id"]}
        (failed,) = await _told(world, tenant)
        assert (failed["type"], failed["error"]["code"]) == ("task.failed", "callback_timeout")
        assert "callback.timed_out" in await _kinds(world, accepted)


@pytest.mark.parametrize("how", ["the provider", "the backend", "cancelling"])
async def test_every_way_to_fail_is_told(tmp_path: Path, how: str) -> None:
    provider = ScriptedProvider(OSError("down")) if how == "the provider" else None
    async with open_world(tmp_path, provider=provider) as world, receiver(world, "run.failed", COMPLETED) as ops:
        world.backend.plan(EVENT, Reaction(FAILURE) if how == "the backend" else Reaction())
        accepted = await world.submit()
        if how == "cancelling":
            await world.wrote(accepted, "delivery.attempted")
            assert (await world.http.post(f"/v1/ai/{accepted['channel_id']}/cancel")).status_code == 200
        while not (world.watch.entries.get(accepted["channel_id"]) or ())[-1:] or "run.failed" not in [
            entry.kind for entry in world.watch.entries[accepted["channel_id"]]
        ]:
            await world.clock.advance(5)
        (told,) = await _told(world, ops)
        codes = {"the backend": "processing_failed", "cancelling": "cancelled"}
        assert told["type"] == "run.failed"
        assert told["data"]["error"]["code"] == codes.get(how, told["data"]["error"]["code"])


async def test_who_does_not_name_them_is_not_told(tmp_path: Path) -> None:
    async with (
        open_world(tmp_path, endpoint={"retry": [0]}) as world,
        receiver(world) as all_hand_offs,
        receiver(world, "*") as everything,
        receiver(world, *OPERATIONS, enabled=False) as off,
        receiver(world, "run.failed") as ops,
    ):
        world.backend.plan(EVENT, Reaction(status=400))
        for each in (all_hand_offs, everything):
            each.backend.plan(EVENT, Reaction(FAILURE))
        accepted = await world.submit()
        assert await world.ended(accepted) == "run.failed"
        await _told(world, ops)
        await world.clock.advance(60)
        for each in (all_hand_offs, everything, off):
            assert not [one for one in each.backend.received if one.payload["type"] in OPERATIONS]


async def test_nothing_is_told_of_what_becomes_of_them(tmp_path: Path) -> None:
    """No loop: an operator's receiver that is down is not told of itself, nor is anybody else."""
    async with (
        open_world(tmp_path, workflows=PLAIN, endpoint={"retry": [0]}) as world,
        receiver(world, *OPERATIONS, retry=[0, 1]) as ops,
        receiver(world, *OPERATIONS) as other,
    ):
        world.backend.plan(COMPLETED, Reaction(status=400, headers={"retry-after": "0"}))
        ops.backend.plan("delivery.exhausted", Reaction(status=500, headers={"retry-after": "0"}))
        accepted = await world.submit()
        await world.wrote(accepted, "delivery.exhausted")
        await _told(world, ops)
        await world.wrote(accepted, "delivery.attempted", 3)
        await world.clock.advance(1.2)
        await world.wrote(accepted, "delivery.exhausted", 2)
        await world.clock.advance(3600)
        assert [each.payload["type"] for each in ops.backend.received] == ["delivery.exhausted"] * 2
        assert [each.payload["type"] for each in other.backend.received] == ["delivery.exhausted"]
        listed = (await world.http.get("/v1/deliveries", params={"event": "delivery.exhausted"})).json()["data"]
        assert sorted(each["status"] for each in listed) == ["dead", "delivered"]


async def test_a_handler_may_stand_in_for_an_operator_s_receiver(tmp_path: Path) -> None:
    told: list[Any] = []

    async def note(event: Any) -> None:
        told.append(event)

    handlers = {"run.failed": note, "callback.overdue": note, "delivery.exhausted": note}
    async with open_world(tmp_path, handlers=handlers, endpoint={"retry": [0]}) as world:
        world.backend.plan(EVENT, Reaction(status=400, headers={"retry-after": "0"}))
        accepted = await world.submit()
        await world.wrote(accepted, "delivery.exhausted")
        await world.clock.advance(300)
        assert await world.ended(accepted) == "run.failed"
        while len(told) < 3:
            await world.clock.advance(0)
        assert {event.name for event in told} == {"delivery.exhausted", "callback.overdue", "run.failed"}
        assert {event.channel_id for event in told} == {accepted["channel_id"]}
        assert next(event for event in told if event.name == "run.failed").data["error"]["code"] == "callback_timeout"


async def test_they_are_owed_like_any_other_delivery(tmp_path: Path) -> None:
    """Written with what they tell of, so that a restart forgets none; tried again until they arrive."""
    endpoint = {"retry": [0], "id": "ep_backend"}
    operator = {"handlers": {}, "workflows": PLAIN, "endpoint": endpoint}
    calls: list[int] = []

    async def fails_first(event: Any) -> None:
        calls.append(event.attempt)
        if event.attempt == 1:
            raise RuntimeError("not yet")

    operator["handlers"] = {"delivery.exhausted": fails_first}
    async with open_world(tmp_path, **operator) as world:
        world.backend.plan(COMPLETED, Reaction(status=400, headers={"retry-after": "0"}))
        accepted = await world.submit()
        await world.wrote(accepted, "delivery.attempted", 2)
        clock = world.clock
    async with open_world(tmp_path, **operator, clock=clock) as world:
        await clock.advance(5)
        await world.wrote(accepted, "delivery.attempted", 1)
    assert calls == [1, 2]
