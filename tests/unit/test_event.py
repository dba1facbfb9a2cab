"""What a handler sees in each kind of message."""

from __future__ import annotations

from typing import Any

import pytest

from riverflow import codec
from riverflow.errors import Failure
from riverflow.event import Event
from riverflow.models import Deferred, Delivery, HandlerCall, Json


def event(type: str = "task.ai_generated", name: str | None = "new_movie", attempt: int = 1, **payload: Any) -> Event:
    body = codec.encode({"type": type, "event": name, "channel_id": "c-1", **payload})
    delivery = Delivery(
        id="dl_1",
        run_id="c-1",
        project_id="p",
        stage="enrich",
        type=type,
        url=f"local:{name}",
        lane=f"local:{name}",
        body=body,
        created_at=0,
        due_at=0,
        event_name=name,
        attempt=attempt,
    )
    return Event(delivery)


def test_a_hand_off() -> None:
    told = event(
        attempt=3,
        ai_response={"data": {"title": "Inception"}},
        callback_url="https://r/v1/callback/c-1",
        meta={"workflow_name": "movies"},
        customer_data={"user_id": "u"},
    )
    assert (told.name, told.type, told.channel_id, told.attempt) == ("new_movie", "task.ai_generated", "c-1", 3)
    assert told.idempotency_key == "dl_1"
    assert told.workflow == "movies"
    assert told.ai_response == {"data": {"title": "Inception"}}
    assert told.data == {"title": "Inception"}
    assert told.customer_data == {"user_id": "u"}
    assert told.callback_url == "https://r/v1/callback/c-1"
    assert told.expects_answer
    assert (told.status, told.error) == (None, None)
    assert told.payload["event"] == "new_movie"


def test_a_later_hand_off_works_on_the_stage_before() -> None:
    told = event(ai_response={"data": {"n": 1}}, data={"n": 2, "ai_response": {"data": 0}})
    assert told.data == {"n": 2, "ai_response": {"data": 0}}
    assert told.ai_response == {"data": {"n": 1}}


def test_a_completion() -> None:
    told = event("task.completed", workflow="movies", status="completed", data={"n": 2}, meta={"provider": "openai"})
    assert (told.name, told.workflow, told.status, told.data) == ("task.completed", "movies", "completed", {"n": 2})
    assert told.meta == {"provider": "openai"}
    assert not told.expects_answer


def test_a_failure() -> None:
    told = event("task.failed", None, workflow="movies", status="error", error={"message": "no"})
    assert (told.name, told.error, told.data, told.customer_data) == ("task.failed", {"message": "no"}, None, {})


def test_data_that_is_null_is_what_there_is() -> None:
    assert event(ai_response={"data": 1}, data=None).data is None


def test_the_body_is_read_once_and_may_be_changed_by_the_handler() -> None:
    told = event(ai_response={"data": {"n": 1}})
    told.data["n"] = 2
    assert told.data == {"n": 2}


def call(data: str, payload: dict[str, Any]) -> Event:
    told = HandlerCall(
        id="dl_1",
        run_id="c-1",
        project_id="p",
        stage="enrich",
        type="task.ai_generated",
        url="local:new_movie",
        lane="local:new_movie",
        created_at=0,
        due_at=0,
        event_name="new_movie",
        data=Json(data.encode()),
        customer_data=Json(b'{"user_id":"u"}'),
        write=lambda: codec.encode({**payload, "customer_data": {"user_id": "u"}}),
    )
    return Event(told)


@pytest.mark.parametrize(
    "payload", [{"ai_response": {"data": {"n": 1}}}, {"ai_response": {"data": {"n": 0}}, "data": {"n": 1}}]
)
def test_of_a_call_in_the_process_its_parts_and_the_whole_say_the_same(payload: dict[str, Any]) -> None:
    whole, parts = call('{"n":1}', payload), call('{"n":1}', payload)
    assert whole.payload == payload | {"customer_data": {"user_id": "u"}}
    assert (whole.data, whole.customer_data) == ({"n": 1}, {"user_id": "u"})
    parts.data["n"] = 2
    parts.customer_data["seen"] = True
    assert (parts.data, parts.customer_data) == ({"n": 2}, {"user_id": "u", "seen": True})
    kept = parts.payload.get("data", parts.payload["ai_response"]["data"])
    assert kept == {"n": 2}, "what the handler has changed stays changed"
    assert parts.data is kept
    assert parts.payload["customer_data"] is parts.customer_data


def test_deferring_and_failing() -> None:
    assert event().defer() == Deferred()
    with pytest.raises(Failure, match="too bad") as caught:
        event().fail("unfit", "too bad")
    assert caught.value.code == "unfit"


def test_its_repr_shows_no_content() -> None:
    assert repr(event(customer_data={"password": "hunter2"})) == "Event('new_movie', channel_id='c-1', attempt=1)"
