"""One attempt of one delivery: find what is configured now, wait for a turn at the receiver, sign the bytes, send.

This module decides nothing about a run and writes nothing: its result is a settlement for the caller to append, or word
that it is not the delivery's turn.
"""

from __future__ import annotations

from collections.abc import Mapping
from secrets import token_urlsafe as new_secret

import msgspec

from ._breakers import Breakers, Verdict
from ._directory import ENDPOINT, Directory, Stored
from ._kept import Keeper, without
from ._orders import orders_of
from ._rotation import secrets_of
from ._settling import UNSENT, Attempt, is_gone, settle
from ._signatures import signature_headers
from .models import (
    DEFAULT_SIGNERS,
    Answer,
    Delivery,
    Endpoint,
    OutgoingMessage,
    Settlement,
    Trust,
)
from .ports import Clock, Sender, Signer
from .retry import RetryPolicy, policy_of

__all__ = ["Courier"]

QUICK = 1.0  # seconds within which a first failure is tried once more at once
QUICK_PAUSE = 0.1  # seconds before that


class _HandOff(msgspec.Struct):
    callback_url: str | None = None
    callback_token: str | None = None


_hand_off = msgspec.json.Decoder(_HandOff)


class Courier:
    """Carries deliveries by the sender of their URL's scheme. `policy` and `concurrency` are those of receivers that
    have none of their own, `secret` signs what goes to a request's own URL (None: the project's does)."""

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
        breakers: Breakers,
        keeper: Keeper,
        concurrency: int = 100,
        secret: str | None = None,
    ) -> None:
        self._senders = senders
        self._signers = signers
        self._directory = directory
        self._clock = clock
        self._policy = policy
        self._timeout = timeout
        self._handler_timeout = handler_timeout
        self._breakers = breakers
        self._concurrency = concurrency
        self._secret = secret
        self._keeper = keeper
        self._unissued = new_secret()  # where a project was issued none: nobody can verify it, nor forge it

    async def attempt(self, delivery: Delivery) -> tuple[Answer, Settlement] | None:
        """Try once; None where it is not this delivery's turn. Never raises for what a receiver does."""
        stored: Stored | None = None
        if delivery.endpoint_id is not None:
            stored = (await self._directory.all(delivery.project_id, ENDPOINT)).get(delivery.endpoint_id)
        endpoint: Endpoint | None = stored.value if stored is not None else None
        policy = self._policy if endpoint is None or endpoint.retry is None else policy_of(endpoint.retry)
        target = delivery.target
        refusal = self._refusal(delivery, endpoint, policy)
        if refusal is not None:
            attempt = Attempt(delivery=delivery, url=delivery.url, answer=refusal, duration=0.0)
            return refusal, settle(attempt, self._clock.now(), policy)
        edited = stored is not None and _edited(delivery, stored)
        if endpoint is not None:
            delivery = _as_configured(delivery, endpoint)
        sender = self._senders[delivery.url.partition(":")[0]]
        if sender.signs and not (self._admits(target, endpoint) or await self._breakers.wait(target)):
            return None
        started = self._clock.monotonic()
        answer, first = Answer(error="cancelled"), None
        try:
            answer, first = await self._tried(delivery, endpoint, sender, policy)
        finally:
            if sender.signs:
                self._leave(target, answer)
        duration = self._clock.monotonic() - started
        attempt = Attempt(
            delivery=delivery,
            url=delivery.url,
            answer=answer,
            duration=duration,
            edited=edited,
            first=first,
            kept=self._keeper.keeps(delivery.project_id, answer),
        )
        return answer, settle(attempt, self._clock.now(), policy)

    def shows(self, project_id: str) -> bool:
        """Whether the project may see what receivers say."""
        return self._keeper.shows(project_id)

    def parked(self, delivery: Delivery) -> bool:
        """A delivery whose turn it was not is in the store again; whether it could be taken from there at once."""
        return self._breakers.park(delivery.target)

    def _refusal(self, delivery: Delivery, endpoint: Endpoint | None, policy: RetryPolicy) -> Answer | None:
        """Why nothing can be sent, if so."""
        if delivery.expires_at is not None and self._clock.now() >= delivery.expires_at:
            return Answer(error="expired", message="nobody waits for the answer any more", final=True)
        if delivery.attempt > policy.attempts:  # each claim of a dead process's work counts one
            message = f"it was begun {policy.attempts} times without coming to an end"
            return Answer(error="attempts_exhausted", message=message, final=True)
        if delivery.endpoint_id is not None and (endpoint is None or not endpoint.enabled):
            message = "the endpoint was deleted or disabled after this delivery was made"
            return Answer(error="endpoint_gone", message=message, final=True)
        scheme = (endpoint or delivery).url.partition(":")[0]
        if scheme not in self._senders:
            return Answer(error="no_sender", message=f"no sender for {scheme!r} URLs is installed")
        return None

    def _admits(self, target: str, endpoint: Endpoint | None) -> bool:
        limit = (endpoint.concurrency if endpoint is not None else None) or self._concurrency
        return self._breakers.admit(target, limit)

    def _leave(self, target: str, answer: Answer) -> None:
        pause = None
        if not answer.ok and "retry-after" in answer.headers:
            pause = orders_of(answer.headers, self._clock.now()).retry_after or None
        self._breakers.leave(target, _verdict(answer), pause=pause)

    async def _tried(
        self, delivery: Delivery, endpoint: Endpoint | None, sender: Sender, policy: RetryPolicy
    ) -> tuple[Answer, Answer | None]:
        """The answer, and the one before it where a quick failure was tried once more."""
        started = self._clock.monotonic()
        answer = await self._sent(delivery, endpoint, sender)
        if answer.ok or not policy.quick or delivery.attempt > 1 or not sender.signs:
            return answer, None
        if self._clock.monotonic() - started >= QUICK or not _may_be_a_hiccup(answer, policy):
            return answer, None
        await self._clock.sleep(QUICK_PAUSE)
        return await self._sent(delivery, endpoint, sender), answer

    async def _sent(self, delivery: Delivery, endpoint: Endpoint | None, sender: Sender) -> Answer:
        signed = await self._signed(delivery, endpoint) if sender.signs else {}
        answer = await sender.send(delivery, signed, self._limit(delivery, sender))
        return answer if answer.ok and not self._keeper.keeps_good else without(answer, signed)

    def _limit(self, delivery: Delivery, sender: Sender) -> float:
        """Seconds for the attempt. A receiver on the wire only has to acknowledge; a handler does the work itself,
        so it has until the deadline."""
        if sender.signs:
            return self._timeout
        if delivery.expires_at is None:
            return self._handler_timeout
        return delivery.expires_at - self._clock.now()

    async def _signed(self, delivery: Delivery, endpoint: Endpoint | None) -> dict[str, str]:
        now = self._clock.now()
        if endpoint is not None:
            secrets = secrets_of(endpoint, now)
        elif self._secret is not None:
            secrets = [self._secret]
        else:
            secrets = secrets_of(await self._directory.known_project(delivery.project_id), now)
        back = _hand_off.decode(delivery.body)
        message = OutgoingMessage(
            id=delivery.id,
            timestamp=int(now),
            body=delivery.body,
            channel_id=delivery.run_id,
            callback_url=back.callback_url,
        )
        names = endpoint.signers if endpoint else DEFAULT_SIGNERS
        headers = signature_headers([self._signers[name] for name in names], message, secrets or [self._unissued])
        if back.callback_token is not None:
            headers["riverflow-callback-token"] = back.callback_token
        return headers


