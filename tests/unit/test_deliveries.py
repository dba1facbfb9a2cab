"""What a list of deliveries says of each: its last attempt, at a price that a long log does not raise."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from riverflow._deliveries import TAIL, Deliveries
from riverflow.codec import from_python
from riverflow.config import Settings
from riverflow.models import Entry
from riverflow.ports import EntryPage
from riverflow.testing import FakeClock

pytestmark = pytest.mark.anyio


class Log:
    """Logs of runs; it counts what is read of them."""

    def __init__(self, **runs: list[Entry]) -> None:
        self.runs = runs
        self.reads: dict[str, int] = {}

    async def entries_after(
        self, project_id: str, run_id: str, after: int, *, limit: int = 1000, public: bool = False
    ) -> EntryPage | None:
        if run_id not in self.runs:
            return None
        found = tuple(entry for entry in self.runs[run_id] if entry.number > after)[:limit]
        self.reads[run_id] = self.reads.get(run_id, 0) + len(found)
        return EntryPage(entries=found, latest=len(self.runs[run_id]))


def entry(number: int, kind: str = "stage.progress", delivery: str = "") -> Entry:
    return Entry(kind=kind, at=0.0, number=number, data=from_python({"delivery_id": delivery} if delivery else {}))


def attempt(number: int, delivery: str) -> Entry:
    return entry(number, "delivery.attempted", delivery)


async def test_the_last_attempt_of_each_is_found_at_the_end_of_its_log() -> None:
    """Two deliveries of one run are one reading, and of a log of a thousand entries a tenth is read."""
    long = [entry(number) for number in range(1, 1001)]
    long[2], long[989], long[994], long[995] = attempt(3, "a"), attempt(990, "b"), attempt(995, "a"), attempt(996, "b")
    log = Log(long=long, short=[attempt(1, "c"), attempt(2, "c")], old=[attempt(1, "d"), *long[1:]])
    store = cast("Any", SimpleNamespace(log=log, queue=None))
    deliveries = Deliveries(store, cast("Any", None), Settings(), FakeClock())
    runs = {"a": "long", "b": "long", "c": "short", "d": "old", "e": "forgotten"}
    found = await deliveries.last_attempts("p", runs)
    assert {name: each.number for name, each in found.items()} == {"a": 995, "b": 996, "c": 2}
    assert log.reads == {"long": TAIL, "short": 2, "old": TAIL}
