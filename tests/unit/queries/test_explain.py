"""Why a run is where it is, in one sentence, for every place that it can be in."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from riverflow._queries import AttemptShown, DeliveryShown, Excerpt, explain
from riverflow._queries._explain import span
from riverflow.codec import from_python
from riverflow.models import Failed, FailedTry, Fallback, Json, Output, Plan, Receipt, Record, Run, Summary
from riverflow.pipeline import Pipeline, Stage

NOW = 1_700_000_000.0
URL = "https://backend.example.com/hook"
STAGES = (
    Stage(name="generate", kind="generate"),
    Stage.hand_off("enrich", event_name="made"),
    Stage(name="shape", kind="markdown", timeout=30),
    Stage(name="finalise", kind="finalise"),
)


def record(
    stage: str, phase: Any, status: Any = "pending", *, plan: dict[str, Any] | None = None, **run: Any
) -> Record:
    fields: dict[str, Any] = {
        "workflow": "movie", "workflow_id": "wf", "stages": Pipeline.of(STAGES).stages, "provider": "openai",
        "model": "gpt-4o",
    }  # fmt: skip
    state = Run(
        id="r", project_id="p", workflow="movie", event_name="made", status=status, stage=stage, phase=phase, version=1,
        generation=run.pop("generation", 1), created_at=NOW - 100, **run,
    )  # fmt: skip
    return Record(run=state, plan=Plan(**(fields | (plan or {}))), request=Json(b"{}"))


def attempt(outcome: str = "retrying", *, after: float = 0.0, **changes: Any) -> AttemptShown:
    return AttemptShown(
        number=1, attempt=1, at=NOW - 10 + after, duration_ms=5, outcome=outcome, url=URL,
        **({"status": 500} | changes),
    )  # fmt: skip


def delivery(status: Any, *attempts: AttemptShown, **changes: Any) -> DeliveryShown:
    fields: dict[str, Any] = {
        "id": "d", "type": "task.ai_generated", "event_name": "made", "stage": "enrich", "url": URL,
        "endpoint_id": "ep", "status": status, "attempt": 1, "created_at": NOW - 20,
        "due_at": NOW + 25, "expires_at": None, "body": Excerpt("{}", 2), "attempts": attempts,
    }  # fmt: skip
    return DeliveryShown(**(fields | changes))


WAITING = record("enrich", "waiting", "ai_generated", deadline_at=NOW + 60)
DONE = record("finalise", "done", "completed", finished_at=NOW - 97.5, summary=Summary(provider="openai", model="o3"))
DONE = msgspec.structs.replace(
    DONE,
    outputs=(Output(stage="generate", data=Json(b"1"), meta=Json(b"{}")),),
    receipts=(Receipt(stage="enrich", form="success", digest=""),),
)
RESULT = {"type": "task.completed", "stage": "finalise"}


@pytest.mark.parametrize(
    ("at", "deliveries", "says"),
    [
        (
            record("generate", "running", generation=0),
            (),
            "Queued for 1 min 40 s: no process has had room for it yet.",
        ),
        (
            record("generate", "running"),
            (),
            "In generate: waiting for openai/gpt-4o; an attempt may take up to 5 min.",
        ),
        (
            record("generate", "running", generation=3, plan={"fallbacks": (Fallback(provider="x", model="y"),)}),
            (),
            "In generate (attempt 3): waiting for openai/gpt-4o (1 fallback behind it); "
            "an attempt may take up to 5 min.",
        ),
        (
            record("shape", "running", "ai_generated"),
            (),
            "In shape: a stage of kind markdown is running; it may take up to 30 s.",
        ),
        (
            record("enrich", "running", "ai_generated", deadline_at=NOW + 60),
            (delivery("pending", url="local:made", owed=False),),
            "In enrich: the handler for made is running, 1 min left.",
        ),
        (
            record("enrich", "running", "ai_generated", deadline_at=NOW - 2),
            (),
            "In enrich: the handler for made is 2 s overdue; the request is about to time out.",
        ),
        (
            WAITING,
            (),
            "Awaiting the callback for made (stage enrich), 1 min left: no handler and no enabled webhook endpoint "
            "takes it, so somebody else has to call back.",
        ),
        (
            WAITING,
            (delivery("pending"),),
            f"Awaiting the callback for made (stage enrich), 1 min left: delivering to {URL}.",
        ),
        (
            WAITING,
            (delivery("pending", url="local:made"),),
            "Awaiting the callback for made (stage enrich), 1 min left: its handler is running.",
        ),
        (
            WAITING,
            (delivery("pending", attempt(), attempt(status=None, error="timeout", message="no answer within 30 s")),),
            f"Awaiting the callback for made (stage enrich), 1 min left: delivery to {URL} failed 2 times (no answer "
            "within 30 s), next attempt in 25 s.",
        ),
        (
            WAITING,
            (delivery("dead", attempt("dead")), delivery("delivered", attempt("delivered", status=200))),
            f"Awaiting the callback for made (stage enrich), 1 min left: {URL} acknowledged the webhook 10 s ago "
            "and has not called back yet.",
        ),
        (
            WAITING,
            (delivery("delivered", attempt("delivered", status=None), url="local:made"),),
            "Awaiting the callback for made (stage enrich), 1 min left: the handler took it 10 s ago and "
            "answers later, through the callback URL.",
        ),
        (
            WAITING,
            (delivery("dead", attempt("dead", status=410)),),
            f"Awaiting the callback for made (stage enrich), 1 min left: delivery to {URL} failed (HTTP 410), and "
            "nobody else is told.",
        ),
        (
            record("enrich", "waiting", "ai_generated", deadline_at=NOW - 2),
            (),
            "The callback for made (stage enrich) is 2 s overdue; the request is about to time out.",
        ),
        (DONE, (), "Completed in 2.5 s: answered by openai/o3, enrich completed."),
        (
            DONE,
            (delivery("pending", attempt(), due_at=NOW - 1, **RESULT), delivery("pending", **RESULT)),
            f"Completed in 2.5 s: answered by openai/o3, enrich completed; delivery to {URL} failed once (HTTP 500), "
            "the next attempt is due (and 1 other).",
        ),
        (
            DONE,
            (delivery("delivered"), delivery("dead", attempt("dead"), **RESULT)),
            f"Completed in 2.5 s: answered by openai/o3, enrich completed; delivery to {URL} failed (HTTP 500).",
        ),
        (
            record("generate", "done", "error", finished_at=NOW - 99),
            (),
            "Failed in generate after 1 s (timeout): no answer within 300 s.",
        ),
    ],
)
def test_a_run_is_explained(at: Record, deliveries: tuple[DeliveryShown, ...], says: str) -> None:
    failure = Failed(code="timeout", message="no answer within 300 s.") if at.run.status == "error" else None
    assert explain(at, deliveries, failure, NOW) == says


def test_what_failed_before_the_answer_is_said() -> None:
    slow = FailedTry("openai", "gpt-4o", "timeout", 1000)
    summary = Summary(provider="anthropic", model="claude", attempts=3, failed=(slow, slow))
    run = msgspec.structs.replace(DONE.run, summary=summary)
    text = explain(msgspec.structs.replace(DONE, run=run), (), None, NOW)
    assert "answered by anthropic/claude after 2 failed attempts" in text


def test_a_cancelled_run_says_so() -> None:
    at = record("generate", "done", "error", finished_at=NOW)
    assert explain(at, (), Failed(code="cancelled", message="The run was cancelled"), NOW) == (
        "Cancelled in generate after 1 min 40 s."
    )


def test_a_failure_whose_entry_is_out_of_sight_is_known_by_its_summary() -> None:
    at = record("enrich", "done", "error", finished_at=NOW, summary=Summary(error="callback_timeout"))
    assert explain(at, (), None, NOW) == "Failed in enrich after 1 min 40 s (callback_timeout)."


def test_what_users_supply_stands_as_they_wrote_it() -> None:
    evil = "<script>alert(1)</script>"
    at = record("generate", "running", plan={"model": evil})
    assert f"waiting for openai/{evil};" in explain(at, (), None, NOW)
    assert from_python(evil)  # text it stays: whoever shows it escapes it


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (-5, "0 ms"),
        (0.0004, "0 ms"),
        (0.23, "230 ms"),
        (0.9996, "1 s"),
        (4.24, "4.2 s"),
        (59.96, "1 min"),
        (185, "3 min 5 s"),
        (3600, "1 h"),
        (7800, "2 h 10 min"),
        (86_400 * 3 + 4 * 3600 + 59, "3 d 4 h"),
    ],
)
def test_a_length_of_time_as_people_say_it(seconds: float, said: str) -> None:
    assert span(seconds) == said
