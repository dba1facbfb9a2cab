"""The receiver's list in each framework, over real sockets: cases 1, 5, 7, 9, 10 and 11 where the adapter decides."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from typing import Annotated, Any

import httpx
import pytest

from riverflow.errors import StoreUnavailable
from riverflow.webhooks import MemoryReplays, Message, RawBodyRequired, Receiver
from riverflow.webhooks.starlette import WebhookDependency

from .receiver_apps import FRAMEWORKS, PATH, Work, serving
from .receiver_sender import BODY, HAND_OFF, NOW, SECRET, mr, signature, standard, x

pytestmark = pytest.mark.anyio

NAMES = sorted(FRAMEWORKS)


class Desk:
    """One framework's receiver, and a sender to it."""

    def __init__(self, name: str, client: httpx.AsyncClient, work: Work, store: MemoryReplays) -> None:
        self.name, self.client, self.work, self.store = name, client, work, store

    async def post(self, body: Any = BODY, headers: Any = None) -> httpx.Response:
        fields = standard() if headers is None else headers
        fields = list(fields.items()) if isinstance(fields, dict) else fields
        return await self.client.post(PATH, content=body, headers=[("content-type", "application/json"), *fields])


@pytest.fixture(params=NAMES)
async def desk(request: pytest.FixtureRequest) -> AsyncIterator[Desk]:
    work, store = Work(), MemoryReplays()
    receiver = Receiver(SECRET, replays=store, max_body=100_000, clock=lambda: NOW)
    async with (
        serving(request.param, receiver, work) as url,
        httpx.AsyncClient(base_url=url, trust_env=False, timeout=20) as client,
    ):
        yield Desk(request.param, client, work, store)


async def in_pieces(body: bytes, size: int) -> AsyncIterator[bytes]:
    for start in range(0, len(body), size):
        yield body[start : start + size]
        await asyncio.sleep(0)


@pytest.mark.parametrize("size", [None, 1, 7], ids=["whole", "bytes", "sevens"])
async def test_case_1_however_the_body_is_cut(desk: Desk, size: int | None) -> None:
    answer = await desk.post(BODY if size is None else in_pieces(BODY, size))
    assert answer.status_code == 200, answer.text
    [message] = desk.work.messages
    assert (message.payload, message.body) == (HAND_OFF, BODY)


@pytest.mark.parametrize(
    ("headers", "why"),
    [
        ({}, "missing_signature"),
        (standard(key=b"k" * 32), "wrong_signature"),
        (standard(at=NOW - 301), "too_old"),
        (standard() | {"webhook-signature": "none"}, "wrong_signature"),
    ],
)
async def test_what_is_not_verified_never_reaches_the_view(
    desk: Desk, headers: dict[str, str], why: str, caplog: pytest.LogCaptureFixture
) -> None:
    answer = await desk.post(headers=headers)
    assert (answer.status_code, desk.work.messages) == (401, [])
    assert answer.headers["www-authenticate"]
    assert "could not be verified" in answer.text
    assert why in caplog.text
    assert why not in answer.text  # nobody is told which check failed
    assert SECRET[6:] not in answer.text + caplog.text


async def test_case_5_a_header_that_is_not_ascii_is_401(desk: Desk) -> None:
    for value in ("v1,café".encode(), b"v1,\xff\xfe", "v1,😀".encode()):
        answer = await desk.post(headers=[*standard().items(), (b"webhook-signature", value)])
        assert answer.status_code == 401
        answer = await desk.post(headers={"mr-signature": value})
        assert answer.status_code == 401
    assert desk.work.messages == []


async def test_case_7_the_same_message_twice_is_200_without_effect(desk: Desk) -> None:
    for headers in (standard() | mr() | x(), standard(), mr(), x()):
        assert (await desk.post(headers=headers)).status_code == 200
    assert len(desk.work.messages) == 1


