"""Receivers in Starlette and FastAPI: a dependency that gives the verified message, and a pure ASGI middleware.

Either way the route is not reached by what is not verified; neither does the route's work.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, MutableMapping
from contextlib import AsyncExitStack
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request

from ..errors import RawBodyRequired, RiverflowError, TooLarge
from .answers import DUPLICATE, WRONG_METHOD, Answer, refusal
from .message import Message
from .receiver import Receiver, Reception

__all__ = ["WebhookDependency", "WebhookMiddleware"]

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


class WebhookDependency:
    """A FastAPI dependency with the verified Message as its value::

        verified = Depends(WebhookDependency(receiver), scope="function")

        @app.post("/webhooks/ai")
        async def webhook(message: Annotated[Message, verified]): ...

    With the scope `function` (FastAPI 0.121) it ends before the answer goes out, else after it.

    What is refused, and what was taken before, never reaches the route. Raise in the route (HTTPException will do)
    where the message must come again; what it returns counts as done.
    """

    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver

    async def __call__(self, request: Request) -> AsyncIterator[Message]:
        async with AsyncExitStack() as stack:
            try:
                body = await _body(request, self._receiver.max_body)
                reception = self._receiver.receive(body, request.scope["headers"])
                await stack.enter_async_context(reception)
            except RawBodyRequired:
                raise  # a mistake in the app: it belongs into its log as what it is
            except RiverflowError as error:
                raise _as_http(refusal(error)) from error
            if reception.duplicate:
                raise HTTPException(DUPLICATE.status, "received before", DUPLICATE.headers)
            yield reception.message


class WebhookMiddleware:
    """Pure ASGI: lets only verified messages through to `app`, which finds one as `request.state.webhook` (that is
    `scope["state"]["webhook"]`) and can still read the body.

    `paths` are guarded, whole paths as the scope has them; None guards every HTTP request, for an app or a route of its
    own. A 2xx answer says that the message is done, any other (or an exception) that it must come again.
    """

    def __init__(self, app: App, *, receiver: Receiver, paths: Collection[str] | None = None) -> None:
        self._app = app
        self._receiver = receiver
        self._paths = None if paths is None else frozenset((paths,) if isinstance(paths, str) else paths)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or (self._paths is not None and scope["path"] not in self._paths):
            await self._app(scope, receive, send)
        elif scope["method"] != "POST":
            await _send(WRONG_METHOD, send)
        else:
            await self._guard(scope, receive, send)

    async def _guard(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with AsyncExitStack() as stack:
            try:
                body = await _body(Request(scope, receive), self._receiver.max_body)
                reception = await stack.enter_async_context(self._receiver.receive(body, scope["headers"]))
            except RawBodyRequired:
                raise  # as above
            except ClientDisconnect:
                return
            except RiverflowError as error:
                await _send(refusal(error), send)
                return
            if reception.duplicate:
                await _send(DUPLICATE, send)
                return
            await self._app(_with(scope, reception.message), _again(body, receive), _settling(reception, send))
            await reception.settle_async(done=False)  # where it answered nothing


async def _body(request: Request, limit: int) -> bytes:
    """The bytes as they came, cut as they like. Raises TooLarge before more than `limit` are kept, RawBodyRequired."""
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length) > limit:
        raise TooLarge(f"the body is larger than {limit} bytes")
    body = bytearray()
    try:
        async for chunk in request.stream():  # says again what `request.body()` has kept
            body += chunk
            if len(body) > limit:
                raise TooLarge(f"the body is larger than {limit} bytes")
    except RuntimeError:
        raise _consumed() from None
    if not body and length.strip("0"):
        raise _consumed()
    return bytes(body)


def _consumed() -> RawBodyRequired:
    return RawBodyRequired("the body was read before (a form parameter of the route does that): verify first")


def _with(scope: Scope, message: Message) -> Scope:
    return {**scope, "state": {**scope.get("state", {}), "webhook": message}}


def _again(body: bytes, receive: Receive) -> Receive:
    """A channel that says the body once more, then goes on as before."""
    messages = iter([{"type": "http.request", "body": body, "more_body": False}])

    async def replay() -> MutableMapping[str, Any]:
        return next(messages, None) or await receive()

    return replay


def _settling(reception: Reception, send: Send) -> Send:
    """A channel that settles before the sender hears the outcome: he must not be told 2xx of what may be done again."""

    async def settle_first(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            await reception.settle_async(done=200 <= message["status"] < 300)
        await send(message)

    return settle_first


def _as_http(answer: Answer) -> HTTPException:
    headers = {name: value for name, value in answer.headers.items() if name != "content-type"}
    return HTTPException(answer.status, json.loads(answer.body)["message"], headers)


async def _send(answer: Answer, send: Send) -> None:
    headers = [(name.encode(), value.encode()) for name, value in answer.headers.items()]
    headers.append((b"content-length", b"%d" % len(answer.body)))
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body})
