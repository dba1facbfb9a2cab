"""`GET /health`: whether this process takes requests and its store takes writes, for load balancers and supervisors.

Anybody may ask, and what is told is no more than that. It repairs nothing.
"""

from __future__ import annotations

import asyncio

from .. import codec
from .._engine import Engine
from ..errors import RiverflowError, StoreError, StoreUnavailable
from ..ports import Clock, Documents, Receive, Scope, Send
from ._door import Reply, answer_problem, respond

__all__ = ["Health"]

FRESH = 1.0  # seconds that a finding counts: however many ask, the store is asked once
PATIENCE = 2.0  # seconds that the store has to write: a lock takes it longer than anybody waits for a health check
PROBE = b'"' + b"-" * 16_000 + b'"'  # about what a run writes: a disk that is full has no room for it

_NOWHERE, _KIND, _NAME = "", "health", "probe"


class Health:
    """The ASGI app at that path. It writes to the store as a run does, for a disk that is full can still be read."""

    def __init__(self, engine: Engine, documents: Documents, clock: Clock) -> None:
        self._engine = engine
        self._documents = documents
        self._clock = clock
        self._looking: asyncio.Task[RiverflowError | None] | None = None
        self._looked_at = 0.0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            self._engine.check_accepting()
            if (error := await self._found()) is not None:
                raise error
        except RiverflowError as error:
            await answer_problem(send, error)
        else:
            await respond(send, Reply(codec.encode({"status": "ok"})))

    async def _found(self) -> RiverflowError | None:
        now = self._clock.monotonic()
        if self._looking is None or (self._looking.done() and now - self._looked_at >= FRESH):
            self._looked_at = now
            self._looking = asyncio.create_task(self._look(), name="riverflow health")
        return await asyncio.shield(self._looking)

    async def _look(self) -> RiverflowError | None:
        now = self._clock.now()
        try:
            async with asyncio.timeout(PATIENCE):
                await self._documents.put(_NOWHERE, _KIND, _NAME, PROBE, now=now, silent=True)
        except TimeoutError:
            return StoreUnavailable(f"it took over {PATIENCE:g} s to write")
        except StoreError as error:
            return error if error.status == 503 else StoreUnavailable(str(error))
        return None
