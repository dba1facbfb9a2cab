"""A clock that stands still until a test moves it.

It moves no other time: `asyncio.timeout` and sockets go by the event loop's own clock.
"""

from __future__ import annotations

import asyncio
import bisect
from itertools import count

__all__ = ["FakeClock"]

_TURNS = 20
"""Turns of the event loop after each wake-up: a chain of awaits as deep as this gets to its next real wait."""


class FakeClock:
    """ports.Clock for tests.

    A test gives it to the code under test, waits until that code sleeps, and moves time on::

        clock = FakeClock()
        task = asyncio.create_task(code_that_retries(clock))
        await clock.wait_for_sleepers(1)      # it has failed once and now waits
        await clock.advance(5)                # its next attempt has begun
        await task

    `advance` wakes sleepers in the order of their due times, each at its own time, and lets the loop run in between.
    What another thread does (the SQLite writer, a plain handler) is not waited for: after `advance`, wait for the
    condition that the test is about, or for the next sleeper.

    A sleeper is due as soon as `now` says the time until which it sleeps. (A float has steps of 2.4e-7 seconds at
    today's Unix time, so who sleeps for the rest of the time until a date, `date - now()`, asks for up to half a step
    too much or too little. Moving time on to that date wakes it, and leaves `monotonic` up to half a step ahead.)

    `start` is the Unix time that `now` begins with; `monotonic` begins with 0.
    """

    def __init__(self, start: float = 1_700_000_000.0) -> None:
        self._start = start
        self._elapsed = 0.0
        self._order = count()
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._arrived = asyncio.Event()

    def now(self) -> float:
        """Unix seconds."""
        return self._start + self._elapsed

    def monotonic(self) -> float:
        """Seconds since the clock was made."""
        return self._elapsed

    @property
    def timers(self) -> int:
        """How many sleepers wait now."""
        return len(self._sleepers)

    @property
    def next_due(self) -> float | None:
        """Seconds until the first sleeper is due; None when nobody sleeps."""
        return self._sleepers[0][0] - self._elapsed if self._sleepers else None

    async def sleep(self, seconds: float) -> None:
        """Wait until `advance` has moved time by `seconds`; zero or less gives the loop one turn."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        sleeper = (self._elapsed + seconds, next(self._order), asyncio.get_running_loop().create_future())
        bisect.insort(self._sleepers, sleeper)
        self._arrived.set()
        try:
            await sleeper[2]
        finally:
            if sleeper in self._sleepers:
                self._sleepers.remove(sleeper)

    async def advance(self, seconds: float) -> None:
        """Move time on by `seconds`, waking whoever falls due on the way."""
        if seconds < 0:
            raise ValueError("time moves forward only")
        target = self._elapsed + seconds
        await _run_ready()
        while self._sleepers and self._start + self._sleepers[0][0] <= self._start + target:
            due, _, future = self._sleepers.pop(0)
            self._elapsed = max(self._elapsed, due)
            if not future.done():
                future.set_result(None)
            await _run_ready()
        self._elapsed = max(self._elapsed, target)

    async def leap(self, seconds: float) -> None:
        """Move time on as `advance` does, but wake nobody on the way: whoever fell due is woken once, after it. So days
        pass that nobody could wait out second by second."""
        if seconds < 0:
            raise ValueError("time moves forward only")
        await _run_ready()
        self._elapsed += seconds
        await self.advance(0)

    async def wait_for_sleepers(self, number: int = 1, *, timeout: float = 10.0) -> None:
        """Return as soon as at least `number` sleepers wait. Raises TimeoutError that tells how many there are, after
        `timeout` seconds of real time."""
        try:
            async with asyncio.timeout(timeout):
                while self.timers < number:
                    self._arrived.clear()
                    await self._arrived.wait()
        except TimeoutError:
            raise TimeoutError(f"{self.timers} sleepers after {timeout} s; waited for {number}") from None


async def _run_ready() -> None:
    for _ in range(_TURNS):
        await asyncio.sleep(0)
