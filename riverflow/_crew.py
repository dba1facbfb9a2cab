"""The tasks that carry runs: every one has this owner. It knows neither what they do nor why."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import Any

from .errors import Expired, NotWaiting

__all__ = ["Crew"]

logger = logging.getLogger("riverflow.crew")

STUBBORN = 1.0  # seconds that cancelled work has to end


class Crew:
    """At most `size` pieces of work are welcome at once (more are carried, but no more are asked for).

    `freed()` is called when there is room again; `stranded(run_id)` when work ended in an error that nobody foresaw,
    so that it does not stay on a living process's lease for ever.
    """

    def __init__(self, size: int, *, freed: Callable[[], None], stranded: Callable[[str], Awaitable[None]]) -> None:
        self._size = size
        self._freed = freed
        self._stranded = stranded
        self._closed = False
        self._tasks: dict[str, set[asyncio.Task[None]]] = {}
        self._busy = 0

    @property
    def closed(self) -> bool:
        """Whether the work is over: nothing is started any more, and what is left behind should stop trying."""
        return self._closed

    @property
    def room(self) -> int:
        """How much more work is welcome."""
        return self._size - self._busy

    def spawn(self, run_id: str, work: Coroutine[Any, Any, None]) -> None:
        """Start work for a run. After the end nothing is started: what is due is on no lease then, for others."""
        if self._closed:
            work.close()
            return
        task = asyncio.get_running_loop().create_task(self._guarded(run_id, work))
        self._busy += 1
        self._tasks.setdefault(run_id, set()).add(task)
        task.add_done_callback(partial(self._done, run_id))

    def cut(self, run_id: str) -> None:
        """Stop everything that is being done for a run, but for the caller itself."""
        current = asyncio.current_task()
        for task in self._tasks.get(run_id, ()):
            if task is not current:
                task.cancel()

    async def in_hand(self) -> None:
        """Wait for the end of the work that is in hand now."""
        if working := self._working():
            await asyncio.wait(working)

    async def finish(self, timeout: float) -> None:
        """Wait for the work in hand and what follows from it, so many seconds at most; then stop it. Work that does not
        let itself be stopped is left behind, with a word in the log."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout
        while (working := self._working()) and (left := deadline - loop.time()) > 0:
            await asyncio.wait(working, timeout=left)
        self._closed = True
        for task in self._working():
            task.cancel()
        if working := self._working():
            await asyncio.wait(working, timeout=STUBBORN)
        for run_id in self._tasks:
            logger.error("run %s: its work does not stop; it is left behind", run_id)

    def _working(self) -> list[asyncio.Task[None]]:
        return [task for tasks in self._tasks.values() for task in tasks]

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
