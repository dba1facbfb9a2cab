"""The operator's live timeline: every entry of a run, public or not, as server-sent events.

This module must not serve browsers; it is the one place where sse_starlette is used, and only once a reader comes,
since importing that patches uvicorn's exit handler.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Annotated, Any

import msgspec

from ..errors import Forbidden, RiverflowError, SubscriptionClosed
from ..hookspecs import hookimpl
from ..models import READ, canonical_id
from ..ports import Channels, Context, Receive, Scope, Send, Subscription, Transport, TransportRoute
from ..problems import problem_messages

__all__ = ["TimelineTransport"]


@hookimpl
def riverflow_transports() -> Mapping[str, Callable[[Context], Transport]]:
    return {"timeline": lambda context: TimelineTransport(heartbeat=context.settings.heartbeat)}


class ResumeHeaders(msgspec.Struct):
    """Where to go on, as an EventSource says it when it comes back."""

    last_event_id: Annotated[str | None, msgspec.Meta(description="The number of the last entry seen.")] = None


class TimelineTransport:
    """Serves `GET /v1/ai/{channel_id}/timeline/events` to a Bearer key with the scope `read`.

    `id` is the entry's number, `event` its kind, `data` the entry: `{number, at, kind, stage, attempt, public, data}`.
    It starts at the beginning or after `Last-Event-ID`, and goes on after the run has ended, as the log does.
    """

    def __init__(self, *, heartbeat: float) -> None:
        self._heartbeat = heartbeat
        self._open: set[Subscription] = set()

    def routes(self, channels: Channels) -> Sequence[TransportRoute]:
        async def events(scope: Scope, receive: Receive, send: Send) -> None:
            try:
                async with await _subscribe(channels, scope) as subscription:
                    await self._serve(subscription, scope, receive, send)
            except RiverflowError as error:
                for message in problem_messages(error):
                    await send(message)

        return [
            TransportRoute(
                type="http",
                path="/v1/ai/{channel_id}/timeline/events",
                app=events,
                summary="A run's timeline as server-sent events, while it happens.",
                headers=ResumeHeaders,
                keyed=True,
            )
        ]

    async def drain(self) -> None:
        """End every stream; the readers come back by themselves."""
        for subscription in tuple(self._open):
            await subscription.__aexit__()

    async def _serve(self, subscription: Subscription, scope: Scope, receive: Receive, send: Send) -> None:
        from sse_starlette import EventSourceResponse, ServerSentEvent

        def ping() -> ServerSentEvent:
            return ServerSentEvent(comment=str(subscription.latest))

        response = EventSourceResponse(
            _events(subscription, self._heartbeat),
            headers={"Cache-Control": "no-cache, no-transform", "X-Content-Type-Options": "nosniff"},
            ping=self._heartbeat,
            ping_message_factory=ping,
            sep="\n",
        )
        self._open.add(subscription)
        try:
            await response(scope, receive, send)
        finally:
            self._open.discard(subscription)


async def _events(subscription: Subscription, heartbeat: float) -> AsyncIterator[dict[str, Any]]:
    try:
        while True:
            frame = await subscription.next(heartbeat)
            if frame is not None:
                yield {"id": str(frame.number), "event": frame.event, "data": frame.data.decode("utf-8")}
    except (StopAsyncIteration, SubscriptionClosed):
        return


async def _subscribe(channels: Channels, scope: Scope) -> Subscription:
    """Raises RequestError and StoreError."""
    identity = await channels.authenticate(scope)
    if READ not in identity.scopes:
        raise Forbidden("this key may not read runs", code="missing_scope")
    named: str = scope["path_params"]["channel_id"]
    channel_id = canonical_id(named) or named
    return await channels.subscribe(
        identity.project_id, channel_id, after=_after(scope), everything=True, transport="timeline"
    )


def _after(scope: Scope) -> int:
    for name, value in scope["headers"]:
        if name == b"last-event-id" and value.isdigit() and len(value) <= 18:
            return int(value)
    return 0
