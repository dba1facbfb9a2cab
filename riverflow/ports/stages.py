"""The runners of stages."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

import msgspec

from ..models import Json, Outcome, Record
from ..pipeline import Stage

__all__ = ["StageContext", "StageMiddleware", "StageRunner"]


class StageContext(msgspec.Struct, frozen=True, kw_only=True):
    """What a stage runner sees: the run so far, its own place, and which attempt of the stage this is (from 1)."""

    record: Record
    stage: Stage
    attempt: int

    @property
    def data(self) -> Json:
        """The newest output: what this stage works on."""
        return self.record.data


class StageRunner(Protocol):
    """Runs one kind of stage. Returns an Outcome; an exception is retried, so a runner may be called again
    for the same stage after a crash, with a higher `attempt`."""

    async def run(self, context: StageContext) -> Outcome: ...


StageMiddleware = Callable[[StageContext, Callable[[StageContext], Awaitable[Outcome]]], Awaitable[Outcome]]
"""Wraps every stage run: call the second argument to go on."""
