"""How long the console's questions take over a store with a busy week behind it: the store is real, the pages are not.

Every question is asked as the console asks it, in this process and with nothing else to do.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

from .._queries import Queries, wanted
from ..builtin.sqlite.address import Address
from ..builtin.sqlite.store import SqliteStore
from ..builtin.system import SystemClock
from ..ports import DeliveryFilter, Store
from .listed import WEEK, fill_listed

__all__ = ["LIMIT_MS", "Answered", "console"]

LIMIT_MS = 200.0
"""What a page may take."""

PROJECT = "bench"
TIMES = 9
DAY = 86_400.0

Question = Callable[[], Awaitable[object]]


class Answered(msgspec.Struct, frozen=True, kw_only=True):
    """A question, and how long its answer took: the median and the worst of `TIMES`, in ms."""

    question: str
    median_ms: float
    worst_ms: float


async def console(folder: Path, *, runs: int, say: Callable[[str], None]) -> list[Answered]:
    """Fill a store with so many runs and ask everything of it."""
    path = folder / "console.db"
    async with _opened(path):
        pass
    began = time.perf_counter()
    await asyncio.to_thread(fill_listed, path, PROJECT, runs)
    say(f"console: {runs} runs written in {time.perf_counter() - began:.0f} s, {path.stat().st_size / 1e6:.0f} MB")
    answers: list[Answered] = []
    async with _opened(path) as store:
        for name, question in (await _questions(store)).items():
            answers.append(await _asked(name, question))
    worst = max(answers, key=lambda each: each.worst_ms)
    say(f"console: the slowest is “{worst.question}”, {worst.worst_ms:.0f} ms")
    return answers


@asynccontextmanager
async def _opened(path: Path) -> AsyncIterator[Store]:
    store = SqliteStore(Address(str(path)), SystemClock())
    await store.open()
    try:
        yield store
    finally:
        await store.aclose()


async def _asked(name: str, question: Question) -> Answered:
    taken: list[float] = []
    for _ in range(TIMES):
        began = time.perf_counter()
        await question()
        taken.append((time.perf_counter() - began) * 1000)
    return Answered(question=name, median_ms=statistics.median(taken), worst_ms=max(taken))


async def _questions(store: Store) -> dict[str, Question]:
    queries = Queries(store, SystemClock())
    now = time.time()
    old = (await queries.requests(PROJECT, wanted({"until": str(now - WEEK / 2)}), limit=1)).data[0].channel_id
    return {
        "overview": lambda: queries.overview(PROJECT),
        "figures of an hour by minute": lambda: queries.stats(PROJECT, since=now - 3600, bucket=60),
        "figures of a day by quarter of an hour": lambda: queries.stats(PROJECT, since=now - DAY, bucket=900),
        "figures of a week by hour": lambda: queries.stats(PROJECT, since=now - WEEK),
        "figures of one workflow, a week by hour": lambda: queries.stats(
            PROJECT, since=now - WEEK, wanted=wanted({"workflow": "workflow_3"})
        ),
        **{
            f"requests: {name}": _page(queries, filter)
            for name, filter in {
                "the newest": {},
                "of every tag": {"tag": "all"},
                "of one workflow": {"workflow": "workflow_3"},
                "of one event": {"event_name": "event_5"},
                "that failed": {"status": "error"},
                "that wait": {"status": "ai_generated"},
                "of one model that failed": {"status": "error", "model": "claude-sonnet"},
                "of nobody": {"workflow": "nobody's"},
                "of an hour last week": {"since": str(now - WEEK / 2), "until": str(now - WEEK / 2 + 3600)},
                "by the beginning of an id": {"channel_id": old[:10]},
                "by customer data": {"customer": "plan=pro"},
                "by customer data that nobody has": {"customer": "user_id=nobody"},
            }.items()
        },
        "requests: older than one in the middle": lambda: queries.requests(PROJECT, wanted({}), starting_after=old),
        "requests: newer than one in the middle": lambda: queries.requests(PROJECT, wanted({}), ending_before=old),
        "one request": lambda: queries.request(PROJECT, old),
        "one request as a fixture": lambda: queries.fixture(PROJECT, old),
        "deliveries": lambda: store.queue.find_deliveries(PROJECT, DeliveryFilter(), limit=50),
        "dead letters": lambda: store.queue.find_deliveries(
            PROJECT, DeliveryFilter(status=("dead", "expired")), limit=50
        ),
    }


def _page(queries: Queries, filter: dict[str, str]) -> Question:
    return lambda: queries.requests(PROJECT, wanted(filter))
