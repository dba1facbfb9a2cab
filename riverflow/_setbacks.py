"""Stages that came to no end: those that broke are tried again or fail the run, those that a stop has cut off go back
as if they had not been begun.

Either is said in the run's log. It runs no stage, and the rules are the machine's.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from ._machine import SetBack
from .errors import NotWaiting, StageError, StoreUnavailable, VersionConflict
from .models import Failed, Record
from .ports import StageContext
from .retry import STAGE

__all__ = ["SetBacks"]

logger = logging.getLogger("riverflow.runner")


class SetBacks:
    """`write(record, set_back, owner)` puts it into the log, the run being on `owner`'s lease then (None: as it was);
    `give_back(run_id, None, delay)` lets the run be claimed after so many seconds."""

    def __init__(
        self,
        write: Callable[[Record, SetBack, str | None], Awaitable[Any]],
        give_back: Callable[[str, None, float], Awaitable[None]],
    ) -> None:
        self._write = write
        self._give_back = give_back
        self._cut_off: list[Record] = []

    async def broke(self, context: StageContext, error: Exception) -> Failed | None:
        """A stage raised what it had not declared: how that ends the run; None where it will be tried again."""
        run, stage = context.record.run, context.stage
        final = isinstance(error, StageError) and not error.retryable
        delay = STAGE.delay_after(context.attempt)
        if final or delay is None:
            # The message is the browser's as well: what a foreign exception says may be nobody's business there.
            logger.error("run %s: stage %r failed for good", run.id, stage.name, exc_info=error)
            return Failed(code="stage_error", message=f"stage {stage.name!r} failed")
        logger.warning("run %s: stage %r failed, to be tried again", run.id, stage.name, exc_info=error)
        try:
            await self._write(context.record, SetBack(type(error).__name__, delay), None)
        except (NotWaiting, VersionConflict):
            return None  # cancelled meanwhile, or somebody else's
        except StoreUnavailable:
            logger.warning("run %s: its timeline lacks a retry", run.id, exc_info=True)
        await self._give_back(run.id, None, delay)
        return None

    def cut_off(self, record: Record) -> None:
        """A stop has cut off the run's stage."""
        self._cut_off.append(record)

    async def hand_back(self) -> None:
        """When all work has stopped: let the runs that were cut off be claimed, with that beginning not counted."""
        cut_off, self._cut_off = self._cut_off, []
        writing = (self._write(record, SetBack(), "") for record in cut_off)
        for record, error in zip(cut_off, await asyncio.gather(*writing, return_exceptions=True), strict=True):
            if isinstance(error, Exception) and not isinstance(error, NotWaiting | VersionConflict):
                logger.warning("run %s: that it was interrupted could not be written", record.run.id, exc_info=error)
