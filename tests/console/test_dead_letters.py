"""Dead letters as a browser without script sees them: why, and sent again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from riverflow import Workflow
from riverflow.testing import FakeClock

from .clean import assert_clean
from .visitor import KEY, Seen, Visitor, open_console, served

pytestmark = pytest.mark.anyio

SAID = "<x-probe onclick=alert(1)>upstream connect error</x-probe>"


class Receiver:
    """Takes webhooks, or says that it is down."""

    def __init__(self) -> None:
        self.down = True
        self.keys: dict[str, list[str]] = {}
        routes = [Route(path, self._take, methods=["POST"]) for path in ("/hook", "/other")]
        self.app = Starlette(routes=routes)

    async def _take(self, request: Request) -> PlainTextResponse:
        self.keys.setdefault(request.url.path, []).append(request.headers["webhook-id"])
        return PlainTextResponse(SAID, 503) if self.down and request.url.path == "/hook" else PlainTextResponse("ok")


class Stage:
    def __init__(
        self, visitor: Visitor, api: httpx.AsyncClient, receiver: Receiver, url: str, clock: FakeClock
    ) -> None:
        self.visitor, self.api, self.receiver, self.url, self.clock = visitor, api, receiver, url, clock
        self.endpoint = ""

    async def listed(self, **asked: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = (await self.api.get("/v1/deliveries", params=asked)).json()["data"]
        return found

    async def until(self, number: int, *, passing: float = 0, **asked: str) -> list[dict[str, Any]]:
        """Wait until so many deliveries are like that; between two looks this many seconds pass."""
        async with asyncio.timeout(10):
            while True:
                found = await self.listed(**asked)
                if len(found) == number:
                    return found
                await self.clock.advance(passing)

    async def bury(self, number: int) -> list[dict[str, Any]]:
        """Make this many dead letters."""
        for _ in range(number):
            await self.api.post("/v1/ai/async", json={"workflow": "plain"})
        return await self.until(number, passing=20, status="dead")  # a receiver that is down is asked ever less often


@asynccontextmanager
async def opened(path: Path, **options: Any) -> AsyncIterator[Stage]:
    receiver, clock = Receiver(), FakeClock()
    workflows = [Workflow(name="plain", provider="echo", template="hello")]
    async with (
        served(receiver.app) as url,
        open_console(path, workflows=workflows, clock=clock, lease=1e6, **options) as (visitor, _),
        httpx.AsyncClient(
            base_url=visitor.base.removesuffix("console/"),
            trust_env=False,
            headers={"authorization": f"Bearer {KEY}"},
        ) as api,
    ):
        hook = {"url": f"{url}/hook", "retry": {"delays": [0]}, "events": ["task.completed"]}
        stage = Stage(visitor, api, receiver, url, clock)
        stage.endpoint = (await api.post("/console/webhook", json=hook)).json()["id"]
        yield stage


async def test_there_are_none(tmp_path: Path) -> None:
    async with opened(tmp_path) as stage:
        page = await stage.visitor.see("dead-letters")
        assert_clean(page)
        assert "Every delivery has succeeded" in page.text
        assert (await stage.visitor.see("dead-letters/msg_nothing")).status == 404
        assert (await stage.visitor.see("dead-letters?status=delivered")).status == 400
        assert (await stage.visitor.see("dead-letters?since=never")).status == 400


async def test_one_is_looked_at_and_sent_again(tmp_path: Path) -> None:
    async with opened(tmp_path) as stage:
        (dead,) = await stage.bury(1)
        page = await stage.visitor.see("dead-letters")
        assert_clean(page)
        assert "HTTP 503" in page.text
        link = next(link for link in page.links if link.endswith(f"dead-letters/{dead['id']}"))
        page = await stage.visitor.see(str(httpx.URL(page.url).join(link)))
        assert_clean(page)
        assert SAID in page.text
        assert '"task.completed"' in page.text
        stage.receiver.down = False
        page = await stage.visitor.send(page, "/replay")
        assert "Replay queued" in page.text
        (again,) = await stage.until(1, status="delivered")
        assert again["id"] == dead["id"]
        page = await stage.visitor.see(f"dead-letters/{dead['id']}")
        assert "Delivered" in page.text
        assert len(stage.receiver.keys["/hook"]) == 2
        assert len(set(stage.receiver.keys["/hook"])) == 1, "the same idempotency key"


async def test_to_another_url_that_must_be_one(tmp_path: Path) -> None:
    async with opened(tmp_path) as stage:
        (dead,) = await stage.bury(1)
        page = await stage.visitor.see(f"dead-letters/{dead['id']}")
        refused = await stage.visitor.send(page, "/replay", url="ftp://example.com/")
        assert refused.status == 422
        assert "url:" in refused.text
        assert refused.form("/replay").fields["url"] == ["ftp://example.com/"]
        await stage.visitor.send(page, "/replay", url=f"{stage.url}/other")
        await stage.until(1, status="delivered")
        assert stage.receiver.keys["/other"] == stage.receiver.keys["/hook"]


async def test_some_are_sent_again_and_the_rest_stays(tmp_path: Path) -> None:
    async with opened(tmp_path) as stage:
        dead = [each["id"] for each in await stage.bury(4)]
        stage.receiver.down = False
        page = await stage.visitor.see("dead-letters")
        none = await pressed(stage, page, act="selected")
        assert (none.status, "Select at least one dead letter" in none.text) == (400, True)
        said = await pressed(stage, page, act="selected", id=[*dead[:2], dead[0], "msg_gone"])
        assert_clean(said)
        assert "2 queued for replay." in said.text
        assert "there is no such delivery" in said.text
        assert {each["id"] for each in await stage.until(2, status="delivered")} == set(dead[:2])
        assert {each["id"] for each in await stage.listed(status="dead")} == set(dead[2:])


async def test_all_that_a_filter_takes_are_sent_again(tmp_path: Path) -> None:
    async with opened(tmp_path) as stage:
        other = {"url": f"{stage.url}/hook?2", "retry": {"delays": [0]}, "events": ["task.completed"]}
        second = (await stage.api.post("/console/webhook", json=other)).json()["id"]
        for _ in range(3):
            await stage.api.post("/v1/ai/async", json={"workflow": "plain"})
        await stage.until(6, passing=20, status="dead")
        mine = {each["id"] for each in await stage.listed(endpoint=second)}
        stage.receiver.down = False
        page = await stage.visitor.see(f"dead-letters?endpoint={second}")
        asked = await pressed(stage, page, act="all", url=f"{stage.url}/other")
        assert_clean(asked)
        assert "All dead letters that match the filter are replayed, up to 1,000 of the newest, to http" in asked.text
        assert any(f"endpoint={second}" in link for link in asked.links), "the way back keeps the filter"
        assert len(await stage.listed(status="dead")) == 6, "one click sends nothing"
        said = await sure(stage, asked)
        assert "3 queued for replay." in said.text
        assert "endpoint=" in said.url
        assert {each["id"] for each in await stage.until(3, status="delivered")} == mine
        assert len(stage.receiver.keys["/other"]) == 3
        rest = await sure(stage, await pressed(stage, await stage.visitor.see("dead-letters?since=24h"), act="all"))
        assert "3 queued for replay." in rest.text
        await stage.until(6, status="delivered")


async def test_what_cannot_be_sent_is_said(tmp_path: Path) -> None:
    async with opened(tmp_path) as stage:
        await stage.bury(2)
        await stage.api.patch(f"/console/webhook/{stage.endpoint}", json={"enabled": False})
        page = await stage.visitor.see("dead-letters")
        said = await sure(stage, await pressed(stage, page, act="all"))
        assert "Nothing was replayed." in said.text
        assert "is disabled; enable it" in said.text
        wrong = await sure(stage, await pressed(stage, page, act="all", url="nonsense"))
        assert wrong.status == 422
        elsewhere = await sure(stage, await pressed(stage, page, act="all", url=f"{stage.url}/other"))
        assert "2 queued for replay." in elsewhere.text


async def test_how_many_reasons_are_left_out_is_said(tmp_path: Path) -> None:
    async with opened(tmp_path) as stage:
        await stage.bury(1)
        page = await stage.visitor.see("dead-letters")
        said = await pressed(stage, page, act="selected", id=[f"msg_{number}" for number in range(15)])
        assert said.text.count("there is no such delivery") == 12
        assert "3 more were not replayed." in said.text
        few = await pressed(stage, page, act="selected", id=[f"msg_{number}" for number in range(12)])
        assert "more were not sent" not in few.text


async def test_a_deleted_endpoint_can_still_be_chosen(tmp_path: Path) -> None:
    async with opened(tmp_path) as stage:
        await stage.bury(1)
        await stage.api.delete(f"/console/webhook/{stage.endpoint}")
        page = await stage.visitor.see("dead-letters")
        assert f"{stage.url}/hook (deleted)" in page.text
        chosen = await stage.visitor.see(f"dead-letters?endpoint={stage.endpoint}")
        assert (len(shown(chosen)), chosen.forms[-1].method) == (1, "POST")
        filters = next(form for form in chosen.forms if "q" in form.fields)
        assert filters.fields["endpoint"] == [stage.endpoint]
        none = await stage.visitor.see(f"dead-letters?endpoint={stage.endpoint}&status=expired")
        assert shown(none) == []
        assert next(form for form in none.forms if "q" in form.fields).fields["endpoint"] == [stage.endpoint]


async def test_a_page_that_cannot_be_is_refused(tmp_path: Path) -> None:
    async with opened(tmp_path) as stage:
        (dead,) = await stage.bury(1)
        here = dead["id"]
        for query in ("starting_after=msg_x", "ending_before=msg_x", f"starting_after={here}&ending_before={here}"):
            page = await stage.visitor.see(f"dead-letters?{query}")
            assert (page.status, shown(page)) == (400, [])
            assert_clean(page)
            refused = await stage.api.get(f"/v1/deliveries?{query}")
            assert (refused.status_code, refused.json()["error"]["code"]) == (400, "invalid_parameter")
        assert (await stage.visitor.see(f"dead-letters?starting_after={here}")).status == 200


async def test_the_list_has_pages_and_agrees_with_the_api(tmp_path: Path) -> None:
    async with opened(tmp_path) as stage:
        await stage.bury(27)
        listed = [each["id"] for each in await stage.listed(status="dead", limit="100")]
        page = await stage.visitor.see("dead-letters")
        assert shown(page) == listed[:25]
        older = next(given["href"] for tag, given in page.tags if tag == "a" and given.get("rel") == "next")
        page = await stage.visitor.see(str(httpx.URL(page.url).join(older or "")))
        assert shown(page) == listed[25:]
        newer = next(given["href"] for tag, given in page.tags if tag == "a" and given.get("rel") == "prev")
        page = await stage.visitor.see(str(httpx.URL(page.url).join(newer or "")))
        assert shown(page) == listed[:25]
        run = (await stage.listed(status="dead"))[3]["channel_id"]
        assert shown(await stage.visitor.see(f"dead-letters?q={run}")) == [listed[3]]
        assert shown(await stage.visitor.see("dead-letters?q=task.completed")) == listed[:25]
        assert "No dead letter matches" in (await stage.visitor.see("dead-letters?q=film")).text
        assert "27" in (await stage.visitor.see("")).text


async def test_sending_again_is_rationed(tmp_path: Path) -> None:
    async with opened(tmp_path, rate_limit_rationed=1) as stage:
        (dead,) = await stage.bury(1)
        page = await stage.visitor.see(f"dead-letters/{dead['id']}")
        assert (await stage.visitor.send(page, "/replay")).status == 200
        await stage.until(1, status="dead")
        assert (await stage.visitor.send(page, "/replay")).status == 429


@pytest.mark.parametrize("body", [{}, {"filter": {}, "ids": ["a"]}, {"ids": []}, {"ids": ["a"] * 101}])
async def test_the_api_takes_a_filter_or_ids(tmp_path: Path, body: dict[str, Any]) -> None:
    async with opened(tmp_path) as stage:
        assert (await stage.api.post("/v1/deliveries/replay", json=body)).status_code in (400, 422)


async def pressed(stage: Stage, page: Seen, **changes: Any) -> Seen:
    """Fill in the form around the list, and press one of its buttons."""
    form = next(form for form in page.forms if form.method == "POST" and "dead-letters" in form.action)
    return await stage.visitor.post(str(httpx.URL(page.url).join(form.action)), form.filled(**changes))


async def sure(stage: Stage, page: Seen) -> Seen:
    """Say yes to the page that asks."""
    form = next(form for form in page.forms if form.fields.get("sure"))
    return await stage.visitor.post(str(httpx.URL(page.url).join(form.action)), form.filled())


def shown(page: Seen) -> list[str]:
    return [str(given["data-key"]) for tag, given in page.tags if tag == "tr" and "data-key" in given]
