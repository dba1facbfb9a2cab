"""`/v1/requests` and `/v1/stats`: what an operator finds, and what he can do with it."""

from __future__ import annotations

import csv
import io
from typing import Any

import httpx
import msgspec
import pytest

from riverflow import Riverflow, Workflow
from riverflow.models import RunFilter
from riverflow.testing import FakeClock

from .desk import MOVIE, NOBODY, PLAIN, Desk, Sit, client_of, problem

pytestmark = pytest.mark.anyio

DRAFT = Workflow(name="draft", provider="echo", model="words", template="hello")


async def listed(desk: Desk, **params: Any) -> list[str]:
    """The ids of a list."""
    response = await desk.client.get("/v1/requests", params=params)
    assert response.status_code == 200, response.text
    return [row["channel_id"] for row in response.json()["data"]]


async def done(desk: Desk, workflow: str = "plain", **fields: Any) -> str:
    """A run that has ended well: its id."""
    accepted = await desk.submit(workflow, **fields)
    await desk.until(accepted["channel_id"], "success")
    channel_id: str = accepted["channel_id"]
    return channel_id


async def waiting(desk: Desk) -> str:
    accepted = await desk.submit("movie")
    await desk.until(accepted["channel_id"], "ai_generated")
    channel_id: str = accepted["channel_id"]
    return channel_id


# Lists -----------------------------------------------------------------------------------------------------


async def test_a_row_has_what_a_list_shows(desk: Desk) -> None:
    channel_id = await done(desk, customer_data={"user_id": "u1"}, messages=[{"role": "user", "content": "two words"}])
    response = await desk.client.get("/v1/requests")
    body = response.json()
    assert (body["has_more"], body["next"]) == (False, None)
    (row,) = body["data"]
    assert row == {
        "channel_id": channel_id,
        "workflow": "plain",
        "event_name": None,
        "status": "success",
        "phase": "done",
        "stage": "finalise",
        "tag": "live",
        "seed_batch": f"live:{channel_id}",
        "provider": "echo",
        "model": "echo",
        "duration_ms": 0,
        "total_ms": 0,
        "tokens": {"prompt": 2, "completion": 1, "total": 3},
        "attempts": 1,
        "failed": [],
        "error": None,
        "created_at": "2023-11-14T22:13:20.000Z",
        "finished_at": "2023-11-14T22:13:20.000Z",
        "deadline_at": None,
        "replay_of": None,
        "customer_data": {"user_id": "u1"},
    }


async def test_a_waiting_run_shows_when_it_is_due(desk: Desk) -> None:
    await waiting(desk)
    (row,) = (await desk.client.get("/v1/requests")).json()["data"]
    assert (row["status"], row["phase"], row["event_name"]) == ("ai_generated", "waiting", "new_movie")
    assert (row["deadline_at"], row["finished_at"], row["total_ms"]) == ("2023-11-14T22:18:20.000Z", None, None)


async def test_a_list_is_paged_both_ways(desk: Desk) -> None:
    ids = [await done(desk) for _ in range(5)]
    ids.reverse()
    first = (await desk.client.get("/v1/requests", params={"limit": 2})).json()
    assert [row["channel_id"] for row in first["data"]] == ids[:2]
    assert (first["has_more"], first["next"]) == (True, ids[1])
    second = (await desk.client.get("/v1/requests", params={"limit": 2, "starting_after": first["next"]})).json()
    assert [row["channel_id"] for row in second["data"]] == ids[2:4]
    last = (await desk.client.get("/api/v1/requests", params={"limit": 2, "starting_after": second["next"]})).json()
    assert ([row["channel_id"] for row in last["data"]], last["has_more"], last["next"]) == (ids[4:], False, None)
    back = (await desk.client.get("/v1/requests", params={"limit": 2, "ending_before": ids[4]})).json()
    assert ([row["channel_id"] for row in back["data"]], back["next"]) == (ids[2:4], ids[2])
    back = (await desk.client.get("/v1/requests", params={"limit": 2, "ending_before": back["next"]})).json()
    assert ([row["channel_id"] for row in back["data"]], back["has_more"]) == (ids[:2], False)


