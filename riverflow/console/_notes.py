"""What a page says after something was done: by a name in the query, so that no text of anybody else's gets there."""

from __future__ import annotations

from typing import Final

__all__ = ["note_of"]

_NOTES: Final = {
    "created": "Created.",
    "saved": "Saved.",
    "deleted": "Deleted.",
    "enabled": "Endpoint enabled: deliveries resume.",
    "disabled": "Endpoint disabled: nothing more is sent there.",
    "workflow-on": "Workflow enabled.",
    "workflow-off": "Workflow disabled: new requests are refused, those in progress continue.",
    "revoked": "Key revoked. Sessions opened with it have ended.",
    "renamed": "Renamed.",
    "cancelled": "Request cancelled.",
    "resent": "Replay queued: it starts again with the first attempt.",
    "replayed": "Replay started: this is the new request.",
}


def note_of(name: str) -> str:
    """The text, or nothing."""
    return _NOTES.get(name, "")
