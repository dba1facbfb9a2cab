"""The pages for what is configured: the same validation as the API's, and the same answers."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from riverflow import Event, Riverflow, Workflow
from riverflow.testing import FakeClock

from .clean import assert_clean
from .visitor import KEY, Visitor, open_console, river_of, served, visiting

pytestmark = pytest.mark.anyio

SCHEMA = {"type": "object", "properties": {"title": {"type": "string"}, "year": {"type": "integer"}}}


@pytest.fixture
async def console(tmp_path: Path) -> AsyncIterator[tuple[Visitor, httpx.AsyncClient]]:
    """A visitor who has logged in, and the same riverflow's API."""
    async with open_console(tmp_path) as (visitor, _), api_of(visitor) as client:
        yield visitor, client


def api_of(visitor: Visitor) -> httpx.AsyncClient:
    base = visitor.base.removesuffix("console/")
    return httpx.AsyncClient(base_url=base, trust_env=False, headers={"authorization": f"Bearer {KEY}"})


Console = tuple[Visitor, httpx.AsyncClient]

PAGES = [
    "", "requests", "playground", "dead-letters",
    "workflows", "workflows/new", "workflows/in_code", "structured-outputs", "structured-outputs/new",
    "structured-outputs/fixed", "webhooks", "webhooks/new", "keys", "keys/new", "settings", "no-such-page",
]  # fmt: skip


async def test_every_page_is_clean(console: Console) -> None:
    visitor, _ = console
    for path in PAGES:
        page = await visitor.see(path)
        assert page.status == (404 if path == "no-such-page" else 200), path
        assert_clean(page)
        assert page.text.count("Overview") >= 2  # the rail


async def test_every_link_of_every_page_leads_somewhere(console: Console) -> None:
    visitor, client = console
    await client.post("/console/webhook", json={"url": "http://127.0.0.1:8001/hook"})
    await client.post("/console/key", json={"name": "one"})
    await client.post("/v1/ai/async", json={"workflow": "in_code"})
    seen: set[str] = set()
    ahead = [visitor.base]
    while ahead:
        url = ahead.pop()
        page = await visitor.see(url)
        assert page.status == 200, url
        for link in page.links:
            target = str(httpx.URL(url).join(link)).partition("#")[0]
            if target.startswith(visitor.base) and target.partition("?")[0] not in seen and "export" not in target:
                seen.add(target.partition("?")[0])
                ahead.append(target)
    assert len(seen) > 15


async def test_a_mounted_console_is_linked_below_its_prefix(tmp_path: Path) -> None:
    from riverflow import RiverflowMiddleware

    app = RiverflowMiddleware(Starlette(), river=river_of(tmp_path), prefix="/deep/river")
    async with served(app) as origin, visiting(f"{origin}/deep/river") as visitor:
        page = await visitor.log_in()
        assert page.url == f"{origin}/deep/river/console/"
        assert (await visitor.see("workflows/in_code")).status == 200
        assert (await visitor.http.get(f"{origin}/deep/river/console", follow_redirects=True)).status_code == 200


async def test_a_workflow_from_the_form_is_the_one_that_the_api_shows(console: Console) -> None:
    visitor, client = console
    page = await visitor.send(
        await visitor.see("workflows/new"),
        "workflows/new",
        name="films",
        provider="echo",
        model="m1",
        description="For films",
        fallback_provider=["openai", ""],
        fallback_model=["gpt-4o", ""],
        event_name="new_film",
        structured_output_id="fixed",
        instructions="Be kind.\nBe short.",
        cache_fields="metadata.user\nmetadata.plan",
        callback_timeout="90",
        sample_data='{"title": "Up"}',
    )
    assert page.status == 200
    assert page.url.endswith("workflows/films?done=created")
    assert "Created." in page.text
    shown = (await client.get("/console/workflow/films")).json()
    assert shown["fallbacks"] == [{"provider": "openai", "model": "gpt-4o", "position": 1}]
    assert shown["cache_fields"] == ["metadata.user", "metadata.plan"]
    assert (shown["callback_timeout"], shown["sample_data"]) == (90, {"title": "Up"})
    assert shown["instructions"] == "Be kind.\r\nBe short." or shown["instructions"] == "Be kind.\nBe short."
    page = await visitor.send(await visitor.see("workflows/films"), "workflows/films", event_name="", model="m2")
    assert "Saved." in page.text
    after = (await client.get("/console/workflow/films")).json()
    changed = {name for name in after if after[name] != shown[name]} - {"version", "updated_at"}
    assert changed == {"event_name", "model"}
    assert (after["event_name"], after["model"]) == (None, "m2")
    page = await visitor.send(await visitor.see("workflows/films/delete"), "workflows/films/delete")
    assert "Deleted." in page.text
    assert (await client.get("/console/workflow/films")).status_code == 404


