"""Retry policies at work: own lists, jitter, what receivers ask for, one more try at once, edits meanwhile."""

from __future__ import annotations

from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest

from riverflow.errors import ConfigError
from riverflow.retry import PRESETS, RetryPolicy
from riverflow.testing import serve

from .backend import SUCCESS, Backend, Reaction
from .receivers import receiver
from .world import EVENT, KEY, World, movie_workflow, open_world

pytestmark = pytest.mark.anyio

DOWN = Reaction(status=503)
PLAIN = [movie_workflow(event_name=None)]
COMPLETED = "task.completed"


async def _attempts(world: World, accepted: dict[str, Any]) -> list[dict[str, Any]]:
    entries = [entry for entry in await world.timeline(accepted) if entry["kind"] == "delivery.attempted"]
    return [entry["data"] for entry in entries]


async def _failures(world: World, accepted: dict[str, Any], count: int) -> list[float]:
    """Let so many attempts fail: the seconds after which each is followed by the next."""
    waits = []
    for number in range(1, count + 1):
        await world.wrote(accepted, "delivery.attempted", number)
        (pending,) = (await world.http.get("/v1/deliveries", params={"status": "pending"})).json()["data"]
        due_at = await _due_at(world, pending["id"])
        waits.append(due_at - world.clock.now())
        await world.clock.advance(due_at - world.clock.now() - 0.01)
        assert len(await _attempts(world, accepted)) == number, "not before its time"
        await world.clock.advance(0.011)
    await world.wrote(accepted, "delivery.attempted", count + 1)
    return waits


async def _due_at(world: World, delivery_id: str) -> float:
    delivery = await world.river._running.engine._store.queue.delivery(world.river.project_id, delivery_id)  # type: ignore[union-attr]
    assert delivery is not None
    return delivery.due_at


@pytest.mark.parametrize("by", ["setting", "endpoint", "endpoint before setting"])
async def test_an_own_schedule(tmp_path: Path, by: str) -> None:
    own = RetryPolicy(delays=(0, 3, 7))
    settings: dict[str, Any] = {"retry": "fast"} if by == "endpoint before setting" else {}
    endpoint = {"retry": own} if by != "setting" else {}
    if by == "setting":
        settings = {"retry": (0, 3, 7)}
    async with open_world(tmp_path, workflows=PLAIN, endpoint=endpoint, **settings) as world:
        world.backend.plan(COMPLETED, DOWN if by != "setting" else Reaction(status=503, headers={"retry-after": "0"}))
        accepted = await world.submit()
        waits = await _failures(world, accepted, 2)
        if by == "setting":  # in all but its delays a list is like the standard
            assert 3 < waits[0] < 3.3
            assert 7 < waits[1] < 7.7
        else:
            assert waits == pytest.approx([3, 7], abs=0.01)
        attempts = await _attempts(world, accepted)
        assert [said["outcome"] for said in attempts] == ["retrying", "retrying", "dead"]


@pytest.mark.parametrize("name", ["standard", "svix", "fast"])
async def test_jitter_only_adds_and_differs_between_deliveries(tmp_path: Path, name: str) -> None:
    policy = PRESETS[name]
    async with open_world(tmp_path, workflows=PLAIN, endpoint={"retry": name}) as world:
        world.backend.plan(COMPLETED, Reaction(status=503, headers={"retry-after": "0"}))
        waits = []
        for _ in range(6):
            accepted = await world.submit()
            await world.wrote(accepted, "delivery.attempted")
            (delivery, *_) = (await world.http.get("/v1/deliveries", params={"run": accepted["channel_id"]})).json()[
                "data"
            ]
            waits.append(await _due_at(world, delivery["id"]) - world.clock.now())
        least, most = policy.delays[1], policy.delays[1] * (1 + policy.jitter)
        assert all(least <= wait <= most for wait in waits)
        assert len(set(waits)) > 3


