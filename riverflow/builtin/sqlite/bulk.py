"""Writes many rows with few statements. This module knows no table.

Each statement that SQLite steps through lets go of the GIL and takes it back; on a busy event loop that wait is what a
write costs. So rows are written up to 64 at a time, in a few sizes that stay in the statement cache: up to 8 rows
and 16, 24, … 64 are one statement, 100 rows are statements of 64, 32 and 4 rows.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import chain
from sqlite3 import Connection
from typing import Any

from .queries import query

__all__ = ["Bulk"]

_ROW = re.compile(r"VALUES (\((?:[^()]|\([^()]*\))*\))")
_MOST = 64
_SIZES = (*range(1, 8), *range(8, _MOST + 1, 8))


class Bulk:
    """A statement of queries.sql with one row after VALUES, repeated as often as there are rows."""

    __slots__ = ("_texts",)

    def __init__(self, name: str) -> None:
        text = query(name)
        found = _ROW.search(text)
        assert found is not None, name
        head, row, tail = text[: found.start(1)], found.group(1), text[found.end() :]
        self._texts = {size: head + ", ".join([row] * size) + tail for size in _SIZES}

    def write(self, db: Connection, rows: Iterable[Sequence[Any]]) -> None:
        """Write the rows in order."""
        waiting = list(rows)
        start, left = 0, len(waiting)
        while left:
            size = min(left & ~7, _MOST) or left
            db.execute(self._texts[size], tuple(chain.from_iterable(waiting[start : start + size])))
            start, left = start + size, left - size
