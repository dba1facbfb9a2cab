"""The people of the simulation: they look at what waits for them, and approve, edit or reject it, in time or late,
once, twice, or otherwise than a moment before; or they never do.

They judge nothing: what they were answered goes to the witness.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine
from itertools import count
from types import MappingProxyType
from typing import Any

from .clients import Call
from .faults import Faults
from .wire import Answered, Lost
from .witness import Witness

__all__ = ["People"]


class People:
    """Whoever may approve. `begin` starts what goes on by itself."""

    def __init__(
        self, faults: Faults, witness: Witness, call: Call, begin: Callable[[Coroutine[Any, Any, None]], object]
    ) -> None:
        self._faults = faults
        self._witness = witness
        self._call = call
        self._begin = begin
        self._marks = count(1)
        self._seen: set[str] = set()

    async def look(self, over: Callable[[], bool]) -> None:
        """Look at what waits again and again, until it is `over`."""
        while not over():
            answer = await self._ask("GET", "/v1/approvals", None)
            if answer is not None and answer.status == 200:
                for each in json.loads(answer.body)["data"]:
                    self._take(each["id"], each["channel_id"])
            await asyncio.sleep(self._faults.between(0.2, 3))

    def _take(self, approval_id: str, channel_id: str) -> None:
        if approval_id in self._seen:
            return
        self._seen.add(approval_id)
        manner = self._faults.choice(approves=4, edits=4, rejects=2, twice=2, contrary=3, late=2, never=2)
        if manner == "never":
            return
        first = self._said("edits" if manner in ("twice", "contrary", "late") else manner)
        said = [first]
        if manner == "twice":
            said.append(first)
        if manner == "contrary":
            said.append(self._said(self._faults.choice(approves=1, edits=1, rejects=1)))
        after = self._faults.between(20, 60) if manner == "late" else self._faults.delay()
        for each in said:
            self._begin(self._decide(approval_id, channel_id, each, after))

    def _said(self, manner: str) -> dict[str, Any]:
        mark = f"ruling-{next(self._marks)}"
        if manner == "rejects":
            return {"decision": "reject", "reason": mark}
        return {"decision": "approve"} | ({"data": {"by": mark}} if manner == "edits" else {})

    async def _decide(self, approval_id: str, channel_id: str, said: dict[str, Any], after: float) -> None:
        """Ask until there is an answer that asking again would not change."""
        await asyncio.sleep(after)
        while True:
            answer = await self._ask("POST", f"/v1/approvals/{approval_id}", said)
            if answer is not None:
                self._witness.decision_answered(channel_id, said, answer.status, answer.body)
                if answer.status not in (429, 500, 502, 503):
                    return
            await asyncio.sleep(self._faults.between(0.5, 3))

    async def _ask(self, method: str, path: str, body: Any) -> Answered | None:
        try:
            return await self._call(method, path, body, MappingProxyType({}))
        except Lost:
            return None
