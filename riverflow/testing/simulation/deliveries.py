"""Deliveries of a memory store found again and sent again. It claims and settles nothing."""

from __future__ import annotations

import msgspec

from ...models import Delivery, Entry, Target, lane_of
from ...ports import DeliveryFilter, DeliveryPage
from .tables import Tables

__all__ = ["find", "requeue"]


def find(
    tables: Tables, project_id: str, wanted: DeliveryFilter, before: str | None, after: str | None, limit: int
) -> DeliveryPage:
    """See ports.Queue.find_deliveries."""
    rows = enumerate(tables.deliveries.values())
    mine = sorted((each.created_at, row, each) for row, each in rows if each.project_id == project_id)
    listed = [delivery for _, _, delivery in mine]
    places = {delivery.id: place for place, delivery in enumerate(listed)}
    first = 0 if after is None else places.get(after, len(listed)) + 1
    last = len(listed) if before is None else places.get(before, 0)
    found = [msgspec.structs.replace(each, body=b"") for each in listed[first:last] if _takes(wanted, each)]
    some = found[:limit] if after is not None and before is None else found[-limit:]
    return DeliveryPage(deliveries=tuple(some[::-1]), has_more=len(found) > limit)


def requeue(
    tables: Tables, project_id: str, delivery_id: str, due_at: float, to: Target | None, entry: Entry | None
) -> int | None:
    """See ports.Queue.requeue."""
    delivery = tables.deliveries.get(delivery_id)
    if delivery is None or delivery.project_id != project_id or delivery.status == "pending":
        return None
    again = msgspec.structs.replace(delivery, status="pending", attempt=1, due_at=due_at, expires_at=None)
    if to is not None:
        again = msgspec.structs.replace(again, url=to.url, endpoint_id=to.endpoint_id, lane=lane_of(to.url))
    tables.owe(again, None)
    run_log = tables.entries[delivery.run_id]
    if entry is not None:
        run_log.append(msgspec.structs.replace(entry, number=len(run_log) + 1))
    return len(run_log)


def _takes(wanted: DeliveryFilter, delivery: Delivery) -> bool:
    return (
        (not wanted.status or delivery.status in wanted.status)
        and wanted.run_id in (None, delivery.run_id)
        and wanted.endpoint_id in (None, delivery.endpoint_id)
        and wanted.event in (None, delivery.event_name, delivery.type)
        and (wanted.since is None or delivery.created_at >= wanted.since)
        and (wanted.until is None or delivery.created_at < wanted.until)
    )
