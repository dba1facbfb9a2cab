"""What an operator is shown of the request behind each attempt of a delivery: what was sent, and no secret of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest

from riverflow.testing import FakeClock

from .backend import Backend, Reaction
from .receivers import receiver
from .world import EVENT, KEY, SECRET, World, open_world

pytestmark = pytest.mark.anyio

HIDDEN = "…"
SECRETS = {"mr-signature", "webhook-signature", "x-modelriver-signature", "riverflow-callback-token"}
CLIENTS = {"host", "accept-encoding", "user-agent", "content-length", "accept", "connection"}
HALF = 1_700_000_000.5


async def attempts(world: World, accepted: dict[str, Any]) -> list[dict[str, Any]]:
    shown = (await world.http.get(f"/v1/requests/{accepted['channel_id']}")).json()
    return [each for delivery in shown["deliveries"] for each in delivery["attempts"]]


async def test_every_header_is_shown_as_it_came_in(tmp_path: Path) -> None:
    """What is shown is what the receiver got; signatures and the callback's token are there by name only."""
    backend = Backend(KEY, SECRET)
    backend.plan(EVENT, Reaction(status=503), Reaction())
    async with open_world(tmp_path, backend=backend, clock=FakeClock(HALF)) as world:
        accepted = await world.submit()
        await world.wrote(accepted, "delivery.attempted")
        await world.clock.advance(10)
        await world.wrote(accepted, "delivery.attempted", 2)
        shown = await attempts(world, accepted)
        came = [each for each in backend.received if each.payload.get("callback_required")]
        assert [each["status"] for each in shown] == [503, 200]
        for attempt, received in zip(shown, came, strict=True):
            sent = {name: value for name, value in received.headers.items() if name not in CLIENTS}
            assert attempt["request_headers"] == sent | dict.fromkeys(SECRETS, HIDDEN)
        delivery = (await world.http.get("/v1/deliveries", params={"run": accepted["channel_id"]})).json()["data"][0]
        one = await world.http.get(f"/v1/deliveries/{delivery['id']}")
        assert [each["request_headers"] for each in one.json()["attempts"]] == [
            each["request_headers"] for each in shown
        ]
        for received in came:
            for name in SECRETS:
                assert received.headers[name] not in one.text
        page = await seen(world, f"requests/{accepted['channel_id']}")
        assert "Request headers" in page
        assert came[0].headers["x-modelriver-callback-url"] in page
        assert "Signatures and tokens are redacted" in page
        assert "Request headers" in await seen(world, f"dead-letters/{delivery['id']}")


async def test_a_second_that_is_not_certain_is_left_out(tmp_path: Path) -> None:
    """At the border of two seconds nobody knows in which of them it was signed."""
    async with open_world(tmp_path, clock=FakeClock(HALF - 0.5)) as world:
        accepted = await world.submit()
        await world.wrote(accepted, "delivery.attempted")
        (shown,) = await attempts(world, accepted)
        assert not {name for name in shown["request_headers"] if "timestamp" in name}
        assert shown["request_headers"]["webhook-id"]
        assert shown["request_headers"]["webhook-signature"] == HIDDEN


async def test_of_an_endpoint_that_has_other_signers_since_it_is_not_said_who_signed(tmp_path: Path) -> None:
    async with open_world(tmp_path, answerer="none", clock=FakeClock(HALF)) as world, receiver(world, EVENT) as hook:
        await world.clock.advance(60)
        accepted = await world.submit()
        await world.wrote(accepted, "delivery.attempted")
        (shown,) = await attempts(world, accepted)
        assert shown["request_headers"].keys() > SECRETS
        await hook.change(enabled=False, signers=["mr", "x-modelriver", "standard"])  # those that it has
        assert (await attempts(world, accepted))[0] == shown
        await hook.change(signers=["mr"])
        (shown,) = await attempts(world, accepted)
        assert shown["request_headers"] == {
            "content-type": "application/json",
            "riverflow-hops": "1",
            "riverflow-callback-token": HIDDEN,
        }
        assert "signers_since" not in await hook.shown()


async def test_a_handler_is_sent_no_request(tmp_path: Path) -> None:
    async with open_world(tmp_path, answerer="handler") as world:
        accepted = await world.submit()
        await world.wrote(accepted, "delivery.attempted")
        (shown,) = await attempts(world, accepted)
        assert shown["request_headers"] is None


async def seen(world: World, path: str) -> str:
    """A page of the console, for an admin."""
    async with httpx.AsyncClient(base_url=f"{world.base}/console/", trust_env=False, follow_redirects=True) as browser:
        form = (await browser.get("login")).text
        token = form.partition('name="token" value="')[2].partition('"')[0]
        await browser.post("login", data={"token": token, "key": KEY})
        answer = await browser.get(path)
        assert answer.status_code == 200
        return answer.text
