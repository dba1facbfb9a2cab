"""A process of the simulation: a riverflow that is started, spoken to, stopped, and killed without a word.

It decides nothing about when; its clock and names are its own.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
from collections.abc import Callable
from itertools import count

from ...app import Riverflow
from ...ports import Scope
from .loop import Life, SimulatedLoop
from .wire import Connection, Lost

__all__ = ["EPOCH", "Process", "ProcessClock", "ProcessIds"]

EPOCH = 1_700_000_000.0
"""The Unix time at which every simulation begins."""


class ProcessClock:
    """ports.Clock of one process: the loop's time, `skew` seconds off."""

    def __init__(self, loop: SimulatedLoop) -> None:
        self.skew = 0.0
        self._loop = loop

    def now(self) -> float:
        return EPOCH + self._loop.time() + self.skew

    def monotonic(self) -> float:
        return self._loop.time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class ProcessIds:
    """ports.Ids: nobody else's, and the same in every replay. `process` is the number of the process's life."""

    def __init__(self, process: int, clock: ProcessClock) -> None:
        self._process = process
        self._clock = clock
        self._numbers = count(1)

    def channel_id(self) -> str:
        number = next(self._numbers)
        milliseconds = f"{int(self._clock.now() * 1000):012x}"
        return f"{milliseconds[:8]}-{milliseconds[8:]}-7{self._process:03x}-8000-{number:012x}"

    def opaque(self, prefix: str) -> str:
        return f"{self.prefix(prefix)}{next(self._numbers):020x}"

    def prefix(self, prefix: str) -> str:
        """What all of this process's ids of a kind begin with."""
        return f"{prefix}_{self._process:06x}"

    def secret(self) -> str:
        digest = hashlib.sha256(f"{self._process} {next(self._numbers)}".encode()).digest()
        return "whsec_" + base64.b64encode(digest).decode("ascii")


class Process:
    """One life of one process. `build` makes its riverflow; `ended` is set when it is over, however it ended."""

    def __init__(self, number: int, loop: SimulatedLoop, build: Callable[[Process], Riverflow]) -> None:
        self.number = number
        self.life = Life()
        self.clock = ProcessClock(loop)
        self.ids = ProcessIds(number, self.clock)
        self.ended = asyncio.Event()
        self.ready = False
        self.error: BaseException | None = None  # why it could not start or stop
        self._loop = loop
        self._build = build
        self._river: Riverflow | None = None
        self._stopping = asyncio.Event()
        self._connections: dict[Connection, None] = {}

    def start(self) -> None:
        """Begin; `ready` says when it serves."""
        main = self._loop.create_task(self._main(), context=self.life.context)
        main.add_done_callback(self._has_ended)

    def stop(self) -> None:
        """Ask it to end gracefully."""
        self._stopping.set()

    def kill(self) -> None:
        """SIGKILL."""
        self.life.over = True
        self._end()

    def connect(self, scope: Scope, body: bytes = b"") -> Connection:
        """Begin an ASGI exchange. Raises Lost where nobody listens."""
        if not self.ready or self.life.over:
            raise Lost("connection refused")
        connection = Connection(body, websocket=scope["type"] == "websocket")
        self._connections[connection] = None
        self._loop.create_task(self._serve(scope, connection), context=self.life.context.copy())
        return connection

    async def _main(self) -> None:
        self._river = river = self._build(self)
        async with river.lifespan():
            self.ready = True
            await self._stopping.wait()
            await river.drain()
            self.ready = False

    async def _serve(self, scope: Scope, connection: Connection) -> None:
        assert self._river is not None
        try:
            await self._river(scope, connection.receive, connection.send)
        finally:
            self._connections.pop(connection, None)
            connection.sever()

    def _has_ended(self, main: asyncio.Task[None]) -> None:
        if not main.cancelled():
            self.error = main.exception()
        self._end()

    def _end(self) -> None:
        self.ready = False
        self.life.over = True
        for connection in self._connections:
            connection.sever()
        self._connections.clear()
        self.ended.set()
