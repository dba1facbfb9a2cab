"""Every page answers, and what a page shows is what the API answers."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from html import unescape
from pathlib import Path
from typing import Any

import httpx
import pytest

from riverflow import Endpoint, Stage, Workflow
from riverflow.console.pages import PAGES
from riverflow.retry import RetryPolicy
from riverflow.testing import FakeClock

from .clean import assert_clean
from .test_playground import api_of, ended
from .visitor import Seen, Visitor, open_console

pytestmark = pytest.mark.anyio

REVIEWED = (Stage(name="generate", kind="generate"), Stage.approval("review"), Stage(name="finalise", kind="finalise"))
WORKFLOWS = [
    Workflow(name="plain", provider="echo", template="hello", description="says hello"),
    Workflow(name="film", provider="echo", template="hello", event_name="film", disabled=False),
    Workflow(name="off", provider="echo", disabled=True),
    Workflow(name="held", provider="echo", pipeline=REVIEWED),
]
NOWHERE = Endpoint(url="http://127.0.0.1:18999/hook", secret="whsec_YWdyZWVtZW50YWdyZWVtZW50YWdyZWVtZW50YWdyZWU=",
                   events=("task.completed",), retry=RetryPolicy(delays=(0,)))  # fmt: skip


class Both:
    """The same riverflow, seen by a visitor and over the API, with something of everything in it."""

    def __init__(self, visitor: Visitor, api: httpx.AsyncClient) -> None:
        self.visitor, self.api = visitor, api
        self.runs: list[str] = []

    async def ask(self, path: str) -> Any:
        answer = await self.api.get(path)
        assert answer.status_code == 200, answer.text
        return answer.json()


@asynccontextmanager
async def both(path: Path) -> AsyncIterator[Both]:
    clock = FakeClock()
    async with (
        open_console(path, workflows=WORKFLOWS, endpoints=[NOWHERE], clock=clock, lease=1e6) as (visitor, _),
        api_of(visitor) as api,
    ):
        opened = Both(visitor, api)
        for number in range(3):
            asked = {"workflow": "plain", "customer_data": {"user_id": f"u{number}"}}
            opened.runs.append((await api.post("/v1/ai/async", json=asked)).json()["channel_id"])
            await ended(api, opened.runs[-1])
            await clock.advance(1)
        for _ in range(2):
            await api.post("/v1/ai/async", json={"workflow": "held", "test_mode": True})
        tried = {"request": {"workflow": "film"}}
        opened.runs.append((await api.post("/v1/playground", json=tried)).json()["channel_id"])
        await api.post("/console/key", json={"name": "one", "scopes": ["read"]})
        while len((await opened.ask("/v1/deliveries?status=dead"))["data"]) < 3:
            await clock.advance(1)
        yield opened


def keys_of(page: Seen) -> list[str]:
    return [str(given["data-key"]) for tag, given in page.tags if tag == "tr" and "data-key" in given]


async def test_every_page_answers(tmp_path: Path) -> None:
    async with both(tmp_path) as opened:
        endpoint = (await opened.ask("/console/webhook"))["data"][0]["id"]
        key = (await opened.ask("/console/key"))["data"][0]["id"]
        letter = (await opened.ask("/v1/deliveries"))["data"][0]["id"]
        output = (await opened.ask("/console/structured_output"))["data"][0]["name"]
        places = {
            "requests/{id}": opened.runs[0], "workflows/{name}": "plain", "structured-outputs/{name}": output,
            "webhooks/{name}": endpoint, "keys/{name}": key, "dead-letters/{id}": letter,
        }  # fmt: skip
        seen = set()
        for route in PAGES:
            if route.method != "GET" or route.path in ("live", "login") or route.path.startswith("approvals/"):
                continue
            path = route.path
            for pattern, name in places.items():
                path = path.replace(pattern, f"{pattern.partition('/')[0]}/{name}")
            assert "{" not in path, f"say what {route.path} is to be asked with"
            page = await opened.visitor.see(path)
            assert page.status == 200, path
            if "html" in page.headers["content-type"]:
                assert_clean(page)
                seen.add(path)
        assert len(seen) >= 20


async def test_lists_show_what_the_api_lists(tmp_path: Path) -> None:
    async with both(tmp_path) as opened:
        see, ask = opened.visitor.see, opened.ask
        began = (await ask(f"/v1/requests/{opened.runs[1]}"))["created_at"]
        taken: set[int] = set()
        queries = (
            "", "?tag=pg", "?tag=pg_test_mode", "?tag=all", "?status=success", "?q=user_id%3Du1", "?provider=echo",
            "?provider=nobody", "?model=nothing", "?event_name=film&tag=all", "?workflow=plain", f"?since={began}",
            f"?until={began}", f"?since={began}&until={began}",
        )  # fmt: skip
        for query in queries:
            asked = query.replace("q=user_id", "customer=user_id")
            listed = [each["channel_id"] for each in (await ask(f"/v1/requests{asked}"))["data"]]
            assert keys_of(await see(f"requests{query}")) == listed
            taken.add(len(listed))
        assert {0, 1, 2, 3, 6} <= taken, "each filter ought to take some and leave some"
        letters = [each["id"] for each in (await ask("/v1/deliveries?status=dead,expired"))["data"]]
        assert keys_of(await see("dead-letters")) == letters
        approvals = [each["id"] for each in (await ask("/v1/approvals"))["data"]]
        assert keys_of(await see("approvals")) == approvals
        assert len(approvals) == 2
        for page, path, name in (("workflows", "workflow", "name"), ("structured-outputs", "structured_output", "name"),
                                 ("webhooks", "webhook", "id"), ("keys", "key", "id")):  # fmt: skip
            listed = [each[name] for each in (await ask(f"/console/{path}"))["data"]]
            assert sorted(keys_of(await see(page))) == sorted(listed)
            assert listed


async def test_an_endpoint_shows_its_latest_deliveries(tmp_path: Path) -> None:
    async with both(tmp_path) as opened:
        [endpoint] = (await opened.ask("/console/webhook"))["data"]
        sent = [each["id"] for each in (await opened.ask(f"/v1/deliveries?endpoint={endpoint['id']}"))["data"]]
        assert len(sent) == 3
        one = await opened.visitor.see(f"webhooks/{endpoint['id']}")
        assert re.findall(r"dead-letters/(msg_\w+)", one.html) == sent
        assert one.html.count("</svg>Dead</span>") == 3
        every = await opened.visitor.see("webhooks")
        assert re.findall(r"dead-letters/(msg_\w+)", every.html) == sent[:1]


async def test_a_request_shows_what_the_api_says_of_it(tmp_path: Path) -> None:
    async with both(tmp_path) as opened:
        for run in opened.runs:
            said, page = await opened.ask(f"/v1/requests/{run}"), await opened.visitor.see(f"requests/{run}")
            assert said["why"] in page.text.replace("’", "'")
            assert _documents(page)["doc-request"] == said["request"]
            assert _documents(page)["doc-result"] == said["message"]
            entries = [int(each) for each in re.findall(r'id="entry-(\d+)"', page.html)]
            assert entries == [each["number"] for each in said["entries"]]
            for delivery in said["deliveries"]:
                letter = await opened.ask(f"/v1/deliveries/{delivery['id']}")
                page = await opened.visitor.see(f"dead-letters/{delivery['id']}")
                assert _documents(page)["body"] == letter["body"]
                assert len(re.findall(r'id="entry-\d+"', page.html)) == len(letter["attempts"])


async def test_the_overview_counts_what_the_api_counts(tmp_path: Path) -> None:
    async with both(tmp_path) as opened:
        stats, page = await opened.ask("/v1/stats"), await opened.visitor.see("")
        assert stats["whole"]["runs"] == 3, "the try in the playground is not counted"
        assert re.search(rf"Requests[^0-9]* {stats['whole']['runs']}\b", page.text)
        assert re.search(r"Dead letters 3 review", page.text)


def _documents(page: Seen) -> dict[str, Any]:
    """The JSON in the boxes of a page, by id."""
    boxes = re.findall(r'<pre id="([^"]+)"[^>]*>(.*?)</pre>', page.html, re.S)
    found = {}
    for name, markup in boxes:
        text = unescape(re.sub(r"<[^>]+>", "", markup))
        try:
            found[name] = json.loads(text)
        except ValueError:
            continue
    return found
