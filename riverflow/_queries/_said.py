"""What a run's own entries say of it: its warnings, its newest message, how it failed.

Pure: entries in, what they mean out; entries that are not there mean nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from ..models import FINAL_KINDS, Entry, Failed, Json

__all__ = ["failure_of", "message_of", "warnings_of"]

_MESSAGES = FINAL_KINDS | {"run.ai_generated"}


class _Accepted(msgspec.Struct):
    warnings: tuple[str, ...] = ()


class _Error(msgspec.Struct, frozen=True):
    message: str = ""
    code: str = "error"


class _FailedMessage(msgspec.Struct):
    error: _Error | None = _Error()  # None: what was said is forgotten, and the summary has the code


class _Unattended(msgspec.Struct):
    message: str = ""


_accepted = msgspec.json.Decoder(_Accepted)
_failed = msgspec.json.Decoder(_FailedMessage)
_unattended = msgspec.json.Decoder(_Unattended)


def warnings_of(entries: Sequence[Entry]) -> tuple[str, ...]:
    """What was doubted when the run was accepted, and what proved true of it."""
    warnings: dict[str, None] = {}
    for entry in entries:
        if entry.kind == "run.accepted":
            warnings |= dict.fromkeys(_accepted.decode(entry.data).warnings)
        elif entry.kind == "stage.unattended":
            message = _unattended.decode(entry.data).message
            if not any(warning.startswith(message) for warning in warnings):  # foreseen at the door
                warnings[message] = None
    return tuple(warnings)


def message_of(entries: Sequence[Entry]) -> Json | None:
    """The newest message that the browser was sent."""
    return next((entry.data for entry in reversed(entries) if entry.kind in _MESSAGES), None)


def failure_of(entries: Sequence[Entry]) -> Failed | None:
    """How the run has failed, where it has and that is not forgotten."""
    for entry in reversed(entries):
        if entry.kind == "run.failed":
            error = _failed.decode(entry.data).error
            return Failed(code=error.code, message=error.message) if error is not None else None
    return None
