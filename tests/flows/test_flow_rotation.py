"""A webhook's secret is replaced: receivers verify with either for as long as both hold, then with the new one only;
what is deleted or disabled is sent nothing more."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from riverflow.testing import FakeClock, serve

from .backend import Backend, Reaction, Received
from .world import EVENT, KEY, World, open_world

pytestmark = pytest.mark.anyio

DAY = 86_400


def standard(received: Received, secret: str) -> bool:
    """Whether a Standard Webhooks receiver that knows one secret takes it."""
    headers = received.headers
    signed = b".".join([headers["webhook-id"].encode(), headers["webhook-timestamp"].encode(), received.raw])
    digest = hmac.new(base64.b64decode(secret.removeprefix("whsec_")), signed, hashlib.sha256).digest()
    return f"v1,{base64.b64encode(digest).decode()}" in headers["webhook-signature"].split(" ")


def modelriver(received: Received, secret: str) -> bool:
    """Whether a receiver with the seed page's snippet takes it."""
    expected = hmac.new(secret.encode(), received.raw, hashlib.sha256).hexdigest()
    return hmac.compare_digest(expected, received.headers["mr-signature"])


class Receiver(Backend):
    """Takes everything; who verifies is the test."""

    def _verified(self, headers: dict[str, str], raw: bytes) -> bool:
        return True


async def register(world: World, url: str) -> dict[str, Any]:
    answer = await world.http.post("/console/webhook", json={"url": f"{url}/webhooks/ai"})
    assert answer.status_code == 201, answer.text
    registered: dict[str, Any] = answer.json()
    return registered


async def rotate(world: World, endpoint: dict[str, Any], **body: Any) -> dict[str, Any]:
    answer = await world.http.post(f"/console/webhook/{endpoint['id']}/rotate", json=body)
    assert answer.status_code == 200, answer.text
    shown: dict[str, Any] = answer.json()
    return shown


async def delivered(world: World, receiver: Receiver) -> Received:
    accepted = await world.submit()
    await world.wrote(accepted, "delivery.attempted")
    return receiver.received[-1]


async def test_both_signatures_are_sent_until_the_overlap_is_over(tmp_path: Path) -> None:
    receiver = Receiver(KEY, "")
    async with open_world(tmp_path, answerer="none") as world, serve(receiver.app) as url:
        endpoint = await register(world, url)
        old = endpoint["secret"]
        first = await delivered(world, receiver)
        assert standard(first, old)
        assert modelriver(first, old)

        rotated = await rotate(world, endpoint)
        new = rotated["secret"]
        assert new.startswith("whsec_")
        assert new != old
        assert rotated["retired"] == [{"until": "2023-11-15T22:13:20.000Z"}]
        shown = (await world.http.get(f"/console/webhook/{endpoint['id']}")).json()
        assert "secret" not in shown
        assert shown["retired"] == rotated["retired"]

        await world.clock.advance(DAY - 61)
        during = await delivered(world, receiver)
        assert standard(during, old)
        assert standard(during, new)
        assert len(during.headers["webhook-signature"].split(" ")) == 2
        # The other dialects hold one signature: the old secret's, which every receiver has.
        assert modelriver(during, old)

        await world.clock.advance(61)
        after = await delivered(world, receiver)
        assert not standard(after, old)
        assert standard(after, new)
        assert modelriver(after, new)
        assert (await world.http.get(f"/console/webhook/{endpoint['id']}")).json()["retired"] == []


async def test_a_secret_that_leaked_ends_at_once(tmp_path: Path) -> None:
    receiver = Receiver(KEY, "")
    async with open_world(tmp_path, answerer="none") as world, serve(receiver.app) as url:
        endpoint = await register(world, url)
        await rotate(world, endpoint)
        rotated = await rotate(world, endpoint, overlap=0)
        assert rotated["retired"] == []
        last = await delivered(world, receiver)
        assert last.headers["webhook-signature"].count("v1,") == 1
        assert standard(last, rotated["secret"])
        assert modelriver(last, rotated["secret"])


