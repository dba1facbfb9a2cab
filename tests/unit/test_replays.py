"""The first decision of a run that repeats another: what is taken over, what is done anew, what is refused."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from riverflow._machine import Answered, Decision, Repeated, StageFinished, decide, rebuild, start
from riverflow._replays import replay
from riverflow.codec import decode, from_python
from riverflow.errors import NotFound, Unprocessable
from riverflow.models import CHECKPOINTS, Completed, Entry, Json, Plan, Record, Target
from riverflow.pipeline import Pipeline, Stage

NOW = 1_700_000_000.0
LATER = NOW + 1000
META = from_python(
    {
        "provider": "openai", "model": "o3", "duration_ms": 5,
        "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3},
        "attempts": [{"provider": "openai", "model": "o3", "duration_ms": 5, "success": True, "status": "success"}],
    }
)  # fmt: skip


class Routing:
    """Everybody is told."""

    def targets(self, plan: Plan, type: str, event_name: str | None) -> tuple[Target, ...]:
        return (Target(url="https://example.com/hook", endpoint_id="ep"),)

    def operators(self, type: str) -> tuple[Target, ...]:
        return ()

    def callback_token(self, run_id: str, place: str) -> str:
        return f"token of {place}"


def plan_of(*stages: Stage, event_name: str | None) -> Plan:
    return Plan(
        workflow="movie", workflow_id="wf", stages=Pipeline.of(stages).stages, provider="openai", model="gpt-4o",
        event_name=event_name, tag="test",
    )  # fmt: skip


PLAN = plan_of(
    Stage(name="generate", kind="generate"),
    Stage.hand_off("enrich", event_name="made"),
    Stage.hand_off("check", event_name="enriched"),
    Stage(name="finalise", kind="finalise"),
    event_name="made",
)


def moved(decision: Decision, taken: Any) -> Decision:
    following = decide(decision.record, taken, NOW, Routing())
    assert isinstance(following, Decision)
    return following


def original(*, answers: int, plan: Plan = PLAN) -> Record:
    """A run of which so many stages have an output."""
    decision = start("r1", "p", plan, Json(b'{"messages":[]}'), NOW, Routing(), [])
    inputs = [
        StageFinished(Completed(data=Json(b'{"made":1}'), meta=META)),
        Answered("enrich", Completed(data=Json(b'{"enriched":1}'), task_id="t1"), "digest of enrich"),
        Answered("check", Completed(data=Json(b'{"checked":1}')), "digest of check"),
    ]
    for taken in inputs[:answers]:
        decision = moved(decision, taken)
    return decision.record


def read_back(decision: Decision) -> Record:
    """The run as another process reads it from the log."""
    numbered = [msgspec.structs.replace(entry, number=n) for n, entry in enumerate(decision.entries, 1)]
    return rebuild(decision.record.run, tuple(entry for entry in numbered if entry.kind in CHECKPOINTS))


def kinds(decision: Decision) -> list[tuple[str, str | None, int | None]]:
    return [(entry.kind, entry.stage, entry.attempt) for entry in decision.entries]


def test_from_the_start_everything_is_done_anew() -> None:
    for stage in (None, "generate"):
        decision = replay("r2", original(answers=3), stage, LATER, Routing())
        assert kinds(decision) == [("run.accepted", None, None)]
        assert decision.run_next == PLAN.stages[0]
        assert decision.record.plan == msgspec.structs.replace(PLAN, replay_of="r1")
        assert bytes(decision.record.request) == b'{"messages":[]}'
        run = decision.record.run
        assert (run.id, run.project_id, run.created_at, run.status) == ("r2", "p", LATER, "pending")
        assert (run.summary.replay_of, run.summary.tag, run.summary.provider) == ("r1", "test", "openai")


def test_from_a_hand_off_its_backend_is_asked_again_and_no_provider() -> None:
    decision = replay("r2", original(answers=3), "enrich", LATER, Routing())
    assert kinds(decision) == [
        ("run.accepted", None, None),
        ("stage.completed", "generate", None),
        ("run.ai_generated", "enrich", None),
    ]
    assert decision.run_next is None
    (delivery,) = decision.deliveries
    assert (delivery.run_id, delivery.type, delivery.event_name) == ("r2", "task.ai_generated", "made")
    assert decode(delivery.body)["ai_response"] == {"data": {"made": 1}}
    run = decision.record.run
    assert (run.stage, run.phase, run.status, run.deadline_at) == ("enrich", "waiting", "ai_generated", LATER + 300)


def test_what_was_taken_over_has_no_price() -> None:
    """Tokens are the other run's; who answered is told all the same."""
    summary = replay("r2", original(answers=3), "enrich", LATER, Routing()).record.run.summary
    assert (summary.provider, summary.model, summary.replay_of, summary.tag) == ("openai", "gpt-4o", "r1", "test")
    assert (summary.attempts, summary.prompt_tokens, summary.duration_ms) == (0, 0, None)


