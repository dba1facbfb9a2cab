"""The in-process handlers that are being called here, by run, with the deadlines of their answers.

A run whose handler is called is on this process's lease, so nobody else sees to its deadline. This module calls nothing
and reads no clock.
"""

from __future__ import annotations

import math
from collections.abc import Callable

__all__ = ["Calls"]


class Calls:
    """Deadlines in Unix seconds. `overrun(run_id)` ends what has not been answered by its own."""

    def __init__(self, overrun: Callable[[str], None]) -> None:
        self._overrun = overrun
        self._deadlines: dict[str, float] = {}

    def begin(self, run_id: str, deadline: float) -> None:
        """A handler is being called."""
        self._deadlines[run_id] = deadline

    def end(self, run_id: str) -> None:
        """It has come to its end, or nobody waits for it any more."""
        self._deadlines.pop(run_id, None)

    @property
    def next_deadline(self) -> float:
        """The first of them; infinite where there is none."""
        return min(self._deadlines.values(), default=math.inf)

    def end_overrun(self, now: float) -> None:
        """End those whose deadline has come, each once."""
        for run_id in [run_id for run_id, deadline in self._deadlines.items() if deadline <= now]:
            del self._deadlines[run_id]
            self._overrun(run_id)
