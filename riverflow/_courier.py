"""One attempt of one delivery: find the secret, sign the stored bytes, send, and say how it ended.

This module decides nothing about a run and writes nothing: its result is a settlement for the caller to append.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from . import _payloads, codec
from ._directory import Directory
from .models import (
    DEFAULT_SIGNERS,
    Answer,
    Delivery,
    DeliveryStatus,
    Endpoint,
    Entry,
    Json,
    OutgoingMessage,
    Settlement,
)
from .ports import Clock, Sender, Signer
from .retry import RetryPolicy

__all__ = ["Courier", "settle"]

SHOWN_BODY = 2_000  # characters of a receiver's answer that the timeline keeps


class _HandOff(msgspec.Struct):
    callback_url: str | None = None


_hand_off = msgspec.json.Decoder(_HandOff)


class Courier:
    """Carries deliveries by the sender of their URL's scheme. `secret` signs those to a request's own URL (None: the
    project's does)."""

    def __init__(
        self,
        *,
        senders: Mapping[str, Sender],
        signers: Mapping[str, Signer],
        directory: Directory,
        clock: Clock,
        policy: RetryPolicy,
        timeout: float,
        handler_timeout: float,
        secret: str | None = None,
    ) -> None:
        self._senders = senders
        self._signers = signers
        self._directory = directory
        self._clock = clock
        self._policy = policy
        self._timeout = timeout
        self._handler_timeout = handler_timeout
        self._secret = secret

    async def attempt(self, delivery: Delivery) -> tuple[Answer, Settlement]:
        """Try once. Never raises for what a receiver does."""
        started = self._clock.monotonic()
        answer, url = await self._send(delivery)
        duration = self._clock.monotonic() - started
        return answer, settle(delivery, url, answer, duration, self._clock.now(), self._policy)

    async def _send(self, delivery: Delivery) -> tuple[Answer, str]:
        now = self._clock.now()
        if delivery.expires_at is not None and now >= delivery.expires_at:
            message = "nobody waits for the answer any more"
            return Answer(error="expired", message=message, final=True), delivery.url
        if delivery.attempt > self._policy.attempts:  # each claim of a dead process's work counts one
            message = f"it was begun {self._policy.attempts} times without coming to an end"
            return Answer(error="attempts_exhausted", message=message, final=True), delivery.url
        endpoint = await self._endpoint(delivery)
        if delivery.endpoint_id is not None and (endpoint is None or not endpoint.enabled):
            message = "the endpoint was deleted or disabled after this delivery was made"
            return Answer(error="endpoint_gone", message=message, final=True), delivery.url
        if endpoint is not None and endpoint.url != delivery.url:
            delivery = msgspec.structs.replace(delivery, url=endpoint.url)
        sender = self._senders.get(delivery.url.partition(":")[0])
        if sender is None:
            message = f"no sender for {delivery.url.partition(':')[0]!r} URLs is installed"
            return Answer(error="no_sender", message=message), delivery.url
        signed = await self._signed(delivery, endpoint) if sender.signs else {}
        return await sender.send(delivery, signed, self._limit(delivery, now, sender)), delivery.url

    async def _endpoint(self, delivery: Delivery) -> Endpoint | None:
        if delivery.endpoint_id is None:
            return None
        return await self._directory.endpoint(delivery.project_id, delivery.endpoint_id)

    def _limit(self, delivery: Delivery, now: float, sender: Sender) -> float:
        """Seconds for the attempt. A receiver on the wire only has to acknowledge; a handler does the work itself,
        so it has until the deadline."""
        if sender.signs:
            return self._timeout
        return delivery.expires_at - now if delivery.expires_at is not None else self._handler_timeout

    async def _signed(self, delivery: Delivery, endpoint: Endpoint | None) -> dict[str, str]:
        secret = endpoint.secret if endpoint else self._secret
        if secret is None:
            secret = (await self._directory.known_project(delivery.project_id)).secret
        message = OutgoingMessage(
            id=delivery.id,
            timestamp=int(self._clock.now()),
            body=delivery.body,
            channel_id=delivery.run_id,
            callback_url=_hand_off.decode(delivery.body).callback_url,
        )
        headers: dict[str, str] = {}
        for name in endpoint.signers if endpoint else DEFAULT_SIGNERS:
            headers.update(self._signers[name].sign(message, secret))
        return headers


def settle(
    delivery: Delivery, url: str, answer: Answer, duration: float, now: float, policy: RetryPolicy
) -> Settlement:
    """How an attempt ended: delivered, to be tried again, dead, or expired with its deadline."""
    status, due_at = _verdict(delivery, answer, now, policy)
    data = codec.splice(
        delivery_id=delivery.id,
        type=delivery.type,
        event=delivery.event_name,
        endpoint_id=delivery.endpoint_id,
        url=url,
        outcome="retrying" if status == "pending" else status,
        status=answer.status,
        error=answer.error,
        message=answer.message or None,
        response=_shown(answer.body) if answer.outcome is None else None,
        duration_ms=round(duration * 1000),
        next_attempt_at=_payloads.iso(due_at) if due_at is not None else None,
    )
    entry = Entry(
        kind="delivery.attempted",
        at=now,
        stage=delivery.stage,
        attempt=delivery.attempt,
        data=Json(data),
    )
    return Settlement(
        delivery_id=delivery.id,
        run_id=delivery.run_id,
        attempt=delivery.attempt,
        status=status,
        entry=entry,
        due_at=due_at,
    )


def _verdict(
    delivery: Delivery, answer: Answer, now: float, policy: RetryPolicy
) -> tuple[DeliveryStatus, float | None]:
    if answer.ok:
        return "delivered", None
    if answer.error == "expired":
        return "expired", None
    delay = policy.delay_after(delivery.attempt)
    if answer.final or delay is None:
        return "dead", None
    return "pending", now + delay


def _shown(body: bytes) -> str | None:
    return body[: SHOWN_BODY * 4].decode("utf-8", "replace")[:SHOWN_BODY] if body else None