@pytest.mark.parametrize(
    ("field", "value", "param"),
    [
        ("name", "a/b", "name"),
        ("name", "in_code", None),
        ("callback_timeout", "soon", "callback_timeout"),
        ("callback_timeout", "-1", None),
        ("pipeline", "[", "pipeline"),
        ("pipeline", '[{"name": "generate", "kind": "generate"}]', "pipeline"),
        ("provider", "nobody", None),
        ("sample_data", "{", "sample_data"),
    ],
)
async def test_what_the_api_refuses_the_form_refuses_in_the_same_words(
    console: Console, field: str, value: str, param: str | None
) -> None:
    visitor, client = console
    page = await visitor.see("workflows/new")
    answer = await visitor.send(
        page, "workflows/new", **({"name": "films", "provider": "echo", "instructions": "kept"} | {field: value})
    )
    assert 400 <= answer.status < 500
    assert "kept" in answer.html
    assert answer.form("workflows/new").fields[field] == [value] or field == "provider"
    if param is not None:
        assert f'id="{param}-wrong"' in answer.html
    assert (await client.get("/console/workflow/films")).status_code == 404
    if field in ("name", "provider"):
        refused = await client.post("/console/workflow", json={"name": "films", "provider": "echo", field: value})
        assert refused.json()["message"] in answer.text


async def test_what_code_defines_can_be_read_but_not_changed(console: Console) -> None:
    visitor, client = console
    page = await visitor.see("workflows/in_code")
    assert "defined in code" in page.text
    assert "Delete…" not in page.text
    answer = await visitor.send(page, "workflows/in_code", description="changed")
    assert answer.status == 409
    assert "defined in code" in answer.text
    assert (await client.get("/console/workflow/in_code")).json()["description"] is None
    form = {"token": page.form("workflows/in_code").fields["token"][0]}
    assert (await visitor.post("workflows/in_code/delete", form)).status == 409


async def test_a_structured_output_is_made_changed_and_deleted(console: Console) -> None:
    visitor, client = console
    new = await visitor.see("structured-outputs/new")
    page = await visitor.send(new, "structured-outputs/new", name="film", schema=json.dumps(SCHEMA), sample_data="")
    assert page.url.endswith("structured-outputs/film?done=created")
    assert (await client.get("/console/structured_output/film")).json()["schema"] == SCHEMA
    for wrong in ("{", '{"type": "nonsense"}', ""):
        answer = await visitor.send(page, "structured-outputs/film", schema=wrong)
        assert answer.status in (400, 422)
        assert 'id="schema-wrong"' in answer.html
        assert answer.form("structured-outputs/film").fields["schema"] == [wrong]
    listed = await visitor.see("structured-outputs")
    assert "title" in listed.text
    for strange in ("true", '{"anyOf": [{}]}'):
        page = await visitor.see("structured-outputs/film")
        assert (await visitor.send(page, "structured-outputs/film", schema=strange)).status == 200
        assert (await visitor.see("structured-outputs")).status == 200
    gone = await visitor.send(await visitor.see("structured-outputs/film/delete"), "structured-outputs/film/delete")
    assert "Deleted." in gone.text


class Receiver:
    """A backend that keeps what it was sent."""

    def __init__(self) -> None:
        self.received: list[tuple[dict[str, str], Any]] = []
        self.status = 200
        self.app = Starlette(routes=[Route("/hook", self._take, methods=["POST"])])

    async def _take(self, request: Request) -> PlainTextResponse:
        self.received.append((dict(request.headers), await request.json()))
        return PlainTextResponse("<b>thanks</b>", status_code=self.status)


@asynccontextmanager
async def receiving() -> AsyncIterator[tuple[Receiver, str]]:
    receiver = Receiver()
    async with served(receiver.app) as origin:
        yield receiver, f"{origin}/hook"


