"""Rate limits at the doors, and the bounds on what a request may weigh."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from riverflow import Identity
from riverflow.asgi_client import request
from riverflow.routes._front import MAX_HEAD, MAX_TARGET

from .desk import KEY, NOBODY, Desk, Sit, client_of, problem

pytestmark = pytest.mark.anyio

HOME, AWAY = "198.51.100.1", "198.51.100.2"
BEARER = f"Bearer {KEY}"
PROXIED: dict[str, Any] = {"trusted_proxies": "127.0.0.0/8", "notifier": "auto"}


def at(desk: Desk, address: str = HOME, key: str | None = None) -> httpx.AsyncClient:
    """A client behind a proxy that says where he is."""
    client = client_of(str(desk.client.base_url), key)
    client.headers["x-forwarded-for"] = address
    return client


def limited(response: httpx.Response, limit: int, name: str = "address") -> None:
    problem(response, 429, "rate_limit_exceeded")
    assert response.json()["error"]["type"] == "rate_limit_error"
    assert 1 <= int(response.headers["retry-after"]) <= 120
    assert response.headers["ratelimit-policy"] == f'"{name}";q={limit};w=60'
    assert response.headers["ratelimit"].startswith(f'"{name}";r=0;t=')


# Strangers --------------------------------------------------------------------------------------------------


async def test_guessing_keys_is_limited_by_address_and_a_good_key_is_not(seated: Sit) -> None:
    async with seated(**PROXIED, rate_limit_unkeyed=3) as desk, at(desk, HOME, "wrong") as guesser:
        for path in ("/v1/ai/async", "/v1/callback/x", "/console/workflow"):
            problem(await guesser.post(path, json={}), 401, "invalid_api_key")
        limited(await guesser.post("/v1/ai/async", json={}), 3)
        limited(await guesser.get(f"/v1/ai/{NOBODY}/events"), 3)
        async with at(desk, HOME, KEY) as owner, at(desk, AWAY, "wrong") as other:
            for _ in range(10):
                assert (await owner.get("/console/workflow")).status_code == 200
            problem(await other.get("/console/workflow"), 401)


async def test_there_is_room_again_after_the_time_that_is_told(seated: Sit) -> None:
    async with seated(**PROXIED, rate_limit_unkeyed=3) as desk, at(desk, HOME, "wrong") as guesser:
        for _ in range(3):
            await guesser.get("/console/workflow")
        refused = await guesser.get("/console/workflow")
        limited(refused, 3)
        await desk.clock.advance(int(refused.headers["retry-after"]))
        problem(await guesser.get("/console/workflow"), 401)


async def test_doors_without_a_key_are_limited_by_address(seated: Sit) -> None:
    async with seated(**PROXIED, rate_limit_unkeyed=2) as desk, at(desk) as anybody:
        assert (await anybody.get("/openapi.json")).status_code == 200
        problem(await anybody.get("/nowhere"), 404)
        limited(await anybody.get("/openapi.json"), 2)
        limited(await anybody.get("/nowhere"), 2)
        run = await desk.submit("movie")
        events = f"/v1/ai/{run['channel_id']}/events?token={run['ws_token']}"
        limited(await anybody.get(events), 2)
        limited(await anybody.get(events, headers={"authorization": BEARER}), 2)
        async with at(desk, AWAY) as browser, browser.stream("GET", events) as stream:
            assert stream.status_code == 200


async def test_a_key_spares_nobody_at_a_door_that_reads_none(seated: Sit) -> None:
    for path in ("/openapi.json", "/health", "/nowhere", "/approve/rap_x.y", "/v1/ai/x/y/z/nowhere"):
        async with seated(**PROXIED, rate_limit_unkeyed=2) as desk, at(desk, HOME, "wrong") as guesser:
            statuses = [(await guesser.get(path)).status_code for _ in range(4)]
            assert 429 not in statuses[:2]
            assert statuses[2:] == [429, 429]


async def test_opening_sockets_is_limited_and_the_refusal_is_one_that_clients_wait_longer_after(seated: Sit) -> None:
    async with seated(**PROXIED, rate_limit_unkeyed=1) as desk:
        run = await desk.submit("movie")
        url = f"{run['websocket_url']}/websocket?token={run['ws_token']}&vsn=2.0.0"
        headers = {"x-forwarded-for": HOME}
        async with connect(url, additional_headers=headers):
            with pytest.raises(InvalidStatus) as refused:
                await connect(url, additional_headers=headers)
        response = refused.value.response
        assert response.status_code == 429
        assert int(response.headers["retry-after"]) >= 1
        assert json.loads(response.body or b"")["error"]["code"] == "rate_limit_exceeded"
        async with connect(url, additional_headers={"x-forwarded-for": AWAY}):
            pass


async def test_readers_with_a_key_are_not_strangers(seated: Sit) -> None:
    async with seated(**PROXIED, rate_limit_unkeyed=1) as desk, at(desk, HOME, KEY) as operator:
        run = await desk.submit("movie")
        for _ in range(5):
            for path in ("events", "timeline/events"):
                async with operator.stream("GET", f"/v1/ai/{run['channel_id']}/{path}") as stream:
                    assert stream.status_code == 200


async def test_the_limit_is_on_by_default_but_not_for_this_machine_itself(seated: Sit) -> None:
    async with seated() as desk:
        statuses = []
        for _ in range(310):
            async with request(desk.river, "GET", "/console/workflow", client=(HOME, 1)) as response:
                statuses.append(response.status)
        assert statuses == [401] * 300 + [429] * 10
        for _ in range(310):
            async with request(desk.river, "GET", "/console/workflow", client=("127.0.0.1", 1)) as response:
                assert response.status == 401


async def test_what_a_stranger_says_of_himself_is_not_believed(seated: Sit) -> None:
    async with seated(rate_limit_unkeyed=2) as desk:
        statuses = []
        for number in range(4):
            headers = {"x-forwarded-for": f"203.0.113.{number}"}
            async with request(desk.river, "GET", "/nowhere", headers=headers, client=(HOME, 1)) as response:
                statuses.append(response.status)
        assert statuses == [404, 404, 429, 429]


# Known callers ----------------------------------------------------------------------------------------------


async def test_traffic_with_a_key_is_limited_only_where_that_is_set(seated: Sit) -> None:
    async with seated(**PROXIED, rate_limit_unkeyed=2) as desk, at(desk, HOME, KEY) as client:
        for _ in range(20):
            response = await client.get("/console/workflow")
            assert response.status_code == 200
            assert "ratelimit" not in response.headers


@pytest.mark.parametrize(("setting", "name"), [("rate_limit_key", "key"), ("rate_limit_project", "project")])
async def test_where_it_is_set_every_answer_says_how_much_is_left(seated: Sit, setting: str, name: str) -> None:
    async with seated(**{setting: 3}) as desk:
        for left in (2, 1, 0):
            response = await desk.client.get("/console/workflow")
            assert response.status_code == 200
            assert response.headers["ratelimit"].startswith(f'"{name}";r={left};t=')
            assert response.headers["ratelimit-policy"] == f'"{name}";q=3;w=60'
        limited(await desk.client.get("/console/workflow"), 3, name)
        limited(await desk.client.get(f"/v1/ai/{NOBODY}/events"), 3, name)
        refused = await desk.client.post("/v1/ai/async", json={"workflow": "plain"})
        limited(refused, 3, name)


async def test_users_of_the_host_app_are_told_apart(seated: Sit) -> None:
    async def who(scope: Any) -> Identity | None:
        user = dict(scope["headers"]).get(b"cookie", b"").decode()
        return Identity(project_id=desk.river.project_id, subject=user) if user else None

    async with seated(authenticator=who, rate_limit_user=1) as desk, client_of(str(desk.client.base_url), None) as user:
        for name in ("mia", "tim"):
            assert (await user.get("/console/workflow", headers={"cookie": name})).status_code == 200
            limited(await user.get("/console/workflow", headers={"cookie": name}), 1, "user")
        for _ in range(3):
            assert (await desk.client.get("/console/workflow")).status_code == 200


async def test_case_34_what_sends_at_the_press_of_a_button_is_rationed_even_with_a_key(seated: Sit) -> None:
    async with seated(rate_limit_rationed=2) as desk:
        buttons = [f"/v1/deliveries/{NOBODY}/replay", f"/v1/requests/{NOBODY}/replay"]
        for path in buttons:
            problem(await desk.client.post(path, json={}), 404)
        for path in buttons:
            limited(await desk.client.post(path, json={}), 2, "rationed")
        assert (await desk.client.get("/v1/deliveries")).status_code == 200
        await desk.clock.advance(120)
        problem(await desk.client.post(buttons[0], json={}), 404)


# SECURITY: what a request may weigh -------------------------------------------------------------------------


async def test_a_path_or_query_over_the_limit_is_414(desk: Desk) -> None:
    for path in (f"/v1/ai/{'a' * MAX_TARGET}", f"/v1/ai/{NOBODY}/timeline?after={'1' * MAX_TARGET}", "/x" * 5000):
        problem(await desk.client.get(path), 414, "uri_too_long")
    problem(await desk.client.get(f"/v1/ai/{'a' * (MAX_TARGET - 100)}"), 404)


async def test_headers_over_the_limit_are_431(desk: Desk) -> None:
    async with request(
        desk.river, "GET", "/console/workflow", headers={"authorization": BEARER, "x-large": "a" * MAX_HEAD}
    ) as response:
        assert response.status == 431
        assert json.loads(await response.read())["error"]["code"] == "headers_too_large"
    many = [("authorization", BEARER), *((f"x-{number}", "a" * 100) for number in range(MAX_HEAD // 100 + 1))]
    async with request(desk.river, "GET", "/console/workflow", headers=many) as response:
        assert response.status == 431
    async with request(
        desk.river, "GET", "/console/workflow", headers={"authorization": BEARER, "x-large": "a" * (MAX_HEAD - 1000)}
    ) as response:
        assert response.status == 200


async def test_a_socket_s_frame_over_the_limit_ends_the_socket_and_nothing_else(desk: Desk) -> None:
    run = await desk.submit("movie")
    url = f"{run['websocket_url']}/websocket?token={run['ws_token']}&vsn=2.0.0"
    async with connect(url) as socket:
        await socket.send(json.dumps(["1", "1", run["websocket_channel"], "phx_join", {"x": "a" * 70_000}]))
        await socket.wait_closed()
        assert socket.close_code == 1009
    async with connect(url) as socket:
        deep = "[" * 5000 + "]" * 5000
        await socket.send(f'["1","1","{run["websocket_channel"]}","phx_join",{deep}]')
        await socket.send(b"\x00" * 100)
        await socket.send(json.dumps(["1", "2", run["websocket_channel"], "phx_join", {}]))
        while (frame := json.loads(await socket.recv()))[1] != "2":
            pass
        assert frame[4]["status"] == "ok"


async def test_a_socket_s_query_over_the_limit_is_refused(desk: Desk) -> None:
    url = desk.origin.replace("http", "ws") + f"/river/socket/websocket?vsn=2.0.0&token={'a' * (MAX_TARGET - 30)}"
    with pytest.raises(InvalidStatus) as refused:
        await connect(url)
    assert refused.value.response.status_code == 414


# SECURITY-CASES 32: what survives, and what is refused early ---------------------------------------------------


async def test_case_32_integers_above_2_53_survive_exactly(desk: Desk) -> None:
    run = await desk.client.post("/v1/ai/async", content=b'{"workflow":"plain","customer_data":{"n":9007199254740993}}')
    assert b'"n":9007199254740993' in run.content
    await desk.until(run.json()["channel_id"], "success")
    state = await desk.client.get(f"/v1/ai/{run.json()['channel_id']}")
    assert b'"n":9007199254740993' in state.content


# SECURITY-CASES 30: what could become a header or a line of a log ------------------------------------------------

CONTROLS = ["a\r\nx-evil: 1", "a\nb", "a\x00b", "a\x1b[31m", "a\x7f", "a\u2028b", "a\uffff", " a", "a" * 201]


async def test_case_30_no_name_that_reaches_a_header_has_control_characters(desk: Desk) -> None:
    for name in CONTROLS:
        named = await desk.client.post("/v1/ai/async", json={"workflow": "plain", "events": [name]})
        problem(named, 422)
        defined = await desk.client.post(
            "/console/workflow", json={"name": "evil", "provider": "echo", "template": "x", "event_name": name}
        )
        problem(defined, 422)


async def test_nor_where_the_token_is_spelt_in_another_way(seated: Sit) -> None:
    for query in ("token=x", "%74oken=x", "token"):
        async with seated(**PROXIED, rate_limit_unkeyed=2) as desk, at(desk, HOME, "wrong") as guesser:
            path = f"/v1/ai/019ab000-0000-7000-8000-000000000000/events?{query}"
            statuses = [(await guesser.get(path)).status_code for _ in range(4)]
            assert statuses == [401, 401, 429, 429], query
