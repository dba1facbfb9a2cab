"""The stub's side of thousands of subscribers: runs that wait, and readers that are connected to them."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from .load import join, submit
from .payloads import Submitted
from .readers import EventStream, WebSocket
from .wire import Client

__all__ = ["Crowd"]

AT_ONCE = 64


class Crowd:
    """Submitted runs and the readers of them."""

    def __init__(self, request: bytes) -> None:
        self._request = request
        self._runs: list[Submitted] = []
        self._readers: list[WebSocket | EventStream] = []
        self._told = 0
        self._all_told = asyncio.Event()
        self._due = 0

    async def submit(self, client: Client, count: int) -> None:
        """Submit `count` runs; they are the ones that `connect` means."""
        self._runs = []
        left = iter(range(count))

        async def worker() -> None:
            for _ in left:
                self._runs.append(await submit(client, self._request))

        await asyncio.gather(*(worker() for _ in range(AT_ONCE)))

    async def connect(self, client: Client, asked: dict[str, Any]) -> None:
        """Connect `count` readers by `sse` or `ws`, each to a run of its own, or all to the last one (`one_run`)."""
        runs = self._runs[: asked["count"]]
        if asked.get("one_run"):
            # The newest socket of a token wins, so each reader needs a token of its own.
            runs = [await _token(client, self._runs[-1]) for _ in range(asked["count"])]
        left = iter(runs)

        async def worker() -> None:
            for run in left:
                await self._reader(run, asked["transport"], asked["port"])

        await asyncio.gather(*(worker() for _ in range(AT_ONCE)))

    def disconnect(self) -> None:
        """Let every reader go."""
        for reader in self._readers:
            reader.close()
        self._readers.clear()

    def expect(self, messages: int) -> asyncio.Event:
        """An event that is set when that many messages more have come."""
        self._told, self._due = 0, messages
        self._all_told = asyncio.Event()
        return self._all_told

    @property
    def told(self) -> int:
        return self._told

    def _tell(self, message: bytes) -> None:
        if b"phx_reply" in message[:120]:
            return
        self._told += 1
        if self._told == self._due:
            self._all_told.set()

    async def _reader(self, run: Submitted, transport: str, port: int) -> None:
        host = f"127.0.0.1:{port}"
        reader: WebSocket | EventStream
        if transport == "ws":
            reader = WebSocket(host, f"/socket/websocket?token={run.ws_token}&vsn=2.0.0", self._tell)
        else:
            reader = EventStream(host, f"/v1/ai/{run.channel_id}/events?token={run.ws_token}", self._tell)
        await asyncio.get_running_loop().create_connection(lambda: reader, "127.0.0.1", port)
        await reader.accepted
        if isinstance(reader, WebSocket):
            reader.send(join(run))
        self._readers.append(reader)


async def _token(client: Client, run: Submitted) -> Submitted:
    answer = await client.post(b"/v1/ai/reconnect", msgspec.json.encode({"channel_id": run.channel_id}))
    return msgspec.json.decode(answer.body, type=Submitted)
