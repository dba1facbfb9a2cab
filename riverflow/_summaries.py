"""What a run's row says of it in short: made when it is accepted, when a provider has answered, when it has failed.

Pure: plan and account in, models.Summary out. It decides nothing.
"""

from __future__ import annotations

from typing import Any

import msgspec

from . import codec
from .models import Failed, FailedTry, Json, Plan, Summary

__all__ = ["accepted", "answered", "excerpt", "failed"]

SHOWN_CUSTOMER = 1_000  # bytes of customer data that a row keeps
SHOWN_VALUE = 200  # characters of one value, where not all of it fits
SHOWN_FAILURES = 9  # failed tries: three rounds over three targets


class _Attempt(msgspec.Struct):
    provider: str
    model: str
    duration_ms: int
    success: bool
    reason: str | None = None


class _Usage(msgspec.Struct, frozen=True):
    prompt_tokens: int = 0
    completion_tokens: int = 0


class _Account(msgspec.Struct):
    """What a summary takes from a provider's account; a plugin's may lack any of it."""

    provider: str = ""
    model: str = ""
    duration_ms: int | None = None
    usage: _Usage = _Usage()
    attempts: list[_Attempt] = []


_account = msgspec.json.Decoder(_Account)


def accepted(plan: Plan) -> Summary:
    """What is known at the door: whence it comes, whom it asks first, whose it is."""
    return Summary(
        tag=plan.tag,
        provider=plan.provider,
        model=plan.model,
        replay_of=plan.replay_of,
        customer=excerpt(plan.customer_data),
    )


def answered(summary: Summary, plan: Plan, meta: Json) -> Summary:
    """With a provider's account of its answer, or of its failure. An account of another shape changes nothing."""
    try:
        account = _account.decode(meta)
    except msgspec.ValidationError:
        return summary
    provider = account.provider or summary.provider
    return Summary(
        tag=summary.tag,
        provider=provider,
        model=_configured(plan, provider, account.model),
        duration_ms=account.duration_ms,
        prompt_tokens=account.usage.prompt_tokens,
        completion_tokens=account.usage.completion_tokens,
        attempts=len(account.attempts),
        failed=_failures(account.attempts),
        replay_of=summary.replay_of,
        customer=summary.customer,
    )


def failed(summary: Summary, plan: Plan, failure: Failed) -> Summary:
    """With what it failed of."""
    if failure.meta is not None:
        summary = answered(summary, plan, failure.meta)
    return msgspec.structs.replace(summary, error=failure.code)


def excerpt(customer_data: Json) -> Json:
    """Customer data as it is, where it is small; else its members in order, long texts cut, as many as fit."""
    if len(bytes(customer_data)) <= SHOWN_CUSTOMER:
        return customer_data
    whole = codec.decode(customer_data)
    kept: dict[str, Any] = {}
    room = SHOWN_CUSTOMER
    for key, value in whole.items():
        shown = f"{value[:SHOWN_VALUE]}…" if isinstance(value, str) and len(value) > SHOWN_VALUE else value
        room -= len(bytes(codec.from_python({key: shown})))
        if room < 0:
            break
        kept[key] = shown
    return codec.from_python(kept)


def _configured(plan: Plan, provider: str, model: str) -> str:
    """The name under which a model is configured: `gpt-4o` calls itself `gpt-4o-2024-08-06`, and its failures have no
    name but the first. A model that is configured under no name has its own."""
    if model == plan.model and provider == plan.provider:
        return model
    targets = ((plan.provider, plan.model), *((target.provider, target.model) for target in plan.fallbacks))
    names = [name for its_provider, name in targets if its_provider == provider and name]
    if model in names or not names:
        return model
    return max((name for name in names if model.startswith(name)), default=names[0])  # of two beginnings, the longer


def _failures(attempts: list[_Attempt]) -> tuple[FailedTry, ...]:
    failed = [
        FailedTry(each.provider, each.model, each.reason or "error", each.duration_ms)
        for each in attempts[-SHOWN_FAILURES:]
        if not each.success
    ]
    return tuple(failed)
