"""When to try again: pure arithmetic over attempt numbers and seconds.

This module has no clock and no randomness of its own.
"""

from __future__ import annotations

import msgspec

__all__ = ["MODELRIVER", "STAGE", "RetryPolicy"]


class RetryPolicy(msgspec.Struct, frozen=True):
    """A list of waits in seconds: `delays[n]` is waited before attempt n + 1, counted from the end of
    the attempt before."""

    delays: tuple[float, ...]

    @property
    def attempts(self) -> int:
        """How many attempts there are in all."""
        return len(self.delays)

    def delay_after(self, attempt: int) -> float | None:
        """Seconds to wait after attempt number `attempt` (from 1) has failed; None when it was the last."""
        return self.delays[attempt] if attempt < len(self.delays) else None


MODELRIVER = RetryPolicy(delays=(0, 5, 30, 120, 600, 1800, 3600, 7200))
"""The schedule published by the hosted service: 8 attempts over 3 h 42 min 35 s."""

STAGE = RetryPolicy(delays=(0, 5, 30))
"""How often a stage that raises an undeclared error is begun: somebody waits for its result."""
