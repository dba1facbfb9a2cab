"""Time and names from the operating system: the Clock and Ids of every riverflow outside a test.

It keeps nothing but the last identifier it gave, so that the next one sorts after it; it has no settings.
"""

from __future__ import annotations

import asyncio
import base64
import os
import time
from collections.abc import Callable

__all__ = ["SystemClock", "SystemIds"]


class SystemClock:
    """ports.Clock over the system's clocks and the running event loop."""

    __slots__ = ()

    # The functions themselves: a method round each were 16 calls more a run.
    now = staticmethod(time.time)
    """Unix seconds; may step when the host's clock is set."""

    monotonic = staticmethod(time.monotonic)
    """Seconds since an arbitrary moment; never steps."""

    async def sleep(self, seconds: float) -> None:
        """Wait `seconds`; zero or less gives the loop one turn."""
        await asyncio.sleep(seconds)


_COUNTER_BITS = 42
_TAIL_BITS = 32
_MAX_MILLISECONDS = (1 << 48) - 1
_UUID_VERSION = 7 << 12
_UUID_VARIANT = 0b10 << 14
_SEED_BYTES = 10
_SEEDS = 256  # drawn at once: a system call each took 5 µs and let the GIL go, 5 % of a run's CPU


class SystemIds:
    """ports.Ids: each identifier sorts after every earlier one of the same object, also within a millisecond and when
    the clock is set back (RFC 9562, 6.2, method 1: a 42-bit counter, seeded anew each millisecond with its top bit
    clear; the 32 bits after it are `os.urandom`'s and used once, in a forked child too).

    The order is promised to one thread, the event loop's; the random bits are there for all. `now` gives Unix seconds.
    """

    __slots__ = ("_counter", "_milliseconds", "_now", "_pid", "_seeds")

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        self._now = now
        self._seeds: list[int] = []
        self._pid = 0
        self._milliseconds = -1
        self._counter = 0

    def channel_id(self) -> str:
        """A UUIDv7 in canonical lower-case text (RFC 9562, 4 and 5.7)."""
        milliseconds, counter, tail = self._tick()
        high = milliseconds << 16 | _UUID_VERSION | counter >> 30
        low = (_UUID_VARIANT | counter >> 16 & 0x3FFF) << 48 | (counter & 0xFFFF) << 32 | tail
        text = f"{high << 64 | low:032x}"
        return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"

    def opaque(self, prefix: str) -> str:
        """`prefix`, `_`, and 26 lower-case hex digits: 48 bits of milliseconds, the counter, 14 random bits."""
        milliseconds, counter, tail = self._tick()
        return f"{prefix}_{milliseconds << 56 | counter << 14 | tail >> 18:026x}"

    def secret(self) -> str:
        """`whsec_` and the base64 text of 32 random bytes (Standard Webhooks, "Secret generation")."""
        return "whsec_" + base64.b64encode(os.urandom(32)).decode("ascii")

    def _tick(self) -> tuple[int, int, int]:
        seed = self._seed()
        milliseconds = min(int(self._now() * 1000), _MAX_MILLISECONDS)
        if milliseconds > self._milliseconds:
            self._milliseconds, self._counter = milliseconds, _fresh(seed)
        elif self._counter + 1 < 1 << _COUNTER_BITS:
            self._counter += 1
        else:
            self._milliseconds, self._counter = self._milliseconds + 1, _fresh(seed)
        return self._milliseconds, self._counter, seed & 0xFFFFFFFF

    def _seed(self) -> int:
        """80 random bits that nobody else is given: a forked child forgets what its parent has drawn."""
        if self._pid != os.getpid():
            self._seeds, self._pid = [], os.getpid()
        try:
            return self._seeds.pop()  # one step under the GIL, so no two threads get the same
        except IndexError:
            drawn = os.urandom(_SEED_BYTES * (_SEEDS + 1))
            seed, *more = (
                int.from_bytes(drawn[at : at + _SEED_BYTES], "big") for at in range(0, len(drawn), _SEED_BYTES)
            )
            self._seeds.extend(more)
            return seed


def _fresh(seed: int) -> int:
    """A counter with its top bit clear, so that at least 2^41 identifiers fit into the millisecond."""
    return (seed >> _TAIL_BITS) & ((1 << (_COUNTER_BITS - 1)) - 1)
