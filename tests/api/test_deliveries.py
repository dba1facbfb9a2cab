"""`/v1/deliveries`: listed by filter and page, shown with their attempts, sent again by who may."""

from __future__ import annotations

from typing import Any

import pytest

from riverflow import Endpoint, Workflow

from .desk import NOBODY, Desk, Sit, client_of, problem

pytestmark = pytest.mark.anyio

SECRET = "whsec_ZGVza2Rlc2tkZXNrZGVza2Rlc2tkZXNrZGVza2Rlc2s="
NOWHERE = "asgi:///hooks"  # the app that riverflow is mounted into answers 404
PLAIN = Workflow(name="plain", provider="echo", template="hello")
ENDPOINTS = [
    Endpoint(id="ep_one", url=f"{NOWHERE}/one", secret=SECRET, events=("task.completed",), retry=(0,)),
    Endpoint(id="ep_two", url=f"{NOWHERE}/two", secret=SECRET, events=("task.completed",)),
]
OPTIONS: dict[str, Any] = {"workflows": [PLAIN], "endpoints": ENDPOINTS}


async def told(desk: Desk, runs: int = 1) -> list[str]:
    """Runs that are over, two seconds apart, of each of which two receivers were told in vain: their channel ids."""
    ids = []
    for _ in range(runs):
        channel_id = (await desk.submit("plain"))["channel_id"]
        await desk.until(channel_id, "success")
        while (await desk.kinds(channel_id)).count("delivery.attempted") < 2:
            await desk.clock.advance(0.05)
        ids.append(channel_id)
        await desk.clock.advance(2)
    return ids


async def listed(desk: Desk, **asked: Any) -> dict[str, Any]:
    answer = await desk.client.get("/v1/deliveries", params=asked)
    assert answer.status_code == 200, answer.text
    page: dict[str, Any] = answer.json()
    return page


@pytest.mark.parametrize("prefix", ["/v1", "/api/v1"])
async def test_newest_first_with_all_that_a_list_shows(seated: Sit, prefix: str) -> None:
    async with seated(**OPTIONS) as desk:
        first, second = await told(desk, 2)
        page = (await desk.client.get(f"{prefix}/deliveries")).json()
        assert [each["channel_id"] for each in page["data"]] == [second, second, first, first]
        assert not page["has_more"]
        newest = next(each for each in page["data"] if each["endpoint_id"] == "ep_two")
        assert newest == {
            "id": newest["id"],
            "channel_id": second,
            "type": "task.completed",
            "event": None,
            "stage": "finalise",
            "endpoint_id": "ep_two",
            "url": f"{NOWHERE}/two",
            "status": "pending",
            "attempt": 2,
            "created_at": newest["created_at"],
            "due_at": newest["due_at"],
            "expires_at": None,
            "replayable": False,
        }
        assert newest["created_at"] < newest["due_at"]


async def test_filters(seated: Sit) -> None:
    async with seated(**OPTIONS) as desk:
        first, second = await told(desk, 2)
        ids = {each["id"]: each for each in (await listed(desk))["data"]}
        made = sorted(each["created_at"] for each in ids.values())

        async def found(**asked: Any) -> set[tuple[str, str]]:
            return {(each["channel_id"], each["endpoint_id"]) for each in (await listed(desk, **asked))["data"]}

        assert await found(status="dead") == {(first, "ep_one"), (second, "ep_one")}
        assert await found(status="dead,pending", run=first) == {(first, "ep_one"), (first, "ep_two")}
        assert await found(endpoint="ep_two", event="task.completed") == {(first, "ep_two"), (second, "ep_two")}
        assert await found(event="other") == set()
        assert await found(since=made[-1]) == {(second, "ep_one"), (second, "ep_two")}
        assert await found(until=made[-1]) == {(first, "ep_one"), (first, "ep_two")}
        assert await found(status="", run="", endpoint="", event="", since="", until="") == await found()
        assert await found(run=NOBODY) == set()


async def test_pages(seated: Sit) -> None:
    async with seated(**OPTIONS) as desk:
        await told(desk, 3)
        everything = [each["id"] for each in (await listed(desk))["data"]]
        first = await listed(desk, limit=4)
        assert ([each["id"] for each in first["data"]], first["has_more"]) == (everything[:4], True)
        second = await listed(desk, limit=4, starting_after=everything[3])
        assert ([each["id"] for each in second["data"]], second["has_more"]) == (everything[4:], False)
        back = await listed(desk, limit=3, ending_before=everything[4])
        assert ([each["id"] for each in back["data"]], back["has_more"]) == (everything[1:4], True)


@pytest.mark.parametrize(
    "asked",
    [
        {"status": "lost"},
        {"status": "dead,lost"},
        {"run": "not-a-uuid"},
        {"since": "yesterday"},
        {"until": "2025-13-01"},
        {"limit": "0"},
        {"limit": "101"},
        {"limit": "many"},
        {"limit": "-1"},
    ],
    ids=str,
)
async def test_parameters_that_cannot_be_read(desk: Desk, asked: dict[str, str]) -> None:
    body = problem(await desk.client.get("/v1/deliveries", params=asked), 400, "invalid_parameter")
    assert body["error"]["param"] == next(iter(asked))


async def test_one_with_its_body_and_its_attempts(seated: Sit) -> None:
    async with seated(**OPTIONS) as desk:
        (channel_id,) = await told(desk)
        (dead,) = (await listed(desk, status="dead"))["data"]
        shown = (await desk.client.get(f"/v1/deliveries/{dead['id']}")).json()
        assert {name: shown[name] for name in dead} == dead
        assert shown["body"]["type"] == "task.completed"
        assert shown["body"]["channel_id"] == channel_id
        attempted, exhausted = shown["attempts"]
        assert (attempted["kind"], attempted["attempt"]) == ("delivery.attempted", 1)
        assert (attempted["data"]["status"], attempted["data"]["outcome"]) == (404, "dead")
        assert attempted["data"]["first_try"] == {"status": 404}
        assert exhausted["kind"] == "delivery.exhausted"
        assert SECRET not in str(shown)


