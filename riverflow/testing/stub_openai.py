"""An ASGI app that speaks the chat completions API of OpenAI from a script, for tests over real sockets.

It understands the wire only: it never judges a request.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any

from ..codec import encode, from_python
from ..ports import Receive, Scope, Send
from .provider import generation

__all__ = ["Reply", "StubOpenAI", "StubRequest"]


class StubRequest:
    """One request as it came in: header names in lower case, and the decoded body."""

    def __init__(self, scope: Scope, body: bytes) -> None:
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.headers: dict[str, str] = {name.decode().lower(): value.decode() for name, value in scope["headers"]}
        self.body: Any = json.loads(body) if body else None


class Reply:
    """One answer. `body` is sent as it is where it is bytes, else as JSON; `after` is an event to wait for first."""

    def __init__(
        self,
        body: Any = b"",
        *,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
        after: asyncio.Event | None = None,
    ) -> None:
        self.status = status
        self.body: bytes = body if isinstance(body, bytes) else encode(body)
        self.headers = {"content-type": "application/json", **(headers or {})}
        self.after = after

    @classmethod
    def text(cls, content: str | None, **options: Any) -> Reply:
        """A chat completion that says `content`; `options` are those of `testing.generation`."""
        return cls(bytes(generation(content, **options).body))

    @classmethod
    def error(cls, status: int, message: str, *, code: str | None = None) -> Reply:
        """An error in OpenAI's form."""
        return cls({"error": {"message": message, "type": "error", "param": None, "code": code}}, status=status)


class StubOpenAI:
    """The app. `script` is a sequence of replies, one a request; the last one is repeated for ever. A step is a Reply,
    text (a completion that says it), or a JSON value (a completion that says its text)::

        stub = StubOpenAI(Reply.error(429, "slow down"), "hello")
        async with serve(stub) as base_url:
            ...  # openai_base_url = base_url + "/v1"

    `requests` holds what was asked, in order; the event `asked` is set by each request.
    """

    def __init__(self, *script: Any, asked: asyncio.Event | None = None) -> None:
        self.asked = asked or asyncio.Event()
        self._script = [_reply(step) for step in script or ("stub answer",)]
        self.requests: list[StubRequest] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
            return
        request = StubRequest(scope, await _read(receive))
        reply = Reply.error(404, f"no such path: {request.path}")
        if request.method == "POST" and request.path.endswith("/chat/completions"):
            reply = self._script[min(len(self.requests), len(self._script) - 1)]
            self.requests.append(request)
            self.asked.set()
        if reply.after is not None:
            await reply.after.wait()
        headers = [(name.encode(), value.encode()) for name, value in reply.headers.items()]
        await send({"type": "http.response.start", "status": reply.status, "headers": headers})
        await send({"type": "http.response.body", "body": reply.body})


def _reply(step: Any) -> Reply:
    if isinstance(step, Reply):
        return step
    return Reply.text(step if isinstance(step, str) else bytes(from_python(step)).decode())


async def _read(receive: Receive) -> bytes:
    body: bytes = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body", False):
            return body


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": message["type"] + ".complete"})
        if message["type"] == "lifespan.shutdown":
            return
