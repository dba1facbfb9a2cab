"""One thread with one connection, and the way in and out of it. What is done there, it is told; it knows no SQL.

What is asked for in one turn of the event loop is handed over together (a hand-over each would wake the thread for the
first of them: 3 times the commits); what is handed over while the thread is at work is done together in its next round;
and all of a round's futures are resolved by one wake-up of the loop. A group is as large as the load makes it; nothing
waits for others to come, but where so many come that a pause makes fewer rounds of the same work.
"""

from __future__ import annotations

import asyncio
import threading
from asyncio import AbstractEventLoop, Future
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from sqlite3 import Connection
from typing import Any, Generic, TypeVar

from ...errors import StoreUnavailable
from ...models import Append, Settlement

__all__ = ["LARGE", "Change", "Look", "Operation", "Worker"]

T = TypeVar("T")


class Look(Generic[T]):
    """An operation that only reads."""

    __slots__ = ("run",)

    def __init__(self, run: Callable[[Connection], T]) -> None:
        self.run = run


class Change(Generic[T]):
    """An operation that writes, and decides before it does whether it may. `aside`: it touches no run, and nothing
    that is owed for one."""

    __slots__ = ("aside", "run")

    def __init__(self, run: Callable[[Connection], T], *, aside: bool = False) -> None:
        self.run = run
        self.aside = aside


Operation = Append | Settlement | Look[Any] | Change[Any]

Round = Callable[[Connection, Sequence[Operation]], Sequence[object]]
"""Does a group of operations; gives back the result of each, an exception where it was refused."""

Job = tuple[Operation, "Future[Any]"]

LARGE = 8
"""Operations of a round after which a worker pauses. Who waits for each answer before he asks again, as seven clients
do, never makes so large a group, and never waits for a pause. With 16 in this place, eight that write without end leave
the copier of SQLite's log behind."""


class Worker:
    """Runs operations on its own thread. `connect` is called there first; `do` is called for each group, and `pause`
    before a group that follows a large one. `after` is called on the event loop when a group is done."""

    def __init__(
        self, name: str, connect: Callable[[], Connection], do: Round, *, pause: Callable[[], None] | None = None
    ) -> None:
        self._name = name
        self._connect = connect
        self._do = do
        self._pause = pause
        self.after: Callable[[], None] | None = None
        self._asked: list[Job] = []
        self._queue: SimpleQueue[list[Job] | None] = SimpleQueue()
        self._loop: AbstractEventLoop | None = None
        self._ended: Future[None] | None = None

    async def start(self) -> None:
        """Start the thread and connect. Raises whatever connecting raises."""
        assert self._ended is None, "a worker starts once"
        loop = self._loop = asyncio.get_running_loop()
        opened: Future[None] = loop.create_future()
        self._ended = loop.create_future()
        # A daemon: a process whose loop died without aclose must still be able to end. SQLite survives that.
        threading.Thread(target=self._main, args=(loop, opened, self._ended), name=self._name, daemon=True).start()
        try:
            await opened
        except BaseException:
            self._stop_taking()
            raise

    async def stop(self) -> None:
        """Do what is queued, then close the connection and end the thread."""
        self._stop_taking()
        if self._ended is not None:
            await asyncio.shield(self._ended)

    def submit(self, operation: Operation) -> Future[Any]:
        """Queue an operation for the thread's next round. Raises StoreUnavailable where the worker is not running."""
        if self._loop is None:
            raise StoreUnavailable("the store is not open")
        future: Future[Any] = self._loop.create_future()
        if not self._asked:
            self._loop.call_soon(self._hand_over)
        self._asked.append((operation, future))
        return future

    async def look(self, run: Callable[[Connection], T]) -> T:
        """Read."""
        result: T = await self.submit(Look(run))
        return result

    async def change(self, run: Callable[[Connection], T], *, aside: bool = False) -> T:
        """Write."""
        result: T = await self.submit(Change(run, aside=aside))
        return result

    def _hand_over(self) -> None:
        if self._asked:
            jobs, self._asked = self._asked, []
            self._queue.put(jobs)

    def _stop_taking(self) -> None:
        if self._loop is not None:
            self._hand_over()
            self._loop = None
            self._queue.put(None)

    def _main(self, loop: AbstractEventLoop, opened: Future[None], ended: Future[None]) -> None:
        try:
            db = self._connect()
        except Exception as error:
            _post(loop, _resolve, [opened], [error])
        else:
            _post(loop, _resolve, [opened], [None])
            try:
                self._work(loop, db)
            finally:
                db.close()
        _post(loop, _resolve, [ended], [None])

    def _work(self, loop: AbstractEventLoop, db: Connection) -> None:
        """Round after round, until the None that says that nothing follows."""
        queue, pause, done = self._queue, self._pause, 0
        while (jobs := queue.get()) is not None:
            if pause is not None and done >= LARGE:
                pause()
            last = False
            for _ in range(queue.qsize()):
                if (more := queue.get()) is None:
                    last = True
                else:
                    jobs.extend(more)
            done = len(jobs)
            _post(loop, self._tell, [future for _, future in jobs], self._results(db, jobs))
            if last:
                return

    def _tell(self, futures: Sequence[Future[Any]], results: Sequence[object]) -> None:
        _resolve(futures, results)
        if self.after is not None:
            self.after()

    def _results(self, db: Connection, jobs: Sequence[Job]) -> Sequence[object]:
        try:
            return self._do(db, [operation for operation, _ in jobs])
        except Exception as error:  # a round answers for its errors; whatever escapes it must not end the thread
            return [error] * len(jobs)


def _post(loop: AbstractEventLoop, call: Callable[..., None], *args: Any) -> None:
    try:
        loop.call_soon_threadsafe(call, *args)
    except RuntimeError:  # the loop is closed: nobody is left to be told
        return


def _resolve(futures: Sequence[Future[Any]], results: Sequence[object]) -> None:
    for future, result in zip(futures, results, strict=True):
        if future.done():  # cancelled by its caller; what was written stays written
            continue
        if isinstance(result, BaseException):
            future.set_exception(result)
        else:
            future.set_result(result)
