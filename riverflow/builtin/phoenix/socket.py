"""One Phoenix socket: joins and leaves the channel its token names, and pushes what happens there.

This module must not judge tokens, and never lets a client's frame end the socket with an error of ours.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any

from ...errors import InvalidRequest, RequestError, StoreError, SubscriptionClosed
from ...models import Frame, TokenClaims
from ...ports import Receive, Send, Subscription
from .frames import OK, V2, Message, Ref, refusal, serializer
from .joins import Join, after_of, authorise
from .lobby import Lobby

__all__ = ["Socket"]

_MAX_FRAME = 65_536
# Seconds that a socket may stay without a channel. It is the pace too at which phoenix.js 1.8.16 comes back to nothing:
# 10 ms after every close that it did not ask for, 1000 included.
_JOIN_WITHIN = 60.0
_SOON = 1.0  # seconds between the end of a refused or replaced channel and the end of its socket

_NORMAL = 1000  # the only code on which phoenix.js up to 1.8.14 does not come back
_TOO_BIG = 1009  # RFC 6455, 7.4.1
_INTERNAL = 1011

_logger = logging.getLogger("riverflow.phoenix")


class Socket:
    """One connection. It reads frames in the server's task and owns one more: it pushes while joined, and is a time
    limit while not.

    There is one channel a token lets into, so there is at most one join at a time: a newer join replaces it, and
    whatever belongs to the older one (its replay, its pending close) goes with it. `vsn` is the client's, None where it
    sent none.
    """

    __slots__ = (
        "_admitted",
        "_claims",
        "_closed",
        "_ending",
        "_join",
        "_lobby",
        "_send",
        "_serializer",
        "_subscription",
        "_task",
        "_token",
    )

    def __init__(self, lobby: Lobby, vsn: str | None, token: str, send: Send) -> None:
        self._lobby = lobby
        self._serializer = serializer(vsn)
        self._token = token
        self._send = send
        self._claims: TokenClaims | None = None
        self._admitted = False
        self._join: Join | None = None
        self._subscription: Subscription | None = None
        self._task: asyncio.Task[None] | None = None
        self._ending = False
        self._closed = False

    async def run(self, receive: Receive, subprotocol: str | None) -> None:
        """Accept, and serve until the client is gone."""
        self._lobby.enter(self)
        try:
            await self._send({"type": "websocket.accept", "subprotocol": subprotocol})
            self._start(self._expect_join())
            while (event := await receive())["type"] != "websocket.disconnect":
                if not (self._closed or self._ending):
                    await self._read(event.get("text") or "")
        except OSError:
            pass  # gone while we wrote (ASGI WebSocket 2.4)
        finally:
            self._closed = True
            self._lobby.leave(self, self._claims.jti if self._claims is not None else None)
            await self._stop()

    def end(self, code: int, reason: str) -> asyncio.Task[None]:
        """Begin to close, whatever is under way; the task is done when the close frame is on its way."""
        task = self._start(self._end(code, reason))
        self._ending = True
        return task

    def give_way(self) -> None:
        """Leave the channel to a newer socket, and close soon: a client that comes back after every close and joins
        (phoenix.js 1.8.16 under ModelRiver's) would otherwise replace the newer one within 10 ms."""
        join, self._join = self._join, None
        self._admitted = False
        self._start(self._part(join))

    # Frames in -------------------------------------------------------------------------------------------

    async def _read(self, text: str) -> None:
        if len(text) > _MAX_FRAME:
            await self._close(_TOO_BIG, "message too big")
            return
        message = (self._serializer or V2).decode(text)
        if message is None:
            return
        if message.event == "phx_join":
            await self._on_join(message)
        elif message.event == "phx_leave":
            await self._on_leave(message)
        elif message.event == "heartbeat" and (message.topic == "phoenix" or self._is_joined(message)):
            await self._reply(message, OK)

    async def _on_join(self, message: Message) -> None:
        try:
            subscription = await self._subscribe(message)
        except (RequestError, StoreError) as error:
            await self._refuse(message, error)
            return
        older = await self._drop()
        if older is not None:  # as Phoenix does
            await self._dismiss(older)
        join = Join.of(message)
        self._join, self._subscription = join, subscription
        await self._reply(message, OK)
        self._start(self._pump(join, subscription))

    async def _on_leave(self, message: Message) -> None:
        if self._is_joined(message):
            await self._drop()
            self._start(self._expect_join())
        await self._reply(message, OK)
        await self._dismiss(Join(message.join_ref, message.topic))

    def _is_joined(self, message: Message) -> bool:
        """Whether the message belongs to the present join. Version 1 has no join_ref: there the topic must do."""
        join = self._join
        return join is not None and message.topic == join.topic and message.join_ref in (None, join.ref)

    # Joining ---------------------------------------------------------------------------------------------

    async def _subscribe(self, message: Message) -> Subscription:
        """Raises RequestError, whose code is the reason that the client is given, and StoreError."""
        channels = self._lobby.channels
        if self._serializer is None:
            raise InvalidRequest("there is no such protocol version", code="unsupported_version")
        if self._claims is None:
            self._claims = await channels.read_token(self._token)
        authorise(message.topic, self._claims)
        subscription = await channels.subscribe(
            self._claims.project_id,
            self._claims.channel_id,
            after=after_of(message.payload),
            transport="websocket",
        )
        try:
            await self._admit(self._claims)
        except BaseException:
            await subscription.__aexit__()
            raise
        return subscription

    async def _admit(self, claims: TokenClaims) -> None:
        if not self._admitted:
            await self._lobby.channels.use_token(claims)
            self._admitted = True
            self._lobby.admit(claims.jti, self)

    async def _refuse(self, message: Message, error: RequestError | StoreError) -> None:
        """A refusal for now lets phoenix.js join again after 1, 2, 5 and every 10 seconds, and gives it the time to.

        One for good closes the channel, which ends that, and soon the socket: not at once, because ModelRiver's client
        makes a new channel each time that phoenix.js 1.8.16 has come back, which it does 10 ms after any close.
        """
        await self._reply(message, refusal(error.code if isinstance(error, RequestError) else "unavailable"))
        if not error.retryable:
            await self._dismiss(Join.of(message))
        if self._join is None:
            self._start(self._expect_join() if error.retryable else self._expect_join(_SOON, "refused"))

    # Pushing ---------------------------------------------------------------------------------------------

    async def _pump(self, join: Join, subscription: Subscription) -> None:
        """Push frames; some seconds after the final one, close. A leave or another join ends all this."""
        try:
            await self._push_all(join, subscription)
            await self._lobby.clock.sleep(self._lobby.close_grace)
            await self._dismiss(join)
            await self._close(_NORMAL, "done")
        except SubscriptionClosed:
            # The reader was cut. phoenix.js joins again after a second and is told the latest state.
            self._join = None
            await self._text(join.ref, None, join.topic, "phx_error", "{}")
            await self._expect_join()
        except OSError:
            return
        except Exception:
            _logger.exception("a Phoenix socket could not be served")
            await self._close(_INTERNAL, "internal error")

    async def _push_all(self, join: Join, subscription: Subscription) -> None:
        with suppress(StopAsyncIteration):
            while True:
                frame = await subscription.next(self._lobby.heartbeat)
                if frame is not None:
                    await self._push(join, frame)

    async def _push(self, join: Join, frame: Frame) -> None:
        await self._text(join.ref, None, join.topic, frame.event, self._lobby.text_of(frame))

    # Frames out ------------------------------------------------------------------------------------------

    async def _reply(self, message: Message, payload: str) -> None:
        await self._text(message.join_ref, message.ref, message.topic, "phx_reply", payload)

    async def _text(self, join_ref: Ref, ref: Ref, topic: str, event: str, payload: str) -> None:
        if not self._closed:
            text = (self._serializer or V2).encode(join_ref, ref, topic, event, payload)
            await self._send({"type": "websocket.send", "text": text})

    async def _dismiss(self, join: Join) -> None:
        """Close a channel at the client: what is not closed, phoenix.js joins again when it comes back."""
        await self._text(join.ref, None, join.topic, "phx_close", "{}")

    async def _close(self, code: int, reason: str) -> None:
        if not self._closed:
            self._closed = True
            with suppress(OSError):
                await self._send({"type": "websocket.close", "code": code, "reason": reason})

    # The one task ----------------------------------------------------------------------------------------

    def _start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Put `work` in the place of what runs; nothing replaces the end."""
        if self._task is not None:
            if self._ending:
                work.close()
                return self._task
            self._task.cancel()
        self._task = asyncio.create_task(work)
        return self._task

    async def _expect_join(self, within: float = _JOIN_WITHIN, reason: str = "no channel was joined") -> None:
        await self._lobby.clock.sleep(within)
        await self._close(_NORMAL, reason)

    async def _part(self, join: Join | None) -> None:
        await self._release()
        if join is not None:
            with suppress(OSError):
                await self._dismiss(join)
        await self._expect_join(_SOON, "replaced by a newer socket")

    async def _end(self, code: int, reason: str) -> None:
        await self._release()
        await self._close(code, reason)

    async def _drop(self) -> Join | None:
        """End the present join, its pump first: leaving must not look to it like being cut."""
        join, self._join = self._join, None
        if self._task is not None and not self._ending:
            self._task.cancel()
        await self._release()
        return join

    async def _release(self) -> None:
        if self._subscription is not None:
            subscription, self._subscription = self._subscription, None
            await subscription.__aexit__()

    async def _stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        await self._release()
