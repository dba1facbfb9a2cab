"""The in-process ASGI client: streams as they come, the app's errors, and a caller who leaves."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import pytest
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, StreamingResponse
from starlette.routing import Route

from riverflow.asgi_client import request
from riverflow.ports import Receive, Scope, Send

pytestmark = pytest.mark.anyio


async def echo(asked: Request) -> JSONResponse:
    seen = {
        "method": asked.method,
        "path": asked.url.path,
        "raw_path": asked.scope["raw_path"].decode(),
        "query": asked.url.query,
        "headers": asked.headers.items(),
        "body": (await asked.body()).decode(),
        "url": str(asked.url),
        "client": asked.client,
    }
    return JSONResponse(seen, headers={"X-Mixed-Case": "yes"})


async def test_the_app_sees_an_ordinary_request() -> None:
    app = Starlette(routes=[Route("/a b/{name}", echo, methods=["POST"])])
    headers = {"Host": "river.test:8080", "X-One": "1"}
    path = "/a%20b/c?x=1&y=%20"
    async with request(app, "post", path, headers=headers, body=b"hello", scheme="https") as response:
        assert response.status == 200
        assert response.headers["x-mixed-case"] == "yes"
        seen = json.loads(await response.read())
    assert seen["method"] == "POST"
    assert (seen["path"], seen["raw_path"], seen["query"]) == ("/a b/c", "/a%20b/c", "x=1&y=%20")
    assert seen["body"] == "hello"
    assert seen["headers"] == [["host", "river.test:8080"], ["x-one", "1"]]
    assert seen["url"] == "https://river.test:8080/a b/c?x=1&y=%20"
    assert seen["client"] is None


async def test_a_host_is_there_in_any_case() -> None:
    async with request(Starlette(routes=[Route("/", echo)]), "GET", "/") as response:
        assert b'["host","localhost"]' in await response.read()


async def test_a_body_may_come_in_pieces() -> None:
    pieces: list[tuple[bytes, bool]] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            pieces.append((message["body"], message["more_body"]))
            if not message["more_body"]:
                break
        await PlainTextResponse("ok")(scope, receive, send)

    async with request(app, "POST", "/", body=[b"a", b"b", b""]) as response:
        assert await response.read() == b"ok"
    assert pieces == [(b"a", True), (b"b", True), (b"", False)]


async def test_repeated_headers_are_joined_and_kept_apart() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        headers = [(b"Set-Cookie", b"a"), (b"set-cookie", b"b")]
        await send({"type": "http.response.start", "status": 204, "headers": headers})
        await send({"type": "http.response.body"})

    async with request(app, "GET", "/") as response:
        assert response.headers == {"set-cookie": "a, b"}
        assert response.raw_headers == [(b"Set-Cookie", b"a"), (b"set-cookie", b"b")]
        assert await response.read() == b""


async def test_chunks_arrive_before_the_app_has_ended() -> None:
    go_on = asyncio.Event()

    async def stream(asked: Request) -> StreamingResponse:
        async def chunks() -> AsyncIterator[bytes]:
            yield b"one"
            await go_on.wait()
            yield b"two"

        return StreamingResponse(chunks())

    async with request(Starlette(routes=[Route("/", stream)]), "GET", "/") as response:
        reading = aiter(response)
        assert await anext(reading) == b"one"
        go_on.set()
        assert [chunk async for chunk in reading] == [b"two"]


async def test_leaving_early_ends_an_endless_response() -> None:
    async def stream(asked: Request) -> StreamingResponse:
        async def endless() -> AsyncIterator[bytes]:
            while True:
                yield b"x"
                await asyncio.sleep(0)

        return StreamingResponse(endless())

    ended: list[str] = []
    inner = Starlette(routes=[Route("/", stream)])

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await inner(scope, receive, send)
        finally:
            ended.append("ended")

    async with request(app, "GET", "/") as response:
        assert await response.read(3) == b"xxxx"
        assert not ended
    assert ended


async def test_an_app_that_waits_is_told_of_the_disconnect() -> None:
    told: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"x", "more_body": True})
        told.append((await receive())["type"])

    async with request(app, "GET", "/") as response:
        assert await anext(aiter(response)) == b"x"
        assert told == []
    assert told == ["http.disconnect"]


async def test_sending_to_nobody_is_an_os_error() -> None:
    raised: list[type[BaseException]] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await receive()
        for body in (b"x", b""):
            try:
                await send({"type": "http.response.body", "body": body, "more_body": True})
            except OSError as error:
                raised.append(type(error))
        raise ConnectionError("as a server's app might")

    async with request(app, "GET", "/"):
        pass
    assert raised == [OSError, OSError]


async def test_a_caller_who_is_ahead_waits_and_an_app_that_is_ahead_waits_too() -> None:
    sent = 0

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal sent
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(1000):
            await send({"type": "http.response.body", "body": b"x", "more_body": True})
            sent += 1
        await send({"type": "http.response.body"})

    async with request(app, "GET", "/") as response:
        for _ in range(50):
            await asyncio.sleep(0)
        assert sent < 100
        assert len(await response.read()) == 1000


async def test_background_work_is_waited_for() -> None:
    done: list[str] = []

    async def later() -> None:
        await asyncio.sleep(0)
        done.append("done")

    async def app(asked: Request) -> PlainTextResponse:
        return PlainTextResponse("ok", background=BackgroundTask(later))

    async with request(Starlette(routes=[Route("/", app)]), "GET", "/") as response:
        assert await response.read() == b"ok"
    assert done == ["done"]


async def test_an_exception_before_the_response_is_raised() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise LookupError("early")

    with pytest.raises(LookupError, match="early"):
        async with request(app, "GET", "/"):
            pytest.fail("there is no response")


async def test_an_exception_within_the_body_is_raised_where_it_is_read() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"x", "more_body": True})
        raise LookupError("midway")

    with pytest.raises(LookupError, match="midway"):
        async with request(app, "GET", "/") as response:
            await response.read()


async def test_an_exception_after_the_response_is_raised_at_the_end() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await PlainTextResponse("ok")(scope, receive, send)
        await asyncio.sleep(0)
        raise LookupError("late")

    body = b""
    with pytest.raises(LookupError, match="late"):
        async with request(app, "GET", "/") as response:
            body = await response.read()
    assert body == b"ok"


@pytest.mark.parametrize("started", [False, True])
async def test_an_app_that_just_returns_is_an_error(started: bool) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if started:
            await send({"type": "http.response.start", "status": 200, "headers": []})

    with pytest.raises(RuntimeError, match="before its response was complete"):
        async with request(app, "GET", "/") as response:
            await response.read()


async def test_a_cancelled_caller_cancels_the_app() -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async def call() -> None:
        async with request(app, "GET", "/"):
            pytest.fail("there is no response")

    calling = asyncio.create_task(call())
    await begun.wait()
    calling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await calling
    assert ended.is_set()


async def test_an_exception_of_the_caller_cancels_the_app() -> None:
    ended = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    with pytest.raises(KeyError):
        async with request(app, "GET", "/"):
            raise KeyError("the caller's own")
    assert ended.is_set()
