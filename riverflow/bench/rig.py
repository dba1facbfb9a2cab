"""The set-up of one measurement: a stub, the systems under test, and the figures of one run of load.

It decides nothing about which runs are made, nor in which order.
"""

from __future__ import annotations

import asyncio
import os
import statistics
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec

from .certificate import write_certificate
from .control import Child
from .system import System

__all__ = ["IN_FLIGHT", "Figures", "Rig", "median", "rig"]

IN_FLIGHT = 64
TURNS = 4
SETTLES = 0.3  # seconds after the last flow in which what is left of its work is still charged


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """One run of load. `cpu_us` and `commits` are a flow's; latencies in ms; `pss_mb` after the run."""

    flows: int
    flows_per_second: float
    cpu_us: float
    commits: float
    p50_ms: float
    p99_ms: float
    pss_mb: float


class Rig:
    """A stub and systems beside it, all of one mode."""

    def __init__(self, stack: AsyncExitStack, folder: Path, stub: Child, options: dict[str, Any]) -> None:
        self._stack = stack
        self._folder = folder
        self._options = options
        self.stub = stub

    @property
    def stub_url(self) -> str:
        return f"http{'s' if self._options['certificate'] else ''}://127.0.0.1:{self.stub.ready['port']}"

    async def system(self, kind: str, mode: str, *, name: str = "", runner: tuple[str, ...] = (), **more: Any) -> Child:
        """Start `floor` or `riverflow`; `name` is of its database file."""
        system = System(
            kind=kind,
            mode=mode,
            stub=self.stub_url,
            structured=self._options["structured"],
            certificate=self._options["certificate"],
            **{"database": f"sqlite:///{self._folder / (name or 'bench')}.db", **more},
        )
        child = await Child.start(kind, "riverflow.bench.system", system, runner=runner)
        self._stack.push_async_callback(child.stop)
        return child

    async def load(self, system: Child, kind: str, flows: int, *, rate: float = 0.0) -> Figures:
        """So many flows and what they cost: IN_FLIGHT at any time, or at `rate` a second."""
        (figures,) = await self._load([system], kind, flows, 1, rate)
        return figures

    async def round(self, systems: Sequence[Child], kind: str, flows: int) -> list[Figures]:
        """So many flows through each of the systems, in TURNS turns of each, and what they cost each.

        Turns of a tenth or two of a second, because the clock of a machine with neighbours changes within seconds: the
        ratio of a round scatters by a third of that of two runs in a row. Connections stay open from turn to turn.
        """
        return await self._load(systems, kind, max(1, flows // TURNS), TURNS, 0.0)

    async def _load(self, systems: Sequence[Child], kind: str, flows: int, turns: int, rate: float) -> list[Figures]:
        before = await self._measure(systems)
        ran: list[Any] = await self.stub.ask(
            "load",
            within=600.0,
            ports=[system.ready["port"] for system in systems],
            kind=kind,
            flows=flows,
            turns=turns,
            rate=rate,
            in_flight=IN_FLIGHT,
        )
        await asyncio.sleep(SETTLES)
        after = await self._measure(systems)
        return [_figures(flows * turns, run, was, now) for run, was, now in zip(ran, before, after, strict=True)]

    async def _measure(self, systems: Sequence[Child]) -> list[dict[str, Any]]:
        return [await system.ask("measure") for system in systems]


def _figures(flows: int, run: dict[str, Any], before: dict[str, Any], after: dict[str, Any]) -> Figures:
    latencies = sorted(run["latencies"])
    return Figures(
        flows=flows,
        flows_per_second=flows / run["seconds"],
        cpu_us=(after["cpu"] - before["cpu"]) / flows * 1e6,
        commits=(after["commits"] - before["commits"]) / flows,
        p50_ms=latencies[len(latencies) // 2] * 1e3,
        p99_ms=latencies[min(len(latencies) - 1, int(len(latencies) * 0.99))] * 1e3,
        pss_mb=after["pss"] / 1e6,
    )


@asynccontextmanager
async def rig(folder: Path, *, size: int, structured: bool, tls: bool = False) -> AsyncIterator[Rig]:
    """A rig whose processes end with the block. With `tls` the stub speaks HTTPS to the system."""
    async with AsyncExitStack() as stack:
        core = 1 if (os.cpu_count() or 1) > 1 else 0
        certificate = str(write_certificate(folder)) if tls else ""
        options = {"core": core, "size": size, "structured": structured, "certificate": certificate}
        stub = await Child.start("stub", "riverflow.bench.stub", options)
        stack.push_async_callback(stub.stop)
        yield Rig(stack, folder, stub, options)


def median(values: list[float]) -> float:
    """The median, for short."""
    return statistics.median(values)
