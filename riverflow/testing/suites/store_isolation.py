"""The cases of isolation: each method of the store that serves a caller is asked for another project's rows.

A method that takes a project's id and is not asked here fails the suite: whoever adds one says what a stranger gets.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import pytest

from ...errors import VersionConflict
from ...models import Run, Standing
from ...ports import DeliveryFilter, Documents, Queue, RunLog, Store
from .store_cases import MINE, NOW, THEIRS, StoreCases

__all__ = ["IsolationCases"]

Probe = Callable[[Store, Run], Awaitable[Any]]

_FACES: Mapping[str, type] = {"log": RunLog, "queue": Queue, "documents": Documents}


async def _page_of_runs(store: Store, run: Run) -> Any:
    pages = [await store.log.runs(THEIRS), await store.log.runs(THEIRS, after="0")]
    return [run for page in pages for run in page.runs]


async def _page_of_deliveries(store: Store, run: Run) -> Any:
    pages = [
        await store.queue.find_deliveries(THEIRS, DeliveryFilter()),
        await store.queue.find_deliveries(THEIRS, DeliveryFilter(run_id=run.id)),
        await store.queue.find_deliveries(THEIRS, DeliveryFilter(), after="dlv_a"),
    ]
    return [delivery for page in pages for delivery in page.deliveries]


async def _written(store: Store, run: Run) -> Any:
    """A stranger's own document of the same name is another one."""
    with pytest.raises(VersionConflict):
        await store.documents.put(THEIRS, "key", "k", b"theirs", now=NOW, expected_version=1)
    return None


# What a stranger does, and what he gets.
_PROBES: Mapping[tuple[str, str], tuple[Probe, Any]] = {
    ("log", "load"): (lambda store, run: store.log.load(THEIRS, run.id), None),
    ("log", "entries_after"): (lambda store, run: store.log.entries_after(THEIRS, run.id, 0), None),
    ("log", "runs"): (_page_of_runs, []),
    ("log", "totals"): (lambda store, run: store.log.totals(THEIRS, NOW - NOW % 3600, NOW + 7200, 3600), ()),
    ("log", "erase"): (lambda store, run: store.log.erase(THEIRS, [run.id]), 0),
    ("log", "standing"): (lambda store, run: store.log.standing(THEIRS), Standing()),
    ("queue", "deliveries"): (lambda store, run: store.queue.deliveries(THEIRS, run.id), ()),
    ("queue", "dead_letters"): (lambda store, run: store.queue.dead_letters(THEIRS), 0),
    ("queue", "delivery"): (lambda store, run: store.queue.delivery(THEIRS, "dlv_a"), None),
    ("queue", "find_deliveries"): (_page_of_deliveries, []),
    ("queue", "requeue"): (lambda store, run: store.queue.requeue(THEIRS, "dlv_a", NOW), None),
    ("documents", "get"): (lambda store, run: store.documents.get(THEIRS, "key", "k"), None),
    ("documents", "put"): (_written, None),
    ("documents", "list"): (lambda store, run: store.documents.list(THEIRS, "key"), ()),
    ("documents", "delete"): (lambda store, run: store.documents.delete(THEIRS, "key", "k"), False),
    ("documents", "marked"): (lambda store, run: store.documents.marked(THEIRS, "token", "t", now=NOW), None),
    ("documents", "unmark"): (lambda store, run: store.documents.unmark(THEIRS, "token", "t"), False),
    ("documents", "mark"): (
        lambda store, run: store.documents.mark(THEIRS, "token", "t", b"theirs", now=NOW, expires_at=NOW + 9),
        None,
    ),
}


class IsolationCases(StoreCases):
    """What every method promises that takes a project's id: nothing of another project's, and no trace there."""

    def test_every_method_that_serves_a_caller_is_asked(self) -> None:
        serving = {
            (face, name)
            for face, port in _FACES.items()
            for name, method in inspect.getmembers(port, inspect.isfunction)
            if not name.startswith("_") and "project_id" in inspect.signature(method).parameters
        }
        assert serving == set(_PROBES)

    @pytest.mark.parametrize("asked", _PROBES, ids=".".join)
    async def test_a_stranger_finds_nothing_and_changes_nothing(self, store: Store, asked: tuple[str, str]) -> None:
        run = await self._filled(store)
        before = await self._mine(store, run)
        assert before[-1] == b"mine"
        probe, expected = _PROBES[asked]
        assert await probe(store, run) == expected
        assert await self._mine(store, run) == before

    async def _filled(self, store: Store) -> Run:
        """A run that has ended, a dead delivery of it, a run at work, a document, a marker; all of one project."""
        run = await self.ended(store)
        delivery = self.delivery_of(run, "a")
        run = await self.follow(store, run, delivery)
        await store.queue.settle(self.settlement_of(delivery, "dead"))
        await self.accept(store, self.run_of(1))
        await store.documents.put(MINE, "key", "k", b"mine", now=NOW)
        await store.documents.mark(MINE, "token", "t", b"mine", now=NOW, expires_at=NOW + 9)
        return run

    async def _mine(self, store: Store, run: Run) -> list[Any]:
        """All that the owner sees."""
        log, queue, documents = store.log, store.queue, store.documents
        return [
            await log.load(MINE, run.id),
            await log.entries_after(MINE, run.id, 0),
            await log.runs(MINE),
            await log.standing(MINE),
            await queue.deliveries(MINE, run.id),
            await queue.dead_letters(MINE),
            await documents.list(MINE, "key"),
            await documents.marked(MINE, "token", "t", now=NOW),
        ]
