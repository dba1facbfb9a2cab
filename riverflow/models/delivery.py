"""A delivery: one body owed to one target, its attempts and their answers."""

from __future__ import annotations

import msgspec

from .run import Completed, Deferred, Entry, Failed
from .values import DeliveryStatus

__all__ = ["Answer", "Delivery", "OutgoingMessage", "Settlement", "Target", "lane_of"]


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """Where one delivery goes and how its body is written. `endpoint_id` is None for a request's own URL
    and for in-process handlers."""

    url: str
    endpoint_id: str | None = None
    encoding: str = "json"
    body: str = "flat"


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """One body owed to one target.

    `id` is also the idempotency key (`webhook-id`): the same on each try. `lane` is what a process must be
    able to do to try it (`http`, `asgi`, or `local:<event>`). `attempt` is the number of the attempt that is
    due or running, from 1. After `expires_at` nobody waits for it any more.
    """

    id: str
    run_id: str
    project_id: str
    stage: str
    type: str
    url: str
    lane: str
    body: bytes
    created_at: float
    due_at: float
    event_name: str | None = None
    endpoint_id: str | None = None
    attempt: int = 1
    expires_at: float | None = None
    status: DeliveryStatus = "pending"


class Settlement(msgspec.Struct, frozen=True, kw_only=True):
    """How attempt number `attempt` of a delivery ended, with the entry that tells it.

    `pending` with `due_at` means: try again then (the next attempt has number `attempt + 1`).
    """

    delivery_id: str
    run_id: str
    attempt: int
    status: DeliveryStatus
    entry: Entry
    due_at: float | None = None


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What a sender got back. `outcome` is set by senders whose target decides the stage at once
    (in-process handlers); `error` names the failure where there was no answer at all; `final` says that
    trying again is pointless."""

    status: int | None = None
    body: bytes = b""
    error: str | None = None
    message: str = ""
    outcome: Completed | Failed | Deferred | None = None
    final: bool = False

    @property
    def ok(self) -> bool:
        return self.error is None and self.status is not None and 200 <= self.status < 300


class OutgoingMessage(msgspec.Struct, frozen=True, kw_only=True):
    """What a signer signs: exactly the bytes that are sent. `timestamp` is in whole Unix seconds."""

    id: str
    timestamp: int
    body: bytes
    channel_id: str
    callback_url: str | None = None


def lane_of(url: str) -> str:
    """The lane that a URL belongs to: its scheme (`https` counts as `http`), or the whole `local:` name."""
    scheme, _, _ = url.partition(":")
    if scheme == "local":
        return url
    return "http" if scheme == "https" else scheme
