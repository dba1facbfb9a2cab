"""Carries one run: runs its stages and puts decisions into effect.

This module makes no rule (that is `_machine`), keeps no timer (that is `_sweeper`), tells nobody (that is `_deliverer`)
and writes no log itself (that is `_scribe`).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import msgspec

from . import _machine
from ._aftermath import Aftermath
from ._calls import Calls
from ._channels import Hub
from ._courier import Courier
from ._deliverer import Deliverer
from ._directory import Directory
from ._overdue import reason_of
from ._scribe import RETRY_AFTER, Scribe, Spawn
from ._setbacks import SetBacks
from .errors import (
    Expired,
    Failure,
    NotFound,
    NotWaiting,
    RequestError,
    StoreError,
    VersionConflict,
)
from .models import Claim, Entry, Failed, Outcome, Record, Settlement
from .pipeline import Stage
from .ports import Clock, Notifier, Queue, RunLog, StageContext, StageMiddleware, StageRunner
from .retry import RetryPolicy
from .time_limit import TimeLimit

__all__ = ["RETRY_AFTER", "Runner"]

logger = logging.getLogger("riverflow.runner")


class Runner:
    """The engine room's one pair of hands.

    `spawn(run_id, coroutine)` starts work that somebody owns, `cut(run_id)` stops what else is being done for a run,
    `stopped()` says that all is over here, `owner()` under which name work is held, `notice(due_at)` tells the sweeper
    of a new due time, `observe(run_id, entries)` is called after each append.
    """

    def __init__(
        self,
        *,
        log: RunLog,
        queue: Queue,
        hub: Hub,
        notifier: Notifier | None,
        directory: Directory,
        courier: Courier,
        aftermath: Aftermath,
        stages: Mapping[str, StageRunner],
        middleware: Sequence[StageMiddleware],
        calls: Calls,
        clock: Clock,
        policy: RetryPolicy,
        owner: Callable[[], str],
        spawn: Spawn,
        cut: Callable[[str], None],
        stopped: Callable[[], bool],
        notice: Callable[[float], None],
        observe: Callable[[str, Sequence[Entry]], None] | None,
    ) -> None:
        self._log = log
        self._queue = queue
        self._directory = directory
        self._stages = stages
        self._middleware = tuple(middleware)
        self._clock = clock
        self._policy = policy
        self._owner = owner
        self._spawn = spawn
        self._cut = cut
        self._stopped = stopped
        self._notice = notice
        self._in_stage: dict[str, asyncio.Task[Any] | None] = {}
        self._calls = calls
        self._scribe = Scribe(log, hub, notifier, spawn=spawn, give_back=self.give_back, notice=notice, observe=observe)
        self.set_backs = SetBacks(self._set_back, self.give_back)
        self._deliverer = Deliverer(
            self,
            courier=courier,
            aftermath=aftermath,
            queue=queue,
            scribe=self._scribe,
            set_backs=self.set_backs,
            calls=calls,
            clock=clock,
            spawn=spawn,
            stopped=stopped,
            notice=notice,
        )

    # Verbs

    async def begin(self, decision: _machine.Decision, *, owned: bool = True) -> None:
        """Append a new run; where `owned`, this process goes on with it at once, else it is left to be claimed."""
        if not owned:  # its claim will be its first beginning
            run = msgspec.structs.replace(decision.record.run, generation=0)
            decision = msgspec.structs.replace(decision, record=msgspec.structs.replace(decision.record, run=run))
        await self._scribe.append(decision, expected_version=None, owner=self._owner() if owned else "")
        if owned:
            self._spawn(decision.record.run.id, self.follow(decision))

    async def carry(self, record: Record, stage: Stage | None) -> None:
        """Run stages until the run waits or is done."""
        while stage is not None:
            outcome = await self._run_stage(record, stage)
            if outcome is None:
                return
            decision = await self._advance(record, outcome)
            if decision is None:
                return
            record, stage = decision.record, decision.run_next
            await self._tell(decision)

    async def apply(
        self, record: Record, taken: _machine.Input, *, cut: bool = False
    ) -> _machine.Decision | _machine.Repeated:
        """Decide, append, and start what follows, after stopping (`cut`) what is under way. Raises what the machine
        raises."""
        decision = await self.apply_settled(record, taken, None)
        if cut:
            self._cut(record.run.id)
        if isinstance(decision, _machine.Decision) and (decision.deliveries or decision.run_next or decision.call):
            self._spawn(decision.record.run.id, self.follow(decision))
        return decision

    async def answer(
        self, project_id: str, run_id: str, answered: _machine.Answered | _machine.Extended | _machine.Progressed
    ) -> _machine.Decision | _machine.Repeated:
        """Take a callback, or what its backend says before it. Runs that began to wait here are still in memory; where
        that memory is no longer true (another process was at work), the log has the last word. Raises NotFound and what
        the machine raises."""
        record = self._scribe.remembered(run_id)
        if record is not None and record.run.project_id == project_id:
            try:
                return await self.apply(record, answered)
            except RequestError:
                logger.debug("run %s: refused on what is remembered; the log is asked", run_id)
        record = await self.load(project_id, run_id)
        if record is None:
            raise NotFound(f"no run {run_id!r} in this project", code="channel_not_found")
        return await self.apply(record, answered)

    def forget(self, run_id: str) -> None:
        """A run is no more: nothing of it is remembered."""
        self._scribe.forget(run_id)

    async def take(self, claim: Claim) -> None:
        """Go on with claimed work: try a delivery, time a run out, or run its stage again."""
        if claim.delivery is not None:
            await self._deliverer.one(claim.delivery, None)
            return
        record = await self.load(None, claim.run_id)
        if record is None or record.run.phase == "done":
            return
        if claim.generation not in (None, record.run.generation):
            return  # between the claim and this read the lease ran out, and somebody else has claimed the run
        if record.run.is_called:
            await self._take_call(record)
        elif record.run.phase == "running":
            await self.carry(record, record.plan.pipeline[record.run.stage])
        elif self._clock.now() >= (record.run.deadline_at or 0.0):
            await self._time_out(record)
        else:
            await self._queue.reschedule(claim.run_id, None, record.run.deadline_at or 0.0)

    async def load(self, project_id: str | None, run_id: str) -> Record | None:
        """A run as it stands, or None."""
        stored = await self._log.load(project_id, run_id)
        return _machine.rebuild(stored.run, stored.checkpoints) if stored is not None else None

    async def give_back(self, run_id: str, delivery_id: str | None, delay: float) -> None:
        """After an unforeseen error: let the work be tried again, so many seconds from now. While the store does not
        answer, this keeps asking: nobody else can free what a living process holds."""
        due_at = self._clock.now() + delay
        while True:
            try:
                await self._queue.reschedule(run_id, delivery_id, due_at)
                break
            except StoreError:
                if self._stopped():
                    return  # all leases of this process were given back at the stop
                logger.warning("run %s: could not be given back, to be tried again", run_id, exc_info=True)
                await self._clock.sleep(1.0)
        self._notice(due_at)

    async def look(self, run_id: str) -> None:
        """Another process has written to a run whose stage is running here: where it has ended the run (a cancel), the
        stage is stopped and its request to the provider dropped."""
        stored = await self._log.load(None, run_id)
        task = self._in_stage.get(run_id)
        if stored is not None and stored.run.phase == "done" and task is not None:
            task.cancel()

    @property
    def running(self) -> int:
        """How many stages are running here."""
        return len(self._in_stage)

    def overrun(self, call_id: str, run_id: str) -> None:
        """A handler that is being called here has not answered in time."""
        self._spawn(run_id, self._overrun(call_id, run_id))

    def runs_stage_of(self, run_id: str) -> bool:
        """Whether a stage of the run is running here."""
        return run_id in self._in_stage

    # Stages

    async def _run_stage(self, record: Record, stage: Stage) -> Outcome | None:
        """The outcome, or None where the stage will be tried again later."""
        context = StageContext(record=record, stage=stage, attempt=record.attempt)
        if context.attempt > self._policy.attempts:
            message = f"stage {stage.name!r} was begun {self._policy.attempts} times without coming to an end"
            return Failed(code="attempts_exhausted", message=message)
        runner = self._stages.get(stage.kind)
        if runner is None:
            return Failed(code="unknown_stage_kind", message=f"no plugin here runs stages of kind {stage.kind!r}")
        run: Callable[[StageContext], Awaitable[Outcome]] = runner.run
        for middleware in reversed(self._middleware):
            run = _wrapped(middleware, run)
        task = self._in_stage[record.run.id] = asyncio.current_task()
        limit: TimeLimit | None = None
        try:
            if stage.timeout is None:
                return await run(context)
            with TimeLimit(stage.timeout) as limit:
                return await run(context)
        except Failure as failure:
            return Failed(code=failure.code, message=failure.message)
        except asyncio.CancelledError:
            if self._stopped():
                self.set_backs.cut_off(record)
            raise
        except Exception as error:
            if limit is not None and limit.over:
                return Failed(code="stage_timeout", message=f"stage {stage.name!r} took over {stage.timeout:g} seconds")
            return await self.set_backs.broke(context, error)
        finally:
            # Where its lease has lapsed, this process may itself have claimed the run again and be at it a second time.
            if self._in_stage.get(record.run.id) is task:
                del self._in_stage[record.run.id]

    async def _advance(self, record: Record, outcome: Outcome) -> _machine.Decision | None:
        """Put a stage's outcome into effect; None where the run has moved on without us (cancelled, or claimed by
        another process): the outcome is then stale and dropped."""
        try:
            decision = await self.apply_settled(record, _machine.StageFinished(outcome), None)
        except (NotWaiting, Expired, VersionConflict):
            logger.info("run %s: the outcome of stage %r came too late", record.run.id, record.run.stage)
            return None
        return decision if isinstance(decision, _machine.Decision) else None

    async def _time_out(self, record: Record) -> None:
        try:
            reason = await reason_of(self._log, self._queue, record)
            decision = await self.apply_settled(record, _machine.TimedOut(reason), None)
        except NotWaiting:
            return  # answered in the meantime
        if isinstance(decision, _machine.Decision):
            self._cut(record.run.id)  # a handler that hangs is still at it
            await self.follow(decision)

    async def _take_call(self, record: Record) -> None:
        """Whoever called the handler is gone: from here on that is owed, to a process that has the handler."""
        await self.apply_settled(record, _machine.CallLost(record.run.stage, record.run.generation), None, "")
        self._notice(self._clock.now())

    async def _overrun(self, call_id: str, run_id: str) -> None:
        """Time the run out, or watch on where it was given more time."""
        while (record := await self._called(run_id)) is not None:
            deadline, now = record.run.deadline_at or 0.0, self._clock.now()
            if deadline > now:
                self._calls.begin(call_id, run_id, deadline)
                self._notice(deadline)
                return
            await self._time_out(record)

    async def _called(self, run_id: str) -> Record | None:
        """A run whose handler is being called, as it stands. While the store does not answer, this keeps asking: nobody
        else can see to it."""
        while True:
            try:
                record = await self.load(None, run_id)
            except StoreError:
                logger.warning("run %s: its deadline has come, and the store does not answer", run_id, exc_info=True)
                await self._clock.sleep(1.0)
            else:
                return record if record is not None and record.run.is_called else None

    # Effects

    async def _tell(self, decision: _machine.Decision) -> None:
        if decision.call is not None:
            await self._deliverer.call(decision.record, decision.call)
        if decision.deliveries:
            await self._deliverer.all(decision.record, decision.deliveries)

    async def follow(self, decision: _machine.Decision) -> None:
        """Do what a decision that is written asks for, until the run waits or is done."""
        await self._tell(decision)
        if decision.run_next is not None:
            await self.carry(decision.record, decision.run_next)

    async def apply_settled(
        self, record: Record, taken: _machine.Input, settled: Settlement | None, owner: str | None = None
    ) -> _machine.Decision | _machine.Repeated:
        """Decide and append, with the attempt that it `settled`; where somebody else was first, decide again on what is
        there now. The run is on `owner`'s lease then (None: this process's). Raises what the machine raises."""
        while True:
            routing = await self._directory.routing(record.run.project_id)
            try:
                decision = _machine.decide(record, taken, self._clock.now(), routing)
            except Expired:
                fresh = await self.load(record.run.project_id, record.run.id)
                if fresh is None or fresh.run.deadline_at == record.run.deadline_at:
                    raise
                record = fresh  # it was given more time
                continue
            if isinstance(decision, _machine.Repeated):
                return decision
            try:
                holder = self._holder(taken, owner)
                await self._scribe.append(decision, expected_version=record.run.version, owner=holder, settled=settled)
            except VersionConflict:
                if isinstance(taken, _machine.StageFinished):
                    raise  # of a beginning that is over
                fresh = await self._reload(record)
                if isinstance(taken, _machine.SetBack) and not _same_beginning(fresh, record):
                    raise
                record = fresh
                continue
            return decision

    def _holder(self, taken: _machine.Input, owner: str | None) -> str | None:
        """On whose lease a run is after a decision; None: on whose it is. Who gives a hand-off more time, or tells of
        its progress, does not take it from the process whose handler may be at it."""
        if isinstance(taken, _machine.Extended | _machine.Progressed):
            return None
        return self._owner() if owner is None else owner

    async def _set_back(self, record: Record, taken: _machine.SetBack, owner: str | None) -> None:
        await self.apply_settled(record, taken, None, owner)

    async def _reload(self, record: Record) -> Record:
        fresh = await self.load(record.run.project_id, record.run.id)
        if fresh is None:
            raise StoreError(f"run {record.run.id} has vanished from the store")
        return fresh

    def told(self, run_id: str, entries: Sequence[Entry], first: int) -> None:
        """Somebody else here has written entries to a run: pass them on."""
        self._scribe.tell(run_id, entries, first)


def _same_beginning(one: Record, other: Record) -> bool:
    """Whether a run is still at the beginning of a stage that it was at."""
    return (one.run.stage, one.run.generation) == (other.run.stage, other.run.generation)


def _wrapped(
    middleware: StageMiddleware, run: Callable[[StageContext], Awaitable[Outcome]]
) -> Callable[[StageContext], Awaitable[Outcome]]:
    def wrapped(context: StageContext) -> Awaitable[Outcome]:
        return middleware(context, run)

    return wrapped
