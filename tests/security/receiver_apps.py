"""The same receiver in each framework, on a real socket: what the tests of the adapters are run against."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from types import ModuleType
from typing import Any

import anyio.to_thread

from riverflow.testing import serve
from riverflow.webhooks import Message, Receiver

__all__ = ["FRAMEWORKS", "PATH", "Work", "serving"]

PATH = "/webhooks/ai"


class Work:
    """What the view does: notes the message, then what the test says. `status` is answered, `error` raised."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.status = 200
        self.error: Exception | None = None
        self.hold: threading.Event | None = None

    def do(self, message: Message) -> int:
        self.messages.append(message)
        if self.hold is not None:
            assert self.hold.wait(20)
        if self.error is not None:
            raise self.error
        return self.status


def fastapi(receiver: Receiver, work: Work) -> Any:
    from fastapi import Depends, FastAPI, HTTPException

    from riverflow.webhooks.starlette import WebhookDependency

    app = FastAPI()
    verified = Depends(WebhookDependency(receiver), scope="function")

    @app.post(PATH)
    async def webhook(message: Any = verified) -> dict[str, bool]:
        status = await anyio.to_thread.run_sync(work.do, message)
        if status != 200:
            raise HTTPException(status)
        return {"received": True}

    return app


def fastapi_plain(receiver: Receiver, work: Work) -> Any:
    from fastapi import Depends, FastAPI, HTTPException

    from riverflow.webhooks.starlette import WebhookDependency

    app = FastAPI()
    verified = Depends(WebhookDependency(receiver), scope="function")

    @app.post(PATH)
    def webhook(message: Any = verified) -> dict[str, bool]:
        if (status := work.do(message)) != 200:
            raise HTTPException(status)
        return {"received": True}

    return app


def middleware(receiver: Receiver, work: Work) -> Any:
    from starlette.applications import Starlette
    from starlette.middleware import Middleware
    from starlette.requests import Request
    from starlette.responses import JSONResponse
    from starlette.routing import Route

    from riverflow.webhooks.starlette import WebhookMiddleware

    async def webhook(request: Request) -> JSONResponse:
        message: Message = request.state.webhook
        assert await request.body() == message.body
        return JSONResponse({}, await anyio.to_thread.run_sync(work.do, message))

    async def other(request: Request) -> JSONResponse:
        return JSONResponse({"verified": hasattr(request.state, "webhook")})

    routes = [Route(PATH, webhook, methods=["GET", "POST"]), Route("/other", other, methods=["POST"])]
    return Starlette(routes=routes, middleware=[Middleware(WebhookMiddleware, receiver=receiver, paths=[PATH])])


def flask(receiver: Receiver, work: Work) -> Any:
    from flask import Flask

    from riverflow.webhooks.flask import webhook_view

    app = Flask("receiver")

    @app.post(PATH)
    @webhook_view(receiver)
    def webhook(message: Message) -> tuple[dict[str, bool], int]:
        return {"received": True}, work.do(message)

    return app


def flask_async(receiver: Receiver, work: Work) -> Any:
    from flask import Flask

    from riverflow.webhooks.flask import webhook_view

    app = Flask("receiver")

    @app.post(PATH)
    @webhook_view(receiver)
    async def webhook(message: Message) -> tuple[dict[str, bool], int]:
        return {"received": True}, work.do(message)

    return app


def django(receiver: Receiver, work: Work) -> Any:
    from riverflow.webhooks.django import webhook_view

    @webhook_view(receiver)
    def webhook(request: Any, message: Message) -> Any:
        return _json(work.do(message))

    return _django(webhook)


def django_async(receiver: Receiver, work: Work) -> Any:
    from riverflow.webhooks.django import webhook_view

    @webhook_view(receiver)
    async def webhook(request: Any, message: Message) -> Any:
        return _json(await anyio.to_thread.run_sync(work.do, message))

    return _django(webhook)


def _json(status: int) -> Any:
    from django.http import JsonResponse

    return JsonResponse({"received": True}, status=status)


def _django(view: Callable[..., Any]) -> Any:
    from django.conf import settings
    from django.urls import clear_url_caches, path

    if not settings.configured:
        settings.configure(
            ROOT_URLCONF="riverflow_receiver_urls",
            SECRET_KEY="of a test",
            ALLOWED_HOSTS=["*"],
            MIDDLEWARE=["django.middleware.csrf.CsrfViewMiddleware"],
        )
    urls = ModuleType("riverflow_receiver_urls")
    urls.urlpatterns = [path(PATH.removeprefix("/"), view)]  # type: ignore[attr-defined]
    sys.modules["riverflow_receiver_urls"] = urls
    clear_url_caches()

    from django.core.asgi import get_asgi_application

    return get_asgi_application()


FRAMEWORKS = {
    build.__name__: build for build in (fastapi, fastapi_plain, middleware, flask, flask_async, django, django_async)
}


@asynccontextmanager
async def serving(name: str, receiver: Receiver, work: Work) -> AsyncIterator[str]:
    """Its base URL."""
    app = FRAMEWORKS[name](receiver, work)
    if not name.startswith("flask"):
        async with serve(app, lifespan="off") as url:
            yield url
        return
    from werkzeug.serving import make_server

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        await anyio.to_thread.run_sync(server.shutdown)
        thread.join()
        server.server_close()
