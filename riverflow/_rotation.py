"""Replacing a secret: the new one signs at once, the old one beside it until the overlap is over.

Pure: it makes no secret, reads no clock and writes nothing.
"""

from __future__ import annotations

from typing import TypeVar

import msgspec

from .models import Endpoint, Project, RetiredSecret

__all__ = ["MAX_OVERLAP", "OVERLAP", "kept", "rotated", "secrets_of"]

Holder = TypeVar("Holder", Endpoint, Project)

OVERLAP = 86_400.0  # seconds
MAX_OVERLAP = 30 * 86_400.0
_RETIRED = 5  # that sign beside the newest at most; the oldest goes first


def secrets_of(holder: Endpoint | Project, now: float) -> list[str]:
    """The secrets of an endpoint or project that sign at `now` (Unix seconds), newest first; none where a project was
    issued none."""
    if not holder.retired:
        return [holder.secret] if holder.secret else []
    return [holder.secret, *(retired.secret for retired in kept(holder, now))]


def kept(holder: Endpoint | Project, now: float) -> tuple[RetiredSecret, ...]:
    """The retired secrets whose overlap is not over, newest first."""
    return tuple(retired for retired in holder.retired if retired.holds(now))


def rotated(holder: Holder, secret: str, now: float, overlap: float) -> Holder:
    """With a new secret. Those before it hold for `overlap` seconds, or as long as they would have anyway; an overlap
    of 0 ends them all at once."""
    retired: tuple[RetiredSecret, ...] = ()
    if overlap > 0 and holder.secret:
        retired = (RetiredSecret(secret=holder.secret, until=now + overlap), *kept(holder, now))[:_RETIRED]
    changed: Holder = msgspec.structs.replace(holder, secret=secret, retired=retired)
    return changed
