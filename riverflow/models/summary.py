"""What a list shows of a run beside its state: where it came from, who answered, at what price.

A few hundred bytes that are kept with the run's row; everything in it stands at length in the run's log.
"""

from __future__ import annotations

import msgspec

from .values import Json, Tag

__all__ = ["FailedTry", "Summary"]


class FailedTry(msgspec.Struct, frozen=True, array_like=True):
    """A provider's attempt that failed: `["openai", "gpt-4o", "timeout", 30000]`; the duration is in milliseconds."""

    provider: str
    model: str
    reason: str
    duration_ms: int


class Summary(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A run in short.

    `provider` and `model` are those that answered, by the name they are configured under; before an answer those that
    are asked first. `duration_ms` counts the time with providers (None: none was asked), not webhooks and callbacks;
    `attempts` the tries, `failed` the newest of those that failed. `error` is the code of a run that failed. `customer`
    is the customer data where it is small, else what of it fits. `replay_of` is the run that this one repeats.
    `approval` is since when the run waits for a person's decision (Unix seconds), for as long as it does.
    """

    tag: Tag = "live"
    provider: str = ""
    model: str = ""
    duration_ms: int | None = None
    prompt_tokens: int = 0
    completion_tokens: int = 0
    attempts: int = 0
    failed: tuple[FailedTry, ...] = ()
    error: str | None = None
    replay_of: str | None = None
    customer: Json = Json(b"{}")
    approval: float | None = None
