"""Kills riverflow again and again at saturation, and looks whether anything is lost.

`python -m crash.torture --runs 10000 --kills 20` prints what was done and what was found.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import NamedTuple

import aiohttp

from riverflow.testing import serve

from .audit import audit, unfinished
from .nursery import WORKFLOWS
from .outside import Backend, Clients, Provider, Told

__all__ = ["Result", "torture"]

TESTS = Path(__file__).parents[1]
ENDS_WITHIN = 120.0  # seconds after the last kill


class Result(NamedTuple):
    """What was done, and what of it is not as promised."""

    runs: int
    kills: int
    told: Told
    problems: list[str]
    seconds: float


class Nursery:
    """The process that brings forth the lives."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._pid = 0
        self.kills = 0

    async def bear(self) -> None:
        """Begin a life."""
        assert self._process.stdin is not None
        self._process.stdin.write(b"\n")
        await self._process.stdin.drain()
        self._pid = int(await self._line())

    async def kill(self) -> None:
        """End it with SIGKILL."""
        os.kill(self._pid, signal.SIGKILL)
        ended = int(await self._line())
        assert ended == -signal.SIGKILL, f"the process had ended by itself, with {ended}"
        self._pid = 0
        self.kills += 1

    async def end(self) -> None:
        if self._pid:
            os.kill(self._pid, signal.SIGKILL)
        self._process.kill()
        await self._process.communicate()

    async def _line(self) -> bytes:
        assert self._process.stdout is not None
        return await self._process.stdout.readline()


@asynccontextmanager
async def _nursery(listener: socket.socket, *arguments: str) -> AsyncIterator[Nursery]:
    nursery = Nursery(
        await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "crash.nursery", str(listener.fileno()), *arguments),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            cwd=TESTS,
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(TESTS), *os.environ.get("PYTHONPATH", "").split()])},
            pass_fds=[listener.fileno()],
        )
    )
    try:
        yield nursery
    finally:
        await nursery.end()


async def torture(folder: Path, *, runs: int, kills: int, in_flight: int = 64, seed: int = 0) -> Result:
    """Run so many flows and kill so many times on the way; `seed` is the outside's chance, not the kills' moment."""
    began = time.monotonic()
    rng, told = Random(seed), Told()
    database = folder / "river.db"
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as listener:
        address = f"http://127.0.0.1:{listener.getsockname()[1]}"
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=60)) as session:
            backend = Backend(rng, told, session)
            backend.call_back_at(address)
            clients = Clients(told, session, address, in_flight)
            async with (
                serve(Provider(rng, told)) as provider_url,
                serve(backend) as backend_url,
                _nursery(listener, str(database), provider_url, backend_url) as nursery,
            ):
                await nursery.bear()
                flows = [
                    asyncio.create_task(clients.flow(number, rng.choice(WORKFLOWS).name)) for number in range(runs)
                ]
                await _kill(nursery, clients, rng, runs, kills)
                await _end(flows, database)
                problems = audit(database, told)
    return Result(runs, nursery.kills, told, problems, time.monotonic() - began)


async def _kill(nursery: Nursery, clients: Clients, rng: Random, runs: int, kills: int) -> None:
    """Kill while there is work: each time when a share of the flows is done, and some moment later."""
    for number in range(1, kills + 1):
        await clients.have_done(runs * number // (kills + 1))
        await asyncio.sleep(rng.uniform(0, 0.05))
        await nursery.kill()
        await nursery.bear()


async def _end(flows: list[asyncio.Task[None]], database: Path) -> None:
    async with asyncio.timeout(ENDS_WITHIN + len(flows) / 20):
        await asyncio.gather(*flows)
        while unfinished(database) != (0, 0):  # noqa: ASYNC110 - the database tells nobody
            await asyncio.sleep(0.2)


def _show(result: Result) -> None:
    told = ", ".join(f"{number} {name}" for name, number in sorted(result.told.counted.items()))
    print(
        f"torture: {result.runs} runs, {result.kills} kills, {told}: "
        f"{len(result.problems)} violations ({result.seconds:.0f} s)"
    )
    for problem in result.problems[:50]:
        print(f"    {problem}")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m crash.torture", description=__doc__)
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--in-flight", type=int, default=64)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with TemporaryDirectory() as folder:
        result = asyncio.run(
            torture(
                Path(folder), runs=options.runs, kills=options.kills, in_flight=options.in_flight, seed=options.seed
            )
        )
    _show(result)
    return 1 if result.problems else 0


if __name__ == "__main__":
    sys.exit(main())
