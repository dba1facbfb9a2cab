"""What a backend may say at its callback URL, and by what right: token or key, heartbeat, progress, timeouts."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from riverflow import Endpoint, Stage, Workflow
from riverflow.errors import PipelineError
from riverflow.pipeline import Pipeline
from riverflow.testing import serve

from .desk import Desk, Sit, client_of, problem, sit

pytestmark = pytest.mark.anyio

MOVIE = Workflow(name="movie", provider="echo", template="hello", event_name="new_movie", callback_timeout=60)
FINISHING = Workflow(
    name="finishing",
    provider="echo",
    template="hello",
    event_name="new_movie",
    callback_timeout=60,
    on_timeout="finish",
)
TWO = Workflow(
    name="two",
    provider="echo",
    template="hello",
    pipeline=(
        Stage(name="generate", kind="generate"),
        Stage.hand_off("check"),
        Stage.hand_off("enrich"),
        Stage(name="finalise", kind="finalise"),
    ),
)


class Told:
    """A backend that only writes down what it is told."""

    def __init__(self) -> None:
        self.came: asyncio.Queue[tuple[dict[str, Any], httpx.Headers]] = asyncio.Queue()
        self.app = Starlette(routes=[Route("/hook", self._hook, methods=["POST"])])

    async def _hook(self, request: Request) -> JSONResponse:
        self.came.put_nowait((await request.json(), httpx.Headers(request.headers.raw)))
        return JSONResponse({"received": True})

    async def next(self) -> tuple[dict[str, Any], httpx.Headers]:
        return await asyncio.wait_for(self.came.get(), 10)


@pytest.fixture
async def told() -> Told:
    return Told()


@pytest.fixture
async def desk(tmp_path: Path, told: Told) -> AsyncIterator[Desk]:
    async with serve(told.app) as backend:
        endpoint = Endpoint(url=f"{backend}/hook", secret="whsec_c2VjcmV0c2VjcmV0c2VjcmV0")
        async with sit(tmp_path, workflows=[MOVIE, FINISHING, TWO], endpoints=[endpoint]) as seat:
            yield seat


async def post(url: str, token: str | None, body: Any = None, *, path: str = "") -> httpx.Response:
    async with client_of("", key=token) as client:
        return await client.post(f"{url}{path}", json={"data": {"a": 1}} if body is None else body)


# The token ------------------------------------------------------------------------------------------------------


async def test_a_backend_needs_no_key(desk: Desk, told: Told) -> None:
    """Receiver case 13: what the delivery brought opens its callback, as body field and as header."""
    channel_id = (await desk.submit())["channel_id"]
    body, headers = await told.next()
    assert headers["riverflow-callback-token"] == body["callback_token"]
    answer = await post(body["callback_url"], body["callback_token"])
    assert (answer.status_code, answer.json()["status"]) == (200, "completed")
    assert (await post(body["callback_url"], body["callback_token"])).json() == answer.json()  # repeated: alike
    problem(await post(body["callback_url"], body["callback_token"], {"data": {"b": 2}}), 409, "already_answered")
    assert (await desk.until(channel_id, "completed"))["data"] == {"a": 1}


async def test_a_token_opens_its_own_url_and_nothing_else(desk: Desk, told: Told) -> None:
    """Receiver case 13: bound to run and stage."""
    await desk.submit("two")
    first, _ = await told.next()
    await desk.submit("movie")
    other, _ = await told.next()
    token = first["callback_token"]
    for url in (other["callback_url"], f"{first['callback_url']}/enrich", f"{first['callback_url']}/check"):
        problem(await post(url, token), 401, "invalid_callback_token")
    async with client_of(f"{desk.origin}/river", key=token) as client:
        for path in (f"/v1/ai/{first['channel_id']}", f"/v1/ai/{first['channel_id']}/timeline"):
            problem(await client.get(path), 403)
        problem(await client.post("/v1/ai/async", json={"workflow": "movie"}), 401, "invalid_callback_token")
    assert (await post(first["callback_url"], token)).status_code == 200
    later, _ = await told.next()
    assert later["callback_url"] == f"{first['callback_url']}/enrich"
    assert later["callback_token"] != token
    problem(await post(later["callback_url"], token), 401, "invalid_callback_token")
    assert (await post(later["callback_url"], later["callback_token"])).json()["status"] == "completed"


@pytest.mark.parametrize(
    "change", [lambda t: t[:-1] + ("A" if t[-1] != "A" else "B"), lambda t: t[:-4], lambda t: t + "é"]
)
async def test_a_forged_token_is_refused(desk: Desk, told: Told, change: Any) -> None:
    await desk.submit()
    body, _ = await told.next()
    async with client_of("", key=None) as client:
        bearer = b"Bearer " + change(body["callback_token"]).encode()
        refused = await client.post(body["callback_url"], json={"data": {}}, headers=[(b"authorization", bearer)])
    problem(refused, 401, "invalid_callback_token")


@pytest.mark.parametrize(("rule", "by_token", "by_key"), [("either", 200, 200), ("token", 200, 403), ("key", 403, 200)])
async def test_a_project_may_insist_on_one_way(desk: Desk, told: Told, rule: str, by_token: int, by_key: int) -> None:
    changed = await desk.client.patch("/console/project/default", json={"callback_auth": rule})
    assert (changed.status_code, changed.json()["callback_auth"]) == (200, rule)
    await desk.submit()
    body, _ = await told.next()
    assert (await post(body["callback_url"], body["callback_token"])).status_code == by_token
    await desk.submit()
    body, _ = await told.next()
    path = body["callback_url"].removeprefix(f"{desk.origin}/river")
    assert (await desk.client.post(path, json={"data": {"a": 1}})).status_code == by_key


async def test_no_token_is_shown_anywhere(desk: Desk, told: Told, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    channel_id = (await desk.submit())["channel_id"]
    body, _ = await told.next()
    await post(body["callback_url"], body["callback_token"])
    await desk.until(channel_id, "completed")
    listed = (await desk.client.get("/v1/deliveries")).json()["data"]
    shown = [await desk.entries(channel_id), listed, (await desk.client.get(f"/v1/requests/{channel_id}")).json()]
    shown.append((await desk.client.get(f"/v1/deliveries/{listed[0]['id']}")).json())
    secret = body["callback_token"].split("_", 2)[2]  # it may hold, and end with, "_" itself
    assert secret not in json.dumps(shown)
    assert secret not in caplog.text


# Heartbeat ------------------------------------------------------------------------------------------------------


async def test_a_heartbeat_gives_more_time(desk: Desk, told: Told) -> None:
    channel_id = (await desk.submit())["channel_id"]
    body, _ = await told.next()
    await desk.clock.advance(50)
    beat = await post(body["callback_url"], body["callback_token"], {"extend": 100}, path="/heartbeat")
    assert (beat.status_code, beat.json()["status"]) == (200, "ai_generated")
    await desk.clock.advance(90)  # 140 seconds after a deadline of 60
    assert (await post(body["callback_url"], body["callback_token"])).status_code == 200
    assert "callback.extended" in await desk.kinds(channel_id)


async def test_a_deadline_never_moves_nearer_and_not_beyond_the_limit(seated: Sit, told: Told) -> None:
    async with serve(told.app) as backend:
        endpoint = Endpoint(url=f"{backend}/hook", secret="whsec_c2VjcmV0c2VjcmV0c2VjcmV0")
        async with seated(workflows=[MOVIE], endpoints=[endpoint], max_callback_timeout=120) as desk:
            await desk.submit()
            body, _ = await told.next()
            deadlines = []
            for extend in ({"extend": 1}, {}, {"extend": 100_000}):
                beat = await post(body["callback_url"], body["callback_token"], extend, path="/heartbeat")
                deadlines.append(beat.json()["deadline_at"])
            assert deadlines[0] == deadlines[1] < deadlines[2]
            await desk.clock.advance(121)
            await desk.until(body["channel_id"], "error")
            late = await post(body["callback_url"], body["callback_token"], {}, path="/heartbeat")
            problem(late, 409, "run_ended")


@pytest.mark.parametrize("extend", [0, -5, "soon", 1e12])
async def test_a_heartbeat_that_makes_no_sense_is_refused(desk: Desk, told: Told, extend: Any) -> None:
    await desk.submit()
    body, _ = await told.next()
    refused = await post(body["callback_url"], body["callback_token"], {"extend": extend}, path="/heartbeat")
    problem(refused, 400, "invalid_type")


# Progress -------------------------------------------------------------------------------------------------------


async def test_progress_goes_to_the_channel_under_its_own_event(desk: Desk, told: Told) -> None:
    channel_id = (await desk.submit())["channel_id"]
    body, _ = await told.next()
    said = {"message": "half way", "percent": 50, "data": {"found": 3}}
    assert (await post(body["callback_url"], body["callback_token"], said, path="/progress")).status_code == 200
    await post(body["callback_url"], body["callback_token"])
    events: list[tuple[str, Any]] = []
    async with desk.client.stream("GET", f"/v1/ai/{channel_id}/events") as response:
        name = ""
        async for line in response.aiter_lines():
            if line.startswith("event:"):
                name = line[6:].strip()
            elif line.startswith("data:") and name:
                events.append((name, json.loads(line[5:])))
    assert [name for name, _ in events] == ["response", "progress", "response"]
    told_of = events[1][1]
    assert {**said, "channel_id": channel_id, "stage": "enrich", "event_name": "new_movie"}.items() <= told_of.items()
    assert (await desk.client.get(f"/v1/ai/{channel_id}")).json()["status"] == "completed"


@pytest.mark.parametrize(
    ("said", "status", "code"),
    [({}, 422, "nothing_said"), ({"percent": 101}, 400, "invalid_type"), ({"data": {"a": "x" * 17_000}}, 413, None)],
)
async def test_progress_that_cannot_be_told_is_refused(
    desk: Desk, told: Told, said: Any, status: int, code: str | None
) -> None:
    await desk.submit()
    body, _ = await told.next()
    problem(await post(body["callback_url"], body["callback_token"], said, path="/progress"), status, code)


async def test_progress_is_limited(desk: Desk, told: Told) -> None:
    await desk.submit()
    body, _ = await told.next()
    async with client_of("", key=body["callback_token"]) as client:
        url = f"{body['callback_url']}/progress"
        codes = [(await client.post(url, json={"percent": 1})).status_code for _ in range(121)]
    assert codes == [200] * 120 + [429]


# Time out -------------------------------------------------------------------------------------------------------


async def test_a_workflow_may_finish_without_its_backend(desk: Desk, told: Told) -> None:
    channel_id = (await desk.submit("finishing"))["channel_id"]
    body, _ = await told.next()
    await desk.clock.advance(61)
    state = await desk.until(channel_id, "completed", "error")
    assert state["status"] == "completed"
    assert state["data"] == state["ai_response"]["data"]
    assert state["callback_metadata"]["timed_out"] is True
    problem(await post(body["callback_url"], body["callback_token"]), 410, "callback_expired")
    timed_out = next(e for e in await desk.entries(channel_id) if e["kind"] == "callback.timed_out")
    assert timed_out["data"]["action"] == "finish"


@pytest.mark.parametrize("name", ["heartbeat", "progress"])
def test_no_stage_is_named_like_what_a_callback_url_ends_with(name: str) -> None:
    with pytest.raises(PipelineError, match=name):
        Pipeline([Stage.hand_off(name), Stage(name="finalise", kind="finalise")])
