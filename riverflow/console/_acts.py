"""A try as a story in few acts: what the AI does, what the backend does (or who stands in for it), each in a line.

It puts what is known of a stage into words; what comes of it is shown beside.
"""

from __future__ import annotations

from typing import Final

import msgspec

from .._queries import RequestDetail, StageShown
from .._simulation import SAYING, VIA
from ._format import duration

__all__ = ["Act", "act_of"]

_LOOKS: Final = {
    "done": ("ok", "ok"), "running": ("run", "run"), "waiting": ("wait", "wait"), "failed": ("bad", "bad"),
}  # fmt: skip


class Act(msgspec.Struct, frozen=True, kw_only=True):
    """One stage: its icon and tone, a title, and how it went."""

    name: str
    icon: str
    tone: str
    title: str
    detail: str


def act_of(detail: RequestDetail, stage: StageShown) -> Act:
    """The act that a stage is."""
    icon, tone = _LOOKS.get(stage.state, ("idle", "idle"))
    if stage.kind == "generate":
        title, said = "AI generation", _generated(detail, stage)
    elif stage.kind == "hand_off" or stage.state == "waiting":
        title, said = _handed_off(detail, stage)
    else:
        title, said = stage.name, f"a stage of kind {stage.kind}"
    if stage.copied:
        said = "taken over from the run that this repeats"
    elif stage.state in ("ahead", "left_out"):
        said = "not yet" if stage.state == "ahead" else "it never came to this"
    return Act(name=stage.name, icon=icon, tone=tone, title=title, detail=said)


def _generated(detail: RequestDetail, stage: StageShown) -> str:
    row = detail.row
    maker = " ".join(part for part in (row.provider, row.model) if part)
    if stage.state == "failed":
        return f"{maker}: {row.error or 'failed'}"
    return f"{maker}, {_took(stage)}" if stage.state == "done" else f"{maker} is being asked"


def _handed_off(detail: RequestDetail, stage: StageShown) -> tuple[str, str]:
    receipt = next((each for each in detail.receipts if each.stage == stage.name), None)
    event = stage.event_name or stage.name
    if detail.simulated and (receipt is None or receipt.via == VIA):
        return SAYING, f"{event}, answered after {_took(stage)}" if receipt else f"{event}, about 1.5 s"
    if receipt is None:
        return (
            "Your backend",
            f"{event}, waiting for its callback" if stage.state == "waiting" else f"{event}, no answer",
        )
    said = "an answer" if receipt.form == "success" else "an error"
    return "Your backend", f"{event}, {said} by {receipt.via} after {_took(stage)}"


def _took(stage: StageShown) -> str:
    return duration(max((stage.ended_at or 0.0) - (stage.began_at or 0.0), 0.0))