async def test_a_page_knows_the_way_to_both_of_its_neighbours(desk: Desk) -> None:
    ids = [await done(desk) for _ in range(5)]
    ids.reverse()
    queries, project = desk.river._started().engine.queries, desk.river.project_id
    first = await queries.requests(project, limit=2)
    assert (first.newer, first.older) == (None, ids[1])
    second = await queries.requests(project, limit=2, starting_after=first.older)
    assert (second.newer, second.older) == (ids[2], ids[3])
    last = await queries.requests(project, limit=2, starting_after=second.older)
    assert (last.newer, last.older) == (ids[4], None)
    again = await queries.requests(project, limit=2, ending_before=last.newer)
    assert again == msgspec.structs.replace(second, newer=ids[2], older=ids[3])
    top = await queries.requests(project, limit=2, ending_before=again.newer)
    assert (top.data, top.newer, top.older) == (first.data, None, ids[1])


async def test_each_filter_chooses(seated: Sit) -> None:
    async with seated(workflows=[PLAIN, MOVIE, DRAFT]) as desk:
        plain = await done(desk, customer_data={"user_id": "u1"})
        draft = await done(desk, "draft", customer_data={"user_id": "u2"})
        movie = await waiting(desk)
        tested = await done(desk, test_mode=True)
        for params, found in (
            ({}, [movie, draft, plain]),
            ({"tag": "all"}, [tested, movie, draft, plain]),
            ({"tag": "test"}, [tested]),
            ({"status": "success"}, [draft, plain]),
            ({"status": "ai_generated,error"}, [movie]),
            ({"workflow": "draft"}, [draft]),
            ({"event_name": "new_movie"}, [movie]),
            ({"model": "words"}, [draft]),
            ({"provider": "openai"}, []),
            ({"customer": "user_id=u2"}, [draft]),
            ({"channel_id": movie}, [movie]),
            ({"channel_id": movie[:8]}, [movie, draft, plain]),
            ({"since": "2023-11-14T22:13:21Z"}, []),
            ({"until": "2023-11-14T22:13:21Z", "workflow": "plain"}, [plain]),
        ):
            assert await listed(desk, **params) == found, params


@pytest.mark.parametrize(
    ("params", "code", "says"),
    [
        ({"workfow": "movie"}, "unknown_parameter", "there is no parameter 'workfow'; there are status"),
        ({"status": "failed"}, "invalid_parameter", "status: 'failed' is none of"),
        ({"limit": "0"}, "invalid_parameter", "limit"),
        ({"limit": "101"}, "invalid_parameter", "limit"),
        ({"limit": "many"}, "invalid_parameter", "limit"),
        ({"since": "yesterday"}, "invalid_parameter", "since: 'yesterday' is no time"),
        ({"customer": "u1"}, "invalid_parameter", "key=value"),
        ({"starting_after": "movie"}, "invalid_parameter", "starting_after: 'movie' is not a channel id"),
        ({"starting_after": NOBODY, "ending_before": NOBODY}, "invalid_parameter", "not both"),
        ({"workflow": "x" * 501}, "invalid_parameter", "workflow"),
    ],
)
async def test_a_parameter_that_cannot_be_meant_is_refused(
    desk: Desk, params: dict[str, str], code: str, says: str
) -> None:
    body = problem(await desk.client.get("/v1/requests", params=params), 400, code)
    assert says in body["message"]


@pytest.mark.parametrize("path", ["/v1/requests", f"/v1/requests/{NOBODY}", "/v1/requests/export", "/v1/stats"])
async def test_reading_needs_a_key(desk: Desk, path: str) -> None:
    async with client_of(f"{desk.origin}/river", None) as stranger:
        problem(await stranger.get(path), 401)