async def test_an_endpoint_shows_its_secret_once(console: Console) -> None:
    visitor, client = console
    async with receiving() as (receiver, url):
        new = await visitor.see("webhooks/new")
        page = await visitor.send(new, "webhooks/new", url=url, events="film\ntask.completed", description="Films")
        assert page.status == 200
        assert page.headers.get("content-encoding") is None
        [secret] = re.findall(r'id="secret">([^<]+)<', page.html)
        assert secret.startswith("whsec_")
        [shown] = (await client.get("/console/webhook")).json()["data"]
        assert (shown["url"], shown["events"]) == (url, ["film", "task.completed"])
        path = f"webhooks/{shown['id']}"
        page = await visitor.see(path)
        assert secret not in page.html

        page = await visitor.send(page, f"{path}/test")
        assert "has taken the test event: 200" in page.text
        assert "<b>thanks</b>" not in page.html
        assert "&lt;b&gt;thanks" in page.html
        headers, body = receiver.received[-1]
        assert body["type"] == "webhook.test"
        assert headers["webhook-signature"].startswith("v1,")

        rotated = await visitor.send(await visitor.see(f"{path}/rotate"), f"{path}/rotate")
        [newer] = re.findall(r'id="secret">([^<]+)<', rotated.html)
        assert newer != secret
        assert "An earlier secret signs as well" in (await visitor.see(path)).text
        await visitor.send(rotated, f"{path}/test")
        assert len(receiver.received[-1][0]["webhook-signature"].split()) == 2


async def test_a_test_event_that_is_not_taken_says_why(console: Console) -> None:
    visitor, client = console
    async with receiving() as (receiver, url):
        receiver.status = 503
        made = (await client.post("/console/webhook", json={"url": url})).json()
        path = f"webhooks/{made['id']}"
        page = await visitor.send(await visitor.see(path), f"{path}/test")
        assert "answered 503" in page.text
    page = await visitor.send(page, f"{path}/test")
    assert "could not be told" in page.text


async def test_an_endpoint_is_disabled_enabled_changed_and_deleted(console: Console) -> None:
    visitor, client = console
    made = (await client.post("/console/webhook", json={"url": "http://127.0.0.1:8001/hook"})).json()
    path, one = f"webhooks/{made['id']}", f"/console/webhook/{made['id']}"
    page = await visitor.send(await visitor.see(path), f"{path}/switch")
    assert "Endpoint disabled: nothing more is sent" in page.text
    assert (await client.get(one)).json()["enabled"] is False
    page = await visitor.send(page, f"{path}/switch")
    assert (await client.get(one)).json()["enabled"] is True
    page = await visitor.send(page, path, retry="0, 5, 30", concurrency="3", signers=["mr"])
    assert "Saved." in page.text
    shown = (await client.get(one)).json()
    assert (shown["retry"], shown["concurrency"], shown["signers"]) == ([0, 5, 30], 3, ["mr"])
    assert page.form(path).fields["retry"] == ["0, 5, 30"]
    for field, wrong in (("url", "ftp://x"), ("retry", "sometimes"), ("concurrency", "many"), ("signers", [])):
        assert (await visitor.send(page, path, **{field: wrong})).status in (400, 422), field
    assert (await client.get(one)).json() == shown
    page = await visitor.send(await visitor.see(f"{path}/delete"), f"{path}/delete")
    assert "Deleted." in page.text
    assert (await client.get(one)).status_code == 404


async def test_a_key_is_shown_once_and_can_be_revoked(console: Console) -> None:
    visitor, client = console
    page = await visitor.send(
        await visitor.see("keys/new"), "keys/new", name="Backend", scopes=["callback", "read"], life="30"
    )
    [key] = re.findall(r'id="secret">([^<]+)<', page.html)
    [shown] = (await client.get("/console/key")).json()["data"]
    assert (shown["name"], shown["scopes"]) == ("Backend", ["callback", "read"])
    assert shown["expires_at"] is not None
    path = f"keys/{shown['id']}"
    page = await visitor.see(path)
    assert key not in page.html
    page = await visitor.send(page, path, name="Renamed", scopes=["read"])
    assert "Saved." in page.text
    assert (await visitor.send(page, path, scopes=[])).status == 422
    page = await visitor.send(await visitor.see(f"{path}/revoke"), f"{path}/revoke")
    assert "Revoked" in page.text
    assert (await client.get("/v1/requests", headers={"authorization": f"Bearer {key}"})).status_code == 401


