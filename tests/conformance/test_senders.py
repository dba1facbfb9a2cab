"""The built-in senders under the shipped suite: webhooks over real sockets, an app in process, handlers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from riverflow.builtin.asgi import AsgiSender
from riverflow.builtin.handlers import HandlerSender
from riverflow.builtin.http import build_client
from riverflow.builtin.webhook import WebhookSender
from riverflow.config import Settings
from riverflow.event import Event
from riverflow.ports import Receive, Scope, Send, Sender
from riverflow.testing import FakeClock
from riverflow.testing.suites.receiver import Receiver, answer, receiving
from riverflow.testing.suites.sender import SenderSuite


class TestWebhook(SenderSuite):
    @pytest.fixture(params=["httptools", "httpx"])
    async def sender(self, request: pytest.FixtureRequest) -> AsyncIterator[Sender]:
        http = build_client(Settings(env="development", http_client=request.param), FakeClock())
        yield WebhookSender(http)
        await http.aclose()

    @pytest.fixture
    async def receiver(self) -> AsyncIterator[Receiver]:
        async with receiving() as receiver:
            yield receiver

    @pytest.fixture
    def url(self, receiver: Receiver) -> str:
        return receiver.url()

    @pytest.fixture
    def broken(self, receiver: Receiver) -> str:
        receiver.replies(answer(500, b"no"))
        return receiver.url()

    @pytest.fixture
    async def gone(self) -> str:
        async with receiving() as receiver:
            return receiver.url()

    @pytest.fixture
    def stuck(self, receiver: Receiver, asked: asyncio.Event) -> str:
        async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            asked.set()
            await reader.read()

        receiver.replies(silent)
        return receiver.url()


class TestAsgi(SenderSuite):
    @pytest.fixture
    async def sender(self, asked: asyncio.Event) -> AsyncIterator[Sender]:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["path"] == "/stuck":
                asked.set()
                await asyncio.Event().wait()
            if scope["path"] == "/gone":
                raise LookupError("no such path")
            status = 500 if scope["path"] == "/broken" else 200
            await send({"type": "http.response.start", "status": status, "headers": []})
            await send({"type": "http.response.body", "body": b"ok"})

        sender = AsgiSender(lambda: app)
        yield sender
        await sender.aclose()

    @pytest.fixture
    def url(self) -> str:
        return "asgi:///hook"

    @pytest.fixture
    def broken(self) -> str:
        return "asgi:///broken"

    @pytest.fixture
    def gone(self) -> str:
        return "asgi:///gone"

    @pytest.fixture
    def stuck(self) -> str:
        return "asgi:///stuck"


class TestHandlers(SenderSuite):
    @pytest.fixture(params=["async", "plain"])
    def sender(self, request: pytest.FixtureRequest, asked: asyncio.Event) -> Sender:
        async def stuck(event: Event) -> None:
            asked.set()
            await asyncio.Event().wait()

        async def told(event: Event) -> dict[str, int]:
            return {"n": 2}

        async def broken(event: Event) -> None:
            raise ValueError("no")

        def told_plainly(event: Event) -> dict[str, int]:
            return {"n": 2}

        def broken_plainly(event: Event) -> None:
            raise ValueError("no")

        pair = (told, broken) if request.param == "async" else (told_plainly, broken_plainly)
        return HandlerSender({"told": pair[0], "broken": pair[1], "stuck": stuck})

    @pytest.fixture
    def url(self) -> str:
        return "local:told"

    @pytest.fixture
    def broken(self) -> str:
        return "local:broken"

    @pytest.fixture
    def gone(self) -> str:
        return "local:nobody"

    @pytest.fixture
    def stuck(self) -> str:
        return "local:stuck"
