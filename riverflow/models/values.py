"""The values that everything else is made of: JSON text, ids, states and scopes.

It knows no struct.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal
from uuid import UUID

import msgspec

__all__ = [
    "ADMIN",
    "APPROVE",
    "CALLBACK",
    "READ",
    "SCOPES",
    "SUBMIT",
    "DeliveryStatus",
    "Json",
    "MaybeJson",
    "Phase",
    "Status",
    "Tag",
    "canonical_id",
]

Json = msgspec.Raw
"""A JSON value as JS-canonical bytes (see codec.canonical); spliced, never decoded again."""

if TYPE_CHECKING:
    MaybeJson = Json | None
else:
    MaybeJson = Json
    """For a field that may be left out. msgspec (0.22) takes nothing but `null` for a union of Raw and None; a field of
    this type is None by its default, and never read from a `null`."""

Status = Literal["pending", "ai_generated", "completed", "success", "error"]
Phase = Literal["running", "waiting", "done"]
DeliveryStatus = Literal["pending", "delivered", "dead", "expired"]
Tag = Literal["live", "test", "pg", "pg_test_mode"]
"""Where a run came from: the API, the API in test mode, the playground, the playground in test mode."""

SUBMIT: Final = "submit"
READ: Final = "read"
CALLBACK: Final = "callback"
APPROVE: Final = "approve"
ADMIN: Final = "admin"
SCOPES: Final = frozenset({SUBMIT, READ, CALLBACK, APPROVE, ADMIN})


def canonical_id(text: str) -> str | None:
    """A UUID in the one spelling that runs and projects are known by; None where it is none. Upper case is read alike
    (RFC 9562, section 4)."""
    try:
        return str(UUID(text))
    except ValueError:
        return None
