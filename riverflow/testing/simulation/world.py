"""Plays one seed: processes that come and go over one store, clients, backends and faults, until all is quiet; then the
verdict.

Everything here happens in one thread and in simulated time; the same seed plays the same way.
"""

from __future__ import annotations

import asyncio
import contextvars
import hashlib
import json
from collections.abc import Callable, Coroutine, Mapping
from functools import partial
from random import Random
from typing import Any

import msgspec

from ...app import Riverflow
from ...errors import StoreError
from ...models import Delivery
from ...ports import Scope
from .apart import known_chance, quiet
from .backend import Backend
from .clients import Clients, Network, bearer
from .faults import Faults
from .faulty_store import FaultyStore
from .loop import Runaway, SimulatedLoop, Stalled
from .memory import MemoryStore, Post
from .people import People
from .process import EPOCH, Process
from .scenario import REVIEWED, Scenario
from .staging import stage
from .verdict import judge
from .wire import Answered, Connection, Lost, SimulatedHttp, http_scope
from .witness import AuditedTables, Witness

__all__ = ["Play", "play"]

RUNS_END = 3600.0  # simulated seconds after the trouble within which every run must have come to its end
DELIVERIES_END = 6 * 3600.0  # and every delivery: the last attempt is 3 h 42 min after the first
_LONG = 60.0  # for which processes need not run only to wait
_OVERDUE = 900.0
_CALLBACKS = 500_000  # some ten times what a scenario needs
_ROUNDS = 20  # of cancelling
_REQUEST = 40.0  # seconds that a client waits for an answer


class Play(msgspec.Struct, frozen=True, kw_only=True):
    """How one seed went. `seconds` are simulated."""

    seed: int
    violations: tuple[str, ...]
    runs: int
    faults: dict[str, int]
    seconds: float
    callbacks: int
    digest: str


def play(seed: int, *, tables: Callable[[], AuditedTables] = AuditedTables, scenario: Scenario | None = None) -> Play:
    """Play a seed. `tables` may be a store that is wrong on purpose; `scenario` stands in for the one drawn."""
    rng = Random(seed)
    scenario = scenario or Scenario.drawn(rng)
    loop = SimulatedLoop(seed, window=scenario.window, limit=_CALLBACKS)
    with quiet() as log, known_chance(seed):
        try:
            world = _World(loop, rng, scenario, tables())
            _run(loop, world.play(), world)
            _run(loop, world.bury(), world)
            world.witness.violations += log.broken
        finally:
            loop.close()
    return world.report(seed)


def _run(loop: SimulatedLoop, part: Coroutine[Any, Any, None], world: _World) -> None:
    try:
        loop.run_until_complete(part)
    except (Runaway, Stalled) as error:
        world.witness.violate(str(error))
        loop.limit += _CALLBACKS


