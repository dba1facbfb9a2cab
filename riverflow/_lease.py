"""The lease under which this process holds work: the name it has, its heartbeat, and its end.

It claims nothing and runs nothing; it knows only under which name things are held.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable

from .errors import StoreError
from .ports import Clock, Queue

__all__ = ["Lease"]

logger = logging.getLogger("riverflow.lease")


class Lease:
    """A lease of so many `seconds`, renewed three times in them. `owner` is the name that new work is held under."""

    def __init__(self, queue: Queue, clock: Clock, owner: str, seconds: float) -> None:
        self.owner = owner
        self.seconds = seconds
        self._queue = queue
        self._clock = clock
        self._former: str | None = None  # the name before, while work is still held under that
        self._runs_out = -math.inf
        self._doubt = asyncio.Event()

    async def keep(self) -> None:
        """Renew until cancelled."""
        while True:
            await self._clock.sleep(self.seconds / 3)
            try:
                await self.renew()
            except StoreError:
                logger.warning("the lease could not be renewed; it is tried again", exc_info=True)

    async def renew(self) -> None:
        """Raises StoreError."""
        for name in self._names:
            await self._beat(name)

    async def hold(self, now: float) -> None:
        """Renew it if it has run out by `now`: a clock that was set, or a store that was away, may have ended it before
        its time, and who claims then would claim what he has in hand. Raises StoreError."""
        if self._runs_out <= now:
            await self.renew()

    async def release(self) -> None:
        """Give back all that is held, and the lease. Raises StoreError."""
        for name in self._names:
            await self._queue.release(name)

    def doubt(self) -> None:
        """A claim has failed, and may have succeeded all the same: this process then holds work it does not know of,
        and nobody else may take it."""
        self._doubt.set()

    async def clear_doubts(
        self, new_name: Callable[[], str], in_hand: Callable[[], Awaitable[None]], cleared: Callable[[], None]
    ) -> None:
        """Until cancelled: after a doubt, go on under a new name. When the work in hand has ended, what is left under
        the old one is the work that nobody knows of, and is given back."""
        while True:
            await self._doubt.wait()
            name = new_name()
            await self._insist(self._beat, name)
            self._doubt.clear()  # whatever was lost until now was lost under the old name
            self._former, self.owner = self.owner, name
            await self._clock.sleep(self.seconds)  # what is being written under the old name is in hand by then
            await in_hand()
            await self._insist(self._queue.release, self._former)
            self._former = None
            cleared()

    @property
    def _names(self) -> list[str]:
        return [self.owner] if self._former is None else [self.owner, self._former]

    async def _beat(self, name: str) -> None:
        now = self._clock.now()
        await self._queue.heartbeat(name, now, now + self.seconds)
        self._runs_out = now + self.seconds

    async def _insist(self, ask: Callable[[str], Awaitable[None]], name: str) -> None:
        while True:
            try:
                return await ask(name)
            except StoreError:
                logger.warning("the store does not answer; it is asked again", exc_info=True)
                await self._clock.sleep(1.0)
