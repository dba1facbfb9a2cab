"""Tells open pages that something has happened, so that they look again; and how that travels: server-sent events.

It says no more than "changed": what has changed is the page's question, asked with its own rights.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from .._channels import Hub
from ..errors import Overloaded, RiverflowError
from ..ports import Receive, Scope, Send
from ._headers import PAGE

__all__ = ["Pulse"]

logger = logging.getLogger("riverflow.console")

REST = 0.7
"""Seconds between two calls to look again: a person reads no faster, and a busy server has other work."""

_MOST = 50  # open pages of one login: more than anybody reads
_CHANGED = b"event: changed\ndata: {}\n\n"


class _Listener:
    """One open page of a `reader`; `run_id` None listens to everything."""

    def __init__(self, run_id: str | None, reader: str) -> None:
        self.run_id = run_id
        self.reader = reader
        self.news = asyncio.Event()


class Pulse:
    """The listeners of one process. While there are none, appends are not looked at."""

    def __init__(self, hub: Hub, heartbeat: float) -> None:
        self._hub = hub
        self._heartbeat = heartbeat
        self._listeners: set[_Listener] = set()
        self._closed = False

    @property
    def listeners(self) -> int:
        """How many pages are open."""
        return len(self._listeners)

    def beat(self, run_id: str | None) -> None:
        """A run (None: some run) has a new entry."""
        for listener in self._listeners:
            if listener.run_id is None or run_id is None or listener.run_id == run_id:
                listener.news.set()

    def close(self) -> None:
        """End every stream; browsers come back by themselves."""
        self._closed = True
        self.beat(None)

    async def serve(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
        run_id: str | None,
        reader: str,
        still_allowed: Callable[[], Awaitable[bool]],
    ) -> None:
        """Answer one EventSource until it leaves, or is no longer allowed (asked once in the time of a heartbeat,
        however much happens in it). Raises Overloaded where `reader` listens too often already."""
        if sum(each.reader == reader for each in self._listeners) >= _MOST:
            raise Overloaded(f"over {_MOST} open pages of one login; close some")
        headers = [*PAGE, (b"content-type", b"text/event-stream; charset=utf-8"), (b"x-accel-buffering", b"no")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        listener = _Listener(run_id, reader)
        gone, time = asyncio.ensure_future(_gone(receive)), asyncio.get_running_loop().time
        self._join(listener)
        try:
            await send({"type": "http.response.body", "body": b"retry: 2000\n\n", "more_body": True})
            asked = time()
            while not gone.done() and not self._closed:
                body = _CHANGED if await self._news(listener, gone) else b": still here\n\n"
                if self._closed or gone.done():
                    break
                if body != _CHANGED or time() - asked >= self._heartbeat:
                    asked = time()
                    if not await _granted(still_allowed):
                        break
                await send({"type": "http.response.body", "body": body, "more_body": True})
                await asyncio.wait([gone], timeout=REST)
            await send({"type": "http.response.body", "body": b""})
        except OSError:
            return  # the reader is gone (ASGI HTTP 2.4, "disconnected client")
        finally:
            self._leave(listener)
            gone.cancel()
            await asyncio.wait([gone])

    async def _news(self, listener: _Listener, gone: asyncio.Future[None]) -> bool:
        """Wait for news; False where a heartbeat's time passed, or the reader left, without any."""
        waiting = asyncio.ensure_future(listener.news.wait())
        either: set[asyncio.Future[Any]] = {waiting, gone}
        try:
            await asyncio.wait(either, timeout=self._heartbeat, return_when=asyncio.FIRST_COMPLETED)
            return listener.news.is_set()
        finally:
            listener.news.clear()
            waiting.cancel()
            await asyncio.wait([waiting])

    def _join(self, listener: _Listener) -> None:
        if not self._listeners:
            self._hub.watch(self.beat)
        self._listeners.add(listener)

    def _leave(self, listener: _Listener) -> None:
        self._listeners.discard(listener)
        if not self._listeners:
            self._hub.watch(None)


async def _granted(still_allowed: Callable[[], Awaitable[bool]]) -> bool:
    """Nobody who cannot be judged now; his browser comes back by itself."""
    try:
        return await still_allowed()
    except RiverflowError as error:
        logger.debug("a live page is ended: %s", error)
        return False
    except Exception:  # of the host app's login: the answer has begun, so no page can say it
        logger.exception("a live page is ended: unforeseen error")
        return False


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
