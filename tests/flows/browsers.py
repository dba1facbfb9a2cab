"""Two browsers without a browser: one on a Phoenix socket, one on server-sent events, read in the same way.

They speak the wire and know nothing of riverflow's inside.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any, Protocol

import httpx
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

__all__ = ["BROWSERS", "Browser", "PhoenixBrowser", "SseBrowser"]

WITHIN = 10.0


class Browser(Protocol):
    """One reader of one run. `accepted` is the body that answered the submission."""

    async def open(self, accepted: dict[str, Any], after: int | None = None) -> None: ...
    async def next(self) -> dict[str, Any]:
        """The next message."""
        ...

    async def rest(self) -> list[dict[str, Any]]:
        """All messages until the server ends it, in the way that tells a client to stay away."""
        ...

    def drop(self) -> None:
        """Cut the TCP connection without a word."""
        ...

    async def aclose(self) -> None: ...


class PhoenixBrowser:
    """Joins as phoenix.js does, with its V2 arrays."""

    def __init__(self) -> None:
        self._socket: ClientConnection | None = None

    async def open(self, accepted: dict[str, Any], after: int | None = None) -> None:
        url = f"{accepted['websocket_url']}/websocket?token={accepted['ws_token']}&vsn=2.0.0"
        socket = self._socket = await connect(url, proxy=None)
        topic = accepted["websocket_channel"]
        payload = {} if after is None else {"after": after}
        await socket.send(json.dumps(["6", "6", topic, "phx_join", payload]))
        async with asyncio.timeout(WITHIN):
            reply = json.loads(await socket.recv())
        assert reply == ["6", "6", topic, "phx_reply", {"status": "ok", "response": {}}]

    async def next(self) -> dict[str, Any]:
        assert self._socket is not None
        async with asyncio.timeout(WITHIN):
            join_ref, ref, _, event, payload = json.loads(await self._socket.recv())
            if event == "phx_close":  # the channel ends before its socket, so that no client joins it again
                assert (join_ref, ref, payload) == ("6", None, {})
                raise AssertionError(f"after phx_close came {await self._socket.recv()!r}")
        assert (join_ref, ref, event) == ("6", None, "response")
        message: dict[str, Any] = payload
        return message

    async def rest(self) -> list[dict[str, Any]]:
        assert self._socket is not None
        messages = []
        try:
            while True:
                messages.append(await self.next())
        except ConnectionClosed:
            assert self._socket.close_code == 1000  # on any other code phoenix.js comes back
        return messages

    def drop(self) -> None:
        assert self._socket is not None
        self._socket.transport.abort()

    async def aclose(self) -> None:
        if self._socket is not None:
            await self._socket.close()


class SseBrowser:
    """Reads as an EventSource does; `latest` is the last event id it saw."""

    def __init__(self) -> None:
        self.latest = 0
        self._client = httpx.AsyncClient(timeout=httpx.Timeout(WITHIN, read=None), trust_env=False)
        self._response: httpx.Response | None = None
        self._lines: AsyncIterator[str] | None = None

    async def open(self, accepted: dict[str, Any], after: int | None = None) -> None:
        base = accepted["websocket_url"].replace("ws", "http", 1).removesuffix("/socket")
        headers = {} if after is None else {"last-event-id": str(after)}
        request = self._client.build_request(
            "GET",
            f"{base}/v1/ai/{accepted['channel_id']}/events",
            params={"token": accepted["ws_token"]},
            headers=headers,
        )
        self._response = await self._client.send(request, stream=True)
        assert self._response.status_code == 200
        assert self._response.headers["content-type"].startswith("text/event-stream")
        self._lines = self._response.aiter_lines()

    async def next(self) -> dict[str, Any]:
        event: dict[str, str] = {}
        async with asyncio.timeout(WITHIN):
            assert self._lines is not None
            async for line in self._lines:
                name, _, value = line.partition(": ")
                if line == "" and "data" in event:
                    self.latest = int(event["id"])
                    assert event["event"] == "response"
                    message: dict[str, Any] = json.loads(event["data"])
                    return message
                event |= {name: value} if name else {}
        raise StopAsyncIteration

    async def rest(self) -> list[dict[str, Any]]:
        messages = []
        try:
            while True:
                messages.append(await self.next())
        except StopAsyncIteration:
            return messages

    def drop(self) -> None:
        assert self._response is not None
        stream = self._response.extensions["network_stream"]
        stream.get_extra_info("socket").shutdown(2)

    async def aclose(self) -> None:
        if self._response is not None:
            await self._response.aclose()
        await self._client.aclose()


BROWSERS: dict[str, type[PhoenixBrowser] | type[SseBrowser]] = {"websocket": PhoenixBrowser, "sse": SseBrowser}
