"""What a run can be told: that its stage has finished or broke, that somebody answers, asks for time or cancels, that a
deadline has come; and the answer to what it was told before.

Words only: which of them a run takes in which phase is the machine's table.
"""

from __future__ import annotations

import hashlib

import msgspec

from . import codec
from .models import Completed, Failed, Json, Outcome, Receipt, Ruling, Run

__all__ = [
    "Answered",
    "CallLost",
    "CallOver",
    "Cancelled",
    "Extended",
    "Input",
    "Progressed",
    "Repeated",
    "SetBack",
    "StageFinished",
    "TimedOut",
]


class StageFinished(msgspec.Struct, frozen=True):
    """The current stage's runner has returned."""

    outcome: Outcome


class Answered(msgspec.Struct, frozen=True):
    """A backend or handler has answered a hand-off. `stage` None is the plain callback URL: the first hand-off.
    `digest` is the SHA-256 of the canonical answer. An approval takes what carries a person's `ruling`, and nothing
    else."""

    stage: str | None
    outcome: Completed | Failed
    digest: str
    via: str = "callback"
    ruling: Ruling | None = None

    @classmethod
    def by(cls, via: str, stage: str | None, outcome: Completed | Failed) -> Answered:
        """An answer that came that way. The digest is of its canonical form: the same on every way in."""
        return cls(stage, outcome, hashlib.sha256(codec.encode(outcome)).hexdigest(), via)


class Extended(msgspec.Struct, frozen=True):
    """Whoever works on a hand-off needs more time: `seconds` from now (None: as long as it had). `stage` as in
    Answered."""

    stage: str | None
    seconds: float | None = None


class Progressed(msgspec.Struct, frozen=True):
    """Whoever works on a hand-off says how far he is; `said` is a JSON object for the channel. `stage` as in
    Answered."""

    stage: str | None
    said: Json


class SetBack(msgspec.Struct, frozen=True):
    """The current stage has come to no end and will be begun again: it broke (`error` names how) and is tried after
    `delay` seconds, or (None) its process stops, which is no attempt of the stage."""

    error: str | None = None
    delay: float = 0.0


class TimedOut(msgspec.Struct, frozen=True):
    """The deadline of a hand-off or an approval has come. `reason` is what the handler that should have answered says
    of it."""

    reason: str | None = None


class CallOver(msgspec.Struct, frozen=True):
    """The handler of `stage` that was called in this process has given no answer: it put it off, or failed and is to be
    told again (what is owed for that comes with the attempt's settlement)."""

    stage: str


class CallLost(msgspec.Struct, frozen=True):
    """The process that called the handler of `stage` is gone, and whether that came to its end is not known. Who says
    so has claimed the run and brought it to `generation`."""

    stage: str
    generation: int


class Cancelled(msgspec.Struct, frozen=True):
    """Somebody asked for the end of the run."""


Input = StageFinished | SetBack | Answered | Extended | Progressed | CallOver | CallLost | TimedOut | Cancelled


class Repeated(msgspec.Struct, frozen=True):
    """The same answer came again: nothing changes, and it is acknowledged as the first was. `run` is as it stands."""

    receipt: Receipt
    run: Run