# One request -----------------------------------------------------------------------------------------------


async def test_one_request_is_shown_whole(desk: Desk) -> None:
    channel_id = await waiting(desk)
    body = (await desk.client.get(f"/v1/requests/{channel_id}")).json()
    assert body["why"].startswith("Awaiting the callback for new_movie (stage enrich), 5 min left: no handler")
    assert [(stage["name"], stage["state"]) for stage in body["stages"]] == [
        ("generate", "done"),
        ("enrich", "waiting"),
        ("finalise", "ahead"),
    ]
    assert [(each["provider"], each["success"]) for each in body["tries"]] == [("echo", True)]
    assert [entry["kind"] for entry in body["entries"]] == await desk.kinds(channel_id)
    assert body["latest"] == len(body["entries"]) == 4
    assert body["request"] == {"workflow": "movie"}
    assert body["answer"]["choices"][0]["message"]["content"] == "hello"
    assert body["message"]["status"] == "ai_generated"
    assert len(body["warnings"]) == 1
    assert body["replayable"] == ["generate", "enrich"]
    assert (body["subscribers"], body["status"], body["total_ms"]) == (0, "ai_generated", None)


async def test_who_is_connected_is_counted(desk: Desk) -> None:
    channel_id = await waiting(desk)
    async with desk.client.stream("GET", f"/v1/ai/{channel_id}/events") as response:
        lines = response.aiter_lines()
        await anext(lines)
        assert (await desk.client.get(f"/v1/requests/{channel_id}")).json()["subscribers"] == 1


async def test_a_body_that_is_large_is_cut(desk: Desk) -> None:
    channel_id = await done(desk, messages=[{"role": "user", "content": "ü" * 60_000}])
    body = (await desk.client.get(f"/v1/requests/{channel_id}")).json()
    assert isinstance(body["request"], str)
    assert 60_000 < len(body["request"].encode()) <= 65_536
    assert body["request"].endswith("ü")
    assert body["message"]["status"] == "success"


@pytest.mark.parametrize("path", ["", "/fixture"])
async def test_a_request_that_is_not_there_is_not_found(desk: Desk, path: str) -> None:
    problem(await desk.client.get(f"/v1/requests/{NOBODY}{path}"), 404, "channel_not_found")
    problem(await desk.client.get(f"/v1/requests/movie{path}"), 404, "invalid_channel_id")


async def test_another_project_s_requests_are_not_there(seated: Sit) -> None:
    async def authenticate(scope: Any) -> Any:
        from riverflow.models import Identity

        named = dict(scope["headers"]).get(b"x-project")
        return None if named is None else Identity(project_id=await desk.river.project(named.decode()))

    async with seated(authenticator=authenticate) as desk:
        channel_id = await done(desk)
        theirs = {"x-project": "theirs"}
        async with client_of(f"{desk.origin}/river", None) as stranger:
            assert (await stranger.get("/v1/requests", headers=theirs)).json()["data"] == []
            assert (await stranger.get("/v1/stats", headers=theirs)).json()["whole"]["runs"] == 0
            assert (await stranger.get("/v1/requests/export", headers=theirs)).json() == []
            for path in ("", "/fixture"):
                problem(await stranger.get(f"/v1/requests/{channel_id}{path}", headers=theirs), 404)
            problem(await stranger.post(f"/v1/requests/{channel_id}/replay", headers=theirs), 404)


# Figures ---------------------------------------------------------------------------------------------------


