"""The judge himself: stores that are wrong on purpose are found out within a few seeds."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from riverflow.models import Append, Delivery, Entry, Settlement
from riverflow.testing.simulation import AuditedTables, play
from riverflow.testing.simulation.tables import Key

WITHIN = 25  # seeds


class NoVersions(AuditedTables):
    """Whoever writes last is right."""

    def _agree(self, append: Append) -> None:
        return None


class NoGenerations(AuditedTables):
    """A claim does not fence off whoever carried the run before."""

    def _agree(self, append: Append) -> None:
        known = self.runs.get(append.run.id)
        if known is not None and known.version == append.expected_version:
            append = msgspec.structs.replace(
                append, run=msgspec.structs.replace(append.run, generation=known.generation)
            )
        super()._agree(append)


class NoLeases(AuditedTables):
    """Work may be taken from a living process."""

    def is_alive(self, owner: str, now: float) -> bool:
        return False


class Absentminded(AuditedTables):
    """Now and then a decision is acknowledged and not kept."""

    def __init__(self) -> None:
        super().__init__()
        self._appends = 0

    def append(self, append: Append) -> int:
        self._appends += 1
        if self._appends % 7 == 0 and append.expected_version is not None:
            return len(self.entries[append.run.id]) + 1
        return super().append(append)


class Holes(AuditedTables):
    """A settlement's entry is numbered, and lost."""

    def settle(self, settlement: Settlement) -> int:
        number = super().settle(settlement)
        if number % 2 == 0:
            self.entries[settlement.run_id].pop()
            self.entries[settlement.run_id].append(_numbered(settlement.entry, number + 1))
        return number


class Twice(AuditedTables):
    """A run's last entry is written twice."""

    def append(self, append: Append) -> int:
        first = super().append(append)
        if append.run.phase == "done":
            entries = self.entries[append.run.id]
            entries.append(_numbered(entries[-1], len(entries) + 1))
        return first


class NoCheckpoints(AuditedTables):
    """What a finished stage came to is not kept."""

    def append(self, append: Append) -> int:
        kept = tuple(entry for entry in append.entries if entry.kind != "stage.completed")
        return super().append(msgspec.structs.replace(append, entries=kept))


class NoRulings(AuditedTables):
    """Who decided, and how, is not kept."""

    def append(self, append: Append) -> int:
        kept = tuple(entry for entry in append.entries if entry.kind != "approval.decided")
        return super().append(msgspec.structs.replace(append, entries=kept))


class OtherKeys(AuditedTables):
    """A delivery has another id each time that it is tried again."""

    def change(self, delivery: Delivery, **changes: Any) -> None:
        super().change(delivery, **changes)
        changed = self.deliveries[delivery.id]
        row = self.due.pop(Key(delivery.run_id, delivery.id), None)
        if row is not None and changed.attempt > delivery.attempt:
            del self.deliveries[delivery.id]
            again = msgspec.structs.replace(changed, id=f"{changed.id}x")
            self.deliveries[again.id] = again
            self.due[Key(again.run_id, again.id)] = row


class Stuck(AuditedTables):
    """Work that is given back is forgotten."""

    def give_back(self, key: Key, due_at: float) -> None:
        self.due.pop(key, None)


def _numbered(entry: Entry, number: int) -> Entry:
    return msgspec.structs.replace(entry, number=number)


@pytest.mark.timeout(200)
@pytest.mark.parametrize(
    "wrong",
    [NoVersions, NoGenerations, NoLeases, Absentminded, Holes, Twice, NoCheckpoints, NoRulings, OtherKeys, Stuck],
    ids=lambda wrong: wrong.__name__,
)
def test_a_store_that_is_wrong_is_found_out(wrong: type[AuditedTables]) -> None:
    for seed in range(WITHIN):
        if play(seed, tables=wrong).violations:
            return
    raise AssertionError(f"{wrong.__name__} is not noticed in {WITHIN} seeds")
