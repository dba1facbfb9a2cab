"""What was ever owed, found again and sent again: the cold side of the queue. Nothing here claims or settles."""

from __future__ import annotations

import math
from sqlite3 import Connection
from typing import Any

from ...codec import encode
from ...models import Delivery, Entry, Target, lane_of
from ...ports import DeliveryFilter, DeliveryPage
from .queries import query
from .rows import delivery_from, entries_row

__all__ = ["delivery_of", "find_deliveries", "requeue"]

_PLACE = "/* conditions */"
_DEAD = frozenset({"dead", "expired"})
_CONDITIONS = {
    "run_id": "run_id = :run_id",
    "endpoint_id": "endpoint_id = :endpoint_id",
    "event": "(event_name = :event OR type = :event)",
}


def delivery_of(db: Connection, project_id: str, delivery_id: str) -> Delivery | None:
    """See ports.Queue.delivery."""
    row = db.execute(query("delivery"), {"project_id": project_id, "delivery_id": delivery_id}).fetchone()
    return None if row is None else delivery_from(row)


def find_deliveries(
    db: Connection, project_id: str, wanted: DeliveryFilter, before: str | None, after: str | None, limit: int
) -> DeliveryPage:
    """See ports.Queue.find_deliveries."""
    since, until = (
        -math.inf if wanted.since is None else wanted.since,
        math.inf if wanted.until is None else wanted.until,
    )
    newest, oldest = (until, -1), (since, -1)
    if before is not None:
        newest = min(newest, _place(db, project_id, before) or oldest)
    if after is not None:
        oldest = max(oldest, _place(db, project_id, after) or newest)
    backwards = after is not None and before is None
    values: dict[str, Any] = {
        "project_id": project_id,
        "newest": newest[0],
        "newest_row": newest[1],
        "oldest": oldest[0],
        "oldest_row": oldest[1],
        "limit": limit + 1,
    }
    rows = db.execute(_statement(wanted, values, backwards), values).fetchall()
    found = [delivery_from(row) for row in rows[:limit]]
    return DeliveryPage(deliveries=tuple(found[::-1] if backwards else found), has_more=len(rows) > limit)


def requeue(
    db: Connection, project_id: str, delivery_id: str, due_at: float, to: Target | None, entry: Entry | None
) -> int | None:
    """See ports.Queue.requeue."""
    delivery = delivery_of(db, project_id, delivery_id)
    if delivery is None or delivery.status == "pending":
        return None
    url, endpoint_id = (to.url, to.endpoint_id) if to is not None else (delivery.url, delivery.endpoint_id)
    again = Delivery(
        **{
            name: getattr(delivery, name)
            for name in ("id", "run_id", "project_id", "stage", "type", "body", "created_at")
        },
        url=url,
        endpoint_id=endpoint_id,
        lane=lane_of(url),
        due_at=due_at,
    )
    values = {"delivery_id": again.id, "url": url, "endpoint_id": endpoint_id, "lane": again.lane, "due_at": due_at}
    db.execute(query("requeue_delivery"), values)
    db.execute(query("requeue_due"), {**values, "target": again.target})
    newest: int = db.execute(query("newest_of_run"), (again.run_id,)).fetchone()[0]
    if entry is None:
        return newest
    db.execute(query("write_entries"), entries_row(again.run_id, newest + 1, (entry,)))
    return newest + 1


def _place(db: Connection, project_id: str, delivery_id: str) -> tuple[float, int] | None:
    """Where a delivery stands in the order of a list."""
    place: tuple[float, int] | None = db.execute(query("delivery_place"), (project_id, delivery_id)).fetchone()
    return place


def _statement(wanted: DeliveryFilter, values: dict[str, Any], backwards: bool) -> str:
    """The page's statement under the filter's conditions, along the index that is shortest for them: without statistics
    SQLite guesses, and a wrong guess reads every delivery there is."""
    conditions = []
    for name in ("run_id", "endpoint_id", "event", "status"):
        if value := getattr(wanted, name):
            conditions.append(query("of_status") if name == "status" else _CONDITIONS[name])
            values[name] = encode(value).decode() if name == "status" else value
    index, implied = _index(wanted)
    text = query("deliveries_page_back" if backwards else "deliveries_page")
    text = text.replace("FROM deliveries", f"FROM deliveries INDEXED BY {index}")
    return text.replace(_PLACE, "".join(f" AND {condition}" for condition in (*conditions, *implied)))


def _index(wanted: DeliveryFilter) -> tuple[str, tuple[str, ...]]:
    """The index to go by, and what has to be said for that, though it follows from the filter."""
    if wanted.run_id is not None:
        return "deliveries_of_run", ()
    if wanted.status == ("pending",):  # `due` is small, and has all that is pending
        return "sqlite_autoindex_deliveries_1", ("id IN (SELECT delivery_id FROM due WHERE delivery_id <> '')",)
    if wanted.status and _DEAD.issuperset(wanted.status):
        return "deliveries_dead", ("deliveries.status IN ('dead', 'expired')",)
    return ("deliveries_by_time" if wanted.endpoint_id is None else "deliveries_of_endpoint"), ()