async def test_settings_mask_what_is_secret(tmp_path: Path) -> None:
    secrets = {"webhook_secret": "whsec_canary", "openai_api_key": "sk-canary"}
    async with open_console(tmp_path, callback_timeout=61, **secrets) as (visitor, _):
        page = await visitor.see("settings")
        assert "canary" not in page.html
        assert KEY not in page.html
        assert "61" in page.text
        assert "riverflow.sqlite" in page.text
        assert "echo" in page.text


async def test_the_database_password_is_not_shown() -> None:
    from riverflow.config import open_part

    assert (
        open_part("postgresql://me:s3cret@db.internal:5432/river?password=x") == "postgresql://db.internal:5432/river"
    )


# Requests --------------------------------------------------------------------------------------------------


async def run_through(river: Riverflow, client: httpx.AsyncClient, **fields: Any) -> str:
    """A request that has ended: its channel id."""
    run = await river.submit(workflow="in_code", messages=[{"role": "user", "content": "a film"}], **fields)
    await run.result()
    return run.channel_id


@pytest.fixture
async def working(tmp_path: Path) -> AsyncIterator[tuple[Visitor, httpx.AsyncClient, Riverflow]]:
    """The same, with a handler that answers."""
    river = river_of(tmp_path)

    @river.on("film")
    async def film(event: Event) -> Any:
        if event.customer_data.get("mood") == "bad":
            event.fail("too_old", "No films yet")
        if event.customer_data.get("mood") == "slow":
            return event.defer()
        return {"title": "Up", "of": event.customer_data.get("user", "")}

    async with served(river) as origin, visiting(origin) as visitor, api_of(visitor) as client:
        await visitor.log_in()
        yield visitor, client, river


Working = tuple[Visitor, httpx.AsyncClient, Riverflow]


async def test_the_list_shows_what_the_api_answers(working: Working) -> None:
    visitor, client, river = working
    for user in ("ada", "bob"):
        await run_through(river, client, customer_data={"user": user})
    await run_through(river, client, customer_data={"user": "eve", "mood": "bad"})
    for query in ("", "status=error", "q=user=ada", "customer=user=bob", "workflow=in_code", "tag=test", "since=1h"):
        page = await visitor.see(f"requests?{query}")
        assert page.status == 200, query
        asked = {"since": "0"} if query == "since=1h" else dict([query.split("=", 1)] if query else [])
        if "q" in asked:
            asked = {"customer": asked["q"]}
        wanted = [each["channel_id"] for each in (await client.get("/v1/requests", params=asked)).json()["data"]]
        shown = re.findall(r'<tr data-key="([^"]+)"', page.html)
        assert shown == wanted, query
    assert len(wanted) == 3
    assert "No request matches" in (await visitor.see("requests?q=user=nobody")).text
    for wrong in ("q=zzz", "since=never", "starting_after=x", "status=odd"):
        page = await visitor.see(f"requests?{wrong}")
        assert page.status == 400, wrong
        assert_clean(page)


async def test_pages_of_the_list_are_walked_in_both_directions(working: Working) -> None:
    visitor, client, river = working
    ids = [await run_through(river, client) for _ in range(3)][::-1]
    page = await visitor.see(f"requests?starting_after={ids[0]}")
    assert re.findall(r'<tr data-key="([^"]+)"', page.html) == ids[1:]
    [newer] = [link for link in page.links if "ending_before" in link]
    page = await visitor.see(str(httpx.URL(page.url).join(newer)))
    assert re.findall(r'<tr data-key="([^"]+)"', page.html) == ids[:1]


async def test_the_export_is_the_apis(working: Working) -> None:
    visitor, client, river = working
    await run_through(river, client, customer_data={"user": "ada"})
    await run_through(river, client, customer_data={"user": "bob"})
    page = await visitor.see("requests?q=user=ada")
    for kind in ("csv", "json"):
        [link] = [link for link in page.links if f"format={kind}" in link]
        got = await visitor.http.get(str(httpx.URL(page.url).join(link)))
        wanted = await client.get("/v1/requests/export", params={"format": kind, "customer": "user=ada"})
        assert got.content == wanted.content
        assert got.headers["content-disposition"].startswith("attachment")


