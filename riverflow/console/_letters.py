"""How the pages show a delivery: the API's answer, with dates as numbers and a word for how it stands.

It knows no page and asks for nothing.
"""

from __future__ import annotations

from typing import Any, Final

from ._format import moment

__all__ = ["WORDS", "came_to", "dated", "state_of"]

WORDS: Final = {
    "pending": "Queued", "retrying": "Retrying", "delivered": "Delivered", "dead": "Dead", "expired": "Expired",
}  # fmt: skip
_DATES: Final = ("created_at", "due_at", "expires_at")


def dated(delivery: dict[str, Any]) -> dict[str, Any]:
    """With its dates as Unix seconds."""
    return {**delivery, **{name: moment(delivery[name]) for name in _DATES}}


def state_of(delivery: dict[str, Any]) -> str:
    """One of WORDS: its status, or `retrying` where an attempt has failed and another is to come."""
    status: str = delivery["status"]
    return "retrying" if status == "pending" and delivery["attempt"] > 1 else status


def came_to(data: dict[str, Any]) -> str:
    """What an attempt came to, from its entry in the log: `HTTP 503`, or what the sender said."""
    status, error = data.get("status"), data.get("error")
    return f"HTTP {status}" if status and not error else str(data.get("message") or error or data.get("outcome") or "")
