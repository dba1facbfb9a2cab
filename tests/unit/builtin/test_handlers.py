"""What becomes of a handler's result, its errors and its time."""

from __future__ import annotations

import asyncio
import functools
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from riverflow import codec
from riverflow.builtin.handlers import MESSAGE_LIMIT, HandlerSender, riverflow_senders
from riverflow.errors import Failure, HandlerError
from riverflow.event import Event, Result
from riverflow.models import Answer, Completed, Deferred, Delivery, Failed, Json
from riverflow.testing import make_context

pytestmark = pytest.mark.anyio


def delivery(type: str = "task.ai_generated") -> Delivery:
    name = "told" if type == "task.ai_generated" else type
    return Delivery(
        id="dl_1",
        run_id="c-1",
        project_id="p",
        stage="enrich",
        type=type,
        url=f"local:{name}",
        lane=f"local:{name}",
        body=b'{"ai_response":{"data":{"n":1}}}',
        created_at=0,
        due_at=0,
        event_name="told",
        attempt=2,
    )


async def tell(handler: Callable[[Event], Any], *, type: str = "task.ai_generated", timeout: float = 5.0) -> Answer:
    told = delivery(type)
    name = told.url.removeprefix("local:")
    return await HandlerSender({name: handler}).send(told, {}, timeout)


def returning(value: Any) -> Callable[[Event], Any]:
    async def handler(event: Event) -> Any:
        return value

    return handler


def raising(error: BaseException) -> Callable[[Event], Any]:
    async def handler(event: Event) -> Any:
        raise error

    return handler


def completed_with(answer: Answer) -> Any:
    assert isinstance(answer.outcome, Completed)
    return codec.decode(answer.outcome.data)


@dataclass
class Movie:
    title: str
    rating: float


async def test_a_dict_completes_the_stage() -> None:
    answer = await tell(returning({"title": "Inception", "rating": 8.0, "10": 1}))
    assert answer.status == 200
    assert answer.outcome == Completed(data=Json(b'{"10":1,"title":"Inception","rating":8}'))


async def test_anything_with_a_json_object_form_will_do() -> None:
    answer = await tell(returning(Movie("Inception", 8.5)))
    assert answer.outcome == Completed(data=Json(b'{"title":"Inception","rating":8.5}'))


async def test_a_result_carries_more() -> None:
    answer = await tell(returning(Result({"n": 1}, "movie_1", {"ms": 2.0})))
    assert answer.outcome == Completed(data=Json(b'{"n":1}'), task_id="movie_1", metadata=Json(b'{"ms":2}'))


async def test_deferring_waits() -> None:
    async def handler(event: Event) -> Deferred:
        return event.defer()

    answer = await tell(handler)
    assert (answer.status, answer.outcome, answer.ok) == (202, Deferred(), True)


async def test_a_declared_failure_is_an_outcome() -> None:
    async def handler(event: Event) -> None:
        event.fail("unfit", "no such movie")

    answer = await tell(handler)
    assert answer.outcome == Failed(code="unfit", message="no such movie")
    assert (answer.status, answer.ok, answer.error) == (200, True, None)


@pytest.mark.parametrize("value", [None, [], "text", 7, True, Result(None), Result([1])])
async def test_what_is_no_object_is_an_error_that_says_so(value: Any) -> None:
    answer = await tell(returning(value))
    assert isinstance(answer.outcome, Failed)
    assert answer.outcome.code == "invalid_result"
    assert "return a dict" in answer.outcome.message


@pytest.mark.parametrize("value", [{"a": object()}, {"a": {1j}}, Result({}, metadata=object()), {"a": "\ud800"}])
async def test_what_has_no_json_form_is_an_error_that_says_so(value: Any) -> None:
    answer = await tell(returning(value))
    assert isinstance(answer.outcome, Failed)
    assert answer.outcome.code == "invalid_result"
    assert "no JSON form" in answer.outcome.message


@pytest.mark.parametrize("error", [ValueError("bad"), SystemExit(3), asyncio.CancelledError(), TimeoutError("own")])
async def test_an_undeclared_exception_is_retried(error: BaseException, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "riverflow.handlers"):
        answer = await tell(raising(error))
    assert (answer.error, answer.final, answer.outcome) == ("handler_error", False, None)
    assert answer.message == f"{type(error).__name__}: {error}"
    (record,) = caplog.records
    assert record.exc_info is not None
    assert record.exc_info[1] is error


async def test_a_handlers_own_error_class_is_shown_as_it_is() -> None:
    assert (await tell(raising(HandlerError("try later")))).message == "try later"


async def test_a_long_message_is_cut() -> None:
    assert len((await tell(raising(ValueError("x" * 10_000)))).message) == MESSAGE_LIMIT


async def test_time_is_up() -> None:
    async def handler(event: Event) -> None:
        await asyncio.Event().wait()

    answer = await tell(handler, timeout=0.01)
    assert (answer.error, answer.final) == ("timeout", False)


async def test_a_plain_handler_that_hangs_is_left_behind() -> None:
    release = threading.Event()

    def handler(event: Event) -> dict[str, int]:
        release.wait(30)
        return {}

    try:
        assert (await tell(handler, timeout=0.05)).error == "timeout"
    finally:
        release.set()


async def test_plain_handlers_run_beside_the_loop() -> None:
    def handler(event: Event) -> dict[str, bool]:
        return {"other": threading.current_thread() is not threading.main_thread()}

    assert completed_with(await tell(handler)) == {"other": True}


class Callable_:
    async def __call__(self, event: Event) -> dict[str, str]:
        return {"thread": threading.current_thread().name}


async def partially(prefix: str, event: Event) -> dict[str, str]:
    return {"thread": threading.current_thread().name}


@pytest.mark.parametrize(
    "handler", [Callable_(), functools.partial(partially, "x"), lambda event: partially("x", event)]
)
async def test_every_kind_of_async_callable_runs_on_the_loop(handler: Any) -> None:
    answer = await tell(handler)
    assert completed_with(answer) == {"thread": threading.current_thread().name}


@pytest.mark.parametrize("kind", ["task.completed", "task.failed"])
@pytest.mark.parametrize("value", [None, "text", {"n": 1}, Deferred(), object()])
async def test_at_the_end_of_a_run_what_is_returned_does_not_matter(kind: str, value: Any) -> None:
    assert await tell(returning(value), type=kind) == Answer(status=200)


async def test_at_the_end_of_a_run_a_declared_failure_is_final_but_no_outcome() -> None:
    answer = await tell(raising(Failure("unfit", "no")), type="task.completed")
    assert (answer.error, answer.message, answer.final, answer.outcome) == ("unfit", "no", True, None)


async def test_the_event_is_the_deliverys() -> None:
    async def handler(event: Event) -> dict[str, Any]:
        return {"attempt": event.attempt, "key": event.idempotency_key, "data": event.data}

    assert completed_with(await tell(handler)) == {"attempt": 2, "key": "dl_1", "data": {"n": 1}}


async def test_a_body_that_is_no_json_is_the_handlers_error() -> None:
    async def handler(event: Event) -> Any:
        return event.payload

    told = Delivery(**{name: getattr(delivery(), name) for name in Delivery.__struct_fields__} | {"body": b"{"})
    assert (await HandlerSender({"told": handler}).send(told, {}, 5)).error == "handler_error"


async def test_handlers_that_are_registered_later_are_found() -> None:
    handlers: dict[str, Any] = {"other": returning({})}
    sender = riverflow_senders()["local"](make_context(handlers=handlers))
    assert not sender.signs
    handlers["told"] = returning({})
    assert (await sender.send(delivery(), {}, 5)).ok
