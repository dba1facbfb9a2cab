"""The console as a whole: what it needs, what it sends, how it tells of news."""

from __future__ import annotations

import asyncio
import gzip
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from .visitor import open_console

pytestmark = pytest.mark.anyio


def test_it_costs_nothing_until_somebody_looks() -> None:
    code = "import sys, riverflow; assert not {'jinja2', 'markupsafe'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=30)


async def test_without_jinja_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jinja2", None)
    async with open_console(tmp_path, log_in=False) as (visitor, _):
        for path in ("", "login", "workflows"):
            page = await visitor.see(path)
            assert page.status == 503
            assert "pip install 'riverflow[console]'" in page.text
        api = await visitor.http.get("../v1/requests", headers={"authorization": "Bearer mr_live_visitor"})
        assert api.status_code == 200


async def test_assets_are_packed_and_kept_for_good(tmp_path: Path) -> None:
    async with open_console(tmp_path) as (visitor, _):
        page = await visitor.see("")
        links = [a["href"] for tag, a in page.tags if tag == "link"] + [
            a["src"] for tag, a in page.tags if tag == "script"
        ]
        assert len(links) == 4
        for link in links:
            url = str(httpx.URL(page.url).join(link or ""))
            packed = await visitor.http.get(url)
            assert packed.headers["content-encoding"] == "gzip"
            assert "immutable" in packed.headers["cache-control"]
            plain = await visitor.http.get(url, headers={"accept-encoding": "identity"})
            assert plain.content == packed.content
            assert "content-encoding" not in plain.headers
        assert (await visitor.http.get("static/../_app.py")).status_code == 404
        assert (await visitor.http.get("static/%2e%2e/_app.py")).status_code == 404


async def test_a_page_is_small(tmp_path: Path) -> None:
    async with open_console(tmp_path) as (visitor, _):
        async with visitor.http.stream("GET", "") as answer:
            body = b"".join([part async for part in answer.aiter_raw()])
        assert answer.headers["content-encoding"] == "gzip"
        assert b"<h1>Overview</h1>" in gzip.decompress(body)
        assert len(body) < 20_000


async def test_a_page_has_no_body_for_head(tmp_path: Path) -> None:
    async with open_console(tmp_path) as (visitor, _):
        answer = await visitor.http.head("workflows")
        assert (answer.status_code, answer.content) == (200, b"")
        assert (await visitor.http.put("workflows")).status_code == 405
        assert (await visitor.http.post("settings", data={})).status_code in (403, 405)


class Feed:
    """Reads the names of a stream's events."""

    def __init__(self, stream: httpx.Response) -> None:
        self._lines = stream.aiter_lines()

    async def next(self) -> str:
        async for line in self._lines:
            if line.startswith("event: "):
                return line.removeprefix("event: ")
        return "the end"


async def test_the_live_feed_tells_of_every_change(tmp_path: Path) -> None:
    async with (
        open_console(tmp_path) as (visitor, river),
        asyncio.timeout(20),
        visitor.http.stream("GET", "live") as everything,
    ):
        assert everything.headers["content-type"].startswith("text/event-stream")
        all_of_it = Feed(everything)
        run = await river.submit(workflow="in_code")
        assert await all_of_it.next() == "changed"
        async with visitor.http.stream("GET", f"live?run={run.channel_id}") as one:
            await run.cancel()
            assert await Feed(one).next() == "changed"
            assert await all_of_it.next() == "changed"


async def test_the_live_feed_is_for_who_has_logged_in(tmp_path: Path) -> None:
    async with open_console(tmp_path, log_in=False) as (visitor, _):
        answer = await visitor.http.get("live")
        assert answer.status_code == 303


async def test_the_live_feed_ends_with_the_session(tmp_path: Path) -> None:
    async with (
        open_console(tmp_path, heartbeat=0.05) as (visitor, _),
        asyncio.timeout(20),
        visitor.http.stream("GET", "live") as stream,
    ):
        await visitor.send(await visitor.see("workflows"), "logout")
        assert await Feed(stream).next() == "the end"


async def test_the_live_feed_ends_when_the_server_drains(tmp_path: Path) -> None:
    async with (
        open_console(tmp_path) as (visitor, river),
        asyncio.timeout(20),
        visitor.http.stream("GET", "live") as stream,
    ):
        await river.drain()
        assert await Feed(stream).next() == "the end"
