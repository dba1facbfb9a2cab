"""The load generator: closed and open loops of flows, each from the first byte sent to the last one due.

It is bounded in count and in time. It judges nothing but whether every flow came to its end.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from .payloads import Submitted
from .readers import WebSocket
from .wire import Client

if TYPE_CHECKING:
    from .payloads import Payloads

__all__ = ["Load", "LoadError", "join", "submit"]

FLOW_WITHIN = 30.0  # seconds that one flow may take
_submitted = msgspec.json.Decoder(Submitted)


class LoadError(Exception):
    """A flow failed; the text says how."""


class Backend(Protocol):
    """What the load needs to know of the stub (see stub.Stub)."""

    payloads: Payloads
    failures: list[str]
    finished: Callable[[str], None]


class Load:
    """Flows against the system at `port`.

    Kinds: `callback` ends when the backend's callback (or the completion's webhook) is through, `push` when the
    completed message has come over the worker's own WebSocket, `socket` the same over a new WebSocket for each flow.
    """

    def __init__(self, backend: Backend, client: Client, port: int) -> None:
        self._backend = backend
        self._client = client
        self._port = port
        self._ends: dict[str, asyncio.Future[None]] = {}
        backend.finished = self._finished

    async def run(self, asked: dict[str, Any]) -> dict[str, Any]:
        """`flows` flows of a `kind`: with `in_flight` in a closed loop, or at `rate` a second in an open one (Poisson).
        Gives the seconds it took and each flow's latency."""
        make = {"callback": self._callback, "push": self._push, "socket": self._socket}[asked["kind"]]
        latencies: list[float] = []
        began = time.perf_counter()
        if asked.get("rate"):
            await self._open_loop(make, asked["flows"], asked["rate"], latencies)
        else:
            await self._closed_loop(make, asked["flows"], asked["in_flight"], latencies)
        seconds = time.perf_counter() - began
        if self._backend.failures:
            raise LoadError(f"{len(self._backend.failures)} failures, the first: {self._backend.failures[0]}")
        return {"seconds": seconds, "latencies": latencies}

    async def _closed_loop(self, make: Make, flows: int, in_flight: int, latencies: list[float]) -> None:
        left = iter(range(flows))

        async def worker() -> None:
            flow, close = await make()
            for _ in left:
                latencies.append(await _timed(flow))
            close()

        await asyncio.gather(*(worker() for _ in range(in_flight)))

    async def _open_loop(self, make: Make, flows: int, rate: float, latencies: list[float]) -> None:
        """Arrivals do not wait for one another; a worker's socket is taken by one flow at a time."""
        dice = random.Random(20)  # noqa: S311 - the same arrivals in every run
        free: list[tuple[Flow, Callable[[], None]]] = []

        async def one() -> None:
            worker = free.pop() if free else await make()
            latencies.append(await _timed(worker[0]))
            free.append(worker)

        due = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for _ in range(flows):
                due += dice.expovariate(rate)
                await asyncio.sleep(max(0.0, due - time.perf_counter()))
                group.create_task(one())
        for _, close in free:
            close()

    # Kinds of flows

    async def _callback(self) -> tuple[Flow, Callable[[], None]]:
        async def flow() -> None:
            submitted = await self._submit()
            await self._ends.setdefault(submitted.channel_id, _future())
            del self._ends[submitted.channel_id]

        return flow, _nothing

    async def _push(self) -> tuple[Flow, Callable[[], None]]:
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

        return flow, socket.close

    async def _socket(self) -> tuple[Flow, Callable[[], None]]:
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

        return flow, _nothing

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


Flow = Callable[[], Awaitable[None]]
Make = Callable[[], Awaitable[tuple[Flow, Callable[[], None]]]]


async def submit(client: Client, request: bytes) -> Submitted:
    """Submit a request. Raises LoadError where it is not accepted."""
    answer = await client.post(b"/v1/ai/async", request)
    if answer.status != 200:
        raise LoadError(f"a submission was answered {answer.status}: {answer.body[:300]!r}")
    return _submitted.decode(answer.body)


async def _timed(flow: Flow) -> float:
    began = time.perf_counter()
    async with asyncio.timeout(FLOW_WITHIN):
        await flow()
    return time.perf_counter() - began


def join(submitted: Submitted) -> bytes:
    """A Phoenix join of the run's channel (serializer version 2)."""
    topic = f"ai_response:{submitted.project_id}:{submitted.channel_id}"
    return msgspec.json.encode(["1", "1", topic, "phx_join", {}])


def _future() -> asyncio.Future[None]:
    return asyncio.get_running_loop().create_future()


def _nothing() -> None:
    return None
