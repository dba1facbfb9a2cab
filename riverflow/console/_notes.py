"""What a page says after something was done: by a name in the query, so that no text of anybody else's gets there."""

from __future__ import annotations

from typing import Final

__all__ = ["note_of"]

_NOTES: Final = {
    "created": "Created.",
    "saved": "Saved.",
    "deleted": "Deleted.",
    "enabled": "Enabled: deliveries go out again.",
    "disabled": "Disabled: nothing is sent there any more.",
    "workflow-on": "Enabled: it takes requests again.",
    "workflow-off": "Disabled: new requests for it are refused. Runs that it has accepted go on.",
    "revoked": "Revoked: this key lets nobody in any more, and whoever logged in with it is out.",
    "renamed": "Renamed.",
    "cancelled": "Cancelled: the run has ended as an error with code cancelled.",
    "resent": "It will be sent again now, as if for the first time.",
    "replayed": "A new run was started; this is it.",
}


def note_of(name: str) -> str:
    """The text, or nothing."""
    return _NOTES.get(name, "")