class _World:
    """Everything that lives in one simulation."""

    def __init__(self, loop: SimulatedLoop, rng: Random, scenario: Scenario, tables: AuditedTables) -> None:
        self.witness = Witness(tables)
        self._loop = loop
        self._rng = rng
        self._scenario = scenario
        self._tables = tables
        self._faults = Faults(rng, scenario.odds)
        self._post = Post(self._carry_news)
        self._errands: dict[asyncio.Task[None], None] = {}
        self._lives: list[Process] = []
        self._slots: list[Process | None] = [None] * scenario.processes
        self._backend = Backend(self._faults, self.witness, self._call, self._begin)
        self._clients = Clients(Network(self._call, self._open), self._faults, self.witness)
        self._people = People(self._faults, self.witness, self._call, self._begin)
        self._closed_until = 0.0
        self._outside = contextvars.copy_context()

    async def play(self) -> None:
        for slot in range(self._scenario.processes):
            asyncio.create_task(self._keep(slot))  # noqa: RUF006 - buried with all others
        using = [asyncio.create_task(self._clients.use(flow)) for flow in self._scenario.flows]
        if any(flow.workflow == REVIEWED.name for flow in self._scenario.flows):
            self._begin(self._people.look(lambda: self._faults.calm and self._has_ended()))
        story = asyncio.create_task(self._story(using))
        broken = asyncio.create_task(self.witness.broken.wait())
        await asyncio.wait([story, broken], return_when=asyncio.FIRST_COMPLETED)

    async def _story(self, using: list[asyncio.Task[None]]) -> None:
        await self._make_trouble()
        await self._become_quiet(using)
        judge(self.witness, self._scenario)

    def report(self, seed: int) -> Play:
        return Play(
            seed=seed,
            violations=tuple(self.witness.violations),
            runs=len(self._tables.runs),
            faults=dict(self._faults.counted),
            seconds=self._loop.time(),
            callbacks=self._loop.ran,
            digest=_digest(self._tables, self._loop),
        )

    # Processes -------------------------------------------------------------------------------------------

    async def _keep(self, slot: int) -> None:
        """Start a process in this place again and again."""
        while True:
            await asyncio.sleep(max(0.0, self._closed_until - self._loop.time()))
            process = Process(len(self._lives) + 1, self._loop, self._build)
            self._lives.append(process)
            self._slots[slot] = process
            process.start()
            await process.ended.wait()
            if process.error is not None and not isinstance(process.error, StoreError):
                self.witness.violate(f"process {process.number} ended with {process.error!r}")
            await asyncio.sleep(self._faults.between(0.1, 5))

    def _build(self, process: Process) -> Riverflow:
        store = FaultyStore(
            MemoryStore(self._tables, self._post),
            self._faults,
            self._begin,
            lambda: self._kill(process),
            heard=self._scenario.heard,
        )
        return stage(
            process,
            self._scenario,
            store=store,
            http=SimulatedHttp(self._backend.hosts, self._faults, self._begin),
            faults=self._faults,
            witness=self.witness,
            deferred=self._backend.deferred,
        )

    def _kill(self, process: Process) -> None:
        if not process.life.over:
            process.kill()

    # Trouble ---------------------------------------------------------------------------------------------

    async def _make_trouble(self) -> None:
        scenario = self._scenario
        async with asyncio.TaskGroup() as group:
            for at in scenario.kills:
                group.create_task(self._at(at, "killed", lambda: self._any(Process.kill)))
            for at in scenario.stops:
                group.create_task(self._at(at, "stopped", lambda: self._any(Process.stop)))
            for at, seconds in scenario.outages:
                group.create_task(self._at(at, "outage", lambda: self._faults.begin_outage()))
                group.create_task(self._at(at + seconds, "", lambda: self._faults.end_outage()))
            for at, slot, seconds in scenario.jumps:
                group.create_task(self._at(at, "clock_set", partial(self._set_clock, slot, seconds)))
            await asyncio.sleep(scenario.trouble)
        self._faults.calm = True
        for process in self._lives:
            process.clock.skew = 0.0
        await asyncio.sleep(3 * scenario.settings["lease"])
        self._tables.living = self._is_alive  # from now on no lease ends but by a death

    async def _at(self, at: float, fault: str, strike: Callable[[], None]) -> None:
        await asyncio.sleep(at)
        if fault:
            self._faults.count(fault)
        strike()

    def _any(self, act: Callable[[Process], None]) -> None:
        living = [process for process in self._slots if process is not None and not process.life.over]
        if living:
            act(self._rng.choice(living))

    def _is_alive(self, owner: str) -> bool:
        """Whether a lease is of a process that lives (by the names that ProcessIds gives)."""
        return any(owner.startswith(process.ids.prefix("proc")) for process in self._lives if not process.life.over)

    def _set_clock(self, slot: int, seconds: float) -> None:
        process = self._slots[slot]
        if process is not None:
            process.clock.skew = seconds

    # The wires -------------------------------------------------------------------------------------------

    def _begin(self, errand: Coroutine[Any, Any, None]) -> None:
        """Start what belongs to no process."""
        task = asyncio.get_running_loop().create_task(errand, context=self._outside.copy())
        self._errands[task] = None
        task.add_done_callback(lambda done: self._errands.pop(done, None))

    def _carry_news(self, deliver: Callable[[], None]) -> None:
        if not self._faults.strikes("news_lost"):
            self._loop.call_later(self._faults.delay(), deliver, context=self._outside)

    def _open(self, scope: Scope, body: bytes = b"") -> Connection:
        serving = [process for process in self._slots if process is not None and process.ready]
        if not serving or self._faults.strikes("unreachable"):
            raise Lost("connection refused")
        return self._rng.choice(serving).connect(scope, body)

    async def _call(self, method: str, path: str, body: Any, headers: Mapping[str, str]) -> Answered:
        """One request of a client, answered whole."""
        scope = http_scope(method, path, {**bearer(), **headers})
        encoded = b"" if body is None else json.dumps(body).encode()
        await asyncio.sleep(self._faults.delay())
        if self._faults.strikes("request_lost"):
            await asyncio.sleep(_REQUEST)
            raise Lost("no answer")
        if self._faults.strikes("doubled"):
            self._begin(self._ignore({**scope}, encoded))
        connection = self._open(scope, encoded)
        try:
            async with asyncio.timeout(_REQUEST):
                answer = await connection.whole()
        except TimeoutError:
            raise Lost("no answer") from None
        finally:
            connection.leave()
        await asyncio.sleep(self._faults.delay())
        if self._faults.strikes("answer_lost"):
            raise Lost("no answer")
        return answer

    async def _ignore(self, scope: Scope, body: bytes) -> None:
        """The second arrival of a request: nobody sees its answer."""
        try:
            await self._open(scope, body).whole()
        except Lost:
            return

    # The end ---------------------------------------------------------------------------------------------

    async def _become_quiet(self, using: list[asyncio.Task[None]]) -> None:
        """Wait for the clients and the runs, then for the deliveries that are tried hours later."""
        calm = self._loop.time()
        while not (all(task.done() for task in using) and self._has_ended()):
            if self._loop.time() > calm + RUNS_END:
                waiting = sum(not task.done() for task in using)
                self.witness.violate(f"{RUNS_END:.0f} s after the trouble {waiting} clients are still waiting")
                return
            await asyncio.sleep(1.0)
        while (owed := self._owed()) and self._loop.time() < calm + DELIVERIES_END:
            next_due = min(owed, key=lambda delivery: delivery.due_at)
            seconds = next_due.due_at - EPOCH - self._loop.time()
            if seconds < -_OVERDUE:
                self.witness.violate(f"delivery {next_due.id} was due {-seconds:.0f} s ago, and is not tried")
                return
            await self._skip(seconds)

    def _has_ended(self) -> bool:
        return all(run.phase == "done" for run in self._tables.runs.values())

    def _owed(self) -> list[Delivery]:
        return [delivery for delivery in self._tables.deliveries.values() if delivery.status == "pending"]

    async def _skip(self, seconds: float) -> None:
        """Where nothing is due for long, let the processes rest until then."""
        if seconds < _LONG:
            await asyncio.sleep(1.0)
            return
        self._closed_until = self._loop.time() + seconds
        for process in self._lives:
            process.stop()
        await asyncio.sleep(seconds + 1.0)

    async def bury(self) -> None:
        """End every task, those of the dead included: a coroutine that is thrown away would run its `finally` later."""
        for process in self._lives:
            self._loop.revive(process.life)
        for _ in range(_ROUNDS):
            left = asyncio.all_tasks() - {asyncio.current_task()}
            if not left:
                return
            for task in left:
                task.cancel()
            await asyncio.wait(left, timeout=60.0)
        self.witness.violate(f"tasks do not end though they were cancelled {_ROUNDS} times: {left}")


def _digest(tables: AuditedTables, loop: SimulatedLoop) -> str:
    """Two plays with the same digest went the same way."""
    told = hashlib.sha256(f"{loop.ran} {loop.time()}".encode())
    for run_id, entries in sorted(tables.entries.items()):
        for entry in entries:
            told.update(f"{run_id} {entry.number} {entry.kind} {entry.at}".encode() + bytes(entry.data))
    return told.hexdigest()[:16]
