"""The messages and bodies of the contract, field by field."""

from __future__ import annotations

import json
from typing import Any

import pytest

from riverflow import _payloads
from riverflow._payloads import account
from riverflow.codec import python_json
from riverflow.models import Failed, Json, Output, Plan, Receipt, Record, Run, Target
from riverflow.pipeline import Pipeline, Stage

AT = 1767616496.789  # 2026-01-05T12:34:56.789Z, the seed page's own
RUN = "550e8400-e29b-41d4-a716-446655440000"
PROJECT = "018bcfe5-6800-7000-8000-00000000000f"
BASE = "https://api.modelriver.com"

GENERATE = Stage(name="generate", kind="generate")
FINALISE = Stage(name="finalise", kind="finalise")
META = b'{"status":"success","provider":"openai","model":"gpt-4o-2024","duration_ms":1420}'
MOVIE = Output(stage="generate", data=Json(b'{"title":"Inception","year":2010}'), meta=account(Json(META)))
CHAT = Output(
    stage="generate",
    data=Json(b'{"choices":[{"message":{"role":"assistant","content":"hello"}}]}'),
    meta=account(Json(META)),
)
SAVED = Output(stage="enrich", data=Json(b'{"id":"mov_1"}'), task_id="t1", metadata=Json(b'{"ms":234}'))


def record(*outputs: Output, status: Any = "pending", event: str | None = "new_movie", later: bool = False) -> Record:
    hand_offs = [Stage.hand_off("enrich", event_name=event)] if event else []
    if later:
        hand_offs.append(Stage.hand_off("shape"))
    stages = Pipeline([GENERATE, *hand_offs, FINALISE]).stages
    return Record(
        run=Run(
            id=RUN,
            project_id=PROJECT,
            workflow="movie_suggestion",
            event_name=event,
            status=status,
            stage="finalise",
            phase="done",
            version=1,
            generation=1,
            created_at=AT,
            finished_at=AT + 2.5,
        ),
        plan=Plan(
            workflow="movie_suggestion",
            workflow_id="wf_1",
            stages=stages,
            provider="openai",
            model="gpt-4o",
            event_name=event,
            customer_data=Json(b'{"user_id":"user_456"}'),
            base_url=BASE,
        ),
        request=Json(b"{}"),
        outputs=outputs,
        receipts=tuple(
            Receipt(stage=output.stage, form="success", digest="") for output in outputs if output.stage != "generate"
        ),
    )


def read(message: bytes | Json) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(bytes(message))
    return value


def meta(status: str) -> dict[str, Any]:
    return json.loads(META) | {"status": status, "workflow": "movie_suggestion"}


@pytest.mark.parametrize(
    ("at", "text"),
    [
        (AT, "2026-01-05T12:34:56.789Z"),
        (0, "1970-01-01T00:00:00.000Z"),
        (1700000000, "2023-11-14T22:13:20.000Z"),
        (1700000000.9999, "2023-11-14T22:13:20.999Z"),
    ],
)
def test_times_are_iso_with_milliseconds_and_z(at: float, text: str) -> None:
    assert _payloads.iso(at) == text


def test_the_event_driven_webhook_is_the_seed_pages() -> None:
    run = record(MOVIE)
    body = _payloads.hand_off(run, run.plan.pipeline["enrich"], "new_movie", AT, "rcb_t")
    assert read(body) == {
        "type": "task.ai_generated",
        "event": "new_movie",
        "channel_id": RUN,
        "ai_response": {"data": {"title": "Inception", "year": 2010}},
        "callback_url": f"{BASE}/v1/callback/{RUN}",
        "callback_token": "rcb_t",
        "callback_required": True,
        "meta": {
            "workflow_id": "wf_1",
            "workflow_name": "movie_suggestion",
            "project_id": PROJECT,
            "provider": "openai",
            "model": "gpt-4o-2024",
        },
        "customer_data": {"user_id": "user_456"},
        "timestamp": "2026-01-05T12:34:56.789Z",
    }
    assert list(read(body))[:4] == ["type", "event", "channel_id", "ai_response"]


def test_a_later_hand_off_adds_its_stage_and_the_data_before_it() -> None:
    run = record(MOVIE, SAVED, later=True)
    body = read(_payloads.hand_off(run, run.plan.pipeline["shape"], "shape", AT, "rcb_t"))
    assert body["callback_url"] == f"{BASE}/v1/callback/{RUN}/shape"
    assert (body["stage"], body["data"]) == ("shape", {"id": "mov_1"})
    assert body["ai_response"] == {"data": {"title": "Inception", "year": 2010}}


def test_the_standard_webhook_is_the_seed_pages() -> None:
    assert read(_payloads.task_completed(record(MOVIE, status="success", event=None), AT)) == {
        "type": "task.completed",
        "workflow": "movie_suggestion",
        "status": "success",
        "channel_id": RUN,
        "data": {"title": "Inception", "year": 2010},
        "meta": meta("success"),
        "customer_data": {"user_id": "user_456"},
        "timestamp": "2026-01-05T12:34:56.789Z",
    }


def test_an_event_driven_completion_tells_the_answer_and_the_ais_own() -> None:
    assert read(_payloads.task_completed(record(MOVIE, SAVED, status="completed"), AT)) == {
        "type": "task.completed",
        "event": "new_movie",
        "workflow": "movie_suggestion",
        "status": "completed",
        "channel_id": RUN,
        "data": {"id": "mov_1"},
        "ai_response": {"data": {"title": "Inception", "year": 2010}},
        "task_id": "t1",
        "callback_metadata": {"ms": 234},
        "meta": meta("completed"),
        "customer_data": {"user_id": "user_456"},
        "timestamp": "2026-01-05T12:34:56.789Z",
    }


