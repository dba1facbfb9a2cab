"""A message to several targets, as the deliveries that are owed for it.

Pure: it decides neither who is told nor what.
"""

from __future__ import annotations

from . import _payloads
from .models import Delivery, Target, is_local, lane_of

__all__ = ["owed"]


def owed(
    targets: tuple[Target, ...],
    body: bytes,
    now: float,
    *,
    name: str,
    run_id: str,
    project_id: str,
    stage: str,
    type: str,
    event_name: str | None,
    expires_at: float | None = None,
    afar: bytes | None = None,
) -> tuple[Delivery, ...]:
    """One delivery to each target, due now. Their ids follow from `name` and their place, so that no restart can mint a
    second one; a name has no dots (Standard Webhooks signs `id.timestamp.body`). `afar` is the body for targets outside
    the process, where that is another one."""
    afar = body if afar is None else afar
    deliveries = []
    for number, target in enumerate(targets):  # no generator: a dozen arguments as its cells cost as much as the rest
        lane = lane_of(target.url)
        delivery = Delivery(
            id=f"{name}_{number}",
            run_id=run_id,
            project_id=project_id,
            stage=stage,
            type=type,
            event_name=event_name,
            url=target.url,
            lane=lane,
            endpoint_id=target.endpoint_id,
            body=_payloads.written(body if is_local(target.url) else afar, target),
            created_at=now,
            due_at=now,
            expires_at=expires_at,
        )
        deliveries.append(delivery)
    return tuple(deliveries)