async def test_case_7_concurrent_duplicates_have_one_effect(desk: Desk) -> None:
    desk.work.hold = threading.Event()
    tasks = [asyncio.create_task(desk.post()) for _ in range(5)]
    while sum(task.done() for task in tasks) < 4 and desk.name != "django":
        await asyncio.wait([task for task in tasks if not task.done()], return_when=asyncio.FIRST_COMPLETED)
    desk.work.hold.set()
    answers = await asyncio.gather(*tasks)
    statuses = sorted(answer.status_code for answer in answers)
    # Django's plain views take turns in one thread: there the others come after the first.
    assert statuses == ([200] * 5 if desk.name == "django" else [200, *[409] * 4])
    assert all(answer.headers["retry-after"] == "5" for answer in answers if answer.status_code == 409)
    assert len(desk.work.messages) == 1
    assert (await desk.post()).status_code == 200
    assert len(desk.work.messages) == 1


async def test_case_7_without_its_store_it_fails_closed(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: Any, **options: Any) -> None:
        raise StoreUnavailable("the disk is full")

    monkeypatch.setattr(desk.store, "begin", fail)
    answer = await desk.post()
    assert (answer.status_code, desk.work.messages) == (503, [])
    assert answer.headers["retry-after"]
    assert "disk" not in answer.text
    monkeypatch.undo()
    assert (await desk.post()).status_code == 200


@pytest.mark.parametrize("name", ["webhook-id", "webhook-timestamp", "mr-signature"])
async def test_case_9_a_field_that_comes_twice_is_401(desk: Desk, name: str) -> None:
    fields = mr() if name == "mr-signature" else standard()
    assert (await desk.post(headers=[*fields.items(), (name, fields[name])])).status_code == 401
    assert (await desk.post(headers=[*fields.items(), (name, "1")])).status_code == 401
    assert desk.work.messages == []


async def test_case_9_signatures_may_come_in_several_fields(desk: Desk) -> None:
    fields = [("webhook-signature", "v1,AAAA"), *standard().items()]
    assert (await desk.post(headers=fields)).status_code == 200


async def test_case_9_an_underscore_is_no_hyphen(desk: Desk) -> None:
    """Whatever a server makes of it, the signed id is the one that counts."""
    fields = {name: value for name, value in standard().items() if name != "webhook-id"}
    for spelt in ("webhook_id", "Webhook_Id"):
        await desk.post(headers=standard() | {spelt: "evil"})
        assert (await desk.post(headers=fields | {spelt: "evil"})).status_code == 401
    assert {message.id for message in desk.work.messages} <= {standard()["webhook-id"]}


async def test_case_11_what_the_view_did_not_take_comes_again(desk: Desk) -> None:
    desk.work.status = 422
    assert (await desk.post()).status_code == 422
    desk.work.status = 503
    assert (await desk.post()).status_code == 503
    desk.work.status, desk.work.error = 200, RuntimeError("the database is down")
    assert (await desk.post()).status_code == 500
    desk.work.error = None
    assert (await desk.post()).status_code == 200
    assert (await desk.post()).status_code == 200
    assert len(desk.work.messages) == 4


async def test_a_body_over_the_bound_is_413(desk: Desk) -> None:
    body = b" " * 100_001
    assert (await desk.post(body, standard(body))).status_code == 413
    assert (await desk.post(in_pieces(body, 50_000), standard(body))).status_code == 413
    assert desk.work.messages == []


@pytest.mark.parametrize(("length", "read"), [(b"1000000", 0), (None, 11)], ids=["told", "not told"])
async def test_no_more_of_a_body_without_end_is_read_than_is_allowed(length: bytes | None, read: int) -> None:
    from riverflow.webhooks.starlette import WebhookMiddleware

    chunks, statuses = 0, []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise AssertionError

    async def receive() -> Any:
        nonlocal chunks
        chunks += 1
        assert chunks < 100
        return {"type": "http.request", "body": bytes(1000), "more_body": True}

    async def send(message: Any) -> None:
        statuses.append(message.get("status"))

    headers = [(name.encode(), value.encode()) for name, value in standard().items()]
    headers += [] if length is None else [(b"content-length", length)]
    guard = WebhookMiddleware(app, receiver=Receiver(SECRET, max_body=10_000, clock=lambda: NOW))
    await guard({"type": "http", "method": "POST", "path": PATH, "headers": headers}, receive, send)
    assert (statuses[0], chunks) == (413, read)


