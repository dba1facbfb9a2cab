"""The process under test: floor or riverflow behind uvicorn (uvloop, httptools), pinned to its core.

It serves and tells what it has used; it generates no load.
"""

from __future__ import annotations

import asyncio
import contextlib
import resource
import socket
import sys
from typing import Any

import msgspec
import uvicorn
import uvloop

from .control import measure, pin, serve_control

__all__ = ["System", "main"]


class System(msgspec.Struct, kw_only=True):
    """What to run. `kind` is `floor` or `riverflow`, `mode` R, I or S, `stub` the base URL of provider and backend."""

    kind: str
    mode: str
    stub: str
    core: int = 0
    database: str = ""
    structured: bool = False
    synchronous: str = "full"
    settings: dict[str, Any] = {}


def main() -> None:
    """The process: `python -m riverflow.bench.system <System as JSON>`."""
    _many_files()
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
    )
    listening = socket.create_server(("127.0.0.1", 0), backlog=8192)
    server = _Server(config)
    serving = asyncio.create_task(server.serve([listening]))
    await server.up.wait()

    async def own(asked: dict[str, Any]) -> Any:
        return {**measure(), "commits": count()}

    await serve_control({"measure": own}, port=listening.getsockname()[1], pinned=pinned)
    server.should_exit = True
    server.force_exit = True
    await serving


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


def _app(system: System) -> tuple[Any, Any]:
    if system.kind == "floor":
        from .floor import floor_app

        return floor_app(system.mode, system.stub), lambda: 0
    from .river import Commits, relax, river_app

    commits = Commits()
    commits.install()
    if system.synchronous == "normal":
        relax()
    river = river_app(
        system.mode, system.stub, system.database, structured=system.structured, settings=system.settings
    )
    return river, lambda: commits.count


def _many_files() -> None:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


if __name__ == "__main__":
    main()
