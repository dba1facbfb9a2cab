"""Identifiers that a test can write down: the same in every run.

They are shaped like real ones and sort in the order they were given; they are not secret.
"""

from __future__ import annotations

import base64
from collections import Counter

__all__ = ["SequenceIds"]


class SequenceIds:
    """ports.Ids that counts from 1: `018bcfe5-6800-7000-8000-000000000001`, `ep_00000000000000000000000001`, and a
    secret whose 32 bytes are the number. Each kind (and each prefix) has its own count."""

    def __init__(self) -> None:
        self._given: Counter[str] = Counter()

    def channel_id(self) -> str:
        """A valid UUIDv7 of 14 November 2023, 22:13:20 UTC, with the count in its last 12 digits."""
        return f"018bcfe5-6800-7000-8000-{self._next('channel_id'):012x}"

    def opaque(self, prefix: str) -> str:
        """`prefix`, `_`, and the count in 26 hex digits."""
        return f"{prefix}_{self._next(f'opaque {prefix}'):026x}"

    def secret(self) -> str:
        """`whsec_` and the base64 text of 32 bytes."""
        return "whsec_" + base64.b64encode(self._next("secret").to_bytes(32, "big")).decode("ascii")

    def _next(self, kind: str) -> int:
        self._given[kind] += 1
        return self._given[kind]
