"""Web pages of this origin and of others: who may speak to riverflow, with what, and what browsers are told."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus

from riverflow import Identity

from .desk import KEY, Desk, Sit, client_of, problem

pytestmark = pytest.mark.anyio

APP, EVIL = "https://app.example.com", "https://evil.example"
PRODUCTION: dict[str, Any] = {"env": "production", "secret_key": "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2U="}


def own(desk: Desk) -> str:
    return desk.origin


async def read(desk: Desk, origin: str, **headers: str) -> httpx.Response:
    return await desk.client.get("/console/workflow", headers={"origin": origin, **headers})


async def preflight(desk: Desk, origin: str, path: str = "/v1/ai/async") -> httpx.Response:
    async with client_of(str(desk.client.base_url), key=None) as browser:
        return await browser.options(
            path,
            headers={
                "origin": origin,
                "access-control-request-method": "POST",
                "access-control-request-headers": "authorization,content-type,idempotency-key",
            },
        )


@asynccontextmanager
async def socket(desk: Desk, run: dict[str, Any], origin: str | None) -> AsyncIterator[ClientConnection]:
    url = f"{run['websocket_url']}/websocket?token={run['ws_token']}&vsn=2.0.0"
    async with connect(url, origin=origin) as opened:  # type: ignore[arg-type]
        yield opened


async def joined(desk: Desk, origin: str | None) -> str:
    run = await desk.submit("movie")
    async with socket(desk, run, origin) as opened:
        await opened.send(json.dumps(["1", "1", run["websocket_channel"], "phx_join", {}]))
        status: str = json.loads(await opened.recv())[4]["status"]
    return status


# Who is let in ----------------------------------------------------------------------------------------------


async def test_in_production_only_the_app_s_own_pages_are_let_in(seated: Sit) -> None:
    async with seated(**PRODUCTION) as desk:
        assert (await read(desk, own(desk))).status_code == 200
        assert (await desk.client.get("/console/workflow")).status_code == 200, "who is no browser says no origin"
        for origin in (EVIL, APP, "null", desk.origin.replace("127.0.0.1", "localhost")):
            problem(await read(desk, origin), 403, "origin_not_allowed")
            problem(await preflight(desk, origin), 403, "origin_not_allowed")
            response = await desk.client.post("/v1/ai/async", json={"workflow": "plain"}, headers={"origin": origin})
            problem(response, 403, "origin_not_allowed")
            assert not [name for name in response.headers if name.startswith("access-control-")]


async def test_in_development_a_page_on_another_port_just_works(desk: Desk) -> None:
    for origin in ("http://localhost:5173", EVIL, "null"):
        answer = await read(desk, origin)
        assert answer.status_code == 200
        assert answer.headers["access-control-allow-origin"] == "*"
        assert "access-control-allow-credentials" not in answer.headers
        assert (await preflight(desk, origin)).headers["access-control-allow-origin"] == "*"
        assert await joined(desk, origin) == "ok"


async def test_who_is_named_is_let_in_everywhere(seated: Sit) -> None:
    async with seated(**PRODUCTION, allowed_origins=[APP]) as desk:
        answer = await read(desk, APP)
        assert answer.status_code == 200
        assert answer.headers["access-control-allow-origin"] == APP
        assert answer.headers["access-control-allow-credentials"] == "true"
        assert answer.headers["vary"] == "origin"
        assert await joined(desk, APP) == "ok"
        run = await desk.submit("movie")
        events = f"/v1/ai/{run['channel_id']}/events?token={run['ws_token']}"
        async with desk.client.stream("GET", events, headers={"origin": APP}) as stream:
            assert stream.headers["access-control-allow-origin"] == APP
            assert stream.headers["content-type"].startswith("text/event-stream")
        problem(await read(desk, EVIL), 403, "origin_not_allowed")


async def test_readers_and_sockets_of_other_origins_are_refused_in_production(seated: Sit) -> None:
    async with seated(**PRODUCTION) as desk:
        run = await desk.submit("movie")
        for path in ("events", "timeline/events"):
            url = f"/v1/ai/{run['channel_id']}/{path}?token={run['ws_token']}"
            problem(await desk.client.get(url, headers={"origin": EVIL}), 403, "origin_not_allowed")
        with pytest.raises(InvalidStatus) as refused:
            async with socket(desk, run, EVIL):
                pass
        assert refused.value.response.status_code == 403
        assert json.loads(refused.value.response.body or b"")["error"]["code"] == "origin_not_allowed"
        assert await joined(desk, own(desk)) == "ok"
        assert await joined(desk, None) == "ok"


# What browsers are told -------------------------------------------------------------------------------------


async def test_a_preflight_is_answered_without_a_key(seated: Sit) -> None:
    async with seated(**PRODUCTION, allowed_origins=APP) as desk:
        for path in ("/v1/ai/async", "/api/v1/ai/reconnect", "/console/workflow/movie", "/v1/ai/x/events"):
            answer = await preflight(desk, APP, path)
            assert answer.status_code == 204
            assert answer.headers["access-control-allow-origin"] == APP
            assert {"GET", "POST", "PATCH", "DELETE"} <= set(answer.headers["access-control-allow-methods"].split(", "))
            allowed = set(answer.headers["access-control-allow-headers"].split(", "))
            assert {"authorization", "content-type", "idempotency-key", "last-event-id"} <= allowed
            assert int(answer.headers["access-control-max-age"]) > 0


async def test_options_that_are_no_preflight_are_405(desk: Desk) -> None:
    problem(await desk.client.options("/v1/ai/async", headers={"origin": APP}), 405)
    problem(await desk.client.options("/v1/ai/async"), 405)


async def test_errors_can_be_read_by_the_page_too(desk: Desk) -> None:
    async with client_of(str(desk.client.base_url), key=None) as browser:
        for response in (
            await browser.post("/v1/ai/async", json={}, headers={"origin": APP}),
            await browser.get("/nowhere", headers={"origin": APP}),
        ):
            assert response.status_code in (401, 404)
            assert response.headers["access-control-allow-origin"] == "*"
            assert "retry-after" in response.headers["access-control-expose-headers"]


async def test_every_answer_says_that_it_is_not_to_be_kept_sniffed_or_referred_to(desk: Desk) -> None:
    answers = [
        await desk.client.post("/v1/ai/async", json={"workflow": "movie"}),
        await desk.client.post("/console/webhook", json={"url": "https://example.com/"}),
        await desk.client.get("/nowhere"),
        await desk.client.get("/openapi.json"),
        await desk.client.delete("/v1/ai/async"),
    ]
    for answer in answers:
        assert answer.headers.get_list("cache-control") == ["no-store"]
        assert answer.headers.get_list("x-content-type-options") == ["nosniff"]
        assert answer.headers.get_list("referrer-policy") == ["no-referrer"]
    for path in ("events", "timeline/events"):
        async with desk.client.stream("GET", f"/v1/ai/{answers[0].json()['channel_id']}/{path}") as stream:
            assert "no-cache" in stream.headers["cache-control"]
            assert stream.headers["x-content-type-options"] == "nosniff"


# What pages come with ---------------------------------------------------------------------------------------


async def test_a_page_that_only_a_star_lets_in_comes_without_its_user_s_cookies(seated: Sit) -> None:
    """Else any page could act as whoever is logged in to the host app (CSRF): the door reads any body as JSON."""

    async def who(scope: Any) -> Identity | None:
        headers = dict(scope["headers"])
        if headers.get(b"cookie") == b"user=mia" or headers.get(b"authorization") == b"Basic bWlhOnB3":
            return Identity(project_id=desk.river.project_id, subject="mia")
        return None

    settings: dict[str, Any] = {"authenticator": who, "allowed_origins": f"*, {APP}"}
    async with seated(**settings) as desk, client_of(str(desk.client.base_url), None) as browser:
        for credential in ({"cookie": "user=mia"}, {"authorization": "Basic bWlhOnB3"}):
            simple = {"origin": EVIL, "content-type": "text/plain", **credential}
            forged = await browser.post("/v1/ai/async", content=b'{"workflow":"plain"}', headers=simple)
            problem(forged, 401, "missing_api_key")
            for origin in (APP, own(desk)):
                mine = await browser.post(
                    "/v1/ai/async", json={"workflow": "plain"}, headers={**simple, "origin": origin}
                )
                assert mine.status_code == 200
        keyed = {"origin": EVIL, "cookie": "user=mia", "authorization": f"Bearer {KEY}"}
        assert (await browser.get("/console/workflow", headers=keyed)).status_code == 200


async def test_in_development_a_page_of_this_machine_has_the_host_apps_bearer(seated: Sit) -> None:
    async def who(scope: Any) -> Identity | None:
        good = dict(scope["headers"]).get(b"authorization") == b"Bearer jwt of mia"
        return Identity(project_id=desk.river.project_id, subject="mia") if good else None

    async with seated(authenticator=who) as desk, client_of(str(desk.client.base_url), None) as page:
        page.headers["authorization"] = "Bearer jwt of mia"
        for origin, status in (("http://localhost:5173", 200), ("http://[::1]:3000", 200), (EVIL, 401)):
            answer = await page.get("/console/workflow", headers={"origin": origin})
            assert answer.status_code == status
        for origin in ("http://localhost.evil.example", "http://127.0.0.1.evil.example", "http://localhost:5173@evil"):
            assert (await page.get("/console/workflow", headers={"origin": origin})).status_code == 401


async def test_a_page_that_only_a_star_lets_in_counts_for_its_key_alone(seated: Sit) -> None:
    """Whom a proxy, a certificate or an address stands for, every page in his browser would be."""

    async def who(scope: Any) -> Identity | None:
        if dict(scope["headers"]).get(b"x-forwarded-user") != b"mia":
            return None
        return Identity(project_id=desk.river.project_id, subject="mia")

    settings: dict[str, Any] = {"authenticator": who, "allowed_origins": f"*, {APP}"}
    async with seated(**settings) as desk, client_of(str(desk.client.base_url), None) as proxy:
        proxy.headers["x-forwarded-user"] = "mia"
        for path in ("/v1/ai/async", "/console/key"):
            body = b'{"workflow":"plain","name":"evil"}'
            for bearer in ({}, {"authorization": "Bearer guessed"}):
                page = {"origin": EVIL, "content-type": "text/plain", **bearer}
                problem(await proxy.post(path, content=body, headers=page), 401)
        run = await desk.submit("movie")
        events = f"/v1/ai/{run['channel_id']}/events"
        problem(await proxy.get(events, headers={"origin": EVIL}), 401)
        for origin in (APP, own(desk)):
            answer = await proxy.get("/console/workflow", headers={"origin": origin})
            assert answer.status_code == 200
        keyed = {"origin": EVIL, "authorization": f"Bearer {KEY}"}
        assert (await proxy.get("/console/workflow", headers=keyed)).status_code == 200
        token = {"origin": EVIL}
        async with proxy.stream("GET", f"{events}?token={run['ws_token']}", headers=token) as stream:
            assert stream.status_code == 200


async def test_a_refused_origin_is_logged_once_with_the_cure(seated: Sit, caplog: pytest.LogCaptureFixture) -> None:
    async with seated(**PRODUCTION) as desk:
        with caplog.at_level(logging.WARNING, "riverflow.http"):
            for _ in range(3):
                await read(desk, EVIL)
            await read(desk, "https://other.example")
        told = [record.getMessage() for record in caplog.records if record.name == "riverflow.http"]
        assert len(told) == 2
        assert EVIL in told[0]
        assert "allowed_origins" in told[0]


async def test_many_origins_do_not_fill_the_log(seated: Sit, caplog: pytest.LogCaptureFixture) -> None:
    async with seated(**PRODUCTION) as desk:
        with caplog.at_level(logging.WARNING, "riverflow.http"):
            for number in range(150):
                await read(desk, f"https://{number}.example")
        assert sum(record.name == "riverflow.http" for record in caplog.records) == 100
