"""Opens connections and says in riverflow's words what SQLite complains of. No statement of the store is here."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path
from sqlite3 import Connection

from ...errors import ConfigError, RiverflowError, StoreError, StoreUnavailable
from .address import Address

__all__ = ["connect", "connect_copier", "connect_reader", "is_busy", "translated"]

BUSY_TIMEOUT = 5.0
"""Seconds to wait for another process's transaction. A group commit takes milliseconds; seconds mean that it hangs."""

_OLDEST = (3, 33, 0)  # for UPDATE … FROM
_CHECKPOINT_PAGES = 16_000  # 64 MB of log, at which the writer copies it itself: the copier (checkpoints.py) lags


def connect(address: Address) -> Connection:
    """The writer's connection, in WAL mode with `synchronous=FULL`. Raises ConfigError, StoreUnavailable."""
    if sqlite3.sqlite_version_info < _OLDEST:
        raise ConfigError(f"SQLite 3.33 or newer is needed; this Python has {sqlite3.sqlite_version}")
    _look_for_folder(address)
    try:
        db = _open(address)
        if address.path is not None:
            _write_ahead(db, address)
        db.execute("PRAGMA synchronous = FULL")
        db.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES:d}")
    except sqlite3.Error as error:
        raise StoreUnavailable(f"cannot open {address}: {error}") from error
    return db


def connect_reader(address: Address) -> Connection:
    """A connection that cannot write. Raises StoreUnavailable."""
    try:
        db = _open(address)
        db.execute("PRAGMA query_only = ON")
    except sqlite3.Error as error:
        raise StoreUnavailable(f"cannot open {address}: {error}") from error
    return db


def connect_copier(address: Address) -> Connection:
    """A connection that copies the log into the file, as durably as the writer does. Raises StoreUnavailable."""
    db = connect_reader(address)
    db.execute("PRAGMA synchronous = FULL")
    return db


def is_busy(error: BaseException) -> bool:
    """Whether another connection stood in the way for longer than we wait."""
    code = getattr(error, "sqlite_errorcode", None)
    return code is not None and code & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def translated(error: Exception, address: Address) -> RiverflowError:
    """The riverflow error for whatever went wrong; values are never in it."""
    if isinstance(error, RiverflowError):
        return error
    if is_busy(error):
        told: StoreError = StoreUnavailable(f"{address} is locked by another process for over {BUSY_TIMEOUT:g} s")
    elif isinstance(error, sqlite3.OperationalError):
        told = StoreUnavailable(f"{address}: {error}")
    else:
        # What is not SQLite's own may quote the value that was to be written.
        reason = f": {error}" if isinstance(error, sqlite3.Error) else ""
        told = StoreError(f"{address} refused a write: {type(error).__name__}{reason}")
    told.__cause__ = error
    return told


def _open(address: Address) -> Connection:
    return sqlite3.connect(
        address.path or ":memory:",
        timeout=BUSY_TIMEOUT,
        isolation_level=None,
        cached_statements=256,
    )


def _look_for_folder(address: Address) -> None:
    if address.path is not None and not (folder := Path(address.path).absolute().parent).is_dir():
        raise StoreUnavailable(f"cannot open {address}: there is no directory {folder}; create it first")


def _write_ahead(db: Connection, address: Address) -> None:
    """Turn on the write-ahead log. While another process is about to write in the old mode (it creates the file, too),
    SQLite answers "locked" at once, whatever the timeout; so the waiting is done here."""
    give_up = time.monotonic() + BUSY_TIMEOUT
    while True:
        try:
            (mode,) = db.execute("PRAGMA journal_mode = WAL").fetchone()
        except sqlite3.OperationalError as error:
            if not is_busy(error) or time.monotonic() > give_up:
                raise
            time.sleep(0.01)
        else:
            break
    if mode != "wal":
        raise StoreUnavailable(f"cannot open {address}: its file system supports no write-ahead log")
