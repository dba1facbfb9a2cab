"""The riverflow that each process of the simulation runs: the real one, with a developer's workflows, handlers and
stages, over a simulated store, network, clock and names.

It decides only what handlers and stages do, as the faults tell it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from ...app import Riverflow
from ...codec import decode
from ...errors import Failure
from ...event import Event
from ...hookspecs import hookimpl
from ...models import Entry, Outcome
from ...ports import Context, HttpClient, StageContext, StageMiddleware, Store
from .faults import Faults
from .process import Process
from .scenario import API_KEY, ENDPOINTS, REVIEWED, WORKFLOWS, Scenario
from .witness import Witness

__all__ = ["Deferrals", "stage"]

Deferrals = Callable[[Event], None]
"""Takes an event whose handler has deferred: somebody calls back later."""


class _Plugin:
    """The simulated store, and the witness at each stage and entry."""

    def __init__(self, store: Store, witness: Witness) -> None:
        self._store = store
        self._witness = witness

    @hookimpl
    def riverflow_stores(self) -> Mapping[str, Callable[[Context], Store]]:
        return {"simulated": lambda context: self._store}

    @hookimpl
    def riverflow_stage_middleware(self) -> Sequence[StageMiddleware]:
        return [self._watch]

    @hookimpl
    def riverflow_entry(self, run_id: str, entry: Entry) -> None:
        self._witness.observed(run_id, entry)

    async def _watch(self, context: StageContext, run: Callable[[StageContext], Awaitable[Outcome]]) -> Outcome:
        self._witness.stage_begins(context)
        return await run(context)


class _Developer:
    """The handlers and stages. `deferred` is told of each event that is to be answered later."""

    def __init__(self, faults: Faults, witness: Witness, deferred: Deferrals) -> None:
        self._faults = faults
        self._witness = witness
        self._deferred = deferred

    async def enrich(self, event: Event) -> Any:
        self._note(event)
        await asyncio.sleep(self._faults.delay())
        done = {**event.data, "local": event.channel_id} if isinstance(event.data, dict) else {"local": True}
        if self._faults.strikes("handler_fails"):
            return await self._go_wrong(event, done)
        self._witness.acknowledged.add(event.idempotency_key)
        return done

    async def hear(self, event: Event) -> None:
        self._note(event)
        await asyncio.sleep(self._faults.delay())
        if self._faults.strikes("handler_fails"):
            raise RuntimeError("the simulated handler fails")
        self._witness.acknowledged.add(event.idempotency_key)

    async def score(self, context: StageContext) -> dict[str, Any]:
        await asyncio.sleep(self._faults.delay())
        if self._faults.strikes("handler_fails"):
            raise RuntimeError("the simulated stage fails")
        return {**decode(context.data), "score": context.record.run.id}

    async def _go_wrong(self, event: Event, done: dict[str, Any]) -> Any:
        match self._faults.choice(raises=4, defers=2, hangs=1, declares=1):
            case "defers":
                self._witness.acknowledged.add(event.idempotency_key)
                self._deferred(event)
                return event.defer()
            case "hangs":
                await asyncio.sleep(1e6)
            case "declares":
                self._witness.acknowledged.add(event.idempotency_key)
                raise Failure("declared", "the simulated handler declares a failure")
        raise RuntimeError("the simulated handler fails")

    def _note(self, event: Event) -> None:
        key = event.idempotency_key
        self._witness.asked(key, event.channel_id, event.name, "the handler")
        self._witness.handled(key, event.channel_id, event.attempt)


def stage(
    process: Process,
    scenario: Scenario,
    *,
    store: Store,
    http: HttpClient,
    faults: Faults,
    witness: Witness,
    deferred: Deferrals,
) -> Riverflow:
    """The riverflow of one process, not started yet."""
    river = Riverflow(
        database_url="simulated://",
        env="production",
        public_url="https://api.sim",
        api_key=API_KEY,
        openai_base_url="https://provider.sim/v1",
        workflows=(*WORKFLOWS, REVIEWED),
        endpoints=ENDPOINTS,
        plugins=[_Plugin(store, witness)],
        discover_plugins=False,
        clock=process.clock,
        ids=process.ids,
        http=http,
        environ={},
        **scenario.settings,
    )
    developer = _Developer(faults, witness, deferred)
    river.on("local_enrichment")(developer.enrich)
    river.on("task.completed")(developer.hear)
    river.on("task.failed")(developer.hear)
    river.stage("score")(developer.score)
    return river
