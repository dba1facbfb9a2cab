"""What the threads do with a group of operations: the writer commits it whole, the reader reads it off one snapshot,
the copier does it in no transaction at all.

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
from .heads import Decision, Heads
from .ledger import write_decisions
from .series import Catalogue
from .worker import Change, Look, Operation

__all__ = ["copy_round", "read_round", "write_round"]


def write_round(address: Address) -> Callable[[Connection, Sequence[Operation]], Sequence[object]]:
    """The writer's round: everything in one transaction and one fsync, then whatever only reads."""
    writer = _Writer(address)

    def do(db: Connection, operations: Sequence[Operation]) -> Sequence[object]:
        if Look not in set(map(type, operations)):  # as almost always
            return writer.commit(db, operations)
        writes = [operation for operation in operations if type(operation) is not Look]
        written = writer.commit(db, writes) if writes else ()
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


def copy_round(address: Address) -> Callable[[Connection, Sequence[Operation]], Sequence[object]]:
    """The copier's round: in no transaction, where SQLite would refuse to copy its log."""

    def do(db: Connection, operations: Sequence[Operation]) -> Sequence[object]:
        return [_look(db, cast("Look[object]", operation), address) for operation in operations]

    return do


class _Writer:
    """Commits, and what one remembers for the next."""

    __slots__ = ("_address", "_catalogue", "_heads")

    def __init__(self, address: Address) -> None:
        self._address = address
        self._catalogue = Catalogue()
        self._heads = Heads()

    def commit(self, db: Connection, operations: Sequence[Operation]) -> Sequence[object]:
        """Commit a group. Where an operation breaks (not: is refused) each is tried alone, so that only it fails."""
        writing = False
        try:
            db.execute("BEGIN IMMEDIATE")
            writing = True
            results = self._write(db, operations)
            writing = False
            db.execute("COMMIT")
        except Exception as error:
            _roll_back(db)
            self._catalogue.forget()
            self._heads.forget()
            if writing and len(operations) > 1:
                return [result for operation in operations for result in self.commit(db, [operation])]
            return [translated(error, self._address) for _ in operations]
        return results

    def _write(self, db: Connection, operations: Sequence[Operation]) -> Sequence[object]:
        """In order; neighbouring appends and settlements are written together."""
        if Change not in set(map(type, operations)):  # as almost always
            return write_decisions(db, cast("Sequence[Decision]", operations), self._catalogue, self._heads)
        results: list[object] = []
        for changes, neighbours in groupby(operations, key=lambda operation: type(operation) is Change):
            if changes:
                results.extend(self._change(db, cast("Change[object]", operation)) for operation in neighbours)
            else:
                decisions = cast("list[Decision]", list(neighbours))
                results.extend(write_decisions(db, decisions, self._catalogue, self._heads))
        return results

    def _change(self, db: Connection, operation: Change[object]) -> object:
        if not operation.aside:
            self._heads.forget()
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
