"""HMAC-SHA256 by a project's secret (RFC 2104), for what riverflow issues and takes back itself: socket tokens,
callback tokens, approval links. What is signed says what it is for, so that none of them passes for another.
"""

from __future__ import annotations

import hmac
from functools import lru_cache

__all__ = ["mac"]


def mac(secret: str, said: bytes) -> bytes:
    """The 32 bytes that only the holder of the secret can make of these."""
    state = _keyed(secret).copy()
    state.update(said)
    return state.digest()


@lru_cache(maxsize=1024)  # by project: with the key set up anew it takes 11 µs instead of 4
def _keyed(secret: str) -> hmac.HMAC:
    return hmac.new(secret.encode("utf-8"), digestmod="sha256")