async def test_what_has_ended_is_counted_by_period(desk: Desk) -> None:
    await done(desk)
    cancelled = (await desk.submit("movie", callback_timeout=7200))["channel_id"]
    await desk.until(cancelled, "ai_generated")
    await desk.clock.advance(3600)
    assert (await desk.client.post(f"/v1/ai/{cancelled}/cancel")).status_code == 200
    await done(desk, test_mode=True)
    await done(desk)
    body = (await desk.client.get("/v1/stats", params={"since": "1700000000", "until": "1700007200"})).json()
    assert (body["since"], body["until"]) == ("2023-11-14T22:00:00.000Z", "2023-11-15T01:00:00.000Z")
    assert body["whole"]["by_status"] == {"success": 2, "error": 1}
    assert body["whole"]["success_rate"] == pytest.approx(2 / 3)
    assert [period["runs"] for period in body["periods"]] == [1, 2, 0]
    assert sum(period["runs"] for period in body["periods"]) == 3
    minutes = (
        await desk.client.get("/v1/stats", params={"since": "1700000000", "until": "1700000060", "bucket": 60})
    ).json()
    assert [period["at"] for period in minutes["periods"]] == [
        "2023-11-14T22:13:00.000Z",
        "2023-11-14T22:14:00.000Z",
    ]
    assert (await desk.client.get("/v1/stats", params={"workflow": "movie"})).json()["whole"]["runs"] == 1
    assert (await desk.client.get("/v1/stats", params={"tag": "all"})).json()["whole"]["runs"] == 4


@pytest.mark.parametrize(
    ("params", "says"),
    [
        ({"bucket": "61"}, "bucket: give seconds"),
        ({"bucket": "420"}, "bucket: give seconds"),
        ({"bucket": "5400"}, "bucket: give seconds"),
        ({"bucket": "0"}, "bucket"),
        ({"bucket": "60", "since": "1600000000"}, "over 1500 periods"),
        ({"since": "1700000000", "until": "1600000000"}, "until: it must come after since"),
        ({"channel_id": "00"}, "there is no parameter 'channel_id'"),
    ],
)
async def test_periods_that_are_none_are_refused(desk: Desk, params: dict[str, str], says: str) -> None:
    body = problem(await desk.client.get("/v1/stats", params=params), 400)
    assert says in body["message"]


async def test_the_overview_says_how_things_stand(desk: Desk) -> None:
    await done(desk)
    await waiting(desk)
    queries = desk.river._started().engine.queries
    overview = await queries.overview(desk.river.project_id)
    assert overview.stats.whole.runs == 1
    assert (overview.standing.running, overview.standing.waiting) == (0, 1)
    assert (overview.queue_depth, overview.queue_age, overview.dead_letters) == (0, 0.0, 0)
    assert [(each.provider, each.model, each.attempts, each.failures) for each in overview.providers] == [
        ("echo", "echo", 2, 0)
    ]


# Exports ---------------------------------------------------------------------------------------------------


async def test_an_export_has_what_the_list_has(desk: Desk) -> None:
    ids = [await done(desk) for _ in range(3)]
    await waiting(desk)
    wanted = {"workflow": "plain"}
    shown = await desk.client.get("/v1/requests/export", params=wanted)
    assert shown.headers["content-type"] == "application/json"
    assert [row["channel_id"] for row in shown.json()] == ids[::-1] == await listed(desk, **wanted)
    table = await desk.client.get("/v1/requests/export", params=wanted | {"format": "csv", "limit": "2"})
    assert table.headers["content-type"] == "text/csv; charset=utf-8"
    assert table.headers["content-disposition"] == 'attachment; filename="requests.csv"'
    assert table.headers["cache-control"] == "no-store"
    assert [row["channel_id"] for row in csv.DictReader(io.StringIO(table.text))] == ids[:0:-1]


async def test_an_export_of_nothing_is_a_file_all_the_same(desk: Desk) -> None:
    assert (await desk.client.get("/v1/requests/export")).json() == []
    assert (await desk.client.get("/v1/requests/export?format=csv")).text.startswith("channel_id,workflow,")


@pytest.mark.parametrize(
    "params", [{"format": "xml"}, {"limit": "100001"}, {"starting_after": NOBODY}, {"status": "x"}]
)
async def test_an_export_that_cannot_be_meant_is_refused(desk: Desk, params: dict[str, str]) -> None:
    problem(await desk.client.get("/v1/requests/export", params=params), 400)


