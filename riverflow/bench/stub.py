"""The stub process: AI provider, the user's backend and load generator in one, pinned to its own core.

It answers at once and counts; how load is generated is `load`'s business.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import ssl
import sys
from collections.abc import Callable
from typing import Any

import msgspec
import uvloop

from .control import Verb, many_files, measure, pin, serve_control
from .crowd import Crowd
from .load import Load, Ran
from .payloads import API_KEY, SECRET, Payloads
from .wire import Client, ServerProtocol, response

__all__ = ["Stub", "main"]


class _Told(msgspec.Struct):
    channel_id: str
    type: str
    callback_url: str = ""


_told = msgspec.json.Decoder(_Told)
_RECEIVED = response(b'{"received":true}')
_UNKNOWN = response(b"{}", b"404 Not Found")
_FAILING = response(b"{}", b"500 Internal Server Error")


class Stub:
    """The provider and the backend. `finished` is called with a run's id when the system has answered its callback (or
    has told of its completion); `hold` keeps the provider from answering, `silent` the backend from calling back."""

    def __init__(self, payloads: Payloads) -> None:
        self.payloads = payloads
        self._clients: dict[int, Client] = {}
        self.finished: Callable[[str], None] = lambda run_id: None
        self.asked = 0
        self.wanted: tuple[int, asyncio.Event] | None = None
        self.failures: list[str] = []
        self.silent = False
        self._completion = response(payloads.completion)
        self._held: list[Callable[[bytes], None]] | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def handle(self, path: bytes, body: bytes, headers: dict[bytes, bytes], answer: Callable[[bytes], None]) -> None:
        """Answer a request of the system under test."""
        if path == b"/v1/chat/completions":
            self.asked += 1
            if self.wanted is not None and self.asked > self.wanted[0]:
                self.wanted[1].set()
            if self._held is not None:
                self._held.append(answer)
            else:
                answer(self._completion)
        elif path == b"/hook":
            answer(_RECEIVED)
            self._take(body, headers)
        elif path == b"/failing":
            answer(_FAILING)
        elif path == b"/mute":  # nothing is ever answered
            return
        else:
            answer(_UNKNOWN)

    def hold(self, hold: bool) -> None:
        """Hold the provider's answers back, or let them go."""
        held, self._held = self._held, [] if hold else None
        for answer in held or ():
            answer(self._completion)

    def client_of(self, port: int) -> Client:
        """The client of the system there."""
        if port not in self._clients:
            self._clients[port] = Client("127.0.0.1", port, [("authorization", f"Bearer {API_KEY}")])
        return self._clients[port]

    async def load(self, asked: dict[str, Any]) -> list[Ran]:
        """Flows against each of `ports`, in `turns` turns, each of which begins with another one. Raises LoadError."""
        loads = [Load(self, self.client_of(port), port, asked["kind"]) for port in asked["ports"]]
        try:
            for turn in range(asked["turns"]):
                first = turn % len(loads)
                for each in (*loads[first:], *loads[:first]):
                    if asked["rate"]:
                        await each.open_loop(asked["flows"], asked["rate"])
                    else:
                        await each.closed_loop(asked["flows"], asked["in_flight"])
        finally:
            for each in loads:
                each.close()
        return [each.ran for each in loads]

    def _take(self, body: bytes, headers: dict[bytes, bytes]) -> None:
        signature = hmac.digest(SECRET.encode(), body, hashlib.sha256).hex().encode()
        if headers.get(b"mr-signature") != signature:
            self.failures.append("a webhook's signature is wrong")
        told = _told.decode(body)
        if told.type == "task.completed":
            self.finished(told.channel_id)
        elif not self.silent:
            task = asyncio.get_running_loop().create_task(self._call_back(told))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _call_back(self, told: _Told) -> None:
        _, _, host, path = told.callback_url.split("/", 3)
        client = self.client_of(int(host.rpartition(":")[2]))
        answer = await client.post(f"/{path}".encode(), self.payloads.callback)
        if answer.status != 200:
            self.failures.append(f"a callback was answered {answer.status}: {answer.body[:200]!r}")
        self.finished(told.channel_id)


async def _main(options: dict[str, Any]) -> None:
    pin(options["core"])
    many_files()
    stub = Stub(Payloads(options["size"], options["structured"]))
    loop = asyncio.get_running_loop()
    tls: ssl.SSLContext | None = None
    if options["certificate"]:
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(options["certificate"])
    server = await loop.create_server(lambda: ServerProtocol(stub.handle), "127.0.0.1", 0, backlog=1024, ssl=tls)
    await serve_control(_verbs(stub), port=server.sockets[0].getsockname()[1])


def _verbs(stub: Stub) -> dict[str, Verb]:
    """What the parent may ask for."""
    crowd = Crowd(stub.payloads.request)

    async def own(asked: dict[str, Any]) -> Any:
        return {**measure(), "asked": stub.asked}

    async def asked_more(asked: dict[str, Any]) -> None:
        """Answered once the provider has been asked more often than `more_than`."""
        event = asyncio.Event()
        stub.wanted = (asked["more_than"], event)
        if stub.asked <= asked["more_than"]:
            async with asyncio.timeout(60):
                await event.wait()

    async def silent(asked: dict[str, Any]) -> None:
        stub.silent = True

    async def hold(asked: dict[str, Any]) -> None:
        stub.hold(asked["hold"])

    async def submit(asked: dict[str, Any]) -> None:
        await crowd.submit(stub.client_of(asked["port"]), asked["count"])

    async def connect(asked: dict[str, Any]) -> None:
        await crowd.connect(stub.client_of(asked["port"]), asked)

    async def disconnect(asked: dict[str, Any]) -> None:
        crowd.disconnect()

    async def release(asked: dict[str, Any]) -> int:
        told = crowd.expect(asked["messages"])
        stub.hold(False)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(30):
                await told.wait()
        return crowd.told

    verbs = (stub.load, silent, hold, submit, connect, disconnect, release)
    return {"measure": own, "asked": asked_more, **{verb.__name__: verb for verb in verbs}}


def main() -> None:
    """The process: its options (`core`, `size`, `structured`, `certificate`: a PEM file or empty) are JSON in argv."""
    uvloop.run(_main(msgspec.json.decode(sys.argv[1])))
