"""The calls of in-process handlers that are under way or went well, of which the store keeps no delivery: made again
from the log, as deliveries to be shown.

Pure; the callback token in them is masked.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import msgspec

from .._moves import call_of
from ..models import Delivery, Entry, Record
from ..pipeline import HAND_OFF, Stage

__all__ = ["calls_of"]

_TOKEN = "rcb_***"


class _Attempted(msgspec.Struct):
    delivery_id: str
    url: str
    duration_ms: int = 0


_attempted = msgspec.json.Decoder(_Attempted)


def calls_of(record: Record, entries: Sequence[Entry], owed: Collection[str]) -> tuple[Delivery, ...]:
    """Those that are not among the deliveries that are `owed` (ids)."""
    calls = [_under_way(record, entries)] if record.run.is_called else []
    for entry in entries:
        if entry.kind == "delivery.attempted" and entry.stage is not None and entry.stage in record.plan.pipeline:
            said = _attempted.decode(entry.data)
            stage = record.plan.pipeline[entry.stage]
            if said.delivery_id not in owed and said.url.startswith("local:") and stage.kind == HAND_OFF:
                began = entry.at - said.duration_ms / 1000
                made = call_of(_at(record, stage), stage, began, _TOKEN)
                if made.id == said.delivery_id:
                    attempt = entry.attempt or 1
                    calls.append(msgspec.structs.replace(made, status="delivered", attempt=attempt, expires_at=None))
    return tuple(calls)


def _under_way(record: Record, entries: Sequence[Entry]) -> Delivery:
    began = max((entry.at for entry in entries if entry.kind == "stage.completed"), default=record.run.created_at)
    return call_of(record, record.plan.pipeline[record.run.stage], began, _TOKEN)


def _at(record: Record, stage: Stage) -> Record:
    """The record as it was when the stage began."""
    later = {each.name for each in record.plan.stages[record.plan.stages.index(stage) :]}
    return msgspec.structs.replace(record, outputs=tuple(each for each in record.outputs if each.stage not in later))
