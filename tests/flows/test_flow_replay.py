"""Dead letters sent again: one, or what a filter takes; to where they were to go, or to another URL."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from riverflow.testing import FakeClock, serve

from .backend import SUCCESS, Backend, Reaction
from .receivers import receiver
from .world import EVENT, KEY, SECRET, World, movie_workflow, open_world

pytestmark = pytest.mark.anyio

PLAIN = [movie_workflow(event_name=None)]
COMPLETED = "task.completed"
ONCE: dict[str, Any] = {"retry": {"delays": [0]}}
DOWN = Reaction(status=500)


async def _dead(world: World, **fields: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """A run whose delivery was given up: the run, and the delivery as it is listed."""
    accepted = await world.submit(**fields)
    await world.wrote(accepted, "delivery.exhausted")
    (delivery,) = await _listed(world, run=accepted["channel_id"])
    return accepted, delivery


async def _listed(world: World, **asked: Any) -> list[dict[str, Any]]:
    answer = await world.http.get("/v1/deliveries", params=asked)
    assert answer.status_code == 200, answer.text
    listed: list[dict[str, Any]] = answer.json()["data"]
    return listed


async def _replay(world: World, delivery: dict[str, Any], **body: Any) -> dict[str, Any]:
    answer = await world.http.post(f"/v1/deliveries/{delivery['id']}/replay", json=body)
    assert answer.status_code == 200, answer.text
    again: dict[str, Any] = answer.json()
    return again


async def test_one_is_sent_again(tmp_path: Path) -> None:
    async with (
        open_world(tmp_path, answerer="none", workflows=PLAIN) as world,
        receiver(world, COMPLETED, **ONCE) as up,
    ):
        up.backend.plan(COMPLETED, DOWN, Reaction())
        accepted, delivery = await _dead(world)
        assert (delivery["status"], delivery["replayable"]) == ("dead", True)
        again = await _replay(world, delivery)
        assert (again["id"], again["url"], again["attempt"]) == (delivery["id"], delivery["url"], 1)
        said = await world.wrote(accepted, "delivery.attempted", 2)
        assert said["outcome"] == "delivered"
        first, second = up.backend.received
        assert first.key == second.key, "the same idempotency key"
        assert first.raw == second.raw
        replayed = await world.wrote(accepted, "delivery.replayed")
        assert (replayed["delivery_id"], replayed["was"], replayed["url"]) == (delivery["id"], "dead", delivery["url"])
        assert (await _listed(world, run=accepted["channel_id"]))[0]["status"] == "delivered"


async def test_its_schedule_begins_anew(tmp_path: Path) -> None:
    twice: dict[str, Any] = {"retry": {"delays": [0, 3]}}
    async with (
        open_world(tmp_path, answerer="none", workflows=PLAIN) as world,
        receiver(world, COMPLETED, **twice) as up,
    ):
        up.backend.plan(COMPLETED, DOWN)
        accepted = await world.submit()
        await world.wrote(accepted, "delivery.attempted", 1)
        await world.clock.advance(3.01)
        await world.wrote(accepted, "delivery.exhausted", 1)
        await _replay(world, (await _listed(world))[0])
        await world.wrote(accepted, "delivery.attempted", 3)
        await world.clock.advance(3.01)
        await world.wrote(accepted, "delivery.exhausted", 2)
        attempts = [entry["attempt"] for entry in await world.timeline(accepted) if "attempted" in entry["kind"]]
        assert attempts == [1, 2, 1, 2]


async def test_to_another_url_that_is_an_endpoint_it_signs_with_its_secret(tmp_path: Path) -> None:
    async with (
        open_world(tmp_path, answerer="none", workflows=PLAIN) as world,
        receiver(world, COMPLETED, **ONCE) as down,
        receiver(world, "nothing.of.this") as laptop,
    ):
        down.backend.plan(COMPLETED, DOWN)
        accepted, delivery = await _dead(world)
        again = await _replay(world, delivery, url=laptop.url)
        assert (again["endpoint_id"], again["url"]) == (laptop.id, laptop.url)
        said = await world.wrote(accepted, "delivery.attempted", 2)
        assert (said["outcome"], said["endpoint_id"], said["url"]) == ("delivered", laptop.id, laptop.url)
        assert laptop.backend.received[0].key == down.backend.received[0].key
        assert laptop.backend.received[0].raw == down.backend.received[0].raw


async def test_to_any_other_url_it_signs_with_the_secret_of_the_setting(tmp_path: Path) -> None:
    laptop = Backend(KEY, SECRET)
    async with (
        open_world(tmp_path, answerer="none", workflows=PLAIN, webhook_secret=SECRET) as world,
        receiver(world, COMPLETED, **ONCE) as down,
        serve(laptop.app) as origin,
    ):
        down.backend.plan(COMPLETED, DOWN)
        accepted, delivery = await _dead(world)
        again = await _replay(world, delivery, url=f"{origin}/webhooks/ai")
        assert again["endpoint_id"] is None
        assert (await world.wrote(accepted, "delivery.attempted", 2))["outcome"] == "delivered"
        assert len(laptop.received) == 1


async def test_a_hand_off_of_a_run_that_is_over(tmp_path: Path) -> None:
    """It can be told again; its answer is refused, for nobody waits for it any more."""
    async with open_world(tmp_path, endpoint={"id": "ep_backend"}) as world:
        world.backend.plan(EVENT, DOWN, DOWN, DOWN, DOWN, Reaction(SUCCESS))
        accepted = await world.submit()
        await world.wrote(accepted, "delivery.attempted")
        await world.clock.leap(300)
        assert await world.ended(accepted) == "run.failed"
        (delivery,) = await _listed(world, status="expired")
        assert delivery["channel_id"] == accepted["channel_id"]
        world.backend.plan(EVENT, Reaction(SUCCESS))
        await _replay(world, delivery)
        while not world.backend.callbacks:
            await world.clock.advance(0)
        assert [answer.status_code for answer in world.backend.callbacks] == [410]
        assert (await world.state(accepted))["status"] == "error"


async def test_a_handler_s_delivery_is_sent_again_and_can_go_to_a_url(tmp_path: Path) -> None:
    told: list[str] = []

    async def broken(event: Any) -> None:
        told.append(event.idempotency_key)
        raise RuntimeError("broken")

    handlers = {COMPLETED: broken}
    laptop = Backend(KEY, SECRET)
    settings: dict[str, Any] = {"retry": "0", "webhook_secret": SECRET}
    async with (
        open_world(tmp_path, answerer="none", workflows=PLAIN, handlers=handlers, **settings) as world,
        serve(laptop.app) as origin,
    ):
        accepted, delivery = await _dead(world)
        await _replay(world, delivery)
        await world.wrote(accepted, "delivery.exhausted", 2)
        assert told == [delivery["id"]] * 2
        await _replay(world, delivery, url=f"{origin}/webhooks/ai")
        assert (await world.wrote(accepted, "delivery.attempted", 3))["outcome"] == "delivered"
        assert laptop.received[0].key == delivery["id"]


async def test_what_a_filter_takes_oldest_first(tmp_path: Path) -> None:
    async with (
        open_world(tmp_path, answerer="none", workflows=PLAIN) as world,
        receiver(world, COMPLETED, **ONCE, concurrency=1) as down,
    ):
        down.backend.plan(COMPLETED, DOWN)
        runs = []
        for _ in range(4):
            runs.append((await _dead(world))[0])
            await world.clock.advance(10)
        down.backend.plan(COMPLETED, Reaction())
        since, until = world.clock.now() - 35, world.clock.now() - 5
        body = {"filter": {"endpoint": down.id, "since": since, "until": until}}
        done = (await world.http.post("/v1/deliveries/replay", json=body)).json()
        assert (len(done["replayed"]), done["skipped"], done["has_more"]) == (3, {}, False)
        for accepted in runs[1:]:
            assert (await world.wrote(accepted, "delivery.attempted", 2))["outcome"] == "delivered"
        assert [each.payload["channel_id"] for each in down.backend.received[4:]] == [
            accepted["channel_id"] for accepted in runs[1:]
        ]
        assert [each["channel_id"] for each in await _listed(world, status="dead")] == [runs[0]["channel_id"]]


async def test_a_few_at_a_time(tmp_path: Path) -> None:
    async with (
        open_world(tmp_path, answerer="none", workflows=PLAIN) as world,
        receiver(world, COMPLETED, **ONCE) as down,
    ):
        down.backend.plan(COMPLETED, DOWN)
        for _ in range(3):
            await _dead(world)
        down.backend.plan(COMPLETED, Reaction())
        body: dict[str, Any] = {"filter": {}, "limit": 2}
        counts = []
        for _ in range(2):
            done = (await world.http.post("/v1/deliveries/replay", json=body)).json()
            counts.append((len(done["replayed"]), done["has_more"]))
        assert counts == [(2, True), (1, False)]


async def test_what_cannot_be_sent_is_said(tmp_path: Path) -> None:
    async with (
        open_world(tmp_path, answerer="none", workflows=PLAIN) as world,
        receiver(world, COMPLETED, **ONCE) as off,
        receiver(world, COMPLETED, retry="modelriver") as trying,
    ):
        off.backend.plan(COMPLETED, DOWN)
        trying.backend.plan(COMPLETED, DOWN)
        accepted = await world.submit()
        await world.wrote(accepted, "delivery.attempted", 2)
        by_endpoint = {each["endpoint_id"]: each for each in await _listed(world, run=accepted["channel_id"])}
        post = world.http.post
        pending = await post(f"/v1/deliveries/{by_endpoint[trying.id]['id']}/replay", json={})
        assert (pending.status_code, pending.json()["error"]["code"]) == (409, "not_replayable")
        assert "still" in pending.json()["message"]
        await off.change(enabled=False)
        refused = await post(f"/v1/deliveries/{by_endpoint[off.id]['id']}/replay", json={})
        assert refused.status_code == 409
        assert "enable it" in refused.json()["message"]
        done = (await post("/v1/deliveries/replay", json={"filter": {}})).json()
        assert (done["replayed"], list(done["skipped"])) == ([], [by_endpoint[off.id]["id"]])
        elsewhere = await post(f"/v1/deliveries/{by_endpoint[off.id]['id']}/replay", json={"url": off.url})
        assert elsewhere.status_code == 409, "by its URL it is the same endpoint"
        assert (await world.http.delete(f"/console/webhook/{off.id}")).status_code == 200
        refused = await post(f"/v1/deliveries/{by_endpoint[off.id]['id']}/replay", json={})
        assert "deleted" in refused.json()["message"]


async def test_it_waits_in_the_store_for_who_can_send_it(tmp_path: Path) -> None:
    """Sent again, and the process stops before it goes out: the next one sends it."""
    backend, clock = Backend(KEY, SECRET), FakeClock()
    backend.plan(COMPLETED, DOWN, DOWN, Reaction())
    whole: dict[str, Any] = {"workflows": PLAIN, "backend": backend, "clock": clock, "answerer": "asgi"}
    async with open_world(tmp_path, **whole, endpoint={"id": "ep_code", "retry": (0, 60)}) as world:
        accepted = await world.submit()
        while not backend.received:
            await clock.advance(0)
        await clock.advance(0.1)
        await world.wrote(accepted, "delivery.attempted")
    async with open_world(tmp_path, **whole, endpoint={"id": "ep_code", "retry": (0, 60)}) as world:
        await clock.advance(70)
        assert (await world.wrote(accepted, "delivery.attempted"))["outcome"] == "delivered"
