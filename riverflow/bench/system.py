"""The process under test: floor or riverflow behind uvicorn (uvloop, httptools), pinned to its core.

It serves and tells what it has used; it generates no load.
"""

from __future__ import annotations

import asyncio
import contextlib
import cProfile
import gc
import pstats
import socket
import sys
from typing import Any

import msgspec
import uvicorn
import uvloop

from .control import Verb, many_files, measure, pin, serve_control

__all__ = ["System", "main"]


class System(msgspec.Struct, kw_only=True):
    """What to run. `kind` is `floor` or `riverflow`, `mode` R, I or S, `stub` the base URL of provider and backend;
    `neighbours` are paths of it that are receivers beside the backend, `certificate` is the file of its own."""

    kind: str
    mode: str
    stub: str
    core: int = 0
    database: str = ""
    structured: bool = False
    synchronous: str = "full"
    settings: dict[str, Any] = {}
    neighbours: tuple[str, ...] = ()
    certificate: str = ""


def main() -> None:
    """The process: a System as JSON in argv."""
    many_files()
    uvloop.run(_main(msgspec.json.decode(sys.argv[1], type=System)))


async def _main(system: System) -> None:
    pinned = pin(system.core)
    app, count = _app(system)
    config = uvicorn.Config(
        app,
        http="httptools",
        loop="none",
        ws="websockets-sansio",
        ws_per_message_deflate=False,
        access_log=False,
        log_level="warning",
        backlog=8192,
        timeout_graceful_shutdown=2,
    )
    listening = socket.create_server(("127.0.0.1", 0), backlog=8192)
    server = _Server(config)
    serving = asyncio.create_task(server.serve([listening]))
    await server.up.wait()
    _calm_collector()

    async def own(asked: dict[str, Any]) -> Any:
        return {**measure(), "commits": count()}

    profiler = cProfile.Profile()

    async def profile(asked: dict[str, Any]) -> None:
        profiler.enable()

    async def profiled(asked: dict[str, Any]) -> Any:
        profiler.disable()
        return _shares(profiler)

    verbs: dict[str, Verb] = {"measure": own, "profile": profile, "profiled": profiled}
    await serve_control(verbs, port=listening.getsockname()[1], pinned=pinned)
    server.should_exit = True
    await serving


def _calm_collector() -> None:
    """As `riverflow serve` does; the floor has it as well."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 50)


class _Server(uvicorn.Server):
    """Tells when it serves, and leaves the signals to the parent."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.up = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.up.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Any:
        yield


def _shares(profiler: cProfile.Profile) -> tuple[list[tuple[str, float]], list[tuple[str, float]]]:
    """Shares of the time by function, alone and with calls."""
    stats = pstats.Stats(profiler)
    found = stats.stats  # type: ignore[attr-defined]
    total = max(1e-9, sum(row[2] for row in found.values()))
    alone = {f"{name} ({file}:{line})": row[2] / total for (file, line, name), row in found.items()}
    with_calls = {f"{name} ({file}:{line})": row[3] / total for (file, line, name), row in found.items()}

    def top(shares: dict[str, float], most: int) -> list[tuple[str, float]]:
        return sorted(shares.items(), key=lambda pair: -pair[1])[:most]

    return top(alone, 25), top(with_calls, 60)


def _app(system: System) -> tuple[Any, Any]:
    if system.kind == "floor":
        from .floor import floor_app

        return floor_app(system.mode, system.stub, system.certificate), lambda: 0
    from .river import Commits, relax, river_app

    commits = Commits()
    commits.install()
    if system.synchronous == "normal":
        relax()
    river = river_app(
        system.mode,
        system.stub,
        system.database,
        structured=system.structured,
        settings=system.settings,
        neighbours=system.neighbours,
        certificate=system.certificate,
    )
    return river, lambda: commits.count
