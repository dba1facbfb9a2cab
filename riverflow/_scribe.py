"""Puts decisions into the log, and tells whoever listens what was written; remembers runs that are to be answered.

Every decision is written before anybody is told of it. This module decides nothing and carries nothing out.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any

from ._channels import Hub
from ._frames import numbered
from ._moves import Decision
from .errors import StoreUnavailable
from .models import Append, Entry, Record, Settlement
from .ports import Notifier, RunLog

__all__ = ["RETRY_AFTER", "Scribe", "Spawn"]

REMEMBERED = 1000  # runs whose record is kept in memory
REMEMBERED_BYTES = 64 * 1024  # of request and outputs, each
RETRY_AFTER = 5.0  # seconds until work that broke off for a reason nobody foresaw is tried again

Spawn = Callable[[str, Coroutine[Any, Any, None]], None]


class Scribe:
    """`spawn`, `notice` and `observe` are the runner's (see there); `give_back(run_id, delivery_id, delay)` lets work
    be claimed after so many seconds."""

    def __init__(
        self,
        log: RunLog,
        hub: Hub,
        notifier: Notifier | None,
        *,
        spawn: Spawn,
        give_back: Callable[[str, str | None, float], Awaitable[None]],
        notice: Callable[[float], None],
        observe: Callable[[str, Sequence[Entry]], None] | None,
    ) -> None:
        self._log = log
        self._hub = hub
        self._notifier = notifier
        self._spawn = spawn
        self._give_back = give_back
        self._notice = notice
        self._observe = observe
        self._unanswered: dict[str, Record] = {}

    def remembered(self, run_id: str) -> Record | None:
        """A run whose hand-off is to be answered, as it was last written here."""
        return self._unanswered.get(run_id)

    def forget(self, run_id: str) -> None:
        """A run is no more: nothing of it is remembered."""
        self._unanswered.pop(run_id, None)

    async def append(
        self,
        decision: Decision,
        *,
        expected_version: int | None,
        owner: str | None,
        settled: Settlement | None = None,
    ) -> None:
        """Write a decision, on `owner`'s lease (None: whose it is), with the attempt that it `settled`; then tell.
        Raises what the log raises."""
        run = decision.record.run
        append = Append(
            run=run,
            owner=owner,
            entries=decision.entries,
            expected_version=expected_version,
            deliveries=decision.deliveries,
            settled=settled,
            closes=decision.closes,
        )
        try:
            number = await self._log.append(append)
        except (asyncio.CancelledError, StoreUnavailable) as error:
            # Where the store has room for little things only, a provider must not be asked again and again meanwhile.
            refused = isinstance(error, StoreUnavailable) and expected_version is not None
            self._spawn(run.id, self._let_go(append, RETRY_AFTER if refused else 0.0))
            raise
        entries = decision.entries if settled is None else (*settled.entries, *decision.entries)
        if expected_version is None:
            self._hub.born(run.project_id, run.id)
        self._remember(decision.record)
        self.tell(run.id, entries, number)
        if run.phase != "done" and run.deadline_at is not None:
            self._notice(run.deadline_at)

    async def _let_go(self, append: Append, delay: float) -> None:
        """The caller was cancelled while his decision was being written, or told that it could not be, and it may be
        written all the same: what it leased to this process is given back, so that somebody goes on with it."""
        if append.run.phase == "running" and append.owner is not None:
            await self._give_back(append.run.id, None, delay)
        for delivery in append.deliveries:
            await self._give_back(append.run.id, delivery.id, 0.0)
        self._hub.wake(append.run.id)

    def _remember(self, record: Record) -> None:
        """Keep the newest runs that are to be answered, unless they are large: most are within seconds, and here."""
        self._unanswered.pop(record.run.id, None)
        if record.run.phase == "done" or record.run.deadline_at is None:
            return
        size = len(record.request)
        for output in record.outputs:
            size += len(output.data)
        if size <= REMEMBERED_BYTES:
            self._unanswered[record.run.id] = record
            if len(self._unanswered) > REMEMBERED:
                del self._unanswered[next(iter(self._unanswered))]

    def tell(self, run_id: str, entries: Sequence[Entry], first: int) -> None:
        """Written, then told."""
        if self._notifier is not None:
            self._notifier.publish(run_id, first + len(entries) - 1)
        self._hub.tell(run_id, entries, first)
        if self._observe is not None:
            self._observe(run_id, numbered(entries, first))