async def test_a_request_shows_everything_that_the_api_knows(working: Working) -> None:
    visitor, client, river = working
    channel_id = await run_through(river, client, customer_data={"user": "ada"})
    page = await visitor.see(f"requests/{channel_id}")
    assert page.status == 200
    assert_clean(page)
    known = (await client.get(f"/v1/requests/{channel_id}")).json()
    assert known["why"] in page.text
    assert f"{known['latest']} events" in page.text
    for entry in known["entries"]:
        assert f'id="entry-{entry["number"]}"' in page.html
    for stage in known["stages"]:
        assert stage["name"] in page.text
    assert "a film" in page.text
    assert "requests?q=user%3Dada" in page.html
    assert (await visitor.see("requests/0190a000-0000-7000-8000-000000000000")).status == 404
    assert (await visitor.see("requests/not-an-id")).status == 404


async def test_a_call_of_a_handler_is_shown_and_leads_to_no_delivery(tmp_path: Path) -> None:
    river, begun, released = river_of(tmp_path), asyncio.Event(), asyncio.Event()

    @river.on("film")
    async def film(event: Event) -> Any:
        begun.set()
        await released.wait()
        return {"title": "Up"}

    async with served(river) as origin, visiting(origin) as visitor, api_of(visitor) as client:
        await visitor.log_in()
        accepted = (await client.post("/v1/ai/async", json={"workflow": "in_code", "event_name": "film"})).json()
        path = f"requests/{accepted['channel_id']}"
        await begun.wait()
        page = await visitor.see(path)
        assert "handler film" in page.text
        assert "In progress" in page.text
        assert_clean(page)
        released.set()
        await (await river.run(accepted["channel_id"])).result()
        page = await visitor.see(path)
        assert "handler film" in page.text
        assert "At work" not in page.text
        assert not [link for link in page.links if "dead-letters/" in link]


async def test_a_request_is_cancelled_replayed_and_kept_as_a_fixture(working: Working) -> None:
    visitor, client, river = working
    run = await river.submit(workflow="in_code", customer_data={"mood": "slow"})
    path = f"requests/{run.channel_id}"
    ask = await visitor.see(f"{path}/cancel")
    page = await visitor.send(ask, f"{path}/cancel")
    assert "Cancelled" in page.text
    assert (await client.get(f"/v1/ai/{run.channel_id}")).json()["status"] == "error"
    again = await visitor.send(await visitor.see(f"{path}/cancel"), f"{path}/cancel")
    assert again.status == 409

    channel_id = await run_through(river, client)
    page = await visitor.send(await visitor.see(f"requests/{channel_id}"), f"requests/{channel_id}/replay")
    assert "Replay started" in page.text
    assert "replay of" in page.text
    made = page.url.partition("requests/")[2].partition("?")[0]
    assert (await client.get(f"/v1/requests/{made}")).json()["replay_of"] == channel_id
    fixture = await visitor.http.get(f"requests/{channel_id}/fixture")
    assert fixture.json() == (await client.get(f"/v1/requests/{channel_id}/fixture")).json()


async def test_a_dead_delivery_is_sent_again(tmp_path: Path) -> None:
    async with receiving() as (receiver, url):
        receiver.status = 410
        river = river_of(tmp_path, retry="fast")
        async with served(river) as origin, visiting(origin) as visitor, api_of(visitor) as client:
            await visitor.log_in()
            await client.post("/console/webhook", json={"url": url, "events": ["film"]})
            accepted = (await client.post("/v1/ai/async", json={"workflow": "in_code"})).json()
            path = f"requests/{accepted['channel_id']}"
            async with client.stream("GET", f"/v1/ai/{accepted['channel_id']}/timeline/events") as stream:
                async for line in stream.aiter_lines():
                    if line.startswith("event: delivery.attempted"):
                        break
            page = await visitor.see(path)
            assert "410" in page.text
            [endpoint] = (await client.get("/console/webhook")).json()["data"]
            await client.patch(f"/console/webhook/{endpoint['id']}", json={"enabled": True})
            receiver.status = 200
            page = await visitor.send(page, "/resend")
            assert "Replay queued" in page.text


