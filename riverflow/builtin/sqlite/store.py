"""The SQLite store: its threads, its three faces, its opening and closing. It runs no statement itself."""

from __future__ import annotations

import asyncio
import time
from functools import partial
from sqlite3 import Connection

from ...ports import Clock, Documents, Notifier, Queue, RunLog
from .address import Address
from .checkpoints import Checkpoints
from .connection import connect, connect_copier, connect_reader, translated
from .documents import SqliteDocuments
from .log import SqliteLog
from .migrate import migrate
from .notifier import DataVersionNotifier
from .queue import SqliteQueue
from .rounds import copy_round, read_round, write_round
from .worker import Worker

__all__ = ["SqliteStore"]

PAUSE = 0.002
"""Seconds that the writer waits under load, lest each few decisions have a commit of their own: with 64 flows in flight
it takes 5 to 10 % of a flow's CPU away in process and 3 to 5 % over webhooks. Of the flows a second it takes none with
32 and more in flight, and a third with 8, where providers answer at once. (PostgreSQL's `commit_delay`, too, waits only
where `commit_siblings` others are at work.)"""


class SqliteStore:
    """ports.Store on a SQLite file, which several processes of one host may share, or on a private one in memory.

    A file has a thread in each process to write, one to read and one to copy SQLite's log into it; a database in memory
    has one connection, so its writer reads as well.
    """

    def __init__(self, address: Address, clock: Clock) -> None:
        self._address = address
        self._writer = Worker(
            "riverflow-sqlite-writer", self._connect, write_round(address), pause=partial(time.sleep, PAUSE)
        )
        self._reader = self._writer
        self._beside: tuple[Worker, ...] = ()
        self._checkpoints: Checkpoints | None = None
        self._notifier: Notifier | None = None
        if address.path is not None:
            self._reader = Worker("riverflow-sqlite-reader", lambda: connect_reader(address), read_round(address))
            copier = Worker("riverflow-sqlite-copier", lambda: connect_copier(address), copy_round(address))
            self._beside = (self._reader, copier)
            self._checkpoints = Checkpoints(self._writer, copier)
            self._writer.after = self._checkpoints.count
            self._notifier = DataVersionNotifier(self._writer, clock)
        self._log = SqliteLog(self._writer, self._reader)
        self._queue = SqliteQueue(self._writer, self._reader)
        self._documents = SqliteDocuments(self._writer, self._reader)

    @property
    def log(self) -> RunLog:
        return self._log

    @property
    def queue(self) -> Queue:
        return self._queue

    @property
    def documents(self) -> Documents:
        return self._documents

    @property
    def notifier(self) -> Notifier | None:
        return self._notifier

    async def open(self) -> None:
        """Connect and migrate. Raises StoreUnavailable, SchemaMismatch, ConfigError."""
        await self._writer.start()
        try:
            for worker in self._beside:
                await worker.start()
        except BaseException:
            await asyncio.shield(self._stop())
            raise

    async def compact(self) -> None:
        """Write the file anew without its free pages, and empty its log: nothing deleted or overwritten is left in
        either. Others wait to write meanwhile. Raises StoreUnavailable where somebody holds the file, or the disk has
        no room for a second copy."""
        if self._checkpoints is not None:  # SQLite empties no log that is being copied
            await self._checkpoints.rest()
        await self._writer.look(_rewritten)

    async def aclose(self) -> None:
        """Do what is queued, then close; SQLite folds its log into the file as the last connection goes."""
        self._writer.after = None  # the copier goes first
        if self._checkpoints is not None:
            await self._checkpoints.rest()
        await self._stop()

    async def _stop(self) -> None:
        for worker in (*self._beside, self._writer):
            await worker.stop()

    def _connect(self) -> Connection:
        db = connect(self._address)
        try:
            migrate(db, self._address)
        except Exception as error:
            db.close()
            raise translated(error, self._address) from error
        return db


def _rewritten(db: Connection) -> None:
    db.execute("VACUUM")  # in no transaction, as everything is that a worker "looks" at
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