@pytest.mark.parametrize(
    ("said", "wait"),
    [
        ("60", 60),
        ("at +90", 90),
        ("2", 5),
        ("at -90", 5),
        ("-60", 5),
        ("in a minute", 5),
        ("9" * 60, 3600),
        ("10, 20", 20),
        ("at +1e8", 3600),
    ],
)
async def test_retry_after_is_honoured_within_bounds(tmp_path: Path, said: str, wait: float) -> None:
    """Security case 28, on the published schedule too: the receiver can only ask for more time."""
    async with open_world(tmp_path, workflows=PLAIN) as world:
        if said.startswith("at "):
            said = formatdate(world.clock.now() + float(said[3:]), usegmt=True)
        world.backend.plan(COMPLETED, Reaction(status=503, headers={"retry-after": said}), Reaction())
        accepted = await world.submit()
        assert await _failures(world, accepted, 1) == [pytest.approx(wait, abs=1)]
        attempts = await _attempts(world, accepted)
        assert [each["outcome"] for each in attempts] == ["retrying", "delivered"]


async def test_what_was_asked_for_is_in_the_timeline(tmp_path: Path) -> None:
    async with open_world(tmp_path, workflows=PLAIN) as world:
        world.backend.plan(COMPLETED, Reaction(status=429, headers={"retry-after": "60"}), Reaction())
        accepted = await world.submit()
        said = await world.wrote(accepted, "delivery.attempted")
        assert (said["status"], said["retry_after"]) == (429, 60)


async def test_the_hosted_schedule_tries_410_again(tmp_path: Path) -> None:
    async with open_world(tmp_path, workflows=PLAIN) as world:
        world.backend.plan(COMPLETED, Reaction(status=410), Reaction())
        accepted = await world.submit()
        assert await _failures(world, accepted, 1) == pytest.approx([5], abs=0.01)
        assert [each["outcome"] for each in await _attempts(world, accepted)] == ["retrying", "delivered"]


async def test_one_more_try_at_once_after_a_quick_failure(tmp_path: Path) -> None:
    async with open_world(tmp_path, workflows=PLAIN, endpoint={"retry": "standard"}) as world:
        world.backend.plan(COMPLETED, DOWN, Reaction())
        accepted = await world.submit()
        await _until_received(world, 1)
        await world.clock.advance(0.1)
        said = await world.wrote(accepted, "delivery.attempted")
        assert (said["outcome"], said["status"], said["first_try"]) == ("delivered", 200, {"status": 503})
        assert len({each.key for each in world.backend.received}) == 1
        assert len(await _attempts(world, accepted)) == 1


async def test_after_that_the_schedule_goes_on(tmp_path: Path) -> None:
    async with open_world(tmp_path, workflows=PLAIN, endpoint={"retry": "standard"}) as world:
        world.backend.plan(COMPLETED, DOWN)
        accepted = await world.submit()
        await _until_received(world, 1)
        await world.clock.advance(0.1)
        await world.wrote(accepted, "delivery.attempted", 1)
        await world.clock.advance(6)
        said = await world.wrote(accepted, "delivery.attempted", 2)
        assert "first_try" not in said, "once"
        assert len(world.backend.received) == 3


@pytest.mark.parametrize("why", ["slow", "asked to wait", "too many", "gone", "the hosted schedule"])
async def test_no_second_try_where_it_makes_no_sense(tmp_path: Path, why: str) -> None:
    reactions = {
        "asked to wait": Reaction(status=503, headers={"retry-after": "3"}),
        "too many": Reaction(status=429),
        "gone": Reaction(status=410),
    }
    retry = "modelriver" if why == "the hosted schedule" else "standard"
    async with open_world(tmp_path, workflows=PLAIN, endpoint={"retry": retry}) as world:
        world.backend.plan(COMPLETED, reactions.get(why, DOWN))
        if why == "slow":
            _slow(world)
        accepted = await world.submit()
        said = await world.wrote(accepted, "delivery.attempted")
        assert "first_try" not in said
        assert len(world.backend.received) == 1


def _slow(world: World) -> None:
    """Let a second pass while the receiver thinks."""
    inner = world.backend._next

    def thinking(payload: dict[str, Any]) -> Reaction:
        world.clock._elapsed += 1.0
        return inner(payload)

    world.backend._next = thinking  # type: ignore[method-assign]


async def _until_received(world: World, count: int) -> None:
    """The backend has so many deliveries, and the courier sleeps."""
    while len(world.backend.received) < count:
        await world.clock.advance(0)
    for _ in range(100):
        if world.clock.next_due is not None and world.clock.next_due <= 0.1:
            return
        await world.clock.advance(0)


