"""When to try again: pure arithmetic over attempt numbers and seconds.

This module has no clock and no randomness of its own.
"""

from __future__ import annotations

import math
from types import MappingProxyType
from typing import Final
from zlib import crc32

import msgspec

__all__ = ["MODELRIVER", "PRESETS", "RETRY_AFTER_LIMIT", "STAGE", "RetryPolicy", "policy_of", "spread"]

RETRY_AFTER_LIMIT: Final = 3600.0
"""Seconds that a `Retry-After` can make of a wait at most: a broken receiver must not park a delivery for ever."""

_MAX_ATTEMPTS = 30
_MAX_DELAY = 7 * 86_400.0


class RetryPolicy(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """A list of waits in seconds: `delays[n]` is waited before attempt n + 1, counted from the end of
    the attempt before; the first is 0.

    `jitter` is the largest share of a wait that chance adds to it (0.2: up to a fifth); it never takes away. `quick`
    asks for one more try at once where the first attempt failed within a second. `stops_when_gone` takes the answer 410
    for the end of the delivery and of its endpoint. Raises ValueError for what makes no schedule.
    """

    delays: tuple[float, ...]
    jitter: float = 0.0
    quick: bool = False
    stops_when_gone: bool = False

    def __post_init__(self) -> None:
        if not 0 < len(self.delays) <= _MAX_ATTEMPTS:
            raise ValueError(f"a retry schedule has 1 to {_MAX_ATTEMPTS} delays, not {len(self.delays)}")
        if self.delays[0] != 0:
            raise ValueError("the first delay of a retry schedule is 0: the first attempt is made at once")
        if not all(math.isfinite(delay) and 0 <= delay <= _MAX_DELAY for delay in self.delays):
            raise ValueError(f"the delays of a retry schedule are seconds from 0 to {_MAX_DELAY:.0f}")
        if not 0 <= self.jitter <= 1:
            raise ValueError("jitter is a share of the delay, from 0 to 1")

    @property
    def attempts(self) -> int:
        """How many attempts there are in all."""
        return len(self.delays)

    def delay_after(self, attempt: int, *, chance: float = 0.0, asked: float | None = None) -> float | None:
        """Seconds to wait after attempt number `attempt` (from 1) has failed; None when it was the last.

        `chance` (from 0, below 1) is how much of the jitter is used, `asked` what the receiver's `Retry-After` says
        (RFC 9110, 10.2.3), in seconds: it counts where it is longer than the schedule's own wait, up to
        `RETRY_AFTER_LIMIT`.
        """
        if attempt >= len(self.delays):
            return None
        delay = self.delays[attempt]
        return max(delay + delay * self.jitter * chance, min(asked or 0.0, RETRY_AFTER_LIMIT))


def spread(name: str, attempt: int) -> float:
    """A number from 0, below 1, that follows from a name and an attempt's number: chance enough to keep what failed
    together from coming back together, and the same on every run."""
    return crc32(f"{name} {attempt}".encode()) / 2**32


MODELRIVER = RetryPolicy(delays=(0, 5, 30, 120, 600, 1800, 3600, 7200))
"""The schedule published by the hosted service: 8 attempts over 3 h 42 min 35 s, to the second; every answer that is
not 2xx is tried again, 410 too."""

STANDARD = RetryPolicy(
    delays=(0, 5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400),
    jitter=0.1,
    quick=True,
    stops_when_gone=True,
)
"""The schedule of Standard Webhooks ("Deliverability and reliability"): 10 attempts over 75 h 35 min."""

SVIX = RetryPolicy(delays=(0, 5, 300, 1800, 7200, 18_000, 36_000, 36_000), jitter=0.2, quick=True, stops_when_gone=True)
"""The schedule published by Svix: 8 attempts over 27 h 35 min."""

FAST = RetryPolicy(delays=(0, 1, 3, 10, 30, 60, 120), jitter=0.2, quick=True, stops_when_gone=True)
"""7 attempts within the five minutes that a browser commonly waits for a callback."""

PRESETS: Final = MappingProxyType({"modelriver": MODELRIVER, "standard": STANDARD, "svix": SVIX, "fast": FAST})
"""The policies that have a name."""

STAGE = RetryPolicy(delays=(0, 5, 30))
"""How often a stage that raises an undeclared error is begun: somebody waits for its result."""


def policy_of(said: str | tuple[float, ...] | RetryPolicy) -> RetryPolicy:
    """The policy that a setting or an endpoint names: a preset's name, a list of delays (also as text, `0, 5, 30`),
    which in all else is like `standard`, or a whole policy. Raises ValueError that says what may be given."""
    if isinstance(said, RetryPolicy):
        return said
    if isinstance(said, str):
        if said in PRESETS:
            return PRESETS[said]
        try:
            said = tuple(float(delay) for delay in said.split(","))
        except ValueError:
            raise ValueError(
                f"{said[:80]!r} is no retry policy; give one of {', '.join(PRESETS)}, or a list of delays in seconds "
                "such as 0, 5, 30"
            ) from None
    return msgspec.structs.replace(STANDARD, delays=said)
