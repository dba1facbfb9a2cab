"""The in-process handlers that are being called here, each with its run and the deadline of its answer.

A run whose handler is called is on this process's lease, so nobody else sees to its deadline. This module calls nothing
and reads no clock.
"""

from __future__ import annotations

import math
from collections.abc import Callable

__all__ = ["Calls"]


class Calls:
    """Calls by the ids of their deliveries, deadlines in Unix seconds. `overrun(call_id, run_id)` ends what was not
    answered in time."""

    def __init__(self, overrun: Callable[[str, str], None]) -> None:
        self._overrun = overrun
        self._under_way: dict[str, tuple[float, str]] = {}

    def begin(self, call_id: str, run_id: str, deadline: float) -> None:
        """A handler is being called."""
        self._under_way[call_id] = (deadline, run_id)

    def end(self, call_id: str) -> None:
        """It has come to its end, or nobody waits for it any more."""
        self._under_way.pop(call_id, None)

    @property
    def next_deadline(self) -> float:
        """The first of them; infinite where there is none."""
        return min((deadline for deadline, _ in self._under_way.values()), default=math.inf)

    def end_overrun(self, now: float) -> None:
        """End those whose deadline has come, each once."""
        over = [(call_id, run_id) for call_id, (deadline, run_id) in self._under_way.items() if deadline <= now]
        for call_id, run_id in over:
            del self._under_way[call_id]
            self._overrun(call_id, run_id)
