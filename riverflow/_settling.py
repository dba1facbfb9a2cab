"""How one attempt of a delivery ended: delivered, dead, expired, or to be tried again and when; and the entry that
tells it.

Pure: it sends nothing, writes nothing, and has no clock and no chance of its own.
"""

from __future__ import annotations

import msgspec

from . import _payloads, codec
from ._kept import headers_of, text_of
from ._messages import AttemptEntry
from ._orders import Orders, orders_of
from .models import Answer, Delivery, DeliveryStatus, Entry, HandlerCall, Json, Settlement
from .retry import RetryPolicy, spread

__all__ = ["UNSENT", "Attempt", "closes_endpoint", "is_gone", "rest_of", "settle"]

UNSENT = frozenset({"expired", "attempts_exhausted", "endpoint_gone", "no_sender", "no_app", "no_handler", "policy"})
"""Errors of attempts in which nothing was sent: they say nothing of the receiver."""


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt that is over. `url` is where it went, `duration` in seconds; `edited` says that the endpoint was
    changed after the delivery was made, `first` is the answer before the one more try at once, `kept` that what the
    receiver said may be kept."""

    delivery: Delivery
    url: str
    answer: Answer
    duration: float
    edited: bool = False
    first: Answer | None = None
    kept: bool = True


def settle(attempt: Attempt, now: float, policy: RetryPolicy) -> Settlement:
    """How an attempt ended, for the store."""
    delivery, answer = attempt.delivery, attempt.answer
    orders = orders_of(answer.headers, now)
    status, due_at = _verdict(delivery, answer, orders, now, policy)
    said = AttemptEntry(
        delivery_id=delivery.id,
        type=delivery.type,
        event=delivery.event_name,
        endpoint_id=delivery.endpoint_id,
        url=attempt.url,
        outcome="retrying" if status == "pending" else status,
        status=answer.status,
        error=answer.error,
        message=answer.message or None,
        response=text_of(answer.body) if attempt.kept and answer.outcome is None else None,
        duration_ms=round(attempt.duration * 1000),
        next_attempt_at=_payloads.iso(due_at) if due_at is not None else None,
        retry_after=orders.retry_after if status == "pending" else None,
        asked=orders.said,
        endpoint_edited=attempt.edited or None,
        first_try=_first(attempt.first) if attempt.first is not None else None,
        response_headers=headers_of(answer.headers) if attempt.kept and answer.headers and not answer.ok else None,
    )
    entry = Entry(
        kind="delivery.attempted",
        at=now,
        stage=delivery.stage,
        attempt=delivery.attempt,
        data=Json(codec.encode(said)),
    )
    return Settlement(
        delivery_id=delivery.id,
        run_id=delivery.run_id,
        attempt=delivery.attempt,
        status=status,
        entry=entry,
        due_at=due_at,
    )


def rest_of(delivery: Delivery, settlement: Settlement) -> tuple[Delivery, ...]:
    """What is left of a delivery that the store does not know, after an attempt: to be tried again, or to be kept with
    the dead. Nothing, where it went well."""
    if settlement.status == "delivered":
        return ()
    if isinstance(delivery, HandlerCall):
        delivery = delivery.owed
    if settlement.status == "pending" and settlement.due_at is not None:
        return (msgspec.structs.replace(delivery, attempt=delivery.attempt + 1, due_at=settlement.due_at),)
    return (msgspec.structs.replace(delivery, status=settlement.status),)


def is_gone(answer: Answer, policy: RetryPolicy) -> bool:
    """Whether the receiver says that it is there no more (RFC 9110, 15.5.11), to a policy that heeds it."""
    return answer.status == 410 and policy.stops_when_gone


def closes_endpoint(answer: Answer, policy: RetryPolicy, now: float) -> str | None:
    """Why the endpoint is to be switched off after this answer; None: it is not."""
    if is_gone(answer, policy):
        return "it answered 410 (Gone)"
    if orders_of(answer.headers, now).disable:
        return "it answered `webhook-delivery: disable`"
    return None


def _verdict(
    delivery: Delivery, answer: Answer, orders: Orders, now: float, policy: RetryPolicy
) -> tuple[DeliveryStatus, float | None]:
    if answer.ok:
        return "delivered", None
    if answer.error == "expired":
        return "expired", None
    chance = spread(delivery.id, delivery.attempt) if policy.jitter else 0.0
    delay = policy.delay_after(delivery.attempt, chance=chance, asked=orders.retry_after)
    if delay is None or answer.final or orders.abort or orders.disable or is_gone(answer, policy):
        return "dead", None
    return "pending", now + delay


def _first(answer: Answer) -> Json:
    return Json(codec.splice(status=answer.status, error=answer.error, message=answer.message or None))
