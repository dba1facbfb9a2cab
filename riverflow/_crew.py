"""The tasks that carry runs: every one has this owner. It knows neither what they do nor why."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from .errors import Expired, NotWaiting

__all__ = ["Crew"]

logger = logging.getLogger("riverflow.crew")


class Crew:
    """At most `size` pieces of work are welcome at once (more are carried, but no more are asked for).

    `freed()` is called when there is room again; `stranded(run_id)` when work ended in an error that nobody foresaw,
    so that it does not stay on a living process's lease for ever.
    """

    def __init__(self, size: int, *, freed: Callable[[], None], stranded: Callable[[str], Awaitable[None]]) -> None:
        self._size = size
        self._freed = freed
        self._stranded = stranded
        self._group: asyncio.TaskGroup | None = None
        self._tasks: dict[str, set[asyncio.Task[None]]] = {}
        self._busy = 0

    @property
    def room(self) -> int:
        """How much more work is welcome."""
        return self._size - self._busy

    def work_in(self, group: asyncio.TaskGroup) -> None:
        """Name the task group that owns the work from now on."""
        self._group = group

    def spawn(self, run_id: str, work: Coroutine[Any, Any, None]) -> None:
        """Start work for a run."""
        assert self._group is not None, "riverflow is not running"
        task = self._group.create_task(self._guarded(run_id, work))
        self._busy += 1
        self._tasks.setdefault(run_id, set()).add(task)
        task.add_done_callback(lambda done: self._done(run_id, done))

    def cut(self, run_id: str) -> None:
        """Stop everything that is being done for a run, but for the caller itself."""
        current = asyncio.current_task()
        for task in self._tasks.get(run_id, ()):
            if task is not current:
                task.cancel()

    async def finish(self, timeout: float) -> None:
        """Wait for the work in hand, so many seconds at most; then stop it."""
        working = [task for tasks in self._tasks.values() for task in tasks]
        if not working:
            return
        _, late = await asyncio.wait(working, timeout=timeout)
        for task in late:
            task.cancel()
        if late:
            await asyncio.wait(late)

    def _done(self, run_id: str, task: asyncio.Task[None]) -> None:
        tasks = self._tasks[run_id]
        tasks.discard(task)
        if not tasks:
            del self._tasks[run_id]
        self._busy -= 1
        if self._busy == self._size - 1:
            self._freed()

    async def _guarded(self, run_id: str, work: Coroutine[Any, Any, None]) -> None:
        """No error of one run ends the others."""
        try:
            await work
        except (NotWaiting, Expired):
            logger.info("run %s: overtaken", run_id, exc_info=True)
        except Exception:
            logger.exception("run %s: unforeseen error; the work is given back", run_id)
            await self._stranded(run_id)
