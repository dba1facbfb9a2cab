"""A verified message's members, and the request that answers it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from riverflow.errors import ConfigError, NotWaiting
from riverflow.webhooks import CallbackRequest, Message

URL = "https://river.example/v1/callback/c-1/enrich"


def message(**payload: Any) -> Message:
    return Message(id="dl_1", dialect="standard", payload=payload, body=b"{}", timestamp=1)


def hand_off(**changes: Any) -> Message:
    return message(**({"type": "task.ai_generated", "callback_url": URL, "callback_required": True} | changes))


def test_it_has_what_the_payload_has() -> None:
    told = hand_off(
        event="new_movie", channel_id="c-1", ai_response={"data": {"a": 1}}, customer_data={"user": "u"}
    )  # fmt: skip
    assert (told.type, told.event, told.channel_id) == ("task.ai_generated", "new_movie", "c-1")
    assert (told.ai_response, told.data, told.customer_data) == ({"data": {"a": 1}}, {"a": 1}, {"user": "u"})
    assert (told.callback_url, told.callback_required) == (URL, True)
    assert message(data=None, ai_response={"data": 1}).data is None
    assert message(data=[1], ai_response={"data": 1}).data == [1]


def test_members_of_another_shape_count_as_none() -> None:
    told = message(type=1, event=[], channel_id=None, ai_response="x", customer_data=[1], callback_required="yes")
    assert (told.type, told.event, told.channel_id, told.callback_url) == (None, None, None, None)
    assert (told.ai_response, told.customer_data, told.data, told.callback_required) == ({}, {}, None, False)


@pytest.mark.parametrize("required", [1, "true", None, False])
def test_only_true_asks_for_an_answer(required: Any) -> None:
    assert not hand_off(callback_required=required).callback_required


@pytest.mark.parametrize(
    "url",
    [
        "",
        "/v1/callback/c-1",
        "//evil.example/",
        "ftp://river.example/",
        "file:///etc/passwd",
        "javascript:alert(1)",
        "https://",
        "https:///path",
        "https://user:password@river.example/",
        "https://river.example@evil.example/",
        "https://river.example\\@evil.example/",
        "https://river.example/ x",
        "https://river.example/\r\nx: y",
        "https://river.exämple/",
        "https://[::1/",
        7,
        None,
    ],
)
def test_a_callback_url_that_is_none_gets_no_credential(url: Any) -> None:
    told = hand_off(callback_url=url)
    assert (told.callback_url, told.callback_required) == (None, False)
    with pytest.raises(NotWaiting):
        told.answer({}, api_key="secret-key")


def test_an_answer_is_the_contracts() -> None:
    request = hand_off().answer({"b": 8.0, "a": "ë"}, task_id="t-1", metadata={"n": 1}, api_key="mr_live_key")
    assert (request.url, request.body) == (
        URL,
        '{"data":{"b":8,"a":"ë"},"task_id":"t-1","metadata":{"n":1}}'.encode(),
    )
    assert request.headers == {"authorization": "Bearer mr_live_key", "content-type": "application/json"}
    assert json.loads(hand_off().answer({}, api_key="mr_live_key").body) == {"data": {}}


def test_a_failure_is_the_contracts() -> None:
    request = hand_off().failure("processing_failed", "the database is down", api_key="mr_live_key")
    assert json.loads(request.body) == {"error": "processing_failed", "message": "the database is down"}
    assert json.loads(hand_off().failure("late", api_key="k").body) == {"error": "late", "message": "late"}


def test_a_token_that_the_message_brought_is_its_credential() -> None:
    told = hand_off(callback_token="cbt_secret")
    for request in (told.answer({}), told.answer({}, api_key="mr_live_key"), told.failure("x", api_key="mr_live_key")):
        assert request.headers["authorization"] == "Bearer cbt_secret"


@pytest.mark.parametrize("key", [None, ""])
def test_without_a_credential_there_is_no_answer(key: str | None) -> None:
    with pytest.raises(ConfigError, match="api_key"):
        hand_off().answer({}, api_key=key)


@pytest.mark.parametrize("data", [None, [], "text", 7, b"{}"])
def test_an_answers_data_is_an_object(data: Any) -> None:
    with pytest.raises(TypeError, match="JSON object"):
        hand_off().answer(data, api_key="mr_live_key")


def test_nothing_secret_is_shown() -> None:
    told = hand_off(callback_token="cbt_secret", customer_data={"email": "a@b.example"})
    shown = f"{told!r} {told.answer({}, api_key='mr_live_key')!r} {told}"
    assert not [part for part in ("cbt_secret", "mr_live_key", "a@b.example") if part in shown]
    assert isinstance(told.answer({}), CallbackRequest)
    assert "task.ai_generated" in shown
