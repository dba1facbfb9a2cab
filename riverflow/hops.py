"""Loops through riverflow itself: a delivery says that it is one, and does not start a run.

Pure: it reads and names one header; the doors ask, the senders tell.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from .errors import InvalidRequest

__all__ = ["HOPS", "check_hops"]

HOPS: Final = "riverflow-hops"
"""The header of each delivery: how many riverflows the message has come through, this one included. Who makes a request
out of a delivery and wants to be kept from running in circles hands it on (as with CDN-Loop, RFC 8586)."""

MAX_HOPS: Final = 0
"""Hops that a request to start a run may have behind it."""

_NAME = HOPS.encode()


def check_hops(headers: Iterable[tuple[bytes, bytes]]) -> None:
    """Raises InvalidRequest (`loop_detected`) for the headers of a request that has come through a riverflow, or whose
    count cannot be read."""
    for name, value in headers:
        if name == _NAME and not (value.isdigit() and int(value[:9]) <= MAX_HOPS):
            raise InvalidRequest(
                f"this request carries {HOPS}: it is a delivery of riverflow's or made of one, and runs that start one "
                "another would go on for ever",
                code="loop_detected",
            )
