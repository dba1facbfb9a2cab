"""An event loop in which time and order are the seed's: nothing is waited for, and what runs next is drawn.

It opens no socket, starts no thread and knows nothing of what runs on it.
"""

from __future__ import annotations

import asyncio
import contextvars
import heapq
from collections.abc import Callable, Coroutine
from itertools import count
from typing import Any, NoReturn

__all__ = ["Life", "Runaway", "SimulatedLoop", "Stalled"]

_LIFE: contextvars.ContextVar[Life | None] = contextvars.ContextVar("riverflow_simulated_life", default=None)


class Stalled(RuntimeError):
    """Nothing is ready and no timer is set: what is waited for can never come."""


class Runaway(RuntimeError):
    """More callbacks have run than any scenario needs."""


class Life:
    """Whatever is begun in its context lives and dies together: a process that can be killed.

    Once it is `over`, none of its callbacks runs any more: no `finally`, no `except`, as after SIGKILL; until it is
    `buried`, when nobody looks any more.
    """

    def __init__(self) -> None:
        self.over = False
        self.buried = False
        self.tasks: list[asyncio.Task[Any]] = []  # held: what nobody holds is collected, and its `finally` run
        self.left: list[asyncio.Handle] = []  # what was about to run when it ended
        self.context = contextvars.copy_context()
        self.context.run(_LIFE.set, self)


class _Task(asyncio.Task[Any]):
    """A task that sets keep in the order of its number: an address for a hash would make two replays differ."""

    number = 0

    def __hash__(self) -> int:
        return self.number


class SimulatedLoop(asyncio.BaseEventLoop):
    """Runs one callback at a time; when none is ready, the clock jumps to the next timer.

    `window` says how far the seed may move a callback from its place in the line (0: first come, first served, as
    asyncio's own loops do). `limit` is how many callbacks may run in all. `elapsed` counts seconds from 0.
    """

    def __init__(self, seed: int, *, window: int = 0, limit: int = 5_000_000) -> None:
        super().__init__()
        self.ran = 0
        self._seed = seed
        self._window = window
        self.limit = limit
        self._elapsed = 0.0
        self._numbers = count(1)
        self._line: list[tuple[int, int, int, int, asyncio.Handle]] = []
        self._timers: list[tuple[float, int, asyncio.TimerHandle]] = []
        self.set_exception_handler(lambda loop, context: None)  # what is left of the dead is no news

    def time(self) -> float:
        """Seconds since the simulation began."""
        return self._elapsed

    # Scheduling ------------------------------------------------------------------------------------------

    def call_soon(  # type: ignore[override]
        self, callback: Callable[..., Any], *args: Any, context: contextvars.Context | None = None
    ) -> asyncio.Handle:
        handle = asyncio.Handle(callback, args, self, context)
        self._enter(handle)
        return handle

    def call_at(  # type: ignore[override]
        self, when: float, callback: Callable[..., Any], *args: Any, context: contextvars.Context | None = None
    ) -> asyncio.TimerHandle:
        timer = asyncio.TimerHandle(when, callback, args, self, context)
        heapq.heappush(self._timers, (when, next(self._numbers), timer))
        return timer

    def create_task(  # type: ignore[override]
        self,
        coro: Coroutine[Any, Any, Any],
        *,
        name: str | None = None,
        context: contextvars.Context | None = None,
        **_: Any,
    ) -> asyncio.Task[Any]:
        context = contextvars.copy_context() if context is None else context  # an empty one is false
        task = _Task.__new__(_Task)
        task.number = next(self._numbers)  # before it is hashed for the first time
        task.__init__(coro, loop=self, name=name or f"task {task.number}", context=context)  # type: ignore[misc]
        life = context.get(_LIFE)
        if life is not None:
            life.tasks.append(task)
        return task

    def run_in_executor(self, *_: Any) -> NoReturn:  # type: ignore[override]
        raise RuntimeError("a simulation has no threads: give it async functions")

    def revive(self, life: Life) -> None:
        """Let what a killed process left behind go on, so that it can be brought to an end."""
        life.buried = True
        for handle in life.left:
            self._enter(handle)
        life.left.clear()

    # Running ---------------------------------------------------------------------------------------------

    def _enter(self, handle: asyncio.Handle) -> None:
        """Put a callback in the line. Its place follows from the callback being run now, so it does not depend on the
        order in which that one has walked through a set."""
        owner = getattr(handle._callback, "__self__", None)  # type: ignore[attr-defined]
        number = next(self._numbers)
        kind, who = (1, owner.number) if isinstance(owner, _Task) else (0, number)
        delay = hash((self._seed, kind, who, self.ran)) % self._window if self._window else 0
        heapq.heappush(self._line, (self.ran + delay, kind, who, number, handle))

    def _run_once(self) -> None:
        while not self._line:
            self._move_time()
        while self._timers and self._timers[0][0] <= self._elapsed:
            self._enter(heapq.heappop(self._timers)[2])
        handle = heapq.heappop(self._line)[-1]
        if handle.cancelled():
            return
        life = handle._context.get(_LIFE)  # type: ignore[attr-defined]
        if life is not None and life.over and not life.buried:
            life.left.append(handle)
            return
        self.ran += 1
        if self.ran > self.limit:
            raise Runaway(f"{self.limit} callbacks have run, {self._elapsed:.0f} simulated seconds have passed")
        handle._run()

    def _move_time(self) -> None:
        while self._timers and self._timers[0][2].cancelled():
            heapq.heappop(self._timers)
        if not self._timers:
            raise Stalled("nothing is ready and no timer is set")
        self._elapsed = max(self._elapsed, self._timers[0][0])
        self._enter(heapq.heappop(self._timers)[2])

    # What BaseEventLoop asks of its kind --------------------------------------------------------------------

    def _write_to_self(self) -> None:
        return None

    def _process_events(self, event_list: Any) -> None:
        return None

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        return None
