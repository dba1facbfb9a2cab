"""Tells whom a run owes it: makes its deliveries, calls its in-process handlers, and puts what comes of it into effect.

How one attempt is made is the courier's business, what follows from an answer the machine's.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Protocol

import msgspec

from ._aftermath import Aftermath
from ._calls import Calls
from ._courier import Courier
from ._inputs import Answered, CallOver, Input, Repeated
from ._moves import Decision
from ._scribe import RETRY_AFTER, Scribe, Spawn
from ._setbacks import SetBacks
from ._settling import rest_of
from .errors import Expired, NotFound, NotWaiting, StoreError
from .models import Answer, Completed, Delivery, Failed, Record, Settlement
from .ports import Clock, Queue

__all__ = ["Deliverer"]

logger = logging.getLogger("riverflow.runner")


class Hands(Protocol):
    """What the runner does with a run."""

    async def load(self, project_id: str | None, run_id: str) -> Record | None: ...
    async def apply_settled(
        self, record: Record, taken: Input, settled: Settlement | None, owner: str | None = None
    ) -> Decision | Repeated: ...
    async def follow(self, decision: Decision) -> None: ...
    async def give_back(self, run_id: str, delivery_id: str | None, delay: float) -> None: ...


class Deliverer:
    """`spawn`, `stopped` and `notice` are the runner's (see there)."""

    def __init__(
        self,
        hands: Hands,
        *,
        courier: Courier,
        aftermath: Aftermath,
        queue: Queue,
        scribe: Scribe,
        set_backs: SetBacks,
        calls: Calls,
        clock: Clock,
        spawn: Spawn,
        stopped: Callable[[], bool],
        notice: Callable[[float], None],
    ) -> None:
        self._hands = hands
        self._courier = courier
        self._aftermath = aftermath
        self._queue = queue
        self._scribe = scribe
        self._set_backs = set_backs
        self._calls = calls
        self._clock = clock
        self._spawn = spawn
        self._stopped = stopped
        self._notice = notice

    # Deliveries

    def all(self, record: Record, deliveries: tuple[Delivery, ...]) -> Awaitable[None]:
        """There is one at least; it is made by who awaits this, the others beside it."""
        for delivery in deliveries[1:]:
            self._spawn(record.run.id, self.one(delivery, record))
        return self.one(deliveries[0], record)

    async def one(self, delivery: Delivery, record: Record | None) -> None:
        """One attempt, and what comes of it; `record` is the run's, where it is at hand."""
        try:
            await self._attempt(delivery, record)
        except Exception:
            logger.exception("delivery %s: unforeseen error; the work is given back", delivery.id)
            await self._hands.give_back(delivery.run_id, delivery.id, RETRY_AFTER)

    async def _attempt(self, delivery: Delivery, record: Record | None) -> None:
        """A handler's answer decides its stage in the same append."""
        attempted = await self._tried(delivery)
        if attempted is None:
            await self._park(delivery)
            return
        answer, settlement = attempted
        if isinstance(answer.outcome, Completed | Failed) and delivery.type == "task.ai_generated":
            await self._take_answer(delivery, answer.outcome, settlement, record)
        else:
            await self._settle(settlement)

    async def _take_answer(
        self, delivery: Delivery, outcome: Completed | Failed, settlement: Settlement, record: Record | None
    ) -> None:
        record = record or await self._hands.load(None, delivery.run_id)
        if record is None:
            return
        decision: Decision | None = None
        with suppress(Expired):  # it waits in the queue for its time-out
            decision = await self._answered(record, delivery.stage, outcome, settlement)
        if decision is None:
            await self._settle(settlement)
        else:
            await self._hands.follow(decision)

    async def _tried(self, delivery: Delivery) -> tuple[Answer, Settlement] | None:
        """An attempt, with what follows from it beside its own end; None where it is not the delivery's turn."""
        attempted = await self._courier.attempt(delivery)
        if attempted is None:
            return None
        answer, settlement = attempted
        if self._aftermath.concerns(delivery, answer, settlement):
            return answer, await self._aftermath.of(delivery, answer, settlement)
        return attempted

    async def _park(self, delivery: Delivery) -> None:
        """It is not this delivery's turn: the receiver is busy or out of order. It waits in the store, due all the
        time, and no attempt is counted."""
        now = self._clock.now()
        await self._queue.reschedule(delivery.run_id, delivery.id, now)
        if self._courier.parked(delivery):
            self._notice(now)

    async def _settle(self, settlement: Settlement) -> None:
        number = await self._queue.settle(settlement)
        self._scribe.tell(settlement.run_id, settlement.entries, number)
        self._notice_owed(settlement)

    def _notice_owed(self, settlement: Settlement) -> None:
        if settlement.due_at is not None:
            self._notice(settlement.due_at)
        if settlement.deliveries:
            self._notice(self._clock.now())

    # In-process handlers

    async def call(self, record: Record, delivery: Delivery) -> None:
        """Call the handler of the run's hand-off, on the run's lease. Where it gives no answer, the run waits for one,
        and what is to be tried again is owed from then on, as any delivery is."""
        run = record.run
        self._calls.begin(delivery.id, run.id, delivery.expires_at or math.inf)
        try:
            attempted = await self._tried(delivery)
        except asyncio.CancelledError:
            if self._stopped():
                self._set_backs.cut_off(record)
            raise
        finally:
            self._calls.end(delivery.id)
        if attempted is None:
            raise AssertionError("a handler takes no turns")
        answer, settlement = attempted
        if not isinstance(answer.outcome, Completed | Failed):
            await self._leave_waiting(record, settlement, rest_of(delivery, settlement))
            return
        try:
            decision = await self._answered(record, delivery.stage, answer.outcome, settlement)
        except Expired:  # the run is on our lease: nobody else would time it out
            await self._leave_waiting(record, settlement, ())
            return
        if decision is None:
            await self._note(settlement)
        else:
            await self._hands.follow(decision)

    async def _leave_waiting(self, record: Record, settlement: Settlement, owed: tuple[Delivery, ...]) -> None:
        """A call has ended without an answer that counts: the run waits, unless somebody else has answered or ended
        it, and `owed` is tried at its time."""
        leaving = msgspec.structs.replace(settlement, deliveries=(*owed, *settlement.deliveries))
        try:
            await self._hands.apply_settled(record, CallOver(record.run.stage), leaving)
        except NotWaiting:
            await self._note(settlement)
        else:
            self._notice_owed(leaving)

    async def _note(self, settlement: Settlement) -> None:
        """Settle the attempt of a call that decides nothing any more. The run has moved on, and is not to be given back
        for an entry that its log will lack."""
        try:
            await self._settle(settlement)
        except StoreError:
            logger.warning("run %s: its timeline lacks the end of a call", settlement.run_id, exc_info=True)

    async def _answered(
        self, record: Record, stage: str, outcome: Completed | Failed, settlement: Settlement
    ) -> Decision | None:
        """Apply what a handler has answered: what follows; None where it was refused, or said before. Raises Expired
        where it came too late."""
        try:
            decision = await self._hands.apply_settled(record, Answered.by("handler", stage, outcome), settlement)
        except (NotWaiting, NotFound) as refused:
            logger.info("run %s: a handler's answer was refused: %s", record.run.id, refused.message)
            return None
        return decision if isinstance(decision, Decision) else None
