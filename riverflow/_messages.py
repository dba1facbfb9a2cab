"""The shapes of what riverflow says: channel messages, webhook bodies, and what its own log entries hold.

Members stand in the order in which they are written; one that is None is left out (written from a struct they take
0.5 µs, from a dict 2). Nothing is decided here.
"""

from __future__ import annotations

from typing import Any

import msgspec

from .models import Json, MaybeJson, Plan, Ruling

__all__ = [
    "AcceptedEntry",
    "AiGenerated",
    "AttemptEntry",
    "ChannelCompleted",
    "ChannelFailed",
    "ChannelSuccess",
    "HandOff",
    "ReceivedEntry",
    "TaskCompleted",
    "TaskFailed",
]


# Channel messages ---------------------------------------------------------------------------------------


class AiGenerated(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The AI has answered and somebody works on it."""

    status: str
    channel_id: str
    event_name: str
    message: str
    customer_data: Json
    meta: Json


class ChannelSuccess(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A run without a hand-off has ended well."""

    status: str
    message: str
    channel_id: str
    data: Json
    content: str | None = None
    model: str | None = None
    customer_data: Json
    meta: Json


class ChannelCompleted(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A run with a hand-off has ended well."""

    status: str
    message: str
    channel_id: str
    data: Json
    ai_response: dict[str, Any]
    task_id: str | None = None
    callback_metadata: MaybeJson = None
    event_name: str | None = None
    customer_data: Json
    meta: Json


class ChannelFailed(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A run has ended badly."""

    status: str
    channel_id: str
    message: str
    error: dict[str, Any]
    event_name: str | None = None
    customer_data: Json
    meta: Json


# Webhook bodies -----------------------------------------------------------------------------------------


class HandOff(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`task.ai_generated`."""

    type: str
    event: str
    channel_id: str
    ai_response: dict[str, Any]
    callback_url: str
    callback_token: str
    callback_required: bool
    stage: str | None = None
    data: MaybeJson = None
    meta: dict[str, Any]
    customer_data: Json
    timestamp: str


class TaskCompleted(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`task.completed`."""

    type: str
    event: str | None = None
    workflow: str
    status: str
    channel_id: str
    data: Json
    ai_response: dict[str, Any] | None = None
    task_id: str | None = None
    callback_metadata: MaybeJson = None
    meta: Json
    customer_data: Json
    timestamp: str


class TaskFailed(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`task.failed`."""

    type: str
    event: str | None = None
    workflow: str
    status: str
    channel_id: str
    error: dict[str, Any]
    message: str
    meta: Json
    customer_data: Json
    timestamp: str


# Log entries --------------------------------------------------------------------------------------------


class AcceptedEntry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`run.accepted`: with it a run can be begun anew."""

    plan: Plan
    request: Json
    warnings: list[str] | None = None


class ReceivedEntry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`callback.received` and `approval.decided`: which form came, by which way, and the SHA-256 of what it said."""

    stage: str
    form: str
    digest: str
    via: str
    code: str | None = None
    message: str | None = None
    ruling: Ruling | None = None


class AttemptEntry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`delivery.attempted`: one try of one delivery. `response` is the beginning of what the receiver said, `asked`
    what it asked of its sender, `first_try` the answer before the one more try at once. The headers of an answer are
    kept where it is not the one hoped for."""

    delivery_id: str
    type: str
    event: str | None = None
    endpoint_id: str | None = None
    url: str
    outcome: str
    status: int | None = None
    error: str | None = None
    message: str | None = None
    response: str | None = None
    duration_ms: int
    next_attempt_at: str | None = None
    retry_after: float | None = None
    asked: str | None = None
    endpoint_edited: bool | None = None
    first_try: MaybeJson = None
    response_headers: dict[str, str] | None = None