async def test_an_export_goes_on_over_pages(tmp_path: Any) -> None:
    """Over a thousand runs: more than the store is asked for at once."""
    river = Riverflow(
        database_url=f"sqlite:///{tmp_path}/many.db", api_key="k", env="development", workflows=[PLAIN],
        environ={}, discover_plugins=False, clock=FakeClock(),
    )  # fmt: skip
    async with river.lifespan():
        engine, project = river._started().engine, river.project_id
        for _ in range(1_050):
            await engine.submit(project, b'{"workflow":"plain"}', "")
        rows = [row.channel_id async for row in engine.queries.every(project, RunFilter(), limit=10_000)]
        assert len(rows) == len(set(rows)) == 1_050
        assert rows == sorted(rows, reverse=True)
        some = [row async for row in engine.queries.every(project, RunFilter(), limit=501)]
        assert [row.channel_id for row in some] == rows[:501]


# Replay and fixtures ---------------------------------------------------------------------------------------


async def test_a_replay_is_a_new_run(desk: Desk) -> None:
    original = await waiting(desk)
    response = await desk.client.post(f"/v1/requests/{original}/replay", json={"stage": "enrich"})
    assert response.status_code == 200, response.text
    again = response.json()
    assert again["channel_id"] != original
    assert again["status"] == "pending"
    assert {"ws_token", "websocket_url", "websocket_channel"} <= again.keys()
    row = (await desk.client.get(f"/v1/requests/{again['channel_id']}")).json()
    assert (row["replay_of"], row["status"], row["attempts"]) == (original, "ai_generated", 0)
    assert [stage["copied"] for stage in row["stages"]] == [True, False, False]


@pytest.mark.parametrize("body", [{"json": {}}, {"content": b""}, {"json": {"stage": None}}])
async def test_a_replay_begins_at_the_start_unless_told(desk: Desk, body: dict[str, Any]) -> None:
    original = await done(desk)
    again = (await desk.client.post(f"/v1/requests/{original}/replay", **body)).json()["channel_id"]
    await desk.until(again, "success")
    row = (await desk.client.get(f"/v1/requests/{again}")).json()
    assert (row["replay_of"], row["attempts"], row["tokens"]["completion"]) == (original, 1, 1)


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"json": {"stage": "publish"}}, 404, "unknown_stage"),
        ({"json": {"stage": "finalise"}}, 422, "nothing_to_replay"),
        ({"json": {"stage": 5}}, 400, "invalid_type"),
        ({"content": b"{"}, 400, "invalid_json"),
    ],
)
async def test_a_replay_that_cannot_be_is_refused(desk: Desk, body: dict[str, Any], status: int, code: str) -> None:
    original = await waiting(desk)
    problem(await desk.client.post(f"/v1/requests/{original}/replay", **body), status, code)
    assert await listed(desk) == [original]


async def test_a_key_that_may_only_read_starts_nothing(desk: Desk) -> None:
    original = await waiting(desk)
    made = await desk.client.post("/console/key", json={"name": "reader", "scopes": ["read"]})
    async with client_of(f"{desk.origin}/river", made.json()["key"]) as reader:
        assert (await reader.get(f"/v1/requests/{original}")).status_code == 200
        problem(await reader.post(f"/v1/requests/{original}/replay"), 403)


async def test_the_document_has_every_parameter(desk: Desk) -> None:
    document: httpx.Response = await desk.client.get("/openapi.json")
    paths = document.json()["paths"]
    for path in ("/v1/requests", "/v1/requests/export", "/v1/requests/{channel_id}", "/v1/stats"):
        assert "get" in paths[path]
    assert "post" in paths["/v1/requests/{channel_id}/replay"]
    listing = {each["name"]: each for each in paths["/v1/requests"]["get"]["parameters"]}
    assert {"status", "customer", "starting_after", "limit"} <= listing.keys()