def test_the_failure_webhook() -> None:
    failure = Failed(code="broken", message="It broke", details=Json(b'{"status":504}'))
    assert read(_payloads.task_failed(record(MOVIE, status="error"), failure, AT)) == {
        "type": "task.failed",
        "event": "new_movie",
        "workflow": "movie_suggestion",
        "status": "error",
        "channel_id": RUN,
        "error": {"message": "It broke", "code": "broken", "details": {"status": 504, "code": "broken"}},
        "message": "It broke",
        "meta": meta("error"),
        "customer_data": {"user_id": "user_456"},
        "timestamp": "2026-01-05T12:34:56.789Z",
    }


def test_the_intermediate_message_carries_no_answer() -> None:
    message = read(_payloads.ai_generated(record(MOVIE, status="ai_generated"), "new_movie"))
    assert message == {
        "status": "ai_generated",
        "channel_id": RUN,
        "event_name": "new_movie",
        "message": message["message"],
        "customer_data": {"user_id": "user_456"},
        "meta": meta("pending"),
    }


def test_the_final_message_of_an_event_driven_run() -> None:
    assert read(_payloads.completed(record(MOVIE, SAVED, status="completed"))) == {
        "status": "completed",
        "message": "success",
        "channel_id": RUN,
        "data": {"id": "mov_1"},
        "ai_response": {
            "data": {"title": "Inception", "year": 2010},
            "meta": json.loads(META),
        },
        "task_id": "t1",
        "callback_metadata": {"ms": 234},
        "event_name": "new_movie",
        "customer_data": {"user_id": "user_456"},
        "meta": meta("completed"),
    }


@pytest.mark.parametrize(("output", "content"), [(CHAT, "hello"), (MOVIE, None)])
def test_the_final_message_of_a_standard_run(output: Output, content: str | None) -> None:
    message = read(_payloads.completed(record(output, status="success", event=None)))
    assert message == {
        "status": "success",
        "message": "success",
        "channel_id": RUN,
        "data": json.loads(bytes(output.data)),
        **({"content": content} if content else {}),
        "model": "gpt-4o-2024",
        "customer_data": {"user_id": "user_456"},
        "meta": meta("success"),
    }


@pytest.mark.parametrize(
    "data",
    [
        b"null",
        b"[]",
        b'"text"',
        b"5",
        b'{"choices":[]}',
        b'{"choices":5}',
        b'{"choices":[{}]}',
        b'{"choices":[{"message":5}]}',
    ],
)
def test_content_is_left_out_where_there_is_none(data: bytes) -> None:
    output = Output(stage="generate", data=Json(data), meta=account(Json(META)))
    assert "content" not in read(_payloads.completed(record(output, status="success", event=None)))


def test_a_failure_never_says_success_in_its_meta() -> None:
    """The browser client takes it for a success, whatever its status says."""
    for failure in (Failed(code="x", message="y"), Failed(code="x", message="y", meta=Json(b'{"status":"success"}'))):
        message = read(_payloads.failed(record(MOVIE, status="error"), failure))
        assert message["meta"]["status"] == "error"
        assert message["status"] == "error"
        assert isinstance(message["error"], dict)
        assert message["error"]["message"] == message["message"] == "y"
        assert "data" not in message


def test_the_state_is_the_message_with_the_dates() -> None:
    done = record(MOVIE, SAVED, status="completed")
    message = _payloads.completed(done)
    dates = {
        "workflow": "movie_suggestion",
        "created_at": "2026-01-05T12:34:56.789Z",
        "finished_at": "2026-01-05T12:34:59.289Z",
        "latest": 7,
    }
    assert read(_payloads.state(done, message, 7)) == read(message) | dates
    pending = {"status": "pending", "channel_id": RUN, "customer_data": {"user_id": "user_456"}}
    assert read(_payloads.state(record(), None, 7)) == pending | dates


def test_a_body_is_written_as_its_target_wants_it() -> None:
    body = '{"type":"task.ai_generated","ai_response":{"data":{"t":"é","n":8}}}'.encode()
    assert _payloads.written(body, Target(url="x")) == body
    wrapped = _payloads.written(body, Target(url="x", body="wrapped"))
    assert read(wrapped) == read(body) | {"data": read(body)}
    assert wrapped.endswith(b',"data":' + body + b"}")
    assert _payloads.written(body, Target(url="x", encoding="python-json")) == python_json(body)
    assert json.dumps(json.loads(body)).encode() == python_json(body)
    completed = b'{"type":"task.completed","data":{"a":1}}'
    assert _payloads.written(completed, Target(url="x", body="wrapped")) == completed


def test_users_bytes_are_spliced_as_they_are() -> None:
    data = b'{"9":1,"10":1e+21,"n":12345678901234567890,"s":"\xe2\x80\xa8"}'
    odd = Output(stage="generate", data=Json(data), meta=account(Json(META)))
    run = record(odd)
    assert data in _payloads.hand_off(run, run.plan.pipeline["enrich"], "new_movie", AT, "rcb_t")
    assert data in bytes(_payloads.completed(record(odd, status="success", event=None)))
