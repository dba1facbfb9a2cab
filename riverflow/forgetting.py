"""What is left of a run's log when its payloads are forgotten: what happened and when, and not what was said.

Pure: entries in, entries out. When that is due, and who keeps the log, is decided elsewhere.
"""

from __future__ import annotations

from typing import Final

import msgspec

from . import codec
from .models import Entry, Json, Summary

__all__ = ["FORGOTTEN", "without_payload", "without_payloads"]

FORGOTTEN: Final = Json(b"null")

_PAYLOADS: Final = {
    "run.accepted": frozenset({"request"}),
    "stage.completed": frozenset({"data", "metadata", "task_id"}),
    "stage.progress": frozenset({"data", "message"}),
    "stage.failed": frozenset({"details", "message"}),
    "run.ai_generated": frozenset({"customer_data"}),
    "run.completed": frozenset({"data", "content", "ai_response", "callback_metadata", "task_id", "customer_data"}),
    "run.failed": frozenset({"customer_data", "error", "message"}),
    "callback.received": frozenset({"message"}),
    "callback.timed_out": frozenset({"reason"}),
    "approval.decided": frozenset({"message"}),
    "delivery.attempted": frozenset({"response", "response_headers", "first_try"}),
}
"""Members that hold what people, models and backends said, by kind of entry."""

_OF_THE_PLAN: Final = frozenset({"customer_data", "sample_data"})
_members = msgspec.json.Decoder(dict[str, msgspec.Raw])


def without_payload(entry: Entry) -> Entry:
    """The entry with `null` in the place of each payload."""
    names = _PAYLOADS.get(entry.kind)
    if names is None:
        return entry
    members = _members.decode(entry.data)
    kept = {name: FORGOTTEN if name in names else value for name, value in members.items()}
    if "plan" in kept:
        plan = _members.decode(kept["plan"])
        kept["plan"] = Json(codec.encode({name: value for name, value in plan.items() if name not in _OF_THE_PLAN}))
    if "ruling" in kept:
        ruling = _members.decode(kept["ruling"])
        kept["ruling"] = Json(codec.encode({name: value for name, value in ruling.items() if name != "reason"}))
    return msgspec.structs.replace(entry, data=Json(codec.encode(kept)))


def without_payloads(summary: Summary) -> Summary:
    """A run's summary without its customer data."""
    return msgspec.structs.replace(summary, customer=Json(b"{}"))
