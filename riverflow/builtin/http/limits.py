"""How long a connection may take, each step by itself: within these, the request's own total counts.

It knows no client.
"""

from __future__ import annotations

import asyncio

import msgspec

__all__ = ["Limits", "Patience"]


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds: `connect` to dial one address, with the TLS handshake; `read` from one piece of an answer to the next,
    once its head has come (before, a receiver may think for as long as the request's total allows); `idle` that an
    unused connection is kept."""

    connect: float = 10.0
    read: float = 15.0
    idle: float = 30.0


class Patience:
    """Lets the timer of a request end before its time where the peer falls silent for `seconds`."""

    __slots__ = ("_deadline", "_seconds", "_timer")

    def __init__(self, timer: asyncio.Timeout, seconds: float) -> None:
        self._timer = timer
        self._deadline = timer.when()
        self._seconds = seconds

    def renew(self) -> None:
        """The peer has said something: it may be silent again, within the request's total."""
        silent_until = asyncio.get_running_loop().time() + self._seconds
        self._timer.reschedule(silent_until if self._deadline is None else min(silent_until, self._deadline))
