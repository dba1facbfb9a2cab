"""The playground's stand-in for a backend: what it says while a hand-off waits, and what it answers.

Pure: no clock, no ids. When the answer is due and what follows from it is the machine's; nothing is sent from here.
"""

from __future__ import annotations

from typing import Any, Final

from . import _payloads, codec
from .models import Completed, Entry, Json, Plan, Record
from .pipeline import APPROVAL, Stage

__all__ = ["AFTER", "SAYING", "VIA", "answer", "says", "stands_in"]

AFTER: Final = 1.5
"""Seconds that the stand-in takes."""

SAYING: Final = "Simulating backend callback"
VIA: Final = "playground"
MEMBER: Final = "simulated_enrichment"


def stands_in(plan: Plan, stage: Stage) -> bool:
    """Whether a stage that waits is answered from here. Nobody stands in for a person."""
    return plan.simulated and stage.kind != APPROVAL


def says(record: Record, stage: Stage, now: float) -> Entry:
    """What the channel is told while the stage waits: a progress message, as a real backend might send."""
    said = Json(codec.splice(message=SAYING, simulated=True))
    return Entry(
        kind="stage.progress", at=now, stage=stage.name, public=True, data=_payloads.progress(record, stage, said, now)
    )


def answer(record: Record, stage: Stage, now: float) -> Completed:
    """What a backend would: the data it was handed with something of its own beside it, a task id and metadata."""
    handed: Any = codec.decode(record.data)
    made = {
        "note": "Made up: here stands what your backend adds.",
        "event": stage.event,
        "stage": stage.name,
        "record_id": f"sim_{record.run.id[-8:]}",
        "processed_at": _payloads.iso(now),
    }
    data = {**handed, MEMBER: made} if isinstance(handed, dict) else {"result": handed, MEMBER: made}
    return Completed(
        data=_written(data, made),
        task_id=f"simulated_{record.run.id[-8:]}",
        metadata=codec.from_python({"simulated": True, "processing_time_ms": round(AFTER * 1000)}),
    )


def _written(data: dict[str, Any], made: dict[str, str]) -> Json:
    """The data; what is nested so deep that nothing may stand around it is left out."""
    try:
        return codec.from_python(data)
    except ValueError:
        return codec.from_python({MEMBER: made})
