"""A sender written by the book for the receiver's tests: no line of it is riverflow's."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import Any

__all__ = ["BODY", "CALLBACK", "HAND_OFF", "ID", "KEY", "NOW", "OTHER", "SECRET", "mr", "signature", "standard", "x"]

NOW = 1_700_000_000
KEY = bytes(range(32))
SECRET = "whsec_" + base64.b64encode(KEY).decode()
OTHER = "whsec_" + base64.b64encode(bytes(range(1, 33))).decode()
ID = "dl_0190a000"
CALLBACK = "https://river.example/v1/callback/018bcfe5-6800-7000-8000-000000000001"
HAND_OFF: dict[str, Any] = {
    "type": "task.ai_generated",
    "event": "new_movie",
    "channel_id": "018bcfe5-6800-7000-8000-000000000001",
    "ai_response": {"data": {"title": "Amélie", "year": 2001}},
    "callback_url": CALLBACK,
    "callback_required": True,
    "customer_data": {"user_id": "u1"},
    "timestamp": "2023-11-14T22:13:20.000Z",
}
BODY = json.dumps(HAND_OFF, separators=(",", ":"), ensure_ascii=False).encode()


def signature(body: bytes = BODY, *, id: str = ID, at: int | str = NOW, key: bytes = KEY) -> str:
    """One `v1` entry."""
    digest = hmac.new(key, f"{id}.{at}.".encode() + body, hashlib.sha256).digest()
    return "v1," + base64.b64encode(digest).decode()


def standard(body: bytes = BODY, *, id: str = ID, at: int | str = NOW, key: bytes = KEY) -> dict[str, str]:
    """Standard Webhooks."""
    return {
        "webhook-id": id,
        "webhook-timestamp": str(at),
        "webhook-signature": signature(body, id=id, at=at, key=key),
    }


def mr(text: bytes = BODY, *, secret: str = SECRET) -> dict[str, str]:
    """`mr-signature` over the text that a receiver has in hand."""
    return {"mr-signature": hmac.new(secret.encode(), text, hashlib.sha256).hexdigest()}


def x(text: bytes = BODY, *, at: int | str = NOW, secret: str = SECRET) -> dict[str, str]:
    """`X-ModelRiver-Signature` over time and text."""
    digest = hmac.new(secret.encode(), f"{at}.".encode() + text, hashlib.sha256).hexdigest()
    return {"X-ModelRiver-Timestamp": str(at), "X-ModelRiver-Signature": digest}
