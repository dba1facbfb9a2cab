"""Phoenix Channels over WebSocket: what ModelRiver's browser client speaks (serializer versions 1 and 2).

This module must not know a token's rules nor a run's; it takes sockets in and lets them go.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping, Sequence
from urllib.parse import parse_qs

from ...hookspecs import hookimpl
from ...ports import Channels, Clock, Context, Receive, Scope, Send, Transport, TransportRoute
from .lobby import Lobby
from .socket import Socket

__all__ = ["PhoenixTransport"]

_TOKEN_PREFIX = "base64url.bearer.phx."  # phoenix.js 1.8, constants.js: AUTH_TOKEN_PREFIX
_RESTART = 1012  # "service restart": phoenix.js comes back on any code but 1000
_DRAIN_WITHIN = 2.0


@hookimpl
def riverflow_transports() -> Mapping[str, Callable[[Context], Transport]]:
    return {"phoenix": _transport}


def _transport(context: Context) -> PhoenixTransport:
    settings = context.settings
    return PhoenixTransport(clock=context.clock, heartbeat=settings.heartbeat, close_grace=settings.close_grace)


class PhoenixTransport:
    """Serves `/socket/websocket?token=…&vsn=2.0.0`; the token may come as phoenix.js 1.8's `authToken` too.

    `close_grace` seconds after the final push a socket is closed with 1000. A token that is no good is told by the
    answer to the join, never by refusing the upgrade, for on that phoenix.js tries again for ever.
    """

    def __init__(self, *, clock: Clock, heartbeat: float, close_grace: float) -> None:
        self._clock = clock
        self._heartbeat = heartbeat
        self._close_grace = close_grace
        self._lobby: Lobby | None = None

    def routes(self, channels: Channels) -> Sequence[TransportRoute]:
        lobby = Lobby(channels, self._clock, heartbeat=self._heartbeat, close_grace=self._close_grace)
        self._lobby = lobby

        async def websocket(scope: Scope, receive: Receive, send: Send) -> None:
            await receive()  # websocket.connect
            if lobby.closed:
                # Once accepted, a client would be back 10 ms after each close; refused, it backs off to 5 seconds.
                await send({"type": "websocket.close", "code": _RESTART, "reason": "restarting"})
            else:
                await _serve(lobby, scope, receive, send)

        return [TransportRoute(type="websocket", path="/socket/websocket", app=websocket)]

    async def drain(self) -> None:
        """Close every socket with 1012 and take no new ones: the clients come back to whoever answers then."""
        if self._lobby is not None:
            await self._lobby.close(_RESTART, "restarting", within=_DRAIN_WITHIN)


async def _serve(lobby: Lobby, scope: Scope, receive: Receive, send: Send) -> None:
    query = parse_qs(scope["query_string"].decode("latin-1"), keep_blank_values=True)
    protocols: Sequence[str] = scope.get("subprotocols", ())
    vsn = query["vsn"][-1] if "vsn" in query else None
    token = query["token"][-1] if "token" in query else _protocol_token(protocols)
    await Socket(lobby, vsn, token, send).run(receive, "phoenix" if "phoenix" in protocols else None)


def _protocol_token(protocols: Sequence[str]) -> str:
    """The token of a second subprotocol, `base64url.bearer.phx.<token in base64 without padding>`; "" if none.

    The name says base64url, phoenix.js 1.8 writes the standard alphabet: for the letters of a JWT they are the same.
    """
    for protocol in protocols:
        if protocol.startswith(_TOKEN_PREFIX):
            text = protocol.removeprefix(_TOKEN_PREFIX)
            try:
                return base64.b64decode(text + "=" * (-len(text) % 4), validate=True).decode("ascii")
            except (binascii.Error, ValueError):
                return ""
    return ""