async def test_an_endpoint_edited_while_a_delivery_waits(tmp_path: Path) -> None:
    """The newest URL, secret and policy count, and the timeline says so."""
    async with open_world(tmp_path, answerer="none", workflows=PLAIN) as world, receiver(world, COMPLETED) as old:
        old.backend.plan(COMPLETED, DOWN)
        accepted = await world.submit()
        first = await world.wrote(accepted, "delivery.attempted")
        assert "endpoint_edited" not in first
        await world.clock.advance(1)
        moved = Backend(KEY, "")
        async with serve(moved.app) as origin:
            url = f"{origin}/webhooks/ai"
            await old.change(url=url, retry=[0, 1, 2, 3])
            rotated = await world.http.post(f"/console/webhook/{old.id}/rotate", json={"overlap": 0})
            moved.secret = rotated.json()["secret"]
            moved.plan(COMPLETED, DOWN, DOWN, Reaction())
            await world.clock.advance(4)
            second = await world.wrote(accepted, "delivery.attempted", 2)
            assert (second["url"], second["endpoint_edited"], second["outcome"]) == (url, True, "retrying")
            await world.clock.advance(2.5)
            await world.wrote(accepted, "delivery.attempted", 3)
            await world.clock.advance(3.5)
            assert (await world.wrote(accepted, "delivery.attempted", 4))["outcome"] == "delivered"
        assert len(old.backend.received) == 1
        assert len(moved.received) == 3, "each verified with the new secret"
        assert len({each.key for each in (*old.backend.received, *moved.received)}) == 1


async def test_an_endpoint_deleted_while_a_delivery_waits(tmp_path: Path) -> None:
    async with open_world(tmp_path, answerer="none", workflows=PLAIN) as world, receiver(world, COMPLETED) as gone:
        gone.backend.plan(COMPLETED, DOWN)
        accepted = await world.submit()
        await world.wrote(accepted, "delivery.attempted")
        assert (await world.http.delete(f"/console/webhook/{gone.id}")).status_code == 200
        await world.clock.advance(5)
        said = await world.wrote(accepted, "delivery.attempted", 2)
        assert (said["error"], said["outcome"]) == ("endpoint_gone", "dead")
        assert len(gone.backend.received) == 1


async def test_a_handler_is_retried_by_the_setting(tmp_path: Path) -> None:
    async with open_world(tmp_path, answerer="handler", retry=RetryPolicy(delays=(0, 1, 2)).delays) as world:
        world.backend.plan(EVENT, DOWN, DOWN, Reaction(SUCCESS))
        accepted = await world.submit()
        for number in (1, 2):
            await world.wrote(accepted, "delivery.attempted", number)
            await world.clock.advance(2.5)
        assert await world.ended(accepted) == "run.completed"


@pytest.mark.parametrize("retry", ["hourly", "5, 30", (), (0, -1)])
def test_a_setting_that_is_no_policy(tmp_path: Path, retry: Any) -> None:
    from riverflow import Riverflow

    with pytest.raises(ConfigError, match="retry"):
        Riverflow(database_url=f"sqlite:///{tmp_path}/river.db", environ={}, retry=retry)


async def test_an_endpoint_s_policy_is_checked(tmp_path: Path) -> None:
    async with open_world(tmp_path, answerer="none") as world:
        for retry in ("hourly", [5], [0, 1e9], {"delays": []}, {"delays": [0], "jitter": 2}, 5):
            answer = await world.http.post("/console/webhook", json={"url": "http://127.0.0.1:8009/", "retry": retry})
            assert answer.status_code in (400, 422), retry
            assert "retry" in answer.json()["message"] or "delays" in answer.json()["message"]
        policy = {"delays": [0, 1, 2], "jitter": 0.5, "stops_when_gone": True}
        for retry in ("svix", [0, 1, 2], policy, None):
            answer = await world.http.post("/console/webhook", json={"url": "http://127.0.0.1:8009/", "retry": retry})
            assert answer.status_code == 201, answer.text
            assert answer.json()["retry"] == retry
