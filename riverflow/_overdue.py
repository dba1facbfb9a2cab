"""Why an in-process handler has not answered in time, in words that the browser may read.

What a handler raised as HandlerError it said on purpose; of any other exception only the class is told, for its text
may be nobody's business there (the timeline has it). It decides nothing and writes nothing.
"""

from __future__ import annotations

import msgspec

from .models import Delivery, Record, is_local
from .ports import Queue, RunLog

__all__ = ["reason_of"]

LOOKED_AT = 200  # newest entries of the log: a schedule has 30 attempts at most
_STILL = "it had not come to its end"


class _Attempted(msgspec.Struct):
    delivery_id: str
    outcome: str = ""
    error: str | None = None
    message: str | None = None


_attempted = msgspec.json.Decoder(_Attempted)


async def reason_of(log: RunLog, queue: Queue, record: Record) -> str | None:
    """What the handler of the stage that waits says of itself; None where no handler was asked, or it put its answer
    off. Raises StoreError."""
    run = record.run
    if run.is_called:
        return _STILL
    owed = await queue.deliveries(run.project_id, run.id)
    asked = [each for each in owed if each.stage == run.stage and is_local(each.url)]
    if not asked or asked[-1].status == "delivered":
        return None
    said = await _last_word(log, asked[-1])
    if said is None:
        return _STILL
    if said.error == "handler_error":
        return (said.message or "").partition(":")[0]
    return said.message or said.error


async def _last_word(log: RunLog, delivery: Delivery) -> _Attempted | None:
    newest = await log.entries_after(delivery.project_id, delivery.run_id, 0, limit=1)
    if newest is None:
        return None
    after = max(0, newest.latest - LOOKED_AT)
    page = await log.entries_after(delivery.project_id, delivery.run_id, after, limit=LOOKED_AT)
    for entry in reversed(page.entries if page is not None else ()):
        if entry.kind == "delivery.attempted":
            said = _attempted.decode(entry.data)
            if said.delivery_id == delivery.id:
                return said
    return None
