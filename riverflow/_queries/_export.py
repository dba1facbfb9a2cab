"""A list of requests as CSV or JSON, row by row: whatever its length, one page of it is in memory.

It knows no wire; which requests, its caller has asked.
"""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterable, AsyncIterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from .. import codec
from ._rows import RequestRow

__all__ = ["FORMATS", "exported", "flat"]

FORMATS: Final[Mapping[str, str]] = {"csv": "text/csv; charset=utf-8", "json": "application/json"}
"""The formats by name, with their media types (RFC 4180 and RFC 8259)."""

_COLUMNS = (
    "channel_id",
    "workflow",
    "event_name",
    "status",
    "error",
    "tag",
    "provider",
    "model",
    "attempts",
    "duration_ms",
    "total_ms",
    "prompt_tokens",
    "completion_tokens",
    "created_at",
    "finished_at",
    "replay_of",
    "customer_data",
)
_LINES = 200  # written at once
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


async def exported(rows: AsyncIterable[RequestRow], format: str) -> AsyncIterator[bytes]:
    """The file in pieces: CSV with a header line, or a JSON array. Times are ISO 8601."""
    write = _csv if format == "csv" else _json
    waiting: list[RequestRow] = []
    first = True
    async for row in rows:
        waiting.append(row)
        if len(waiting) == _LINES:
            yield write(waiting, first, False)
            waiting, first = [], False
    yield write(waiting, first, True)


def flat(row: RequestRow) -> dict[str, Any]:
    """A row under its columns' names, times as text."""
    values = {name: getattr(row, name) for name in _COLUMNS}
    for name in ("created_at", "finished_at"):
        if values[name] is not None:
            values[name] = datetime.fromtimestamp(values[name], UTC).isoformat(timespec="milliseconds")[:-6] + "Z"
    return values


def _csv(rows: list[RequestRow], first: bool, last: bool) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\r\n")
    if first:
        writer.writerow(_COLUMNS)
    writer.writerows([_cell(value) for value in flat(row).values()] for row in rows)
    return text.getvalue().encode()


def _cell(value: Any) -> Any:
    """A cell that no spreadsheet takes for a formula (OWASP, "CSV Injection"): what users supply is text."""
    if isinstance(value, dict):
        value = codec.encode(value).decode() if value else ""
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


def _json(rows: list[RequestRow], first: bool, last: bool) -> bytes:
    text = b",\n".join(codec.encode(flat(row)) for row in rows)
    return (b"[" if first else b",\n" if text else b"") + text + (b"]\n" if last else b"")