async def test_the_overview_counts_as_the_api_does(working: Working) -> None:
    visitor, client, river = working
    empty = await visitor.see("")
    assert "Start here" in empty.text
    for mood in ("good", "good", "bad"):
        await run_through(river, client, customer_data={"mood": mood})
    page = await visitor.see("")
    assert "Start here" not in page.text
    stats = (await client.get("/v1/stats")).json()
    assert stats["whole"]["runs"] == 3
    assert f"Requests {stats['whole']['runs']}" in page.text
    assert "Success rate 66.7 %" in page.text
    assert "1 failed" in page.text
    assert "too_old" in page.text
    for period in ("1h", "7d", "30d", "nonsense"):
        assert (await visitor.see(f"?period={period}")).status == 200


async def test_the_overview_groups_failures_by_their_cause(working: Working) -> None:
    visitor, client, river = working
    for mood in ("bad", "good", "bad"):
        newest = await run_through(river, client, customer_data={"mood": mood})
    page = await visitor.see("")
    assert "too_old 2× in_code" in page.text
    assert [link.rpartition("/")[2] for link in page.links if link.startswith("./requests/0")] == [newest]


async def test_a_success_that_somebody_has_not_got_asks_for_a_look(tmp_path: Path) -> None:
    async with receiving() as (receiver, url):
        river = river_of(
            tmp_path, retry="fast", workflows=[Workflow(name="in_code", provider="echo", template="hello")]
        )
        async with served(river) as origin, visiting(origin) as visitor, api_of(visitor) as client:
            await visitor.log_in()
            await client.post("/console/webhook", json={"url": url, "events": ["task.completed"]})
            for status, tone in ((200, "ok"), (410, "warn")):
                receiver.status = status
                run_id = await run_through(river, client)
                async with client.stream("GET", f"/v1/ai/{run_id}/timeline/events") as stream:
                    async for line in stream.aiter_lines():
                        if line.startswith("event: delivery.attempted"):
                            break
                page = await visitor.see(f"requests/{run_id}")
                assert {"class": f"why {tone}"} in [dict(given) for tag, given in page.tags if tag == "p"]
                assert (f"delivery to {url} failed (HTTP 410)." in page.text) == (status == 410)


async def test_requests_are_filtered_by_all_that_the_form_has(tmp_path: Path) -> None:
    """Event name, provider, model and exact times, in the form as over the API; what is chosen stays to be seen."""
    clock = FakeClock()
    workflows = [
        Workflow(name="plain", provider="echo", model="small", template="hello"),
        Workflow(name="film", provider="echo", model="large", template="hello", event_name="film"),
    ]
    async with open_console(tmp_path, workflows=workflows, clock=clock) as (visitor, river):
        begun = clock.now()
        for name in ("plain", "film"):
            await river.submit(workflow=name, messages=[{"role": "user", "content": "x"}], customer_data={"vip": True})
            await clock.advance(120)
        middle = datetime.fromtimestamp(begun + 60, UTC).strftime("%Y-%m-%dT%H:%M")
        page = await visitor.see("requests")
        for fields, found in (
            ({"event_name": "film"}, ["film"]),
            ({"provider": "echo"}, ["film", "plain"]),
            ({"model": "small"}, ["plain"]),
            ({"from": middle}, ["film"]),
            ({"until": middle}, ["plain"]),
            ({"since": "1h", "from": middle}, ["film"]),
            ({"since": str(begun + 60)}, ["film"]),
            ({"status": "ai_generated,success"}, ["film", "plain"]),
            ({"q": "vip=true"}, ["film", "plain"]),
        ):
            shown = await visitor.see(f"requests?{httpx.QueryParams(page.form('requests').filled(**fields))}")
            assert re.findall(r'aria-label="(\w+), request', shown.html) == found, fields
            kept = shown.form("requests").fields
            assert {name: kept[name] for name in fields} == {name: [value] for name, value in fields.items()}
            assert "Clear filters" in shown.text
        one = await visitor.see(next(link for link in page.links if link.startswith("./requests/0")))
        assert any(link.endswith("requests?q=vip%3Dtrue") for link in one.links)
        assert any(link.endswith("requests?provider=echo") for link in one.links)
