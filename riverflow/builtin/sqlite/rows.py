"""Rows to structs and structs to rows, column by column in the order of queries.sql. Nothing is decided here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec.structs import force_setattr

from ...codec import encode
from ...models import CHECKPOINTS, Delivery, Document, Entry, Run, Summary

__all__ = [
    "NO_DELIVERY",
    "NO_NUMBER",
    "NO_TEXT",
    "RUN_LANE",
    "delivery_from",
    "delivery_row",
    "document_from",
    "due_delivery_row",
    "due_run_row",
    "entries_from",
    "entries_in",
    "entries_row",
    "run_from",
    "run_row",
]

Row = tuple[Any, ...]

NO_DELIVERY = ""
"""The delivery_id of a `due` row that is the run itself."""

RUN_LANE = ""
"""The lane of such a row: every process can advance runs."""


NO_TEXT, NO_NUMBER = "", -1
"""What stands for None in rows that are written in bulk; queries.sql says why."""


_summary = msgspec.json.Decoder(Summary)
_entries = msgspec.json.Decoder(tuple[Entry, ...])


def run_row(run: Run, series: int) -> Row:
    return (
        run.id,
        run.project_id,
        run.workflow,
        run.event_name or NO_TEXT,
        run.status,
        run.stage,
        run.phase,
        run.version,
        run.generation,
        run.created_at,
        NO_NUMBER if run.deadline_at is None else run.deadline_at,
        NO_NUMBER if run.finished_at is None else run.finished_at,
        encode(run.summary).decode(),
        series,
    )


def run_from(row: Row) -> Run:
    return Run(
        id=row[0],
        project_id=row[1],
        workflow=row[2],
        event_name=row[3],
        status=row[4],
        stage=row[5],
        phase=row[6],
        version=row[7],
        generation=row[8],
        created_at=row[9],
        deadline_at=row[10],
        finished_at=row[11],
        summary=_summary.decode(row[12]),
    )


def entries_row(run_id: str, newest: int, entries: Sequence[Entry]) -> Row:
    """What one decision adds to a log; `newest` is the number of the last of them, and they carry none yet."""
    public = checkpoint = 0
    for entry in entries:
        if entry.public:
            public = 1
        if entry.kind in CHECKPOINTS:
            checkpoint = 1
    # 0.2 µs to bind; bytes, which sqlite3 first tries to adapt, take 1.2
    return (run_id, newest, public, checkpoint, bytearray(encode(entries)))


def entries_from(row: Row) -> tuple[Entry, ...]:
    """The entries of a row of number and data, numbered."""
    entries = entries_in(row[1])
    for number, entry in enumerate(entries, row[0] - len(entries) + 1):
        force_setattr(entry, "number", number)  # nobody else has it yet
    return entries


def entries_in(data: bytes) -> tuple[Entry, ...]:
    """The entries of a row as they are written, without numbers."""
    return _entries.decode(data)


def delivery_row(delivery: Delivery) -> Row:
    return (
        delivery.id,
        delivery.run_id,
        delivery.project_id,
        delivery.stage,
        delivery.type,
        delivery.url,
        delivery.lane,
        bytearray(delivery.body),
        delivery.created_at,
        delivery.due_at,
        delivery.event_name or NO_TEXT,
        delivery.endpoint_id or NO_TEXT,
        delivery.attempt,
        NO_NUMBER if delivery.expires_at is None else delivery.expires_at,
        delivery.status,
    )


def delivery_from(row: Row) -> Delivery:
    return Delivery(
        id=row[0],
        run_id=row[1],
        project_id=row[2],
        stage=row[3],
        type=row[4],
        url=row[5],
        lane=row[6],
        body=row[7],
        created_at=row[8],
        due_at=row[9],
        event_name=row[10],
        endpoint_id=row[11],
        attempt=row[12],
        expires_at=row[13],
        status=row[14],
    )


def due_run_row(run: Run, due_at: float, owner: str) -> Row:
    return (run.id, NO_DELIVERY, run.project_id, run.stage, RUN_LANE, "", due_at, owner)


def due_delivery_row(delivery: Delivery, owner: str) -> Row:
    return (
        delivery.run_id,
        delivery.id,
        delivery.project_id,
        delivery.stage,
        delivery.lane,
        delivery.endpoint_id or delivery.target,
        delivery.due_at,
        owner,
    )


def document_from(row: Row) -> Document:
    return Document(kind=row[0], name=row[1], project_id=row[2], version=row[3], body=row[4], updated_at=row[5])