def test_from_a_later_hand_off_the_earlier_answers_are_taken_over() -> None:
    decision = replay("r2", original(answers=3), "check", LATER, Routing())
    assert kinds(decision) == [
        ("run.accepted", None, None),
        ("callback.received", "enrich", None),
        ("stage.completed", "generate", None),
        ("stage.completed", "enrich", None),
        ("run.ai_generated", "check", None),
    ]
    (delivery,) = decision.deliveries
    assert decode(delivery.body)["data"] == {"enriched": 1}
    again = decide(
        decision.record, Answered("enrich", Completed(data=Json(b"{}")), "digest of enrich"), LATER, Routing()
    )
    assert isinstance(again, Repeated)


def test_from_the_end_only_the_telling_is_done_anew() -> None:
    whole = original(answers=3)
    decision = replay("r2", whole, "finalise", LATER, Routing())
    final = decision.entries[-1]
    assert final.kind == "run.completed"
    message = decode(final.data)
    assert message["data"] == {"checked": 1}
    assert message["ai_response"]["data"] == {"made": 1}
    assert message["channel_id"] == "r2"
    assert (decision.record.run.phase, decision.record.run.finished_at) == ("done", LATER)
    assert [delivery.type for delivery in decision.deliveries] == ["task.completed"]


@pytest.mark.parametrize("stage", [None, "generate", "enrich", "check", "finalise"])
def test_it_is_read_back_as_it_was_decided(stage: str | None) -> None:
    decision = replay("r2", original(answers=3), stage, LATER, Routing())
    assert read_back(decision) == decision.record


def test_a_plan_that_begins_with_a_hand_off_is_taken_over_too() -> None:
    plan = plan_of(
        Stage.hand_off("ask", event_name="asked"),
        Stage(name="shape", kind="markdown"),
        Stage(name="finalise", kind="finalise"),
        event_name="asked",
    )
    decision = start("r1", "p", plan, Json(b"{}"), NOW, Routing(), [])
    decision = moved(decision, Answered("ask", Completed(data=Json(b'{"a":1}')), "d"))
    again = replay("r2", decision.record, "shape", LATER, Routing())
    assert again.run_next == plan.stages[1]
    assert [entry.kind for entry in again.entries] == ["run.accepted", "callback.received", "stage.completed"]
    first = replay("r3", decision.record, "ask", LATER, Routing())
    assert first.record.run.phase == "waiting"


def test_a_stage_before_which_something_is_missing_is_refused() -> None:
    record = original(answers=1)
    assert replay("r2", record, "enrich", LATER, Routing()).record.run.stage == "enrich"
    with pytest.raises(Unprocessable, match="'enrich' has made nothing in this run; begin with 'enrich'"):
        replay("r2", record, "check", LATER, Routing())


def test_a_stage_that_is_none_is_refused_by_those_there_are() -> None:
    with pytest.raises(NotFound, match="no stage 'publish'; it has generate, enrich, check, finalise"):
        replay("r2", original(answers=3), "publish", LATER, Routing())


def test_a_replay_of_a_replay_names_the_one_it_repeats() -> None:
    second = replay("r2", original(answers=3), "enrich", LATER, Routing())
    third = replay("r3", second.record, "enrich", LATER + 1, Routing())
    assert third.record.plan.replay_of == "r2"
    assert isinstance(third.entries[1], Entry)
    assert decode(third.entries[1].data)["data"] == {"made": 1}
