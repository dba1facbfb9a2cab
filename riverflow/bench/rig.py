"""The set-up of one measurement: a stub, the systems under test, and the figures of one run of load.

It decides nothing about which runs are made, nor in which order.
"""

from __future__ import annotations

import asyncio
import os
import statistics
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec

from .certificate import write_certificate
from .control import Child
from .system import System

__all__ = ["Figures", "Rig", "median", "rig"]

SETTLES = 0.3  # seconds after the last flow in which what is left of its work is still charged


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """One run of load. `cpu_us` and `commits` are a flow's; latencies in ms; `pss_mb` after the run."""

    flows: int
    flows_per_second: float
    cpu_us: float
    stub_cpu_us: float
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

    async def load(self, system: Child, kind: str, flows: int, *, rate: float = 0.0, in_flight: int = 64) -> Figures:
        """One run of load and what it cost."""
        before, stub_before = await system.ask("measure"), await self.stub.ask("measure")
        run = await self.stub.ask(
            "load", within=600.0, port=system.ready["port"], kind=kind, flows=flows, rate=rate, in_flight=in_flight
        )
        await asyncio.sleep(SETTLES)
        after, stub_after = await system.ask("measure"), await self.stub.ask("measure")
        latencies = sorted(run["latencies"])
        return Figures(
            flows=flows,
            flows_per_second=flows / run["seconds"],
            cpu_us=(after["cpu"] - before["cpu"]) / flows * 1e6,
            stub_cpu_us=(stub_after["cpu"] - stub_before["cpu"]) / flows * 1e6,
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
