"""Forgets single runs on demand: one, or all of one customer. A run that has not ended is cancelled first.

Routes decide who may ask for it; what goes by age alone is the retention's.
"""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from ._channels import Hub
from ._runner import Runner
from .errors import NotFound, NotWaiting
from .models import RunFilter
from .ports import RunLog

__all__ = ["Purge"]

AT_ONCE = 200  # runs found and forgotten in one go


class Purge:
    """`cancel(project_id, run_id)` ends a run."""

    def __init__(self, log: RunLog, hub: Hub, runner: Runner, cancel: Callable[[str, str], Awaitable[Any]]) -> None:
        self._log = log
        self._hub = hub
        self._runner = runner
        self._cancel = cancel

    async def runs(self, project_id: str, run_ids: Sequence[str]) -> int:
        """Forget these runs with all that belongs to them: how many there were. Their readers are told `gone`."""
        for run_id in run_ids:
            with contextlib.suppress(NotWaiting, NotFound):
                await self._cancel(project_id, run_id)
        erased = await self._log.erase(project_id, run_ids)
        for run_id in run_ids:
            self._runner.forget(run_id)
            self._hub.wake(run_id)
        return erased

    async def customer(self, project_id: str, key: str, value: str) -> int:
        """Forget every run whose customer data has this member, of what its summary keeps of them: how many."""
        wanted, before, erased = RunFilter(customer=(key, value)), None, 0
        while True:
            page = await self._log.runs(project_id, wanted, before=before, limit=AT_ONCE)
            erased += await self.runs(project_id, [run.id for run in page.runs])
            if not page.has_more and page.searched_to is None:
                return erased
            before = page.searched_to or page.runs[-1].id
