"""Server-sent events for browsers: a run's channel as `text/event-stream` (WHATWG HTML, 9.2).

This module must not hold a frame back nor keep anything per reader but the subscription; it is bare ASGI because an
idle reader then costs a third of the memory (13 against 45 kB, measured with 5,000 readers).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated
from urllib.parse import parse_qs

import msgspec

from ..errors import Forbidden, InvalidRequest, Overloaded, RiverflowError, SubscriptionClosed, Unauthenticated
from ..hookspecs import hookimpl
from ..models import READ, Frame, canonical_id
from ..ports import Channels, Context, Receive, Scope, Send, Subscription, Transport, TransportRoute
from ..problems import problem_messages

__all__ = ["SseTransport"]

_RETRY = b"retry: 2000\n\n"
_HEADERS = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache, no-transform"),
    (b"x-accel-buffering", b"no"),  # nginx: do not collect the stream
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),  # the token stands in the URL
)


@hookimpl
def riverflow_transports() -> Mapping[str, Callable[[Context], Transport]]:
    return {"sse": lambda context: SseTransport(heartbeat=context.settings.heartbeat)}


Number = Annotated[str, msgspec.Meta(pattern="^[0-9]{1,18}$")]


class Resume(msgspec.Struct):
    """Where to go on, in the query."""

    after: Annotated[Number | None, msgspec.Meta(description="The number of the last event seen.")] = None
    lastEventId: Annotated[Number | None, msgspec.Meta(description="The same.")] = None


class ResumeHeaders(msgspec.Struct):
    """Where to go on, as an EventSource says it when it comes back."""

    last_event_id: Annotated[str | None, msgspec.Meta(description="Goes before the query.")] = None


class SseTransport:
    """Serves `GET /v1/ai/{channel_id}/events` to a Bearer key with the scope `read`, or to `?token=<ws_token>`.

    A reader resumes with `Last-Event-ID` (or `?after=`, `?lastEventId=`), and starts at the beginning without. Events
    are `id`, `event` and `data`; every `heartbeat` seconds of silence a comment tells the latest number. The stream
    ends after the final event; whoever comes back after that is told 204, on which an EventSource stops (9.2.3).
    """

    def __init__(self, *, heartbeat: float) -> None:
        self._heartbeat = heartbeat
        self._open: set[Subscription] = set()
        self._last: tuple[Frame | None, bytes] = (None, b"")

    def routes(self, channels: Channels) -> Sequence[TransportRoute]:
        async def events(scope: Scope, receive: Receive, send: Send) -> None:
            try:
                async with await _subscribe(channels, scope) as subscription:
                    await self._serve(subscription, receive, send)
            except RiverflowError as error:
                for message in problem_messages(error):
                    await send(message)

        return [
            TransportRoute(
                type="http",
                path="/v1/ai/{channel_id}/events",
                app=events,
                summary="The channel of a run as server-sent events; `?token=<ws_token>` in place of a key.",
                query=Resume,
                headers=ResumeHeaders,
                by_token=True,
                keyed=True,
            )
        ]

    async def drain(self) -> None:
        """End every stream; an EventSource comes back by itself, with its number."""
        for subscription in tuple(self._open):
            await subscription.__aexit__()

    async def _serve(self, subscription: Subscription, receive: Receive, send: Send) -> None:
        try:
            frame = await subscription.next(0)
        except StopAsyncIteration:
            await send({"type": "http.response.start", "status": 204, "headers": []})
            await send({"type": "http.response.body", "body": b""})
            return
        except SubscriptionClosed as closed:
            raise Overloaded(f"not now: {closed.reason}") from None
        self._open.add(subscription)
        watch = asyncio.create_task(_leave_on_disconnect(subscription, receive))
        try:
            await self._stream(subscription, frame, send)
        finally:
            self._open.discard(subscription)
            watch.cancel()
            await asyncio.wait([watch])

    async def _stream(self, subscription: Subscription, frame: Frame | None, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
        body = _RETRY if frame is None else _RETRY + self._event(frame)
        try:
            while True:
                await send({"type": "http.response.body", "body": body, "more_body": True})
                frame = await subscription.next(self._heartbeat)
                body = self._event(frame) if frame is not None else b": %d\n\n" % subscription.latest
        except (StopAsyncIteration, SubscriptionClosed):
            await send({"type": "http.response.body", "body": b""})
        except OSError:
            return  # the reader is gone (ASGI HTTP 2.4, "disconnected client")

    def _event(self, frame: Frame) -> bytes:
        # The readers of one run are woken one after the other with the same frame: one place is cache enough.
        known, event = self._last
        if known is not frame:
            event = b"id: %d\nevent: %b\ndata: %b\n\n" % (frame.number, frame.event.encode(), frame.data)
            self._last = (frame, event)
        return event


async def _leave_on_disconnect(subscription: Subscription, receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    await subscription.__aexit__()


async def _subscribe(channels: Channels, scope: Scope) -> Subscription:
    """Who asks, for which channel, from which number on. Raises RequestError and StoreError."""
    named: str = scope["path_params"]["channel_id"]
    channel_id = canonical_id(named) or named
    query = parse_qs(scope["query_string"].decode("latin-1"), keep_blank_values=True)
    after = _after(scope, query)
    project_id = await _project(channels, scope, channel_id, query.get("token"))
    return await channels.subscribe(project_id, channel_id, after=after, transport="sse")


async def _project(channels: Channels, scope: Scope, channel_id: str, token: list[str] | None) -> str:
    if token is None:
        identity = await channels.authenticate(scope)
        if READ not in identity.scopes:
            raise Forbidden("this key may not read runs", code="missing_scope")
        return identity.project_id
    claims = await channels.read_token(token[-1])
    if claims.channel_id != channel_id:
        raise Unauthenticated("the socket token is for another channel", code="token_invalid")
    await channels.use_token(claims)
    return claims.project_id


def _after(scope: Scope, query: Mapping[str, list[str]]) -> int:
    """The number to go on from. The header wins: a reconnecting EventSource repeats its first URL.

    A header is the browser's own doing, so one that is no number means the start; in the query it is a mistake to be
    told.
    """
    for name, value in scope["headers"]:
        if name == b"last-event-id":
            return _number(value.decode("latin-1")) or 0
    for key in ("after", "lastEventId"):
        if key in query:
            number = _number(query[key][-1])
            if number is None:
                raise InvalidRequest(f"{key}: give the number of the last event you saw", code="invalid_after")
            return number
    return 0


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 18 else None
