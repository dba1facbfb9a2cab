"""The account of a generate stage: each try, and the `meta` that tells of them.

It measures by the clock it is given and decides nothing.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from ...codec import encode
from ...models import Fallback, Json, Plan, ProviderAttempt, Usage
from ...ports import Clock

__all__ = ["Account"]


class _Tokens(msgspec.Struct, frozen=True):
    prompt: int
    completion: int
    total: int


class _Meta(msgspec.Struct, frozen=True, kw_only=True):
    """Both spellings that the hosted service has published, of everything."""

    status: Literal["success", "error"]
    provider: str
    model: str
    used_provider: str
    used_model: str
    requested_provider: str
    requested_model: str
    duration_ms: int
    tokens: _Tokens
    usage: Usage
    structured_output: bool
    attempts: list[ProviderAttempt]


_NONE = Usage()


class Account:
    """The tries of one stage run. `duration_ms` counts the time with providers, not the waits between rounds."""

    __slots__ = ("_attempts", "_clock", "_plan", "_seconds")

    def __init__(self, plan: Plan, clock: Clock) -> None:
        self._plan = plan
        self._clock = clock
        self._attempts: list[ProviderAttempt] = []
        self._seconds = 0.0

    def succeeded(self, target: Fallback, model: str | None, begun: float, usage: Usage | None) -> Json:
        """Note a good answer of `model` (None: the one that was asked for), and tell all."""
        self._note(target.provider, model or target.model, begun)
        return self._meta("success", usage or _NONE)

    def failed(self, target: Fallback, begun: float, reason: str) -> None:
        """Note a try that failed; `reason` is the error's code."""
        self._note(target.provider, target.model, begun, reason)

    def failure(self) -> Json:
        """Tell all, where no try is left. The last one names provider and model."""
        return self._meta("error", _NONE)

    def _note(self, provider: str, model: str, begun: float, reason: str | None = None) -> None:
        seconds = self._clock.monotonic() - begun
        self._seconds += seconds
        attempt = ProviderAttempt(
            provider=provider,
            model=model,
            duration_ms=round(seconds * 1000),
            success=reason is None,
            status="success" if reason is None else "error",
            reason=reason,
        )
        self._attempts.append(attempt)

    def _meta(self, status: Literal["success", "error"], usage: Usage) -> Json:
        last, plan = self._attempts[-1], self._plan
        meta = _Meta(
            status=status,
            provider=last.provider,
            model=last.model,
            used_provider=last.provider,
            used_model=last.model,
            requested_provider=plan.provider,
            requested_model=plan.model,
            duration_ms=round(self._seconds * 1000),
            tokens=_Tokens(usage.prompt_tokens, usage.completion_tokens, usage.total_tokens),
            usage=usage,
            structured_output=plan.schema is not None,
            attempts=self._attempts,
        )
        return Json(encode(meta))  # JS-canonical as it is: no float, no key that is an array index
