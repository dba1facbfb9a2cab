"""Claims what is due: retries, deadlines, and the work of processes that died.

It sleeps until the next due time, the end of a lease or a notice; it runs nothing itself.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

from ._lease import Lease
from .errors import StoreError
from .models import Claim
from .ports import Clock, Queue

__all__ = ["Sweeper"]

logger = logging.getLogger("riverflow.sweeper")

BATCH = 100
RESERVE = 10  # runs that are claimed a second though there is no room: deadlines do not wait for slow providers


class Receivers(Protocol):
    """Who can be told how much just now, by target (models.Delivery.target); who is not named, as much as there is."""

    def allowed(self) -> Mapping[str, int]: ...
    def took(self, allowed: Mapping[str, int], taken: Mapping[str, int]) -> None: ...
    def closed(self) -> list[str]: ...
    def next_opening(self) -> float | None: ...


class Calls(Protocol):
    """The in-process handlers that are being called here: their runs are on lease, their deadlines in no queue."""

    @property
    def next_deadline(self) -> float: ...
    def end_overrun(self, now: float) -> None: ...


class Sweeper:
    """Keeps this process's lease and claims due work for it.

    `lanes()` says what this process can deliver now, `room()` how much more work it can take, `take(claim)` starts it,
    `receivers` which of them can take it, `calls` what else has a deadline.
    """

    def __init__(
        self,
        queue: Queue,
        clock: Clock,
        *,
        owner: str,
        lease: float,
        lanes: Callable[[], Iterable[str]],
        room: Callable[[], int],
        take: Callable[[Claim], None],
        receivers: Receivers | None = None,
        calls: Calls | None = None,
    ) -> None:
        self._queue = queue
        self._clock = clock
        self.lease = Lease(queue, clock, owner, lease)
        self._lanes = lanes
        self._room = room
        self._take = take
        self._receivers = receivers
        self._calls = calls
        self._bell = asyncio.Event()
        self._noticed = math.inf
        self._wakes_at = 0.0  # while asleep: until when

    def notice(self, due_at: float) -> None:
        """Something is due at that time: wake then, if not before."""
        self._noticed = min(self._noticed, due_at)
        if due_at < self._wakes_at:
            self._bell.set()

    async def keep_lease(self) -> None:
        """Renew the heartbeat three times a lease until cancelled."""
        await self.lease.keep()

    async def renew(self) -> None:
        await self.lease.renew()

    async def run(self) -> None:
        """Sweep until cancelled."""
        while True:
            try:
                full = await self.sweep()
                wake_at = self._clock.now() if full else await self._next_wake()
            except StoreError:
                logger.warning("the store does not answer the sweep; it is tried again", exc_info=True)
                self.lease.doubt()
                wake_at = self._clock.now() + 1.0
            await self._sleep_until(wake_at)

    async def sweep(self) -> bool:
        """Claim once; whether there may be more that fits."""
        self._noticed = math.inf
        room = self._room()
        limit, lanes = (min(room, BATCH), tuple(self._lanes())) if room > 0 else (RESERVE, ())
        allowed = self._receivers.allowed() if self._receivers is not None else {}
        now = self._clock.now()
        if self._calls is not None:
            self._calls.end_overrun(now)
        await self.lease.hold(now)
        claims = await self._queue.claim_due(self.lease.owner, now, lanes=lanes, limit=limit, allowed=allowed)
        for claim in claims:
            self._take(claim)
        if self._receivers is not None and allowed and len(claims) < limit and lanes:
            self._receivers.took(allowed, Counter(claim.delivery.target for claim in claims if claim.delivery))
        return room > 0 and len(claims) == limit

    async def _next_wake(self) -> float:
        """The next due time, but look at least once a lease: another process may have died."""
        now = self._clock.now()
        latest = now + self.lease.seconds
        if self._calls is not None:
            latest = min(latest, max(self._calls.next_deadline, now))
        if self._room() <= 0:
            due_at = await self._queue.next_due(now, ())
            return latest if due_at is None else min(max(due_at, now + 1.0), latest)
        skip, opens_at = self._closed(now)
        due_at = await self._queue.next_due(now, tuple(self._lanes()), skip=skip)
        return min(latest if due_at is None else due_at, opens_at, latest)

    def _closed(self, now: float) -> tuple[list[str], float]:
        """Whose work does not count until something changes, and when the first of them can be told again."""
        if self._receivers is None:
            return [], math.inf
        opening = self._receivers.next_opening()
        return self._receivers.closed(), math.inf if opening is None else now + opening

    async def _sleep_until(self, wake_at: float) -> None:
        wake_at = min(wake_at, self._noticed)
        if wake_at <= self._clock.now():
            await asyncio.sleep(0)
            return
        self._wakes_at = wake_at
        self._bell.clear()
        sleeping = asyncio.ensure_future(self._nap(wake_at))
        ringing = asyncio.ensure_future(self._bell.wait())
        try:
            await asyncio.wait((sleeping, ringing), return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._wakes_at = 0.0
            sleeping.cancel()
            ringing.cancel()
            await asyncio.wait((sleeping, ringing))  # awaited one by one, their cancellation would pass for ours
        if not sleeping.cancelled():
            sleeping.result()

    async def _nap(self, wake_at: float) -> None:
        # How long is asked where the sleep begins, for a task begins a turn of the loop (or a long block) later.
        await self._clock.sleep(wake_at - self._clock.now())
