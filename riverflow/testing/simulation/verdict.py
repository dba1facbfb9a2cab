"""The verdict when all is quiet: every accepted request has reached exactly one final event, every reader has seen it,
every delivery has ended, and the log says so without a hole.

It looks at the tables and at what the witness saw; it changes nothing.
"""

from __future__ import annotations

import json
from typing import Any

from ...models import FINAL_KINDS, Delivery, Entry, Run
from .scenario import REVIEWED, Scenario
from .witness import Witness

__all__ = ["judge"]


def judge(witness: Witness, scenario: Scenario) -> None:
    """Note whatever breaks the promise."""
    tables = witness.tables
    for channel_id in witness.accepted:
        if channel_id not in tables.runs:
            witness.violate(f"run {channel_id}: accepted, and lost")
    for run in tables.runs.values():
        _Trial(witness, run).hold()
    _judge_keys(witness, scenario)
    for delivery in tables.deliveries.values():
        _judge_delivery(witness, delivery)


class _Trial:
    """One run before the judge."""

    def __init__(self, witness: Witness, run: Run) -> None:
        self._witness = witness
        self._run = run
        self._entries = witness.tables.entries[run.id]

    def hold(self) -> None:
        run, entries = self._run, self._entries
        if [entry.number for entry in entries] != list(range(1, len(entries) + 1)):
            self._violate("its numbers have holes")
        finals = [entry for entry in entries if entry.kind in FINAL_KINDS]
        if len(finals) != 1 or run.phase != "done":
            self._violate(f"it has {len(finals)} final entries and is {run.phase} at {run.stage!r}")
            return
        (final,) = finals
        public = [entry.number for entry in entries if entry.public]
        if public[-1] != final.number:
            self._violate("it has public entries after the final one")
        completed = [entry.stage for entry in entries if entry.kind == "stage.completed"]
        if len(set(completed)) != len(completed):
            self._violate(f"stages were completed twice: {completed}")
        self._answers(final)
        self._people(final)
        self._readers(public, final)

    def _answers(self, final: Entry) -> None:
        """What was acknowledged has been used: a callback's data is in the result, a cancel is the end."""
        message: dict[str, Any] = json.loads(bytes(final.data))
        ended_well = final.kind == "run.completed"
        if ended_well != (self._run.status in ("success", "completed")):
            self._violate(f"it ended with {final.kind} and status {self._run.status!r}")
        if self._run.id in self._witness.cancelled and message.get("error", {}).get("code") != "cancelled":
            self._violate(f"its cancel was acknowledged, and it ended with {message['status']!r}")
        taken = {entry.stage for entry in self._entries if entry.kind == "callback.received"}
        for (run_id, stage), receipt in self._witness.receipts.items():
            if run_id != self._run.id:
                continue
            if stage not in taken:
                self._violate(f"the callback {receipt.mark} of {stage!r} was acknowledged, and is not in the log")
            if receipt.form == "error" and message.get("message") != receipt.mark:
                self._violate(f"the error {receipt.mark} of {stage!r} was acknowledged, and it ended otherwise")
        made = [json.loads(bytes(entry.data)) for entry in self._entries if entry.kind == "stage.completed"]
        answered = made[1 if self._run.workflow == REVIEWED.name else 0]["data"] if ended_well else None
        if self._run.status == "completed" and message["ai_response"]["data"] != answered:
            self._violate(f"the AI answered {answered}, and the result says {message['ai_response']['data']}")
        if ended_well and self._run.workflow in ("remote", "wide", "lonely"):
            receipts = [r for (run_id, _), r in self._witness.receipts.items() if run_id == self._run.id]
            if receipts and message["data"] != {"by": receipts[0].mark}:
                self._violate(f"it was answered {receipts[0].mark}, and the result says {message['data']}")

    def _people(self, final: Entry) -> None:
        """What was acknowledged of a decision has come to pass, and a stage is decided or expired, not both."""
        ends = [entry for entry in self._entries if entry.kind in ("approval.decided", "approval.expired")]
        if len(ends) > 1:
            self._violate(f"it was decided {[entry.kind for entry in ends]}")
        ruling = self._witness.rulings.get(self._run.id)
        if ruling is None:
            return
        written = [json.loads(bytes(entry.data))["ruling"] for entry in ends if entry.kind == "approval.decided"]
        if [each["decision"] for each in written] != [ruling["decision"]]:
            self._violate(f"{ruling} was acknowledged, and its log says {written}")
        if ruling["decision"] == "reject":
            if json.loads(bytes(final.data)).get("message") != ruling["reason"]:
                self._violate(f"the rejection {ruling['reason']} was acknowledged, and it ended otherwise")
            return
        edit = self._witness.edits[self._run.id]
        passed = [entry for entry in self._entries if (entry.kind, entry.stage) == ("stage.completed", "review")]
        if len(passed) != 1 or (edit is not None and json.loads(bytes(passed[0].data))["data"] != edit):
            self._violate(f"{edit} was approved, and the run went on with {[bytes(entry.data) for entry in passed]}")

    def _readers(self, public: list[int], final: Entry) -> None:
        for name, seen in self._witness.seen.items():
            channel_id, kind, *_ = name.split(" ")
            if channel_id != self._run.id:
                continue
            if kind in ("sse", "late") and seen != public:
                self._violate(f"reader {name} has seen {seen}, and there are {public}")
            if kind == "socket" and seen[-1:] != [final.number]:
                self._violate(f"reader {name} has seen {seen}, and the final entry is {final.number}")
            if seen != sorted(seen):
                self._violate(f"reader {name} has seen {seen}")

    def _violate(self, what: str) -> None:
        self._witness.violate(f"run {self._run.id} ({self._run.workflow}): {what}")


def _judge_keys(witness: Witness, scenario: Scenario) -> None:
    """A request with an Idempotency-Key starts one run, however often it is sent."""
    started: dict[int, list[str]] = {}
    for run_id, entries in witness.tables.entries.items():
        number = json.loads(bytes(entries[0].data))["plan"]["customer_data"]["flow"]
        started.setdefault(number, []).append(run_id)
    for flow in scenario.flows:
        if flow.keyed and len(started.get(flow.number, ())) != 1:
            witness.violate(f"flow {flow.number} has a key, and has started {started.get(flow.number)}")


def _judge_delivery(witness: Witness, delivery: Delivery) -> None:
    entries = witness.tables.entries[delivery.run_id]
    tried = [json.loads(bytes(entry.data)) for entry in entries if entry.kind == "delivery.attempted"]
    outcomes = [attempt["outcome"] for attempt in tried if attempt["delivery_id"] == delivery.id]
    endings = witness.tables.endings.get(delivery.id, [])
    what = f"delivery {delivery.id} ({delivery.type} to {delivery.url})"
    if delivery.status == "pending":
        witness.violate(f"{what} is still pending after {len(outcomes)} attempts")
    if len(endings) > 1 and endings != ["expired", "delivered"]:
        witness.violate(f"{what} ended more than once: {endings}")
    if delivery.status == "delivered" and delivery.id not in witness.acknowledged:
        witness.violate(f"{what} is delivered, and nobody has taken it")
    if delivery.status == "dead" and "dead" not in outcomes:
        witness.violate(f"{what} is dead, and its log says {outcomes}")
    if len(outcomes) > 12:
        witness.violate(f"{what} was tried {len(outcomes)} times")