def _edited(delivery: Delivery, stored: Stored) -> bool:
    """Whether the endpoint was changed after the delivery was made."""
    later = stored.updated_at is not None and stored.updated_at > delivery.created_at
    return later or stored.value.url != delivery.url


def _as_configured(delivery: Delivery, endpoint: Endpoint) -> Delivery:
    """The delivery as its endpoint is now."""
    if endpoint.url != delivery.url:
        delivery = msgspec.structs.replace(delivery, url=endpoint.url)
    if endpoint.authorities is not None:
        delivery = msgspec.structs.replace(delivery, trust=Trust(authorities=endpoint.authorities))
    return delivery


def _may_be_a_hiccup(answer: Answer, policy: RetryPolicy) -> bool:
    """Whether the same may go well a moment later: not where the receiver has said when, or that it will not."""
    told = answer.status == 429 or not {"retry-after", "webhook-delivery"}.isdisjoint(answer.headers)
    return not answer.final and not told and not is_gone(answer, policy) and answer.error not in UNSENT


def _verdict(answer: Answer) -> Verdict:
    """What an answer says of the receiver's state: one that refuses this message is well all the same."""
    if answer.error is not None:
        return "neither" if answer.error in UNSENT or answer.error == "cancelled" else "ill"
    status = answer.status or 0
    return "ill" if status >= 500 or status in (408, 429) else "well"
