"""The rules of an approval, without a store: who may answer it, what it writes, and how its run is rebuilt."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from riverflow._holds import digest_of, held
from riverflow._machine import (
    Answered,
    Cancelled,
    Extended,
    Progressed,
    Repeated,
    StageFinished,
    TimedOut,
    decide,
    rebuild,
)
from riverflow._moves import Decision
from riverflow.errors import Conflict, Expired, NotWaiting
from riverflow.models import CHECKPOINTS, Completed, Entry, Failed, Json, Plan, Record, Ruling, Target, Waiting
from riverflow.pipeline import Stage

from .test_machine import DONE, FINALISE, GENERATE, NOW, Told, begin, go

REVIEW = Stage.approval("review", timeout=600.0)
PUBLISH = Stage.hand_off("publish")
HELD = digest_of(DONE.data)
REJECTED = Failed(code="rejected", message="no")


class Desk(Told):
    """Routing that has somebody to tell of an approval."""

    def operators(self, type: str) -> tuple[Target, ...]:
        return (Target(url="https://ops.example/hook"),) if type == "approval.requested" else ()

    def approval_link(self, run_id: str, stage: str, begun: int, sha256: str, expires_at: float) -> str:
        return f"rap_{stage}.{begun}.{expires_at:.0f}"

    def callback_token(self, run_id: str, stage: str | None) -> str:
        raise AssertionError("no callback is minted for a person")

    def targets(self, plan: Plan, type: str, event_name: str | None) -> tuple[Target, ...]:
        assert type != "task.ai_generated"
        return ()


def ruled(decision: Any = "approve", *, data: Json = DONE.data, sha256: str = HELD, digest: str = "d1") -> Answered:
    ruling = Ruling(decision=decision, by="anna", way="link", at=NOW, sha256=sha256)
    outcome = Completed(data=data) if decision == "approve" else REJECTED
    return Answered("review", outcome, digest, via="approval", ruling=ruling)


class Log:
    """What a run has written so far."""

    def __init__(self, *stages: Stage) -> None:
        self.entries: list[Entry] = []
        self.record = self.took(begin(*stages))

    def took(self, decision: Decision) -> Record:
        self.entries += decision.entries
        self.record = decision.record
        return self.record

    def rebuilt(self) -> Record:
        return rebuild(self.record.run, tuple(entry for entry in self.entries if entry.kind in CHECKPOINTS))


@pytest.fixture
def log() -> Log:
    """A run that is held, with a hand-off behind it."""
    log = Log(GENERATE, REVIEW, PUBLISH, FINALISE)
    log.took(go(log.record, StageFinished(DONE)))
    assert log.record.run.stage == "review"
    log.took(go(log.record, StageFinished(Waiting(event_name="review", timeout=600.0)), routing=Desk()))
    return log


def test_it_is_held(log: Log) -> None:
    run = log.record.run
    assert (run.phase, run.status, run.deadline_at, run.summary.approval) == ("waiting", "ai_generated", NOW + 600, NOW)
    assert [entry.kind for entry in log.entries[-2:]] == ["approval.requested", "run.ai_generated"]
    assert [entry.public for entry in log.entries[-2:]] == [False, True]
    assert log.rebuilt() == log.record
    assert held(log.record, "review") == DONE.data


def test_operators_are_told_until_it_is_decided() -> None:
    log = Log(GENERATE, REVIEW, FINALISE)
    log.took(go(log.record, StageFinished(DONE)))
    decision = go(log.record, StageFinished(Waiting(event_name="review", timeout=600.0)), routing=Desk())
    (told,) = decision.deliveries
    assert (told.type, told.stage, told.expires_at) == ("approval.requested", "review", NOW + 600)
    assert "." not in told.id
    assert msgspec.json.decode(told.body)["data"]["url"].endswith(f"/approve/rap_review.1.{NOW + 600:.0f}")
    assert go(decision.record, ruled(), routing=Desk()).closes == "review"


@pytest.mark.parametrize("stage", ["review", None])
def test_nothing_but_a_ruling_answers_it(stage: str | None) -> None:
    log = Log(GENERATE, REVIEW, FINALISE)
    log.took(go(log.record, StageFinished(DONE)))
    log.took(go(log.record, StageFinished(Waiting(event_name="review", timeout=600.0)), routing=Desk()))
    for taken in (
        Answered(stage, DONE, "d"),
        Answered(stage, REJECTED, "d", via="handler"),
        Extended(stage, 60.0),
        Progressed(stage, Json(b"{}")),
    ):
        with pytest.raises(NotWaiting) as refused:
            go(log.record, taken)
        assert refused.value.code == "approval_required"


def test_a_later_hand_off_takes_its_callbacks_by_the_plain_url(log: Log) -> None:
    log.took(go(log.record, ruled()))
    assert (log.record.run.stage, log.record.run.phase) == ("publish", "waiting")
    assert log.record.run.summary.approval is None  # it waits, but for no person
    assert log.rebuilt() == log.record
    log.took(go(log.record, Answered(None, Completed(data=Json(b'{"id":1}')), "d2")))
    assert log.record.run.status == "completed"
    assert log.rebuilt() == log.record


def test_what_is_approved_is_what_was_held(log: Log) -> None:
    with pytest.raises(Conflict) as refused:
        go(log.record, ruled(sha256="0" * 64))
    assert refused.value.code == "approval_changed"
    log.took(go(log.record, ruled(data=Json(b'{"title":"Paprika"}'))))
    assert log.record.data == Json(b'{"title":"Paprika"}')
    assert held(log.record, "review") == DONE.data


def test_a_decision_is_taken_once(log: Log) -> None:
    log.took(go(log.record, ruled("reject")))
    assert (log.record.run.status, log.record.run.summary.approval) == ("error", None)
    assert log.rebuilt() == log.record
    again = Answered("review", REJECTED, "d1", via="approval", ruling=ruled("reject").ruling)
    repeated = decide(log.record, again, NOW + 9, Told())
    assert isinstance(repeated, Repeated)
    assert repeated.receipt.ruling == ruled("reject").ruling
    with pytest.raises(NotWaiting) as refused:
        go(log.record, ruled(digest="d2"))
    assert refused.value.code == "already_decided"


@pytest.mark.parametrize(
    ("on_timeout", "status", "code"),
    [("reject", "error", "rejected"), ("fail", "error", "approval_timeout"), ("approve", "completed", None)],
)
def test_its_deadline(on_timeout: Any, status: str, code: str | None) -> None:
    log = Log(GENERATE, Stage.approval("review", timeout=600.0, on_timeout=on_timeout), FINALISE)
    log.took(go(log.record, StageFinished(DONE)))
    log.took(go(log.record, StageFinished(Waiting(event_name="review", timeout=600.0)), routing=Desk()))
    with pytest.raises(NotWaiting):
        go(log.record, TimedOut(), now=NOW + 599)
    with pytest.raises(Expired):
        go(log.record, ruled(), now=NOW + 601)
    log.took(go(log.record, TimedOut(), now=NOW + 600))
    run = log.record.run
    assert (run.status, run.summary.error, run.summary.approval) == (status, code, None)
    assert log.rebuilt() == log.record
    with pytest.raises(Expired):
        go(log.record, ruled(), now=NOW + 601)


def test_a_cancelled_run_is_held_no_more(log: Log) -> None:
    log.took(go(log.record, Cancelled()))
    assert log.record.run.summary.approval is None
    with pytest.raises(NotWaiting) as refused:
        go(log.record, ruled())
    assert refused.value.code == "run_ended"
