"""What is forgotten, when and on whose word."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from riverflow.config import Settings

from .desk import NOBODY, Desk, Sit, problem

pytestmark = pytest.mark.anyio

HOUR = 3600.0


async def ended(desk: Desk, **fields: Any) -> str:
    channel_id = (await desk.submit("plain", **fields))["channel_id"]
    await desk.until(channel_id, "success")
    return str(channel_id)


async def pass_hours(desk: Desk, hours: float) -> None:
    """Let that time pass; the rounds in it, with their breaths, are done a little later."""
    for _ in range(round(hours * 12)):
        await desk.clock.advance(HOUR / 12)


async def eventually(desk: Desk, holds: Callable[[], Awaitable[bool]]) -> None:
    """Let seconds pass until it holds: a round waits for the store, and between two batches for the clock."""
    for _ in range(200):
        if await holds():
            return
        await desk.clock.advance(1.0)
    raise AssertionError("it never came to be")


async def test_runs_are_forgotten_when_they_are_old_enough(seated: Sit) -> None:
    async with seated(retention_days=3 / 24) as desk:
        old = await ended(desk)
        await pass_hours(desk, 2)
        young = await ended(desk)
        assert (await desk.client.get(f"/v1/ai/{old}")).status_code == 200
        await pass_hours(desk, 2)

        async def gone() -> bool:
            return (await desk.client.get(f"/v1/ai/{old}")).status_code == 404

        await eventually(desk, gone)
        assert (await desk.client.get(f"/v1/ai/{young}")).status_code == 200


async def test_a_run_with_a_dead_letter_stays_as_long_as_that_does(seated: Sit) -> None:
    """A receiver that nobody listens at: its only attempt fails, and can be replayed until its own time is over."""
    async with seated(retention_days=2 / 24, dead_letter_days=6 / 24, retry="0") as desk:
        plain = await ended(desk)
        dead = await ended(desk, webhook_url="http://127.0.0.1:18080/hook")

        async def given_up() -> bool:
            return bool((await desk.client.get("/v1/deliveries?status=dead")).json()["data"])

        async def plain_is_gone() -> bool:
            return (await desk.client.get(f"/v1/ai/{plain}")).status_code == 404

        async def dead_is_gone() -> bool:
            return (await desk.client.get(f"/v1/ai/{dead}")).status_code == 404

        await eventually(desk, given_up)
        await pass_hours(desk, 4)
        await eventually(desk, plain_is_gone)
        assert not await dead_is_gone()
        assert await given_up()
        await pass_hours(desk, 4)
        await eventually(desk, dead_is_gone)
        assert not await given_up()


def test_they_are_kept_for_thirty_days_unless_said_otherwise() -> None:
    assert Settings().retention_days == 30
    assert Settings().dead_letter_days == 30


async def test_payloads_may_go_earlier_than_the_runs(seated: Sit) -> None:
    async with seated(payload_days=1 / 24) as desk:
        channel_id = await ended(
            desk, customer_data={"user": "alice"}, messages=[{"role": "user", "content": "my secret"}]
        )
        await pass_hours(desk, 3)

        async def silent() -> bool:
            return "my secret" not in json.dumps(await desk.entries(channel_id))

        await eventually(desk, silent)
        entries = await desk.entries(channel_id)
        assert [entry["kind"] for entry in entries][-1] == "run.completed"
        listed = (await desk.client.get(f"/v1/requests/{channel_id}")).json()
        assert "my secret" not in json.dumps([entries, listed])
        assert "alice" not in json.dumps([entries, listed])
        assert (await desk.client.get(f"/v1/ai/{channel_id}")).json()["status"] == "success"


async def test_one_run_is_forgotten_on_demand(desk: Desk) -> None:
    one, other = await ended(desk), await ended(desk)
    gone = await desk.client.delete(f"/v1/requests/{one}")
    assert (gone.status_code, gone.json()["purged"]) == (200, 1)
    problem(await desk.client.get(f"/v1/ai/{one}"), 404, "channel_not_found")
    assert (await desk.client.get(f"/v1/ai/{other}")).status_code == 200
    problem(await desk.client.delete(f"/v1/requests/{one}"), 404, "channel_not_found")
    problem(await desk.client.delete(f"/v1/requests/{NOBODY}"), 404, "channel_not_found")


async def test_a_waiting_run_is_cancelled_and_forgotten(desk: Desk) -> None:
    channel_id = (await desk.submit("movie"))["channel_id"]
    await desk.until(channel_id, "ai_generated")
    assert (await desk.client.delete(f"/v1/requests/{channel_id}")).status_code == 200
    answered = await desk.client.post(f"/v1/callback/{channel_id}", json={"data": {}})
    problem(answered, 404, "channel_not_found")


async def test_all_runs_of_a_customer_are_forgotten(desk: Desk) -> None:
    mine = [await ended(desk, customer_data={"user": "alice", "n": n}) for n in range(3)]
    other = await ended(desk, customer_data={"user": "bob"})
    gone = await desk.client.post("/v1/purge", json={"customer_data": {"user": "alice"}})
    assert (gone.status_code, gone.json()["purged"]) == (200, 3)
    for channel_id in mine:
        problem(await desk.client.get(f"/v1/ai/{channel_id}"), 404, "channel_not_found")
    assert (await desk.client.get(f"/v1/ai/{other}")).status_code == 200
    problem(await desk.client.post("/v1/purge", json={"customer_data": {}}), 422, "one_member_required")
