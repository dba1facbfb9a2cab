"""What was seen from outside, and what of it breaks the promise at once: told before it was written, asked with another
key, answered unlike before.

It looks into the tables, never into the engine.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import msgspec

from ...models import Append, Delivery, Entry
from ...ports import StageContext
from .tables import Key, Tables

__all__ = ["AuditedTables", "Receipt", "Witness"]


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """A callback that was answered with 200: its mark in the body, its form, and the answer."""

    mark: str
    form: str
    stage: str


class AuditedTables(Tables):
    """Tables that look at what is written. `endings` has each delivery's ends in order; what should never have been
    written goes to `broken`, and so does work that is taken from one of the `living` processes."""

    def __init__(self) -> None:
        super().__init__()
        self.endings: dict[str, list[str]] = {}
        self.given_back: set[str] = set()  # deliveries that were to be tried again without being counted
        self.broken: Callable[[str], None] = lambda what: None
        self.living: Callable[[str], bool] = lambda owner: False

    def append(self, append: Append) -> int:
        known = self.runs.get(append.run.id)
        first = super().append(append)
        if known is not None and (known.version, known.generation) != (
            append.expected_version,
            append.run.generation,
        ):
            self.broken(f"run {known.id}: written by {append.owner!r}, which had lost it")
        if known is not None and known.phase == "done":
            self.broken(f"run {known.id}: changed after its end")
        return first

    def give_back(self, key: Key, due_at: float) -> None:
        super().give_back(key, due_at)
        self.given_back.add(key.delivery_id)

    def lease(self, key: Key, owner: str) -> str | None:
        before = super().lease(key, owner)
        if before is not None and self.living(before):
            self.broken(f"run {key.run_id}: {owner!r} takes {key.delivery_id or 'it'} from {before!r}, which is alive")
        return before

    def change(self, delivery: Delivery, **changes: object) -> None:
        super().change(delivery, **changes)
        status = self.deliveries[delivery.id].status
        if status != delivery.status:
            self.endings.setdefault(delivery.id, []).append(status)


class Witness:
    """Facts by run, and `violations` in words; `broken` is set with the first."""

    def __init__(self, tables: AuditedTables) -> None:
        self.tables = tables
        tables.broken = self.violate
        self.violations: list[str] = []
        self.broken = asyncio.Event()
        self.accepted: dict[str, int] = {}
        self.cancelled: set[str] = set()
        self.acknowledged: set[str] = set()  # keys of deliveries that a receiver or handler has taken
        self.receipts: dict[tuple[str, str], Receipt] = {}
        self.rulings: dict[str, dict[str, Any]] = {}  # by run: the decision that counts, as it was answered
        self.edits: dict[str, Any] = {}  # by run: what was approved in the place of what was held
        self.seen: dict[str, list[int]] = {}
        self._keys: dict[tuple[str, str, str, str], str] = {}

    def violate(self, what: str) -> None:
        """Note a broken promise, once."""
        self.broken.set()
        if what not in self.violations:
            self.violations.append(what)

    # What processes do

    def stage_begins(self, context: StageContext) -> None:
        """A finished stage is not run again by whoever still holds the run."""
        run, stage = context.record.run, context.stage.name
        stored = self.tables.runs.get(run.id)
        if stored is None:
            self.violate(f"run {run.id}: stage {stage!r} begins before the run was written")
        elif stored.generation == run.generation and stage in self._finished(run.id):
            self.violate(f"run {run.id}: stage {stage!r} begins again after its checkpoint")

    def observed(self, run_id: str, entry: Entry) -> None:
        """An observer is told of what is written, and of nothing else."""
        if not self._is_written(run_id, entry.number, bytes(entry.data)):
            self.violate(f"run {run_id}: an observer is told of entry {entry.number} ({entry.kind}) that is not there")

    def asked(self, key: str, run_id: str, what: str, target: str) -> None:
        """A receiver or handler is asked: with one key for each thing that it is asked, always the same."""
        delivery = self.tables.deliveries.get(key)
        stage = self._called_at(key, run_id) if delivery is None else delivery.stage
        if stage is None:
            self.violate(f"run {run_id}: {target} is told of {what} before it was written")
            return
        place = (run_id, what, stage, target)
        if self._keys.setdefault(place, key) != key:
            self.violate(f"run {run_id}: {target} is asked for {what} with the keys {self._keys[place]} and {key}")

    def handled(self, key: str, run_id: str, attempt: int) -> None:
        """A handler is called: not again for what it has done, unless another attempt was begun for it. (After an
        append whose answer was lost, an attempt that is being made may be given back: its number stays the same.)"""
        delivery = self.tables.deliveries.get(key)
        if key in self.tables.given_back:
            return
        done = delivery is not None and (delivery.status, delivery.attempt) == ("delivered", attempt)
        if done or (delivery is None and attempt in self._succeeded(key, run_id)):
            self.violate(f"delivery {key}: attempt {attempt} is made again though it has succeeded")

    # What clients see

    def was_accepted(self, channel_id: str, flow: int) -> None:
        """A submission was answered with 200."""
        self.accepted[channel_id] = flow
        if channel_id not in self.tables.runs:
            self.violate(f"run {channel_id}: accepted, but not written")

    def was_cancelled(self, channel_id: str) -> None:
        self.cancelled.add(channel_id)

    def callback_answered(self, channel_id: str, stage: str, mark: str, form: str, status: int, body: bytes) -> None:
        """One answer counts, and whoever repeats it is answered alike."""
        known = next((r for (run, _), r in self.receipts.items() if run == channel_id and r.mark == mark), None)
        if status != 200:
            if known is not None and status < 500:
                self.violate(f"run {channel_id}: the callback {mark} was answered 200, then {status}: {body!r}")
            return
        said: dict[str, Any] = json.loads(body)
        receipt = Receipt(mark=mark, form=said["outcome"], stage=said["stage"])
        first = self.receipts.setdefault((channel_id, receipt.stage), receipt)
        if first != receipt or receipt.form != form:
            self.violate(f"run {channel_id}: stage {receipt.stage!r} took the callbacks {first} and {receipt}")
        if stage and stage != receipt.stage:
            self.violate(f"run {channel_id}: a callback for {stage!r} was taken for {receipt.stage!r}")

    def decision_answered(self, channel_id: str, said: dict[str, Any], status: int, body: bytes) -> None:
        """One decision counts; the same again is answered alike, another is told which it was."""
        told: dict[str, Any] = json.loads(body)
        if status == 200:
            ruling = self.rulings.setdefault(channel_id, told["ruling"])
            if ruling != told["ruling"] or (ruling["decision"], ruling["reason"]) != (
                said["decision"],
                said.get("reason"),
            ):
                self.violate(f"run {channel_id}: {said} is answered {told['ruling']}, and {ruling} was first")
            if self.edits.setdefault(channel_id, said.get("data")) != said.get("data"):
                self.violate(f"run {channel_id}: {self.edits[channel_id]} and {said.get('data')} were both approved")
        elif status in (409, 410):
            known, code = self.rulings.get(channel_id), told["error"]["code"]
            if known is not None and (code, told["error"].get("decided_at")) != ("already_decided", known["at"]):
                self.violate(f"run {channel_id}: after {known} it was answered {told}")
        elif status not in (429, 503):
            self.violate(f"run {channel_id}: the decision {said} is answered {status}: {body!r}")

    def frame_came(self, channel_id: str, number: int | None, data: bytes) -> int:
        """A browser was told: of what is written. The number of the entry (0: there is none)."""
        public = [entry for entry in self.tables.entries.get(channel_id, ()) if entry.public]
        found = [entry.number for entry in public if bytes(entry.data) == data and number in (None, entry.number)]
        if not found:
            self.violate(f"run {channel_id}: a reader is told of entry {number} that is not there: {data[:80]!r}")
        return found[0] if found else 0

    # Inside

    def _called_at(self, key: str, run_id: str) -> str | None:
        """The stage of a hand-off whose handler is called in process, of which no delivery is kept; None where the run
        has not come there."""
        run, entries = self.tables.runs.get(run_id), self.tables.entries.get(run_id)
        if run is None or not entries:
            return None
        stages = [stage["name"] for stage in json.loads(bytes(entries[0].data))["plan"]["stages"]]
        called = {f"msg_{run_id.replace('-', '')}_{number}_0": number for number in range(len(stages))}
        number = called.get(key)
        if number is None or not self._finished(run_id).issuperset(stages[:number]):
            return None
        return stages[number] if run.is_called or run.phase == "done" or run.stage != stages[number] else None

    def _succeeded(self, key: str, run_id: str) -> list[int | None]:
        """The attempts of a call that the log says went well."""
        tried = [entry for entry in self.tables.entries.get(run_id, ()) if entry.kind == "delivery.attempted"]
        said = [(entry.attempt, json.loads(bytes(entry.data))) for entry in tried]
        return [number for number, each in said if (each["delivery_id"], each["outcome"]) == (key, "delivered")]

    def _finished(self, run_id: str) -> set[str | None]:
        return {entry.stage for entry in self.tables.entries.get(run_id, ()) if entry.kind == "stage.completed"}

    def _is_written(self, run_id: str, number: int, data: bytes) -> bool:
        entries = self.tables.entries.get(run_id, [])
        return number <= len(entries) and bytes(entries[number - 1].data) == data
