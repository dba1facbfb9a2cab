"""A test event for an endpoint: made up, signed and sent once as any delivery is, through the same guard.

It belongs to no run and is written nowhere; who asked for it is told what came back.
"""

from __future__ import annotations

import msgspec

from . import _payloads, codec
from ._courier import Courier
from ._directory import ENDPOINT, Directory
from ._kept import text_of
from .errors import Overloaded
from .models import Answer, Delivery, Endpoint, Target, lane_of
from .ports import Clock, Ids

__all__ = ["TYPE", "Trial", "Trials"]

TYPE = "webhook.test"


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """What came back. `ok` is a 2xx; `status` is None where there was no answer, then `error` and `message` say why.
    `response` is the beginning of the answer's body."""

    ok: bool
    status: int | None
    error: str | None
    message: str | None
    response: str | None
    duration_ms: int
    webhook_id: str


class Trials:
    """Sends test events by the courier of the deliveries."""

    def __init__(self, courier: Courier, directory: Directory, clock: Clock, ids: Ids) -> None:
        self._courier = courier
        self._directory = directory
        self._clock = clock
        self._ids = ids

    async def send(self, project_id: str, endpoint_id: str) -> Trial:
        """Raises NotFound, and Overloaded where the receiver has no room now or was failing a moment ago."""
        endpoint: Endpoint = (await self._directory.find(project_id, ENDPOINT, endpoint_id)).value
        delivery = self._delivery(project_id, endpoint)
        begun = self._clock.monotonic()
        attempted = await self._courier.attempt(delivery)
        if attempted is None:
            raise Overloaded("this endpoint is left alone for a moment: it is busy, or has just failed; try again soon")
        answer = attempted[0]
        return _told(answer, self._clock.monotonic() - begun, delivery.id, self._courier.shows(project_id))

    def _delivery(self, project_id: str, endpoint: Endpoint) -> Delivery:
        now, channel_id = self._clock.now(), self._ids.channel_id()
        body = codec.splice(
            type=TYPE,
            channel_id=channel_id,
            callback_required=False,
            data={"message": "A test event from riverflow; nothing has happened."},
            timestamp=_payloads.iso(now),
        )
        target = Target(url=endpoint.url, endpoint_id=endpoint.id, encoding=endpoint.encoding, body=endpoint.body)
        return Delivery(
            id=self._ids.opaque("msg"),
            run_id=channel_id,
            project_id=project_id,
            stage="test",
            type=TYPE,
            url=endpoint.url,
            lane=lane_of(endpoint.url),
            endpoint_id=endpoint.id,
            body=_payloads.written(body, target),
            created_at=now,
            due_at=now,
        )


def _told(answer: Answer, seconds: float, webhook_id: str, shown: bool) -> Trial:
    return Trial(
        ok=answer.ok,
        status=answer.status,
        error=answer.error,
        message=answer.message or None,
        response=text_of(answer.body) if shown else None,
        duration_ms=round(seconds * 1000),
        webhook_id=webhook_id,
    )
