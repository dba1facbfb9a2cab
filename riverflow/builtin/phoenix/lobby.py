"""What all Phoenix sockets of one app share: terms, the newest socket of each token, the last payload as text.

This module must not speak to a client.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from ...models import Frame
from ...ports import Channels, Clock

if TYPE_CHECKING:
    from .socket import Socket

__all__ = ["Lobby"]


class Lobby:
    """The sockets of one app. `heartbeat` and `close_grace` are in seconds."""

    def __init__(self, channels: Channels, clock: Clock, *, heartbeat: float, close_grace: float) -> None:
        self.channels = channels
        self.clock = clock
        self.heartbeat = heartbeat
        self.close_grace = close_grace
        self.closed = False
        self._sockets: set[Socket] = set()
        self._newest: dict[str, Socket] = {}
        self._last: tuple[Frame | None, str] = (None, "")

    def enter(self, socket: Socket) -> None:
        """Keep a socket until it leaves."""
        self._sockets.add(socket)

    def admit(self, jti: str, socket: Socket) -> None:
        """The newest socket of a token wins. After a silent drop the older one still looks alive for a minute, and to
        refuse the newer one would lock its user out."""
        older = self._newest.get(jti)
        self._newest[jti] = socket
        if older is not None:
            older.give_way()

    def leave(self, socket: Socket, jti: str | None) -> None:
        """Forget a socket that is gone."""
        self._sockets.discard(socket)
        if jti is not None and self._newest.get(jti) is socket:
            del self._newest[jti]

    def text_of(self, frame: Frame) -> str:
        """The payload as text. The readers of one run are woken one after the other with the same frame, so one place
        is cache enough."""
        known, text = self._last
        if known is not frame:
            text = frame.data.decode("utf-8")
            self._last = (frame, text)
        return text

    async def close(self, code: int, reason: str, *, within: float) -> None:
        """Close all sockets; those whose clients do not read are waited for `within` seconds at most."""
        self.closed = True
        closing = [socket.end(code, reason) for socket in self._sockets]
        if closing:
            await asyncio.wait(closing, timeout=within)
