"""When SQLite's log is copied into the file, and by whom: beside the writer, whose next commit would wait for it.

This module knows no table. It loses nothing by not being there: SQLite copies a log that has grown too long by itself.
"""

from __future__ import annotations

import asyncio
import logging
from sqlite3 import Connection

from ...errors import StoreError
from .worker import Worker

__all__ = ["Checkpoints"]

logger = logging.getLogger("riverflow.sqlite")

ROUNDS = 64
"""Rounds of the writer between two checkpoints: with 64 flows in flight they come to some 4000 pages, whose copying
takes 20 ms and more. While the writer did it, each flow of that time waited: at 20 a second, the p95 was 6.5 ms instead
of 5.9."""


class Checkpoints:
    """Has `copier` copy the log, and then the `writer` the little that was written meanwhile: only where all of it is
    copied does SQLite begin the log anew (https://www.sqlite.org/wal.html, 2.1 and 6)."""

    def __init__(self, writer: Worker, copier: Worker) -> None:
        self._writer = writer
        self._copier = copier
        self._rounds = 0
        self._copying: asyncio.Task[None] | None = None

    def count(self) -> None:
        """The writer has done a round. To be called on the event loop."""
        self._rounds += 1
        if self._rounds >= ROUNDS and self._copying is None:
            self._rounds = 0
            self._copying = asyncio.get_running_loop().create_task(self._copy(), name="riverflow checkpoint")

    async def rest(self) -> None:
        """Let a checkpoint that is under way come to its end."""
        if self._copying is not None:
            await self._copying

    async def _copy(self) -> None:
        try:
            if await self._copier.look(_left_to_copy):
                await self._writer.look(_left_to_copy)
        except StoreError:
            logger.warning("the log was not copied into the database; it will be tried again", exc_info=True)
        finally:
            self._copying = None


def _left_to_copy(db: Connection) -> int:
    """Copy what nobody reads from the log any more; how many pages are left in it then. Waits for nobody."""
    _, pages, copied = db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
    return int(pages - copied)
