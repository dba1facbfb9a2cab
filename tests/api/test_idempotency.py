"""`Idempotency-Key`: a request that is sent again is answered again, and starts nothing; whatever happens meanwhile."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest

from riverflow import Identity, Workflow
from riverflow._idempotency import checked_key
from riverflow.errors import InvalidRequest

from .desk import Desk, Sit, client_of, problem
from .weak_store import WeakStore

pytestmark = pytest.mark.anyio

OTHER = "0190a000-0000-7000-8000-00000000000f"
BODY = {"workflow": "movie", "messages": [{"role": "user", "content": "a film"}], "customer_data": {"user_id": "u1"}}


async def post(desk: Desk, key: str | None = "one", body: Any = BODY, **headers: str) -> httpx.Response:
    if key is not None:
        headers["idempotency-key"] = key
    return await desk.client.post("/v1/ai/async", json=body, headers=headers)


async def runs(desk: Desk) -> int:
    """How many runs there are, counted where every run is."""
    path = desk.river.settings.database_url.partition("///")[2]
    with closing(sqlite3.connect(path)) as db:
        count: int = db.execute("SELECT count(*) FROM runs").fetchone()[0]
    return count


async def test_the_same_request_is_answered_alike_and_starts_one_run(desk: Desk) -> None:
    first, again = await post(desk), await post(desk)
    assert first.status_code == again.status_code == 200
    assert "idempotent-replayed" not in first.headers
    assert again.headers["idempotent-replayed"] == "true"
    fresh = {"ws_token"}
    assert {k: v for k, v in first.json().items() if k not in fresh} == {
        k: v for k, v in again.json().items() if k not in fresh
    }
    assert first.json()["warnings"], "the event has no taker here, and the repetition says so as well"
    assert await runs(desk) == 1


async def test_the_fresh_token_of_a_repetition_opens_the_channel(desk: Desk) -> None:
    await post(desk)
    again = (await post(desk)).json()
    async with (
        client_of(str(desk.client.base_url), key=None) as browser,
        browser.stream("GET", f"/v1/ai/{again['channel_id']}/events?token={again['ws_token']}") as events,
    ):
        assert events.status_code == 200


async def test_the_same_json_in_another_spelling_is_the_same_request(desk: Desk) -> None:
    first = await post(desk, body={"workflow": "plain", "temperature": 1.0})
    spaced = '{ "workflow" : "pl\\u0061in",\n "temperature": 1e0 }'
    again = await desk.client.post("/v1/ai/async", content=spaced, headers={"idempotency-key": "one"})
    assert again.json()["channel_id"] == first.json()["channel_id"]


async def test_another_body_under_the_same_key_is_422(desk: Desk) -> None:
    first = await post(desk)
    other = await post(desk, body={**BODY, "customer_data": {"user_id": "u2"}})
    problem(other, 422, "idempotency_key_reused")
    assert (await post(desk)).json()["channel_id"] == first.json()["channel_id"]
    assert await runs(desk) == 1


async def test_other_keys_and_none_at_all_start_other_runs(desk: Desk) -> None:
    answers = [await post(desk, key) for key in ("one", "two", "One", None, None)]
    assert len({answer.json()["channel_id"] for answer in answers}) == 5


async def test_the_key_counts_on_every_spelling_of_the_door(desk: Desk) -> None:
    first = await post(desk)
    for path in ("/api/v1/ai/async", "/api/ai/async"):
        again = await desk.client.post(path, json=BODY, headers={"Idempotency-Key": "one"})
        assert again.json()["channel_id"] == first.json()["channel_id"]


MALFORMED = ["", "two words", "a\tb", "é", "a" * 256, '"', '"open', '"esc\\aped"', '""', '"two words"']


async def test_a_malformed_key_is_400(desk: Desk) -> None:
    for key in MALFORMED:
        headers = [(b"idempotency-key", key.encode("latin-1"))]
        response = await desk.client.post("/v1/ai/async", json=BODY, headers=headers)
        problem(response, 400, "invalid_idempotency_key")
    assert await runs(desk) == 0


@pytest.mark.parametrize("key", [*MALFORMED, " ", "a\r\nx-evil: 1", "a\x00", "\x7f", "\u2028"])
def test_no_malformed_key_is_taken_whichever_way_it_comes(key: str) -> None:
    with pytest.raises(InvalidRequest):
        checked_key(key)


async def test_two_keys_are_400(desk: Desk) -> None:
    headers = [("idempotency-key", "one"), ("idempotency-key", "one")]
    problem(await desk.client.post("/v1/ai/async", json=BODY, headers=headers), 400, "invalid_idempotency_key")


async def test_a_quoted_key_is_the_key_that_it_quotes(desk: Desk) -> None:
    # draft-ietf-httpapi-idempotency-key-header-07, 2.1: the header is a string of RFC 9651; most clients send it bare.
    quoted, bare = await post(desk, '"k-\\\\-\\""'), await post(desk, 'k-\\-"')
    assert quoted.json()["channel_id"] == bare.json()["channel_id"]
    assert (await post(desk, "a" * 255)).status_code == 200


async def test_a_key_is_its_project_s_own(seated: Sit) -> None:
    async def who(scope: Any) -> Identity | None:
        headers = dict(scope["headers"])
        return Identity(project_id=OTHER) if headers.get(b"cookie") == b"user=eve" else None

    async with seated(authenticator=who) as desk, client_of(str(desk.client.base_url), None) as eve:
        await post(desk)
        theirs = await eve.post(
            "/v1/ai/async", json={**BODY, "x": 1}, headers={"cookie": "user=eve", "idempotency-key": "one"}
        )
        assert theirs.status_code == 404  # there is no such project: but the key was not found to be taken
        assert theirs.json()["error"]["code"] != "idempotency_key_reused"


async def test_while_the_first_is_being_accepted_the_second_is_409(seated: Sit, tmp_path: Path) -> None:
    store = WeakStore()
    async with seated(plugins=[store], database_url=f"weak:///{tmp_path}/weak.db") as desk:
        store.hold = True
        first = asyncio.create_task(post(desk))
        await store.held.wait()
        second = await post(desk)
        problem(second, 409, "idempotency_key_in_use")
        assert second.headers["retry-after"] == "1"
        store.release.set()
        channel_id = (await first).json()["channel_id"]
        assert (await post(desk)).json()["channel_id"] == channel_id
        assert await runs(desk) == 1


async def test_another_process_that_is_accepting_it_is_waited_for_and_not_for_ever(seated: Sit, tmp_path: Path) -> None:
    store, url = WeakStore(), f"weak:///{tmp_path}/weak.db"
    async with seated(plugins=[store], database_url=url) as one, seated(plugins=[WeakStore()], database_url=url) as two:
        store.hold = True
        first = asyncio.create_task(post(one))
        await store.held.wait()
        problem(await post(two), 409, "idempotency_key_in_use")
        await two.clock.advance(5)
        second = await post(two)
        assert second.status_code == 200
        store.release.set()
        assert (await first).json()["channel_id"] == second.json()["channel_id"]
        assert (await first).headers["idempotent-replayed"] == "true"
        assert await runs(two) == 1


@pytest.mark.parametrize("fault", ["fail_before", "fail_after"])
async def test_whatever_became_of_the_first_try_there_is_one_run(seated: Sit, tmp_path: Path, fault: str) -> None:
    store = WeakStore()
    async with seated(plugins=[store], database_url=f"weak:///{tmp_path}/weak.db") as desk:
        setattr(store, fault, True)
        problem(await post(desk), 503)
        again = await post(desk)
        assert again.status_code == 200
        assert (await post(desk)).json()["channel_id"] == again.json()["channel_id"]
        await desk.until(again.json()["channel_id"], "ai_generated")
        assert await runs(desk) == 1


async def test_after_a_crash_between_marker_and_run_the_next_try_writes_the_run(seated: Sit, tmp_path: Path) -> None:
    store, url = WeakStore(), f"weak:///{tmp_path}/weak.db"
    async with seated(plugins=[store], database_url=url) as desk:
        store.fail_before = True
        problem(await post(desk), 503)
    async with seated(plugins=[WeakStore()], database_url=url) as desk:  # a new process: its clock begins where it did
        problem(await post(desk), 409, "idempotency_key_in_use")
        problem(await post(desk, body={**BODY, "x": 1}), 422, "idempotency_key_reused")
        await desk.clock.advance(5)
        again = await post(desk)
        assert again.status_code == 200
        assert (await post(desk)).json()["channel_id"] == again.json()["channel_id"]
        assert await runs(desk) == 1


async def test_a_key_outlives_the_process(seated: Sit) -> None:
    async with seated() as desk:
        first = await post(desk)
    async with seated() as desk:
        again = await post(desk)
        assert again.json()["channel_id"] == first.json()["channel_id"]
        assert await runs(desk) == 1


async def test_a_key_is_kept_for_its_time_and_no_longer(seated: Sit) -> None:
    async with seated(idempotency_ttl=3600) as desk:
        first = await post(desk, body={"workflow": "plain"})
        await desk.clock.advance(3599)
        again = await post(desk, body={"workflow": "plain"})
        assert again.json()["channel_id"] == first.json()["channel_id"]
        await desk.clock.advance(1)
        later = await post(desk, body={"workflow": "plain", "x": 1})
        assert later.status_code == 200
        assert later.json()["channel_id"] != first.json()["channel_id"]


async def test_what_was_refused_leaves_no_key_behind(desk: Desk) -> None:
    problem(await post(desk, body={"workflow": "no_such"}), 404)
    problem(await post(desk, body={"workflow": 5}), 400)
    problem(await post(desk, body={"workflow": "movie", "webhook_url": "file:///"}), 422)
    assert (await post(desk)).status_code == 200


async def test_an_accepted_request_is_answered_again_though_its_workflow_is_gone(desk: Desk) -> None:
    made = await desk.client.post("/console/workflow", json={"name": "gone", "provider": "echo", "template": "x"})
    assert made.status_code == 201
    first = await post(desk, body={"workflow": "gone"})
    assert (await desk.client.delete("/console/workflow/gone")).status_code == 200
    assert (await post(desk, body={"workflow": "gone"})).json()["channel_id"] == first.json()["channel_id"]
    problem(await post(desk, "two", body={"workflow": "gone"}), 404)


async def test_many_at_once_start_one_run(seated: Sit) -> None:
    async with seated() as one, seated() as two:  # two processes over one file
        answers = await asyncio.gather(*(post(desk) for desk in (one, two) for _ in range(10)))
        taken = [answer.json()["channel_id"] for answer in answers if answer.status_code == 200]
        assert {answer.status_code for answer in answers} <= {200, 409}
        assert len(set(taken)) == 1
        assert await runs(one) == 1


async def test_from_python_a_key_does_the_same(seated: Sit) -> None:
    async with seated(workflows=[Workflow(name="plain", provider="echo", template="hello")]) as desk:
        first = await desk.river.submit(workflow="plain", idempotency_key="one")
        again = await desk.river.submit(workflow="plain", idempotency_key="one")
        assert first.channel_id == again.channel_id
        over_http = await post(desk, body={"workflow": "plain"})
        assert over_http.json()["channel_id"] == first.channel_id
        with pytest.raises(InvalidRequest):
            await desk.river.submit(workflow="plain", idempotency_key="two words")


async def test_the_timeline_of_a_repeated_request_shows_one_acceptance(desk: Desk) -> None:
    channel_id = (await post(desk)).json()["channel_id"]
    await post(desk)
    assert (await desk.kinds(channel_id)).count("run.accepted") == 1
