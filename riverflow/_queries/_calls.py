"""The calls of in-process handlers that are under way or went well, of which the store keeps no delivery: made again
from the log, as deliveries to be shown.

Pure; the callback token in them is masked.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import msgspec

from .._moves import call_of
from ..models import Delivery, DeliveryStatus, Entry, Record, is_local
from ..pipeline import HAND_OFF, Stage

__all__ = ["calls_of"]

_TOKEN = "rcb_***"


class _Attempted(msgspec.Struct):
    delivery_id: str
    url: str
    outcome: str
    duration_ms: int = 0


_attempted = msgspec.json.Decoder(_Attempted)


def calls_of(record: Record, entries: Sequence[Entry], owed: Collection[str]) -> tuple[Delivery, ...]:
    """Those that are not among the deliveries that are `owed` (ids)."""
    calls = [_under_way(record, entries)] if record.run.is_called else []
    for entry in entries:
        if entry.kind == "delivery.attempted" and entry.stage is not None and entry.stage in record.plan.pipeline:
            said = _attempted.decode(entry.data)
            stage = record.plan.pipeline[entry.stage]
            if said.delivery_id not in owed and is_local(said.url) and stage.kind == HAND_OFF:
                calls.append(_ended(record, stage, entry, said))
    return tuple(calls)


def _under_way(record: Record, entries: Sequence[Entry]) -> Delivery:
    began = max((entry.at for entry in entries if entry.kind == "stage.completed"), default=record.run.created_at)
    return call_of(record, record.plan.pipeline[record.run.stage], began, _TOKEN)


def _ended(record: Record, stage: Stage, entry: Entry, said: _Attempted) -> Delivery:
    """One that failed without being owed is one that nobody waited for any more."""
    call = call_of(_at(record, stage), stage, entry.at - said.duration_ms / 1000, _TOKEN)
    status: DeliveryStatus = "delivered" if said.outcome == "delivered" else "expired"
    return msgspec.structs.replace(call, status=status, attempt=entry.attempt or 1, expires_at=None)


def _at(record: Record, stage: Stage) -> Record:
    """The record as it was when the stage began."""
    later = {each.name for each in record.plan.stages[record.plan.stages.index(stage) :]}
    return msgspec.structs.replace(record, outputs=tuple(each for each in record.outputs if each.stage not in later))
