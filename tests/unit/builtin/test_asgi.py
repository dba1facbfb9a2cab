"""Deliveries into the wrapped app: an ordinary signed POST, an answer at once, background work left alone."""

from __future__ import annotations

import asyncio
import logging

import pytest
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from riverflow.builtin.asgi import KEPT, AsgiSender, riverflow_senders
from riverflow.models import Answer, Delivery
from riverflow.ports import ASGIApp
from riverflow.testing import make_context

pytestmark = pytest.mark.anyio

SIGNED = {"mr-signature": "abc"}


def delivery(url: str = "asgi:///hooks/ai?x=1") -> Delivery:
    return Delivery(
        id="dl_1",
        run_id="c-1",
        project_id="p",
        stage="finalise",
        type="task.completed",
        url=url,
        lane="asgi",
        body=b'{"a":1}',
        created_at=0,
        due_at=0,
    )


def app_of(endpoint: object) -> ASGIApp:
    return Starlette(routes=[Route("/hooks/ai", endpoint, methods=["POST"])])


async def test_the_app_gets_an_ordinary_request() -> None:
    seen: list[object] = []

    async def hook(request: Request) -> Response:
        names = ("host", "content-type", "content-length", "mr-signature")
        seen.extend([str(request.url), await request.body(), [request.headers[name] for name in names]])
        return PlainTextResponse("thanks", 201)

    sender = AsgiSender(lambda: app_of(hook), "https://river.example/prefix")
    headers = {"content-length": "6", "content-type": "text/plain; charset=utf-8"}
    assert await sender.send(delivery(), SIGNED, 5) == Answer(status=201, body=b"thanks", headers=headers)
    assert seen == [
        "https://river.example/hooks/ai?x=1",
        b'{"a":1}',
        ["river.example", "application/json", "7", "abc"],
    ]


@pytest.mark.parametrize("status", [302, 404, 503])
async def test_every_status_is_an_answer(status: int) -> None:
    async def hook(request: Request) -> Response:
        return PlainTextResponse("no", status)

    answer = await AsgiSender(lambda: app_of(hook)).send(delivery(), {}, 5)
    assert (answer.status, answer.ok, answer.error) == (status, False, None)


async def test_without_an_app_there_is_nobody_to_tell() -> None:
    sender = riverflow_senders()["asgi"](make_context())
    answer = await sender.send(delivery(), {}, 5)
    assert sender.signs
    assert (answer.error, answer.final) == ("no_app", False)


async def test_an_exception_is_an_answer_that_tells_no_more_than_its_class() -> None:
    async def app(scope: object, receive: object, send: object) -> None:
        raise LookupError("the password is hunter2")

    answer = await AsgiSender(lambda: app).send(delivery(), {}, 5)
    assert (answer.error, answer.message) == ("app_error", "the app raised LookupError")


async def test_background_work_goes_on_after_the_answer() -> None:
    go_on, done = asyncio.Event(), asyncio.Event()

    async def later() -> None:
        await go_on.wait()
        done.set()

    async def hook(request: Request) -> Response:
        return PlainTextResponse("ok", background=BackgroundTask(later))

    answer = await AsgiSender(lambda: app_of(hook)).send(delivery(), {}, 5)
    assert answer.ok
    assert not done.is_set()
    go_on.set()
    await asyncio.wait_for(done.wait(), 5)


async def test_background_work_that_fails_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    async def later() -> None:
        await asyncio.sleep(0)
        raise LookupError("late")

    async def hook(request: Request) -> Response:
        return PlainTextResponse("ok", background=BackgroundTask(later))

    sender = AsgiSender(lambda: app_of(hook))
    with caplog.at_level(logging.WARNING, "riverflow.asgi"):
        assert (await sender.send(delivery(), {}, 5)).ok
        for _ in range(20):
            await asyncio.sleep(0)
    assert isinstance((caplog.records[0].exc_info or (None, None))[1], LookupError)


async def test_closing_ends_what_still_runs() -> None:
    ended = asyncio.Event()

    async def later() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async def hook(request: Request) -> Response:
        return PlainTextResponse("ok", background=BackgroundTask(later))

    sender = AsgiSender(lambda: app_of(hook))
    assert (await sender.send(delivery(), {}, 5)).ok
    await asyncio.sleep(0)
    await sender.aclose()
    assert ended.is_set()


async def test_an_app_that_never_answers_is_cancelled() -> None:
    ended = asyncio.Event()

    async def app(scope: object, receive: object, send: object) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    answer = await AsgiSender(lambda: app).send(delivery(), {}, 0.01)
    assert answer.error == "timeout"
    await asyncio.wait_for(ended.wait(), 5)


async def test_an_endless_answer_is_cut() -> None:
    async def hook(request: Request) -> Response:
        async def endless():  # type: ignore[no-untyped-def]
            while True:
                yield b"x" * 4096
                await asyncio.sleep(0)

        return StreamingResponse(endless())

    sender = AsgiSender(lambda: app_of(hook))
    answer = await sender.send(delivery(), {}, 5)
    assert (answer.status, len(answer.body)) == (200, KEPT)
    await sender.aclose()