def test_no_more_of_a_body_without_end_is_read_than_flask_is_allowed() -> None:
    from flask import Flask

    from riverflow.webhooks.flask import webhook_view

    app = Flask("receiver")
    app.post(PATH, endpoint="webhook")(webhook_view(Receiver(SECRET, max_body=10_000, clock=lambda: NOW))(repr))

    class Endless:
        total = 0

        def read(self, size: int = -1) -> bytes:
            assert 0 <= size < 100_000
            self.total += size
            assert self.total < 1_000_000
            return bytes(size)

    from werkzeug.test import EnvironBuilder, run_wsgi_app

    environ = EnvironBuilder(PATH, method="POST", headers=standard()).get_environ()
    environ.pop("CONTENT_LENGTH", None)
    environ |= {"wsgi.input": Endless(), "wsgi.input_terminated": True}
    _, status, _ = run_wsgi_app(app, environ)
    assert status.startswith("413")


async def test_a_signed_body_that_is_no_object_is_400(desk: Desk) -> None:
    assert (await desk.post(b"[]", standard(b"[]"))).status_code == 400


async def test_only_a_post_is_a_webhook(desk: Desk) -> None:
    for method in ("GET", "PUT"):
        answer = await desk.client.request(method, PATH, headers=standard(b""))
        assert answer.status_code == 405
    assert desk.work.messages == []


async def test_the_middleware_guards_its_paths_only() -> None:
    async with (
        serving("middleware", Receiver(SECRET, clock=lambda: NOW), Work()) as url,
        httpx.AsyncClient(base_url=url, trust_env=False) as client,
    ):
        assert (await client.post("/other", content=b"x")).json() == {"verified": False}
        assert (await client.post("/other", content=BODY, headers=standard())).json() == {"verified": False}


async def test_the_middleware_guards_a_whole_app_where_it_has_no_paths() -> None:
    from riverflow.webhooks.starlette import WebhookMiddleware

    reached: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        reached.append(scope["type"])

    guarded = WebhookMiddleware(app, receiver=Receiver(SECRET, clock=lambda: NOW))
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "http.disconnect"}

    scope = {"type": "http", "method": "POST", "path": "/any", "headers": []}
    await guarded(scope, receive, send)
    assert (sent, reached) == ([], [])  # the sender has gone
    await guarded({"type": "lifespan"}, receive, send)
    assert reached == ["lifespan"]


async def test_the_middleware_takes_no_answer_for_no_effect() -> None:
    from riverflow.webhooks.starlette import WebhookMiddleware

    reached: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        reached.append(await receive())

    guarded = WebhookMiddleware(app, receiver=Receiver(SECRET, clock=lambda: NOW))
    headers = [(name.encode(), value.encode()) for name, value in standard().items()]
    scope = {"type": "http", "method": "POST", "path": "/any", "headers": headers}

    async def receive() -> Any:
        return {"type": "http.request", "body": BODY}

    async def send(message: Any) -> None:
        raise AssertionError(message)

    await guarded(scope, receive, send)
    await guarded(scope, receive, send)
    assert [message["body"] for message in reached] == [BODY, BODY]


# 1 and 10: what is already parsed, and what is not awaited -----------------------------------------------------


FORM = {"content-type": "application/x-www-form-urlencoded"}


async def test_case_1_starlette_what_was_read_before() -> None:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import JSONResponse
    from starlette.routing import Route

    from riverflow.webhooks.starlette import WebhookDependency

    verified = WebhookDependency(Receiver(SECRET, clock=lambda: NOW))

    async def webhook(request: Request) -> JSONResponse:
        if request.query_params["how"] == "stream":
            async for _ in request.stream():
                pass
        else:
            await request.body()  # kept by Starlette: no harm
        async for message in verified(request):
            return JSONResponse({"id": message.id})
        raise AssertionError

    transport = httpx.ASGITransport(Starlette(routes=[Route(PATH, webhook, methods=["POST"])]))
    async with httpx.AsyncClient(transport=transport, base_url="http://receiver") as client:
        with pytest.raises(RawBodyRequired, match="read before"):
            await client.post(f"{PATH}?how=stream", content=BODY, headers=standard())
        assert (await client.post(f"{PATH}?how=body", content=BODY, headers=standard())).status_code == 200


