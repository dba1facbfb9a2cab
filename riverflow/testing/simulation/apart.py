"""What a play keeps from the rest of the program: its log goes to the judge, its chance is its own.

Both are as they were when the play is over.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Iterator
from contextlib import contextmanager

from ...errors import StoreError

__all__ = ["Log", "known_chance", "quiet"]


class Log(logging.Handler):
    """Hears what riverflow logs: an exception that it did not foresee is a defect, whatever comes of it."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.broken: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        if record.levelno < logging.ERROR or error is None or isinstance(error, StoreError):
            return
        told = f"logged: {record.getMessage()}: {error!r}"
        if "simulated" not in told and told not in self.broken:
            self.broken.append(told)


@contextmanager
def quiet() -> Iterator[Log]:
    """Riverflow's log to the judge alone."""
    logger, log = logging.getLogger("riverflow"), Log()
    level, propagate = logger.level, logger.propagate
    logger.addHandler(log)
    logger.setLevel(logging.WARNING)
    logger.propagate = False
    try:
        yield log
    finally:
        logger.removeHandler(log)
        logger.setLevel(level)
        logger.propagate = propagate


@contextmanager
def known_chance(seed: int) -> Iterator[None]:
    """What asks the `random` module (a jitter, say) is told the same in every replay."""
    state = random.getstate()
    random.seed(seed)
    try:
        yield
    finally:
        random.setstate(state)
