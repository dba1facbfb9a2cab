"""How long a person waits for each page of the console, with a busy week of runs in the store.

A server process of its own is asked over HTTP, by somebody who has logged in as the form does it; one page after the
other, so nothing is measured but the page. What stands on a page is not looked at.
"""

from __future__ import annotations

import asyncio
import re
import statistics
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import msgspec

from ..console.pages import PAGES
from .control import BenchError, Child
from .filled import project_of
from .listed import WEEK, fill_listed
from .payloads import API_KEY
from .system import System

__all__ = ["LIMIT_MS", "NOT_MEASURED", "Answered", "console", "plain_pages", "too_slow"]

LIMIT_MS = 200.0
"""What a page may take."""

NOT_MEASURED: Mapping[str, str] = {
    "live": "a stream without an end",
    "login": "seen before the login, without anything from the store",
    "requests/export": "a file: as long as what is in it",
}
"""Pages of the console without parameters that are not measured, and why."""

TIMES = 9
DEEP = 0.5  # of the week: how far back the page is that somebody has turned to
_NOBODY = "http://127.0.0.1:8000"  # nothing is sent: nothing is due
_NAMES = {"": "overview", "keys": "API keys", "keys/new": "a new API key"}
_TOKEN = re.compile(rb'name="token" value="([^"]+)"')

_DOCUMENTS: Mapping[str, Callable[[int], dict[str, Any]]] = {
    "structured_output": lambda n: {"name": f"film_{n}", "schema": {"type": "object", "required": ["title"]}},
    "workflow": lambda n: {
        "name": f"workflow_{n}",
        "provider": "openai",
        "model": "gpt-4o",
        "event_name": f"event_{n}",
        "structured_output_id": f"film_{n}",
    },
    "webhook": lambda n: {"url": f"{_NOBODY}/hook/{n}", "events": [f"event_{n}"], "enabled": False},
    "key": lambda n: {"name": f"key {n}"},
}
"""What is configured beside the runs, a dozen of each."""


class Answered(msgspec.Struct, frozen=True, kw_only=True):
    """A page, and how long it took to come whole: the median and the worst of `TIMES`, in ms."""

    page: str
    median_ms: float
    worst_ms: float


def too_slow(answers: Iterable[Answered]) -> list[Answered]:
    """The pages whose median is not within the limit."""
    return [each for each in answers if each.median_ms > LIMIT_MS]


def plain_pages() -> dict[str, str]:
    """Every page of the console that needs no parameter, by its name."""
    paths = [each.path for each in PAGES if each.method == "GET" and "{" not in each.path]
    return {_NAMES.get(path, path.replace("-", " ")): f"console/{path}" for path in paths if path not in NOT_MEASURED}


async def console(folder: Path, *, runs: int, say: Callable[[str], None]) -> list[Answered]:
    """Fill a store with so many runs, and look at every page. Raises BenchError for a page that does not come."""
    path = folder / "console.db"
    async with _served(path) as url, _visitor(url) as visitor:
        await _configure(visitor)
    began = time.perf_counter()
    await asyncio.to_thread(fill_listed, path, project_of(path), runs)
    say(f"console: {runs} runs written in {time.perf_counter() - began:.0f} s, {path.stat().st_size / 1e6:.0f} MB")
    async with _served(path) as url, _visitor(url) as visitor:
        pages = await _pages(visitor)
        await _log_in(visitor)
        answers = [await _looked_at(visitor, name, page) for name, page in pages.items()]
    worst = max(answers, key=lambda each: each.median_ms)
    say(f"console: the slowest is “{worst.page}”, {worst.median_ms:.0f} ms")
    return answers


@asynccontextmanager
async def _served(path: Path) -> AsyncIterator[str]:
    """The base URL of a riverflow on that file, in a process of its own."""
    system = System(kind="riverflow", mode="S", stub=_NOBODY, database=f"sqlite:///{path}")
    child = await Child.start("riverflow", "riverflow.bench.system", system)
    try:
        yield f"http://127.0.0.1:{child.ready['port']}/"
    finally:
        await child.stop()


