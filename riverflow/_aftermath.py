"""What follows from an attempt beside its own end: operators are told of a delivery that was given up, and an endpoint
that wants no more, or has failed for days, is switched off.

It adds to a settlement what is to be written with it; it settles nothing itself.
"""

from __future__ import annotations

import logging
from typing import Any

import msgspec

from . import _payloads, codec
from ._directory import ENDPOINT, Directory
from ._health import Health
from ._operations import operation
from ._settling import UNSENT, closes_endpoint
from .errors import RequestError, StoreError
from .models import OPERATIONS, Answer, Delivery, Endpoint, Entry, Json, Settlement
from .ports import Clock
from .retry import RetryPolicy, policy_of

__all__ = ["Aftermath"]

logger = logging.getLogger("riverflow.deliveries")

DAY = 86_400.0


class Aftermath:
    """Looks at what has become of attempts. `policy` is that of receivers that have none of their own."""

    def __init__(self, directory: Directory, health: Health, clock: Clock, *, policy: RetryPolicy) -> None:
        self._directory = directory
        self._health = health
        self._clock = clock
        self._policy = policy

    def concerns(self, delivery: Delivery, answer: Answer, settlement: Settlement) -> bool:
        """Whether anything may follow: of what simply arrives, nothing does."""
        if settlement.status != "delivered" or "webhook-delivery" in answer.headers:
            return True
        endpoint_id = delivery.endpoint_id
        return endpoint_id is not None and self._health.ails(delivery.project_id, endpoint_id)

    async def of(self, delivery: Delivery, answer: Answer, settlement: Settlement) -> Settlement:
        """The settlement with what follows from it."""
        try:
            because = await self._closing(delivery, answer)
        except (StoreError, RequestError):
            logger.warning(
                "endpoint %s could not be judged, or not be switched off", delivery.endpoint_id, exc_info=True
            )
            because = None
        if because is not None:
            settlement = await self._told(delivery, settlement, "endpoint.disabled", reason=because)
        if settlement.status == "dead" and answer.error != "endpoint_gone":
            said = {"status": answer.status, "error": answer.error, "attempts": delivery.attempt}
            settlement = await self._told(delivery, settlement, "delivery.exhausted", **said)
        return settlement

    async def _closing(self, delivery: Delivery, answer: Answer) -> str | None:
        """Switch the endpoint off where that is due: why; None where it stays, or was off already."""
        project_id, endpoint_id = delivery.project_id, delivery.endpoint_id
        if endpoint_id is None:
            return None
        stored = (await self._directory.all(project_id, ENDPOINT)).get(endpoint_id)
        if stored is None or not stored.value.enabled:
            return None
        endpoint: Endpoint = stored.value
        policy = self._policy if endpoint.retry is None else policy_of(endpoint.retry)
        because = closes_endpoint(answer, policy, self._clock.now())
        if because is None and answer.ok:
            await self._health.recovered(project_id, endpoint_id)
        elif because is None and answer.error not in UNSENT:
            since = await self._health.failing_since(project_id, endpoint_id, stored.updated_at)
            if since is not None:
                days = (self._clock.now() - since) / DAY
                because = f"it has only failed since {_payloads.iso(since)} ({days:.3g} days)"
        if because is None or not await self._directory.switch_off(project_id, endpoint_id, because):
            return None
        await self._health.recovered(project_id, endpoint_id)
        logger.warning("endpoint %s (%s) is switched off: %s", endpoint_id, endpoint.url, because)
        return because

    async def _told(self, delivery: Delivery, settlement: Settlement, type: str, **said: Any) -> Settlement:
        """With an entry in the run's log and a delivery to everybody who wants to know. Of an operator's own deliveries
        nobody is told: what tells of a failure must not fail for ever."""
        now = self._clock.now()
        data = Json(
            codec.splice(
                delivery_id=delivery.id,
                channel_id=delivery.run_id,
                type=delivery.type,
                event=delivery.event_name,
                endpoint_id=delivery.endpoint_id,
                url=delivery.url,
                **said,
            )
        )
        entry = Entry(kind=type, at=now, stage=delivery.stage, attempt=delivery.attempt, data=data)
        settlement = msgspec.structs.replace(settlement, also=(*settlement.also, entry))
        if delivery.type in OPERATIONS:
            return settlement
        routing = await self._directory.routing(delivery.project_id)
        deliveries = operation(
            type,
            data,
            now,
            routing.operators(type),
            name=f"{delivery.id}_{type.replace('.', '_')}_{round(now * 1000):x}",
            run_id=delivery.run_id,
            project_id=delivery.project_id,
            stage=delivery.stage,
            event_name=delivery.event_name,
        )
        return msgspec.structs.replace(settlement, deliveries=(*settlement.deliveries, *deliveries))
