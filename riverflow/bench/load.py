"""The load generator: closed and open loops of flows, each from the first byte sent to the last one due.

It is bounded in count and in time. It judges nothing but whether every flow came to its end.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

import msgspec

from .payloads import Submitted
from .readers import WebSocket
from .wire import Client

if TYPE_CHECKING:
    from .payloads import Payloads

__all__ = ["Load", "LoadError", "Ran", "join", "submit"]

FLOW_WITHIN = 30.0  # seconds that one flow may take
_submitted = msgspec.json.Decoder(Submitted)


class LoadError(Exception):
    """A flow failed; the text says how."""


class Backend(Protocol):
    """What the load needs to know of the stub (see stub.Stub)."""

    payloads: Payloads
    failures: list[str]
    finished: Callable[[str], None]


def _nothing() -> None:
    return None


class Worker(msgspec.Struct, frozen=True):
    """What makes one flow at a time, and how its own connection is closed."""

    flow: Callable[[], Awaitable[None]]
    close: Callable[[], None] = _nothing


class Ran(msgspec.Struct):
    """What a load has been so far: the seconds it took and each flow's latency, in seconds."""

    seconds: float = 0.0
    latencies: list[float] = []


class Load:
    """Flows of one kind against the system at `port`. Its connections stay open from turn to turn, until `close`.

    Kinds: `callback` ends when the backend's callback (or the completion's webhook) is through, `push` when the
    completed message has come over the worker's own WebSocket, `socket` the same over a new WebSocket for each flow.
    """

    def __init__(self, backend: Backend, client: Client, port: int, kind: str) -> None:
        self._backend = backend
        self._client = client
        self._port = port
        self._make = {"callback": self._callback, "push": self._push, "socket": self._socket}[kind]
        self._idle: list[Worker] = []
        self._ends: dict[str, asyncio.Future[None]] = {}
        self.ran = Ran()

    async def closed_loop(self, flows: int, in_flight: int) -> None:
        """So many flows, `in_flight` of them at any time. Raises LoadError."""
        while len(self._idle) < in_flight:
            self._idle.append(await self._make())
        left = iter(range(flows))

        async def work(worker: Worker) -> None:
            for _ in left:
                await self._timed(worker)

        with self._turn():
            await asyncio.gather(*(work(worker) for worker in self._idle[:in_flight]))

    async def open_loop(self, flows: int, rate: float) -> None:
        """So many flows, which arrive at `rate` a second (Poisson) and do not wait for one another. Raises
        LoadError."""
        dice = random.Random(20)  # noqa: S311 - the same arrivals in every run

        async def one() -> None:
            worker = self._idle.pop() if self._idle else await self._make()
            await self._timed(worker)
            self._idle.append(worker)

        due = time.perf_counter()
        with self._turn():
            async with asyncio.TaskGroup() as group:
                for _ in range(flows):
                    due += dice.expovariate(rate)
                    await asyncio.sleep(max(0.0, due - time.perf_counter()))
                    group.create_task(one())

    def close(self) -> None:
        """Close the connections."""
        for worker in self._idle:
            worker.close()
        self._client.close()

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """While it lasts, the ends of flows are this load's."""
        self._backend.finished = self._finished
        began = time.perf_counter()
        yield
        self.ran.seconds += time.perf_counter() - began
        if self._backend.failures:
            raise LoadError(f"{len(self._backend.failures)} failures, the first: {self._backend.failures[0]}")

    async def _timed(self, worker: Worker) -> None:
        began = time.perf_counter()
        async with asyncio.timeout(FLOW_WITHIN):
            await worker.flow()
        self.ran.latencies.append(time.perf_counter() - began)

    # Kinds of flows

    async def _callback(self) -> Worker:
        async def flow() -> None:
            submitted = await self._submit()
            await self._ends.setdefault(submitted.channel_id, _future())
            del self._ends[submitted.channel_id]

        return Worker(flow)

    async def _push(self) -> Worker:
        """`/bench/socket` takes the id of the run to follow, and pushes its messages."""
        ended: list[asyncio.Future[None]] = []

        def told(text: bytes) -> None:
            if b'"status":"completed"' in text:
                ended.pop().set_result(None)

        socket = await self._open("/bench/socket", told)

        async def flow() -> None:
            waiting = _future()
            ended.append(waiting)
            submitted = await self._submit()
            socket.send(submitted.channel_id.encode())
            await waiting

        return Worker(flow, socket.close)

    async def _socket(self) -> Worker:
        """What a browser does: a socket for the run, a join, the messages, a close."""

        async def flow() -> None:
            submitted = await self._submit()
            waiting = _future()

            def told(text: bytes) -> None:
                if b'"status":"completed"' in text and not waiting.done():
                    waiting.set_result(None)

            socket = await self._open(f"/socket/websocket?token={submitted.ws_token}&vsn=2.0.0", told)
            socket.send(join(submitted))
            await waiting
            socket.close()

        return Worker(flow)

    # Parts

    async def _open(self, path: str, told: Callable[[bytes], None]) -> WebSocket:
        socket = WebSocket(f"127.0.0.1:{self._port}", path, told)
        await asyncio.get_running_loop().create_connection(lambda: socket, "127.0.0.1", self._port)
        await socket.accepted
        return socket

    async def _submit(self) -> Submitted:
        return await submit(self._client, self._backend.payloads.request)

    def _finished(self, run_id: str) -> None:
        # The end may come before the submission's own answer has been read.
        ended = self._ends.setdefault(run_id, _future())
        if not ended.done():
            ended.set_result(None)


async def submit(client: Client, request: bytes) -> Submitted:
    """Submit a request. Raises LoadError where it is not accepted."""
    answer = await client.post(b"/v1/ai/async", request)
    if answer.status != 200:
        raise LoadError(f"a submission was answered {answer.status}: {answer.body[:300]!r}")
    return _submitted.decode(answer.body)


def join(submitted: Submitted) -> bytes:
    """A Phoenix join of the run's channel (serializer version 2)."""
    topic = f"ai_response:{submitted.project_id}:{submitted.channel_id}"
    return msgspec.json.encode(["1", "1", topic, "phx_join", {}])


def _future() -> asyncio.Future[None]:
    return asyncio.get_running_loop().create_future()
