"""The engine room: everything that goes on by itself between start and stop, put together; and how it comes to rest.

It has no verbs (those are `_engine`'s), makes no rule about runs, and knows no HTTP.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from ._breakers import Breakers
from ._calls import Calls
from ._channels import Hub
from ._crew import Crew
from ._parts import Parts
from ._recent import Recent
from ._runner import RETRY_AFTER, Runner
from ._sweeper import Sweeper
from .errors import StoreError
from .models import Claim, local_url
from .ports import Notifier
from .retry import MODELRIVER

__all__ = ["EngineRoom"]

logger = logging.getLogger("riverflow.engine")


class EngineRoom:
    """The runner, whoever brings it work and whoever hears of it. `founder` is the name under which this process first
    holds work; it takes another one when its lease has been in doubt."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._clock = parts.clock
        self._directory = parts.directory
        # Where nobody would tell of another process's writes, memory would not be known to be old.
        recent = Recent(parts.clock.monotonic) if parts.notifier is not None else None
        self.hub = Hub(parts.store.log, recent=recent, now=parts.clock.now)
        self.founder = parts.ids.opaque("proc")
        breakers = Breakers(parts.clock.monotonic, freed=lambda seconds: self.notice(parts.clock.now() + seconds))
        self._calls = Calls(lambda call_id, run_id: self.runner.overrun(call_id, run_id))
        self._sweeper: Sweeper = Sweeper(
            parts.store.queue,
            parts.clock,
            owner=self.founder,
            lease=parts.settings.lease,
            lanes=self.lanes,
            room=lambda: self._crew.room,
            take=self._take,
            receivers=breakers,
            calls=self._calls,
        )
        self._crew: Crew = Crew(
            parts.settings.concurrency,
            freed=lambda: self.notice(parts.clock.now()),
            stranded=lambda run_id: self.runner.give_back(run_id, None, RETRY_AFTER),
        )
        self.courier = parts.courier(breakers)
        self.runner: Runner = self._runner()
        self.admission = parts.admission(breakers, room=lambda: self._crew.room, running=lambda: self.runner.running)

    def _runner(self) -> Runner:
        parts = self._parts
        return Runner(
            log=parts.store.log,
            queue=parts.store.queue,
            hub=self.hub,
            notifier=parts.notifier,
            directory=parts.directory,
            courier=self.courier,
            aftermath=parts.aftermath(),
            stages=parts.stages,
            middleware=parts.middleware,
            calls=self._calls,
            clock=parts.clock,
            policy=MODELRIVER,
            owner=lambda: self._sweeper.lease.owner,
            spawn=self._crew.spawn,
            cut=self._crew.cut,
            stopped=lambda: self._crew.closed,
            notice=self._sweeper.notice,
            observe=parts.observe,
        )

    @property
    def has_room(self) -> bool:
        """Whether more work is welcome."""
        return self._crew.room > 0

    def notice(self, due_at: float) -> None:
        """Something is due then (Unix seconds)."""
        self._sweeper.notice(due_at)

    def lanes(self) -> list[str]:
        """What this process can deliver to."""
        lanes = {"http" if scheme == "https" else scheme for scheme in self._parts.senders if scheme != "local"}
        if not self._parts.can_call_app():
            lanes.discard("asgi")
        return [*lanes, *(local_url(name) for name in self._parts.handlers)]

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Keep the lease, sweep and watch until left; then drain."""
        await self._sweeper.renew()
        async with asyncio.TaskGroup() as group:
            service = [
                group.create_task(self._sweeper.keep_lease(), name="riverflow lease"),
                group.create_task(self._sweeper.run(), name="riverflow sweeper"),
                group.create_task(self._clear_doubts(), name="riverflow doubts"),
                group.create_task(self._directory.watch(1.0), name="riverflow directory"),
            ]
            if self._parts.notifier is not None:
                listening = self._listen(self._parts.notifier)
                service.append(group.create_task(listening, name="riverflow notifier"))
            try:
                yield
            finally:
                await self._drain(service)

    async def _listen(self, notifier: Notifier) -> None:
        """Listen to other processes until cancelled. A notifier that breaks is listened to again; what it missed
        meanwhile, the readers find in the log."""
        while True:
            try:
                await notifier.listen(self._woken)
            except Exception:
                logger.warning("the notifier failed; it is listened to again", exc_info=True)
            await self._clock.sleep(1.0)
            self.hub.wake(None)

    async def _clear_doubts(self) -> None:
        await self._sweeper.lease.clear_doubts(
            lambda: self._parts.ids.opaque("proc"),
            self._crew.in_hand,
            lambda: self.notice(self._clock.now()),
        )

    def _woken(self, run_id: str | None) -> None:
        """Another process has written to a run (None: to some)."""
        self.hub.wake(run_id)
        if run_id is not None and self.runner.runs_stage_of(run_id):
            self._crew.spawn(run_id, self.runner.look(run_id))

    async def _drain(self, service: list[asyncio.Task[None]]) -> None:
        """Let what runs finish within `drain_timeout`, give the rest back."""
        for task in service[1:]:
            task.cancel()
        self.hub.close("shutting_down")
        await self._crew.finish(self._parts.settings.drain_timeout)
        await self.runner.set_backs.hand_back()
        service[0].cancel()
        try:
            await self._sweeper.lease.release()
        except StoreError:
            logger.warning("the lease could not be given back; it will run out", exc_info=True)

    def _take(self, claim: Claim) -> None:
        self._crew.spawn(claim.run_id, self.runner.take(claim))
