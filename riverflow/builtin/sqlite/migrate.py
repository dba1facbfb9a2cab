"""Brings a database to the schema of today, one numbered migration after the other. It never goes back."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from sqlite3 import Connection

from ...errors import SchemaMismatch
from .address import Address
from .queries import migrations

__all__ = ["APPLICATION_ID", "migrate", "statements"]

APPLICATION_ID = 0x52564657
"""`RVFW` in the file's header (https://www.sqlite.org/fileformat.html, 1.3.15): this file is riverflow's."""


def migrate(db: Connection, address: Address) -> None:
    """Apply what is missing, in one transaction; processes that start together wait for the first.

    Raises SchemaMismatch for a newer schema and for a file that belongs to another program.
    """
    if _is_current(db):
        return
    db.execute("BEGIN IMMEDIATE")
    try:
        version = _checked_version(db, address)
        for script in migrations()[version:]:
            for statement in statements(script):
                db.execute(statement)
        db.execute(f"PRAGMA application_id = {APPLICATION_ID:d}")
        db.execute(f"PRAGMA user_version = {len(migrations()):d}")
        db.execute("COMMIT")
    finally:
        if db.in_transaction:
            db.execute("ROLLBACK")


def statements(script: str) -> Iterator[str]:
    """The single statements of a script. (`executescript` would commit before it begins.)"""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


def _is_current(db: Connection) -> bool:
    return _pragma(db, "application_id") == APPLICATION_ID and _pragma(db, "user_version") == len(migrations())


def _checked_version(db: Connection, address: Address) -> int:
    version = _pragma(db, "user_version")
    if _pragma(db, "application_id") != APPLICATION_ID and _has_tables(db):
        raise SchemaMismatch(f"{address} belongs to another program: give riverflow a file of its own in database_url")
    if version > len(migrations()):
        raise SchemaMismatch(
            f"{address} has schema version {version}, this riverflow knows up to {len(migrations())}: "
            "install the riverflow that wrote it, or a newer one"
        )
    return version


def _has_tables(db: Connection) -> bool:
    return db.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone() is not None


def _pragma(db: Connection, name: str) -> int:
    value: int = db.execute(f"PRAGMA {name}").fetchone()[0]
    return value
