"""What the threads do with a group of operations: the writer commits it whole, the reader reads it off one snapshot.

This module knows transactions; what is written in them is the operations' business.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby
from sqlite3 import Connection
from typing import cast

from ...errors import StoreError
from .address import Address
from .connection import translated
from .ledger import Decision, write_decisions
from .series import Catalogue
from .worker import Change, Look, Operation

__all__ = ["read_round", "write_round"]


def write_round(address: Address) -> Callable[[Connection, Sequence[Operation]], Sequence[object]]:
    """The writer's round: everything in one transaction and one fsync, then whatever only reads."""
    catalogue = Catalogue()

    def do(db: Connection, operations: Sequence[Operation]) -> Sequence[object]:
        writes = [operation for operation in operations if type(operation) is not Look]
        written = _commit(db, writes, address, catalogue) if writes else ()
        if len(written) == len(operations):
            return written
        following = iter(written)
        return [_look(db, one, address) if isinstance(one, Look) else next(following) for one in operations]

    return do


def read_round(address: Address) -> Callable[[Connection, Sequence[Operation]], Sequence[object]]:
    """The reader's round: all of it sees the same state."""

    def do(db: Connection, operations: Sequence[Operation]) -> Sequence[object]:
        try:
            db.execute("BEGIN")
            results = [_look(db, cast("Look[object]", operation), address) for operation in operations]
            db.execute("COMMIT")
        except Exception as error:
            _roll_back(db)
            return [translated(error, address) for _ in operations]
        return results

    return do


def _commit(
    db: Connection, operations: Sequence[Operation], address: Address, catalogue: Catalogue
) -> Sequence[object]:
    """Commit a group. Where an operation breaks (not: is refused) each is tried alone, so that only it fails."""
    writing = False
    try:
        db.execute("BEGIN IMMEDIATE")
        writing = True
        results = _write(db, operations, catalogue)
        writing = False
        db.execute("COMMIT")
    except Exception as error:
        _roll_back(db)
        catalogue.forget()
        if writing and len(operations) > 1:
            return [result for operation in operations for result in _commit(db, [operation], address, catalogue)]
        return [translated(error, address) for _ in operations]
    return results


def _write(db: Connection, operations: Sequence[Operation], catalogue: Catalogue) -> list[object]:
    """In order; neighbouring appends and settlements are written together."""
    results: list[object] = []
    for changes, neighbours in groupby(operations, key=lambda operation: type(operation) is Change):
        if changes:
            results.extend(_change(db, cast("Change[object]", operation)) for operation in neighbours)
        else:
            results.extend(write_decisions(db, cast("list[Decision]", list(neighbours)), catalogue))
    return results


def _change(db: Connection, operation: Change[object]) -> object:
    try:
        return operation.run(db)
    except StoreError as refusal:  # raised before anything was written
        return refusal


def _look(db: Connection, operation: Look[object], address: Address) -> object:
    try:
        return operation.run(db)
    except Exception as error:
        return translated(error, address)


def _roll_back(db: Connection) -> None:
    if db.in_transaction:
        db.execute("ROLLBACK")