async def test_one_that_is_not_there(desk: Desk) -> None:
    problem(await desk.client.get("/v1/deliveries/msg_none"), 404, "delivery_not_found")
    problem(await desk.client.post("/v1/deliveries/msg_none/replay", json={}), 404, "delivery_not_found")


async def test_another_project_sees_and_sends_nothing(seated: Sit) -> None:
    async with seated(**OPTIONS) as desk:
        await told(desk)
        (dead,) = (await listed(desk, status="dead"))["data"]
        made = (await desk.client.post("/console/project", json={"name": "other"})).json()
        key = (await desk.client.post("/console/key", json={"name": "k", "project": made["id"]})).json()
        async with client_of(str(desk.client.base_url), key["key"]) as stranger:
            assert (await stranger.get("/v1/deliveries")).json()["data"] == []
            problem(await stranger.get(f"/v1/deliveries/{dead['id']}"), 404)
            problem(await stranger.post(f"/v1/deliveries/{dead['id']}/replay", json={}), 404)
            done = (await stranger.post("/v1/deliveries/replay", json={"filter": {}})).json()
            assert done == {"replayed": [], "skipped": {}, "has_more": False}
            problem(
                await stranger.get("/v1/deliveries", params={"starting_after": dead["id"]}), 400, "invalid_parameter"
            )
        assert (await listed(desk, status="dead"))["data"] == [dead]


async def test_who_may(seated: Sit) -> None:
    async with seated(**OPTIONS) as desk:
        await told(desk)
        (dead,) = (await listed(desk, status="dead"))["data"]
        doors = (
            ("read", "GET", "/v1/deliveries"),
            ("read", "GET", f"/v1/deliveries/{dead['id']}"),
            ("admin", "POST", f"/v1/deliveries/{dead['id']}/replay"),
            ("admin", "POST", "/v1/deliveries/replay"),
        )
        for scope in ("submit", "read", "callback", "admin"):
            key = (await desk.client.post("/console/key", json={"name": scope, "scopes": [scope]})).json()["key"]
            async with client_of(str(desk.client.base_url), key) as client:
                for wanted, method, path in doors:
                    answer = await client.request(method, path, json={"filter": {"run": NOBODY}})
                    if wanted == scope:
                        assert answer.status_code in (200, 400), answer.text
                    else:
                        assert problem(answer, 403)["error"]["required_scope"] == wanted


async def test_without_a_body_it_goes_where_it_was_to_go(seated: Sit) -> None:
    async with seated(**OPTIONS) as desk:
        (channel_id,) = await told(desk)
        (dead,) = (await listed(desk, status="dead"))["data"]
        answer = await desk.client.post(f"/v1/deliveries/{dead['id']}/replay")
        assert (answer.status_code, answer.json()["url"]) == (200, dead["url"])
        assert "delivery.replayed" in await desk.kinds(channel_id)


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("http://laptop.example.com/hook", "https_required"),
        ("https://10.0.0.1/hook", "invalid_url"),
        ("https://169.254.169.254/latest", "invalid_url"),
        ("asgi:///hook", "invalid_url"),
        ("local:task.completed", "invalid_url"),
        ("file:///etc/passwd", "invalid_url"),
        ("", "invalid_url"),
    ],
)
async def test_urls_that_may_not_be_called(seated: Sit, url: str, code: str) -> None:
    """The same rules as for an endpoint's URL (security case 34): a replay is no way round the guard."""
    async with seated(workflows=[PLAIN], env="production", public_url="https://river.example.com") as desk:
        one = await desk.client.post("/v1/deliveries/msg_1/replay", json={"url": url})
        assert problem(one, 422, code)["error"]["param"] == "url"
        every = await desk.client.post("/v1/deliveries/replay", json={"filter": {}, "url": url})
        assert problem(every, 422, code)["error"]["param"] == "url"


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("msg_1/replay", {"url": 5}),
        ("msg_1/replay", {"to": "https://example.com"}),
        ("msg_1/replay", []),
        ("replay", {}),
        ("replay", {"filter": {"status": "lost"}}),
        ("replay", {"filter": {"endpoints": "ep_1"}}),
        ("replay", {"filter": {"since": "yesterday"}}),
        ("replay", {"filter": {}, "limit": 0}),
        ("replay", {"filter": {}, "limit": 1001}),
    ],
    ids=str,
)
async def test_bodies_that_cannot_be_read(desk: Desk, path: str, body: Any) -> None:
    problem(await desk.client.post(f"/v1/deliveries/{path}", json=body), 400)


async def test_what_is_pending_is_not_sent_again(desk: Desk) -> None:
    problem(await desk.client.post("/v1/deliveries/replay", json={"filter": {"status": "pending"}}), 422)
    problem(await desk.client.post("/v1/deliveries/replay", json={"filter": {"status": ["dead", "pending"]}}), 422)


async def test_the_routes_are_described(desk: Desk) -> None:
    paths = (await desk.client.get("/openapi.json")).json()["paths"]
    assert set(paths["/v1/deliveries"]) == {"get"}
    assert set(paths["/v1/deliveries/{delivery_id}"]) == {"get"}
    assert set(paths["/v1/deliveries/{delivery_id}/replay"]) == {"post"}
    assert set(paths["/v1/deliveries/replay"]) == {"post"}
