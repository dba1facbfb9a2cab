"""A replay store in a SQLite file, shared by the threads and processes of one host.

It opens the file when it is first asked, and again in a forked process; it says nothing of what it keeps.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from ..errors import StoreUnavailable
from .replays import Standing

__all__ = ["SQLiteReplays"]

_SCHEMA = """
CREATE TABLE IF NOT EXISTS received (
    key TEXT PRIMARY KEY,
    claim TEXT,           -- who works on it; NULL where it is done
    until REAL NOT NULL   -- Unix seconds
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS received_until ON received (until);
"""
_PRUNED = 64  # rows that one claim clears away: more than it adds, so the file does not grow for ever


class SQLiteReplays:
    """A ReplayStore in the file `path`, made where it is missing (its folder is not). What it has answered survives the
    death of the process (`synchronous=FULL`). `timeout` is seconds to wait for another process's transaction; then, as
    for any other trouble with the file, StoreUnavailable is raised."""

    def __init__(self, path: str | os.PathLike[str], *, timeout: float = 5.0) -> None:
        self._path = Path(path)
        self._timeout = timeout
        self._lock = threading.Lock()
        self._db: sqlite3.Connection | None = None
        self._process = 0

    def __repr__(self) -> str:
        return f"SQLiteReplays({str(self._path)!r})"

    def begin(self, keys: Sequence[str], claim: str, *, now: float, until: float) -> Standing:
        """See ReplayStore."""
        with self._transaction() as db:
            known = [
                row[0]
                for key in keys
                for row in db.execute("SELECT claim FROM received WHERE key = ? AND until > ?", (key, now))
            ]
            if known:
                return "done" if None in known else "running"
            db.execute(
                "DELETE FROM received WHERE key IN (SELECT key FROM received WHERE until <= ? ORDER BY until LIMIT ?)",
                (now, _PRUNED),
            )
            _keep(db, keys, claim, until)
        return "new"

    def finish(self, keys: Sequence[str], claim: str, *, until: float) -> None:
        """See ReplayStore."""
        with self._transaction() as db:
            _keep(db, keys, None, until)

    def forget(self, keys: Sequence[str], claim: str) -> None:
        """See ReplayStore."""
        with self._transaction() as db:
            db.executemany("DELETE FROM received WHERE key = ? AND claim = ?", [(key, claim) for key in keys])

    def close(self) -> None:
        """Close the file. It is opened again where the store is asked again."""
        with self._lock:
            if self._db is not None and self._process == os.getpid():
                self._db.close()
            self._db = None

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """One at a time in this process; `IMMEDIATE` makes it one at a time on this host."""
        with self._lock:
            try:
                db = self._opened()
                db.execute("BEGIN IMMEDIATE")
                try:
                    yield db
                except BaseException:
                    db.execute("ROLLBACK")
                    raise
                db.execute("COMMIT")
            except sqlite3.Error as error:
                raise StoreUnavailable(f"{self._path}: {error}") from error

    def _opened(self) -> sqlite3.Connection:
        # A connection must not be carried over a fork (SQLite, "How to corrupt", 2.6); the child's copy is left alone.
        if self._db is None or self._process != os.getpid():
            self._db, self._process = self._open(), os.getpid()
        return self._db

    def _open(self) -> sqlite3.Connection:
        db = sqlite3.connect(self._path, timeout=self._timeout, isolation_level=None, check_same_thread=False)
        try:
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("PRAGMA synchronous = FULL")
            db.executescript(_SCHEMA)
        except sqlite3.Error:
            db.close()
            raise
        return db


def _keep(db: sqlite3.Connection, keys: Sequence[str], claim: str | None, until: float) -> None:
    db.executemany(
        "INSERT INTO received (key, claim, until) VALUES (?, ?, ?)"
        " ON CONFLICT (key) DO UPDATE SET claim = excluded.claim, until = excluded.until",
        [(key, claim, until) for key in keys],
    )
