"""A message to several targets, as the deliveries that are owed for it.

Pure: it decides neither who is told nor what.
"""

from __future__ import annotations

from . import _payloads
from .models import Delivery, Target, is_local, lane_of

__all__ = ["id_of", "owed"]


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
    """One delivery to each target, due now, with the ids that `id_of` gives. `afar` is the body for targets outside
    the process, where that is another one."""
    afar = body if afar is None else afar
    deliveries = []
    for number, target in enumerate(targets):  # no generator: a dozen arguments as its cells cost as much as the rest
        delivery = Delivery(
            id=id_of(name, number),
            run_id=run_id,
            project_id=project_id,
            stage=stage,
            type=type,
            event_name=event_name,
            url=target.url,
            lane=lane_of(target.url),
            endpoint_id=target.endpoint_id,
            body=_payloads.written(body if is_local(target.url) else afar, target),
            created_at=now,
            due_at=now,
            expires_at=expires_at,
        )
        deliveries.append(delivery)
    return tuple(deliveries)


def id_of(name: str, number: int) -> str:
    """The id of what is owed to the target at that place: it follows from `name` and the place, so that no restart can
    mint a second one. A name has no dots (Standard Webhooks signs `id.timestamp.body`)."""
    return f"{name}_{number}"