async def test_case_1_an_empty_body_that_should_not_be_is_refused() -> None:
    from riverflow.webhooks.starlette import WebhookMiddleware

    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise AssertionError

    async def receive() -> Any:  # as after a middleware that has read it all
        return {"type": "http.request", "body": b""}

    async def send(message: Any) -> None:
        raise AssertionError(message)

    headers = [(name.encode(), value.encode()) for name, value in standard().items()]
    scope = {"type": "http", "method": "POST", "path": PATH, "headers": [*headers, (b"content-length", b"9")]}
    with pytest.raises(RawBodyRequired):
        await WebhookMiddleware(app, receiver=Receiver(SECRET, clock=lambda: NOW))(scope, receive, send)


@pytest.mark.parametrize("how", ["form", "uncached", "json", "cached"])
async def test_case_1_flask_what_was_read_before(how: str) -> None:
    from flask import Flask, request

    from riverflow.webhooks.flask import webhook_view

    app = Flask("receiver")
    app.testing = True

    @app.before_request
    def parse() -> None:
        _ = {
            "form": lambda: request.form,
            "uncached": lambda: request.get_data(cache=False),
            "json": lambda: request.json,
            "cached": request.get_data,
        }[how]()

    @app.post(PATH)
    @webhook_view(Receiver(SECRET, clock=lambda: NOW))
    def webhook(message: Any) -> dict[str, str]:
        return {"id": message.id}

    kind = FORM if how == "form" else {"content-type": "application/json"}

    def post() -> Any:
        return app.test_client().post(PATH, data=BODY, headers=standard() | kind)

    if how in ("json", "cached"):  # kept by Flask: no harm
        assert post().status_code == 200
    else:
        with pytest.raises(RawBodyRequired, match="read before"):
            post()


@pytest.mark.parametrize("how", ["POST", "read", "body"])
async def test_case_1_django_what_was_read_before(how: str) -> None:
    from django.http import JsonResponse
    from django.test import RequestFactory

    from riverflow.webhooks.django import webhook_view

    from .receiver_apps import _django

    @webhook_view(Receiver(SECRET, clock=lambda: NOW))
    def webhook(request: Any, message: Any) -> Any:
        return JsonResponse({"id": message.id})

    _django(webhook)
    kind = "multipart/form-data; boundary=x" if how == "POST" else "application/json"
    request = RequestFactory().post(PATH, data=BODY, content_type=kind, headers=standard())
    if how == "read":
        request.read()
    else:
        getattr(request, how)
    if how == "body":  # kept by Django: no harm
        assert webhook(request).status_code == 200
    else:
        with pytest.raises(RawBodyRequired, match="read before"):
            webhook(request)


async def test_case_1_django_its_own_bound_is_413(monkeypatch: pytest.MonkeyPatch) -> None:
    from django.conf import settings
    from django.test import RequestFactory

    from riverflow.webhooks.django import webhook_view

    from .receiver_apps import _django

    @webhook_view(Receiver(SECRET, clock=lambda: NOW))
    def webhook(request: Any, message: Any) -> Any:
        raise AssertionError

    _django(webhook)
    monkeypatch.setattr(settings, "DATA_UPLOAD_MAX_MEMORY_SIZE", 10)
    request = RequestFactory().post(PATH, data=BODY, content_type="application/json", headers=standard())
    assert webhook(request).status_code == 413


VERIFIED = WebhookDependency(Receiver(SECRET))  # here, where FastAPI finds it by the name in the annotation


async def test_case_10_the_dependency_forgotten_is_an_error_when_the_app_is_made() -> None:
    from fastapi import FastAPI
    from fastapi.exceptions import FastAPIError

    app = FastAPI()

    async def forgotten(message: Annotated[Message, VERIFIED]) -> None: ...

    with pytest.raises(FastAPIError):
        app.post(PATH)(forgotten)


async def test_case_10_a_route_beside_the_middleware_finds_no_message() -> None:
    """Not an unverified one: `request.state.webhook` is not there."""
    from starlette.requests import Request

    with pytest.raises(AttributeError):
        _ = Request({"type": "http", "headers": []}).state.webhook


async def test_an_entry_that_is_right_is_right_for_all() -> None:
    assert signature() == standard()["webhook-signature"]