async def test_the_overlap_can_be_ended_early(tmp_path: Path) -> None:
    receiver = Receiver(KEY, "")
    async with open_world(tmp_path, answerer="none") as world, serve(receiver.app) as url:
        endpoint = await register(world, url)
        rotated = await rotate(world, endpoint)
        ended = await world.http.delete(f"/console/webhook/{endpoint['id']}/retired")
        assert ended.status_code == 200
        assert ended.json()["retired"] == []
        assert "secret" not in ended.json()
        last = await delivered(world, receiver)
        assert modelriver(last, rotated["secret"])
        assert not standard(last, endpoint["secret"])


async def test_a_secret_whose_overlap_is_over_is_forgotten(tmp_path: Path) -> None:
    receiver = Receiver(KEY, "")
    async with open_world(tmp_path, answerer="none") as world, serve(receiver.app) as url:
        endpoint = await register(world, url)
        project = (await world.http.post("/console/project/default/rotate")).json()
        await world.http.post("/console/project/default/rotate", json={"overlap": 30})
        old = {endpoint["id"]: endpoint["secret"].encode(), "default": project["secret"].encode()}
        await rotate(world, endpoint, overlap=30)
        await delivered(world, receiver)
        assert all(secret in kept(tmp_path, name) for name, secret in old.items())
        await world.clock.advance(61)
        async with asyncio.timeout(20):
            while any(secret in kept(tmp_path, name) for name, secret in old.items()):
                await world.http.get("/console/key")  # goes through the store's threads
        assert (await world.http.get(f"/console/webhook/{endpoint['id']}")).json()["enabled"]


def kept(folder: Path, name: str) -> bytes:
    with closing(sqlite3.connect(folder / "river.db")) as db:
        return bytes(db.execute("SELECT body FROM documents WHERE name = ?", (name,)).fetchone()[0])


async def test_what_is_configured_in_code_is_rotated_there(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        [endpoint] = (await world.http.get("/console/webhook")).json()["data"]
        for verb, path in (("POST", "rotate"), ("DELETE", "retired")):
            answer = await world.http.request(verb, f"/console/webhook/{endpoint['id']}/{path}")
            assert (answer.status_code, answer.json()["error"]["code"]) == (409, "defined_in_code")
        for body in ({"overlap": -1}, {"overlap": None}, [1]):
            answer = await world.http.post(f"/console/webhook/{endpoint['id']}/rotate", json=body)
            assert answer.status_code == 400


async def test_a_projects_secret_signs_what_goes_to_the_requests_own_url(tmp_path: Path) -> None:
    receiver = Receiver(KEY, "")
    async with open_world(tmp_path, answerer="none") as world, serve(receiver.app) as url:
        old = (await world.http.post("/console/project/default/rotate")).json()["secret"]
        new = (await world.http.post("/console/project/default/rotate")).json()["secret"]
        accepted = await world.submit(webhook_url=f"{url}/webhooks/ai")
        await world.wrote(accepted, "delivery.attempted")
        [received] = receiver.received
        assert standard(received, old)
        assert standard(received, new)
        assert modelriver(received, old)


@pytest.mark.parametrize("how", ["disable", "delete"])
async def test_a_deleted_or_disabled_webhook_is_sent_nothing_after_a_second(tmp_path: Path, how: str) -> None:
    """Changed in one process, obeyed in the other: the retry that is due five seconds later is not sent."""
    receiver = Receiver(KEY, "")
    receiver.plan(EVENT, Reaction(status=500))
    clock = FakeClock()
    async with (
        open_world(tmp_path, answerer="none", clock=clock) as world,
        open_world(tmp_path, answerer="none") as other,
        serve(receiver.app) as url,
    ):
        endpoint = await register(world, url)
        accepted = await world.submit()
        await world.wrote(accepted, "delivery.attempted")
        path = f"/console/webhook/{endpoint['id']}"
        answer = await (other.http.delete(path) if how == "delete" else other.http.patch(path, json={"enabled": False}))
        assert answer.status_code == 200
        await clock.advance(1)
        await world.http.get("/console/key")  # asks the store, after what the second's look has asked it
        later = await world.submit()
        await world.wrote(later, "stage.unattended")
        await clock.advance(5)
        told = await world.wrote(accepted, "delivery.attempted", 2)
        assert told["error"] == "endpoint_gone"
    assert len(receiver.received) == 1
