"""Whether one more run can be taken: to be refused at once is better than to be accepted and late.

It looks at numbers that are in memory, and at the store's at most once a second and only while this process is full;
it queues nothing and stops nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

from .errors import Overloaded, StoreError

__all__ = ["Admission"]

logger = logging.getLogger("riverflow.admission")

LOOK_AGAIN = 1.0  # seconds
RETRY_AFTER = 5.0  # seconds: until then, a backlog of some thousands has got visibly smaller


class Admission:
    """The bounds of one process.

    `room()` is how much more work is welcome here, `running()` how many stages run here, `backlog()` asks the store
    how much is due and on nobody's lease. `max_running` 0 means no bound: beyond `room()` runs wait in the store.
    """

    def __init__(
        self,
        *,
        max_backlog: int,
        max_running: int,
        room: Callable[[], int],
        running: Callable[[], int],
        backlog: Callable[[], Awaitable[int]],
        monotonic: Callable[[], float],
    ) -> None:
        self._max_backlog = max_backlog
        self._max_running = max_running
        self._room = room
        self._running = running
        self._count_backlog = backlog
        self._monotonic = monotonic
        self._backlog = 0
        self._looks_at = 0.0
        self._refusing = False

    @property
    def at_ease(self) -> bool:
        """Whether nothing speaks against one more run, as far as memory knows. Where it is not, ask `check`."""
        bounded = self._max_running and self._running() >= self._max_running
        return self._room() > 0 and not self._refusing and not bounded

    def queued(self) -> None:
        """A run was accepted that this process has no room for: it is part of the backlog until the next look."""
        self._backlog += 1

    async def check(self) -> None:
        """Raises Overloaded where one more is too many."""
        if self._max_running and self._running() >= self._max_running:
            raise Overloaded(
                "too many runs are being worked on; try again later (setting max_running)",
                code="too_many_running",
                retry_after=RETRY_AFTER,
            )
        await self._look()
        # The bound holds until a look has seen the backlog below it: else whoever comes just when a place has become
        # free would go before all those who wait for it.
        if self._backlog >= self._max_backlog:
            self._say(refusing=True)
            raise Overloaded(
                "too much work is waiting; try again later (setting max_backlog)",
                code="backlog_full",
                retry_after=RETRY_AFTER,
            )
        self._say(refusing=False)

    async def _look(self) -> None:
        now = self._monotonic()
        if now < self._looks_at:
            return
        self._looks_at = now + LOOK_AGAIN  # first of all: those who ask meanwhile go by the last number
        try:
            self._backlog = await self._count_backlog()
        except StoreError:
            logger.warning("the backlog could not be counted; the last number is taken", exc_info=True)

    def _say(self, *, refusing: bool) -> None:
        if refusing != self._refusing:
            self._refusing = refusing
            if refusing:
                logger.warning("%d pieces of work are waiting: new requests are answered 503", self._backlog)
            else:
                logger.warning("%d pieces of work are waiting: new requests are taken again", self._backlog)