@asynccontextmanager
async def _visitor(url: str) -> AsyncIterator[aiohttp.ClientSession]:
    """A browser's part: it keeps its cookies, also those of an address."""
    jar = aiohttp.CookieJar(unsafe=True)
    async with aiohttp.ClientSession(url, cookie_jar=jar, timeout=aiohttp.ClientTimeout(60)) as visitor:
        yield visitor


async def _log_in(visitor: aiohttp.ClientSession) -> None:
    """Read the form, send the key."""
    form = _TOKEN.search(await _got(visitor, "console/login"))
    if form is None:
        raise BenchError("console: the login page has no form")
    fields = {"token": form[1].decode(), "key": API_KEY}
    async with visitor.post("console/login", data=fields, allow_redirects=False) as answer:
        if answer.status != 303:
            raise BenchError(f"console: the login was answered {answer.status}")


async def _got(visitor: aiohttp.ClientSession, path: str) -> bytes:
    async with visitor.get(path, allow_redirects=False) as answer:
        body = await answer.read()
        if answer.status != 200:
            raise BenchError(f"console: {path} was answered {answer.status}")
        return body


async def _looked_at(visitor: aiohttp.ClientSession, name: str, path: str) -> Answered:
    taken: list[float] = []
    for _ in range(TIMES):
        began = time.perf_counter()
        await _got(visitor, path)
        taken.append((time.perf_counter() - began) * 1000)
    return Answered(page=name, median_ms=statistics.median(taken), worst_ms=max(taken))


async def _api(visitor: aiohttp.ClientSession, method: str, path: str, body: object = None) -> Any:
    headers = {"authorization": f"Bearer {API_KEY}"}
    async with visitor.request(method, path, json=body, headers=headers) as answer:
        said = await answer.read()
        if answer.status >= 300:
            raise BenchError(f"console: {method} {path} was answered {answer.status}: {said[:500].decode()}")
        return msgspec.json.decode(said)


async def _configure(visitor: aiohttp.ClientSession) -> None:
    for kind, document in _DOCUMENTS.items():
        for number in range(12):
            await _api(visitor, "POST", f"console/{kind}", document(number))


async def _pages(visitor: aiohttp.ClientSession) -> dict[str, str]:
    """Every page by what it shows, with the ids that are in the store."""

    async def first(path: str) -> str:
        found: str = next(iter((await _api(visitor, "GET", path))["data"][0].values()))
        return found

    now = time.time()
    old = await first(f"v1/requests?limit=1&until={now - WEEK * DEEP:.0f}")
    letter, approval = await first("v1/deliveries?limit=1&status=dead"), await first("v1/approvals?limit=1")
    asked = {
        "that failed": "status=error",
        "with the backend": "status=ai_generated",
        "of one workflow": "workflow=workflow_3",
        "of one event": "event_name=event_5",
        "of one provider": "provider=anthropic",
        "of one workflow and model that failed": "status=error&workflow=workflow_3&model=gpt-4o",
        "of every kind": "tag=all",
        "of the last hour": "since=1h",
        "by the beginning of an id": f"q={old[:10]}",
        "by customer data that many have": "q=plan%3Dpro",
        "by customer data that a few have": "q=user_id%3Duser_77",
        "by customer data that nobody has": "q=user_id%3Dnobody",
        "a page in the middle": f"starting_after={old}",
        "the page before that": f"ending_before={old}",
    }
    return {
        **plain_pages(),
        "overview, a week": "console/?period=7d",
        **{f"requests: {name}": f"console/requests?{query}" for name, query in asked.items()},
        "one request": f"console/requests/{old}",
        "dead letters: of one event": "console/dead-letters?q=event_11",
        "one dead letter": f"console/dead-letters/{letter}",
        "one approval": f"console/approvals/{approval}",
        "one workflow": "console/workflows/workflow_3",
    }
