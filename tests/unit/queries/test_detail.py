"""One run as a page shows it: stages, tries, deliveries, receipts; also of a log whose payloads are forgotten."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from riverflow._queries._detail import deliveries_of, entries_of, receipts_of, stages_of, tries_of
from riverflow._queries._excerpt import excerpt
from riverflow._queries._explain import explain
from riverflow._queries._fixture import fixture_of
from riverflow._queries._questions import replayable
from riverflow._queries._said import failure_of, message_of, warnings_of
from riverflow.codec import from_python
from riverflow.forgetting import without_payload
from riverflow.models import Delivery, Entry, Json, Output, Plan, Record, Run
from riverflow.pipeline import Pipeline, Stage

NOW = 1_700_000_000.0
STAGES = Pipeline.of(
    (
        Stage(name="generate", kind="generate"),
        Stage.hand_off("enrich", event_name="made"),
        Stage(name="finalise", kind="finalise"),
    )
).stages
PLAN = Plan(workflow="movie", workflow_id="wf", stages=STAGES, provider="openai", model="gpt-4o", event_name="made")
META = {
    "attempts": [
        {"provider": "openai", "model": "gpt-4o", "duration_ms": 400, "success": False, "status": "error",
         "reason": "timeout"},
        {"provider": "openai", "model": "o3", "duration_ms": 500, "success": True, "status": "success"},
    ]
}  # fmt: skip


def entry(kind: str, after: float, data: Any, *, stage: str | None = None, attempt: int | None = 1) -> Entry:
    return Entry(kind=kind, at=NOW + after, number=1, stage=stage, attempt=attempt, data=from_python(data))


ENTRIES = (
    entry("run.accepted", 0, {"plan": {}, "request": {"a": 1}, "warnings": ["nobody takes 'made': it waits"]}),
    entry("stage.completed", 1, {"stage": "generate", "data": {"x": 1}, "meta": META}, stage="generate"),
    entry("run.ai_generated", 1, {"status": "ai_generated"}, stage="enrich"),
    entry("stage.unattended", 1, {"message": "nobody takes 'made'"}, stage="enrich"),
    entry(
        "delivery.attempted", 2,
        {"delivery_id": "d1", "type": "t", "url": "https://e", "outcome": "retrying", "status": 500, "duration_ms": 70,
         "response": "oops", "response_headers": {"x": "y"}},
        stage="enrich",
    ),
    entry("callback.received", 3, {"stage": "enrich", "form": "error", "digest": "", "via": "handler"}, stage="enrich"),
    entry("run.failed", 4, {"status": "error", "error": {"message": "no", "code": "too_old"}}, stage="enrich"),
)  # fmt: skip


def record(stage: str, phase: Any, status: Any, outputs: tuple[str, ...] = (), **run: Any) -> Record:
    state = Run(
        id="r", project_id="p", workflow="movie", event_name="made", status=status, stage=stage, phase=phase, version=1,
        generation=1, created_at=NOW, **run,
    )  # fmt: skip
    made = tuple(Output(stage=name, data=Json(b"{}"), meta=Json(b"{}")) for name in outputs)
    return Record(run=state, plan=PLAN, request=Json(b"{}"), outputs=made)


def states(at: Record, entries: tuple[Entry, ...]) -> list[tuple[str, float | None, float | None]]:
    def since(moment: float | None) -> float | None:
        return None if moment is None else moment - NOW

    return [(each.state, since(each.began_at), since(each.ended_at)) for each in stages_of(at, entries)]


@pytest.mark.parametrize(
    ("at", "until", "shown"),
    [
        (
            record("generate", "running", "pending"),
            1,
            [("running", 0, None), ("ahead", None, None), ("ahead", None, None)],
        ),
        (
            record("enrich", "waiting", "ai_generated"),
            4,
            [("done", 0, 1), ("waiting", 1, None), ("ahead", None, None)],
        ),
        (
            record("enrich", "done", "error", finished_at=NOW + 4),
            7,
            [("done", 0, 1), ("failed", 1, 4), ("left_out", None, None)],
        ),
        (
            record("generate", "done", "error", finished_at=NOW + 4),
            1,
            [("failed", 0, 4), ("left_out", None, None), ("left_out", None, None)],
        ),
    ],
)
def test_stages_follow_one_another(at: Record, until: int, shown: list[Any]) -> None:
    assert states(at, ENTRIES[:until]) == shown


def test_a_run_that_went_well_has_every_stage_done() -> None:
    entries = (*ENTRIES[:4], entry("stage.completed", 3, {"stage": "enrich", "data": {}}, stage="enrich"))
    at = record("finalise", "done", "completed", finished_at=NOW + 3)
    assert states(at, entries) == [("done", 0, 1), ("done", 1, 3), ("done", 3, 3)]


def test_a_stage_without_an_attempt_was_copied() -> None:
    copied = msgspec.structs.replace(ENTRIES[1], attempt=None)
    shown = stages_of(record("enrich", "waiting", "ai_generated"), (ENTRIES[0], copied))
    assert [each.copied for each in shown] == [True, False, False]
    assert tries_of((copied,)) == ()


def test_tries_attempts_and_receipts_are_in_order() -> None:
    assert [(each.stage, each.model, each.success, each.reason) for each in tries_of(ENTRIES)] == [
        ("generate", "gpt-4o", False, "timeout"),
        ("generate", "o3", True, None),
    ]
    assert [(each.stage, each.form, each.via) for each in receipts_of(ENTRIES)] == [("enrich", "error", "handler")]
    owed = Delivery(
        id="d1", run_id="r", project_id="p", stage="enrich", type="task.ai_generated", url="https://e", lane="http",
        body=b"{}", created_at=NOW, due_at=NOW,
    )  # fmt: skip
    (shown,) = deliveries_of([owed], ENTRIES)
    (attempt,) = shown.attempts
    assert (attempt.status, attempt.response, attempt.response_headers) == (500, "oops", {"x": "y"})
    assert (attempt.began_at, attempt.ok, shown.can_replay) == (pytest.approx(NOW + 1.93), False, False)


def test_what_the_entries_say_of_the_run() -> None:
    assert warnings_of(ENTRIES) == ("nobody takes 'made': it waits",)
    assert warnings_of(ENTRIES[3:4]) == ("nobody takes 'made'",)
    failure, message = failure_of(ENTRIES), message_of(ENTRIES[:6])
    assert failure is not None
    assert (failure.code, failure.message) == ("too_old", "no")
    assert failure_of(ENTRIES[:6]) is None
    assert message is not None
    assert bytes(message) == b'{"status":"ai_generated"}'


def test_a_log_whose_payloads_are_forgotten_is_shown_all_the_same() -> None:
    forgotten = tuple(map(without_payload, ENTRIES))
    at = record("enrich", "done", "error", ("generate",), finished_at=NOW + 4)
    assert stages_of(at, forgotten) == stages_of(at, ENTRIES)
    assert tries_of(forgotten) == tries_of(ENTRIES)
    assert failure_of(forgotten) is None  # its words are; its code stands in the summary
    summary = msgspec.structs.replace(at.run.summary, error="too_old")
    failed = msgspec.structs.replace(at, run=msgspec.structs.replace(at.run, summary=summary))
    assert "(too_old)" in explain(failed, (), failure_of(forgotten), NOW + 5)
    assert warnings_of(forgotten) == warnings_of(ENTRIES)
    assert entries_of(forgotten)[1].data.text.startswith('{"stage":"generate","data":null,')
    owed = Delivery(
        id="d1", run_id="r", project_id="p", stage="enrich", type="t", url="https://e", lane="http", body=b"",
        created_at=NOW, due_at=NOW,
    )  # fmt: skip
    (shown,) = deliveries_of([owed], forgotten)
    assert shown.attempts[0].response is None
    assert fixture_of(at, tries_of(forgotten)).tries == fixture_of(at, tries_of(ENTRIES)).tries


@pytest.mark.parametrize(
    ("outputs", "names"),
    [
        ((), ("generate",)),
        (("generate",), ("generate", "enrich")),
        (("generate", "enrich"), ("generate", "enrich", "finalise")),
    ],
)
def test_a_replay_can_begin_where_everything_before_is_done(outputs: tuple[str, ...], names: tuple[str, ...]) -> None:
    assert replayable(record("generate", "running", "pending", outputs)) == names


@pytest.mark.parametrize(
    ("body", "text", "size", "whole"),
    [
        (b"", "", 0, True),
        (b"abcde", "abcde", 5, True),
        (b"abcdef", "abcde", 6, False),
        ("abcdü".encode(), "abcd", 6, False),
        ("ab🚀".encode(), "ab", 6, False),
        (b"\xff\xfe", "\ufffd\ufffd", 2, True),
    ],
)
def test_an_excerpt_is_cut_between_two_characters(body: bytes, text: str, size: int, whole: bool) -> None:
    cut = excerpt(body, 5)
    assert (cut.text, cut.size, cut.whole) == (text, size, whole)
