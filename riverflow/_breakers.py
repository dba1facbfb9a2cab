"""How much is under way at each receiver: a window that grows with its answers, and a breaker that opens when it fails.

All of it is this process's own memory: nothing is written, and a restart begins anew. It sends nothing and knows no
delivery.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from typing import Literal

__all__ = ["Breakers", "Verdict"]

Verdict = Literal["well", "ill", "neither"]
"""What an attempt says of a receiver: it answers; it fails (an error of its own, no answer, too much to do); nothing,
because nothing was sent."""

START = 16  # attempts at once at a receiver of which nothing is known; each answer adds one, up to the limit
FAILURES = 10  # in a row, after which the breaker opens
COOLDOWNS = (5.0, 10.0, 20.0, 40.0, 60.0)  # seconds that it stays open, longer each time the first try fails again
MAX_PAUSE = COOLDOWNS[-1]  # seconds that a receiver may ask for
PATIENCE = 1.0  # seconds that an attempt waits in memory for its turn, at a receiver that gets on
KNOWN = 10_000  # idle receivers that are remembered


class _Receiver:
    """One receiver. `until` is the (monotonic) time at which its breaker lets the first try through; 0 where it is
    closed. After that time it ramps up: each answer adds one to the window."""

    __slots__ = ("failures", "limit", "moved_at", "opened", "parked", "under_way", "until", "waiting", "window")

    def __init__(self, now: float) -> None:
        self.limit = START
        self.window = START
        self.under_way = 0
        self.failures = 0
        self.opened = 0  # times in a row
        self.until = 0.0
        self.moved_at = now
        self.parked = False  # whether there may be more for it in the store
        self.waiting: deque[asyncio.Future[bool]] = deque()

    def free(self, now: float) -> int:
        """How many more attempts may begin."""
        return 0 if now < self.until else self.room - self.under_way

    @property
    def room(self) -> int:
        return min(self.window, self.limit)

    def at_rest(self, now: float) -> bool:
        return not self.under_way and not self.parked and not self.waiting and now >= self.until

    def gets_on(self, now: float) -> bool:
        """Whether a turn will soon come up."""
        return self.until == 0 and len(self.waiting) < self.limit and now - self.moved_at < PATIENCE


class Breakers:
    """The receivers by target (models.Delivery.target).

    An attempt begins after `admit`, or after `wait`, has said yes, and ends with `leave`. What is not admitted is given
    back to the store, and `park` told of it. `freed(seconds)` is called where a receiver for which there is more in the
    store can take some of it, so many seconds from now.
    """

    def __init__(self, monotonic: Callable[[], float], *, freed: Callable[[float], None]) -> None:
        self._monotonic = monotonic
        self._freed = freed
        self._busy: dict[str, _Receiver] = {}
        self._idle: dict[str, _Receiver] = {}

    def admit(self, target: str, limit: int) -> bool:
        """Whether an attempt may begin now; `limit` bounds how many may be under way at once."""
        receiver = self._busy.get(target) or self._awake(target)
        receiver.limit = limit
        if receiver.waiting or receiver.under_way >= receiver.window or receiver.under_way >= limit:
            return False
        if receiver.until and self._monotonic() < receiver.until:
            return False
        receiver.under_way += 1
        return True

    async def wait(self, target: str) -> bool:
        """Wait a moment for a turn, at a receiver that gets on; whether it came. Where it did not, what is to be sent
        should be given back to the store."""
        receiver = self._busy[target]
        if not receiver.gets_on(self._monotonic()):
            return False
        turn: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        receiver.waiting.append(turn)
        try:
            async with asyncio.timeout(PATIENCE):
                return await turn
        except TimeoutError:
            return _came(turn)
        except asyncio.CancelledError:
            if _came(turn):
                self.leave(target, "neither")
            raise
        finally:
            if turn in receiver.waiting:
                receiver.waiting.remove(turn)

    def park(self, target: str) -> bool:
        """What was not admitted is in the store now; whether it could be taken from there at once."""
        now = self._monotonic()
        receiver = self._busy.get(target) or self._awake(target)
        receiver.parked = True
        return receiver.free(now) > 0

    def leave(self, target: str, verdict: Verdict, *, pause: float | None = None) -> None:
        """An attempt has ended. `pause` is for how many seconds the receiver wants to be left alone."""
        receiver, now = self._busy[target], self._monotonic()
        receiver.under_way -= 1
        receiver.moved_at = now
        if pause is not None:
            self._open(receiver, now, min(pause, MAX_PAUSE))
        elif verdict == "well":
            self._well(receiver)
        elif verdict == "ill":
            self._ill(receiver, now)
        if receiver.waiting:
            self._call_next(receiver, now)
        if receiver.parked:
            if (free := receiver.free(now)) > 0 and free >= receiver.room // 4:
                self._freed(0.0)
        elif receiver.at_rest(now):
            self._rest(target)

    def opens_in(self, target: str) -> float:
        """Seconds until a try of a receiver makes sense: 0 where it is only busy."""
        receiver = self._busy.get(target)
        return 0.0 if receiver is None else max(receiver.until - self._monotonic(), 0.0)

    def allowed(self) -> dict[str, int]:
        """How many more attempts may begin at each receiver that is not at rest."""
        now = self._monotonic()
        return {target: max(each.free(now) - len(each.waiting), 0) for target, each in self._busy.items()}

    def closed(self) -> list[str]:
        """The receivers to which nothing can go just now."""
        return [target for target, number in self.allowed().items() if number == 0]

    def took(self, allowed: Mapping[str, int], taken: Mapping[str, int]) -> None:
        """The store was asked for what is `allowed`, and so many were `taken`: where that is less, there is no more."""
        now = self._monotonic()
        for target, number in allowed.items():
            receiver = self._busy.get(target)
            if receiver is not None and number > taken.get(target, 0):
                receiver.parked = False
                if receiver.at_rest(now):
                    self._rest(target)

    def next_opening(self) -> float | None:
        """Seconds until the first of the open breakers lets a try through; None: none is open."""
        now = self._monotonic()
        return min((each.until - now for each in self._busy.values() if each.until > now), default=None)

    def _well(self, receiver: _Receiver) -> None:
        receiver.failures = 0
        receiver.window = min(receiver.window + 1, max(receiver.limit, START))
        if receiver.window >= min(START, receiver.limit):
            receiver.opened, receiver.until = 0, 0.0

    def _ill(self, receiver: _Receiver, now: float) -> None:
        if now < receiver.until:
            return  # what was under way when it opened
        receiver.failures += 1
        if receiver.until != 0 or receiver.failures >= FAILURES:
            cooldown = COOLDOWNS[min(receiver.opened, len(COOLDOWNS) - 1)]
            receiver.opened += 1
            self._open(receiver, now, cooldown)

    def _open(self, receiver: _Receiver, now: float, seconds: float) -> None:
        """Let nothing through, then one; who waits in memory is sent back to the store."""
        receiver.failures = 0
        receiver.until = max(now + seconds, receiver.until)
        receiver.window = 1
        for turn in receiver.waiting:
            if not turn.done():
                turn.set_result(False)
        receiver.waiting.clear()
        self._freed(receiver.until - now)

    def _call_next(self, receiver: _Receiver, now: float) -> None:
        while receiver.waiting and receiver.free(now) > 0:
            turn = receiver.waiting.popleft()
            if not turn.done():
                receiver.under_way += 1
                turn.set_result(True)

    def _awake(self, target: str) -> _Receiver:
        now = self._monotonic()
        receiver = self._idle.pop(target) if target in self._idle else _Receiver(now)
        receiver.moved_at = now
        self._busy[target] = receiver
        return receiver

    def _rest(self, target: str) -> None:
        """Nothing is under way and nothing known to be due: it is only remembered; who rests longest goes first."""
        self._idle[target] = self._busy.pop(target)
        if len(self._idle) > KNOWN:
            del self._idle[next(iter(self._idle))]


def _came(turn: asyncio.Future[bool]) -> bool:
    return turn.done() and not turn.cancelled() and turn.result()
