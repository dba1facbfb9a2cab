"""The clients of the simulation: who submits, who cancels, and browsers of several kinds that follow a run to its end,
coming back with the last number they saw.

They judge nothing but that they are served; what they saw goes to the witness.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType
from typing import Any

from ...ports import Scope
from .faults import Faults
from .scenario import API_KEY, Flow
from .wire import Answered, Connection, Lost, http_scope, websocket_scope
from .witness import Witness

__all__ = ["Call", "Clients", "Network", "bearer"]

Call = Callable[[str, str, Any, Mapping[str, str]], Awaitable[Answered]]
"""Method, path, JSON body and more headers of a request, to whichever process answers. Raises Lost."""

_FINAL = ("completed", "success", "error")


class Network:
    """How a client reaches riverflow: `call` is one request answered whole, `open` a stream. Both raise Lost."""

    def __init__(self, call: Call, open_: Callable[[Scope], Connection]) -> None:
        self.call = call
        self.open = open_


class Clients:
    """Everybody who uses a run. Nobody gives up."""

    def __init__(self, network: Network, faults: Faults, witness: Witness) -> None:
        self._network = network
        self._faults = faults
        self._witness = witness

    async def use(self, flow: Flow) -> None:
        """Submit, follow with every reader, perhaps cancel; done when every reader has seen the end."""
        await asyncio.sleep(flow.at)
        accepted = await self._submit(flow)
        async with asyncio.TaskGroup() as group:
            for number, kind in enumerate(flow.readers):
                group.create_task(self._read(kind, accepted, f"{kind} {number} of flow {flow.number}"))
            if flow.cancel_after is not None:
                group.create_task(self._cancel(accepted["channel_id"], flow.cancel_after))

    async def _submit(self, flow: Flow) -> dict[str, Any]:
        """Ask until a run is accepted. What was accepted without our being told ends as well; nobody follows it."""
        content = json.dumps({"flow": flow.number})
        body = {
            "workflow": flow.workflow,
            "messages": [{"role": "user", "content": content}],
            "customer_data": {"flow": flow.number},
        }
        headers = {"idempotency-key": f"flow-{flow.number}"} if flow.keyed else {}
        while True:
            answer = await self._ask("POST", "/v1/ai/async", body, headers)
            if answer is not None and answer.status == 200:
                accepted: dict[str, Any] = json.loads(answer.body)
                self._witness.was_accepted(accepted["channel_id"], flow.number)
                return accepted
            if answer is not None and answer.status not in ((409, 503) if flow.keyed else (503,)):
                self._witness.violate(
                    f"flow {flow.number}: the submission is answered {answer.status}: {answer.body!r}"
                )
            await self._pause()

    async def _cancel(self, channel_id: str, after: float) -> None:
        await asyncio.sleep(after)
        while True:
            answer = await self._ask("POST", f"/v1/ai/{channel_id}/cancel", None)
            if answer is not None and answer.status == 200:
                self._witness.was_cancelled(channel_id)
            if answer is not None and answer.status in (200, 409):
                return
            if answer is not None and answer.status != 503:
                self._witness.violate(f"run {channel_id}: a cancel is answered {answer.status}: {answer.body!r}")
            await self._pause()

    # Readers ---------------------------------------------------------------------------------------------

    async def _read(self, kind: str, accepted: dict[str, Any], name: str) -> None:
        if kind == "late":
            await asyncio.sleep(self._faults.between(30, 300))
        else:
            await asyncio.sleep(self._faults.delay())
        follow = {"poll": self._poll, "socket": self._socket}.get(kind, self._events)
        while not await follow(accepted, name):
            await self._pause()

    async def _events(self, accepted: dict[str, Any], name: str) -> bool:
        """One connection of an EventSource. Whether it has seen the end."""
        channel_id = accepted["channel_id"]
        seen = self._witness.seen.setdefault(f"{channel_id} {name}", [])
        path = f"/v1/ai/{channel_id}/events?token={accepted['ws_token']}"
        headers = {"last-event-id": str(seen[-1])} if seen else {}
        try:
            connection = self._network.open(http_scope("GET", path, headers))
        except Lost:
            return False
        try:
            start = await connection.next()
            if start["status"] != 200:
                return await self._turned_away(accepted, start["status"], name)
            return await self._listen(connection, channel_id, seen)
        except Lost:
            return False
        finally:
            connection.leave()

    async def _listen(self, connection: Connection, channel_id: str, seen: list[int]) -> bool:
        text, patience = b"", self._faults.choice(stays=8, leaves=1, dawdles=1)
        while True:
            message = await connection.next()
            text += message.get("body", b"")
            *blocks, text = text.split(b"\n\n")
            for block in blocks:
                lines = dict(line.split(b": ", 1) for line in block.split(b"\n") if b": " in line)
                if b"data" in lines:
                    number = int(lines[b"id"])
                    self._witness.frame_came(channel_id, number, lines[b"data"])
                    seen.append(number)
                    if json.loads(lines[b"data"])["status"] in _FINAL:
                        return True
            if not message.get("more_body", False) or patience == "leaves":
                return False
            if patience == "dawdles":
                await asyncio.sleep(self._faults.between(0, 10))

    async def _turned_away(self, accepted: dict[str, Any], status: int, name: str) -> bool:
        if status == 401:
            await self._renew(accepted)
        elif status not in (429, 503):
            self._witness.violate(f"run {accepted['channel_id']}: {name} is answered {status}")
        return False

    async def _renew(self, accepted: dict[str, Any]) -> None:
        """A token has run out: ask for another."""
        answer = await self._ask("POST", "/v1/ai/reconnect", {"channel_id": accepted["channel_id"]})
        if answer is not None and answer.status == 200:
            accepted["ws_token"] = json.loads(answer.body)["ws_token"]

    async def _socket(self, accepted: dict[str, Any], name: str) -> bool:
        """One Phoenix socket: the latest state on joining, then what follows. Whether it has seen the end."""
        seen = self._witness.seen.setdefault(f"{accepted['channel_id']} {name}", [])
        path = f"/socket/websocket?token={accepted['ws_token']}&vsn=2.0.0"
        try:
            connection = self._network.open(websocket_scope(path))
        except Lost:
            return False
        try:
            connection.say(json.dumps(["1", "1", accepted["websocket_channel"], "phx_join", {}]))
            return await self._hear(connection, accepted, seen)
        except Lost:
            return False
        finally:
            connection.leave()

    async def _hear(self, connection: Connection, accepted: dict[str, Any], seen: list[int]) -> bool:
        while True:
            message = await connection.next()
            if message["type"] == "websocket.close":
                return False
            text = message.get("text")
            if text is None:
                continue
            _, _, _, event, payload = json.loads(text)
            if event == "phx_error" or (event == "phx_reply" and payload["status"] == "error"):
                await self._renew(accepted)
                return False
            if event == "response":
                data = text[text.index('"response",') + len('"response",') : -1].encode()
                seen.append(self._witness.frame_came(accepted["channel_id"], None, data))
                if payload["status"] in _FINAL:
                    return True

    async def _poll(self, accepted: dict[str, Any], name: str) -> bool:
        channel_id = accepted["channel_id"]
        answer = await self._ask("GET", f"/v1/ai/{channel_id}", None)
        if answer is None or answer.status == 503:
            return False
        if answer.status != 200:
            self._witness.violate(f"run {channel_id}: {name} is answered {answer.status}: {answer.body!r}")
            return False
        told = json.loads(answer.body)
        seen = self._witness.seen.setdefault(f"{channel_id} {name}", [])
        seen.append(told["latest"])
        return told["status"] in _FINAL

    # Inside

    async def _ask(
        self, method: str, path: str, body: Any, headers: Mapping[str, str] = MappingProxyType({})
    ) -> Answered | None:
        try:
            return await self._network.call(method, path, body, headers)
        except Lost:
            return None

    async def _pause(self) -> None:
        await asyncio.sleep(self._faults.between(0.2, 3))


def bearer() -> dict[str, str]:
    """The headers of a request with the API key."""
    return {"authorization": f"Bearer {API_KEY}", "content-type": "application/json", "host": "api.sim"}
