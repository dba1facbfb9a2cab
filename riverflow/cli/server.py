"""The HTTP server that carries a Riverflow by itself: uvicorn, told to end streams before it waits for connections.

It parses no argument and prints nothing.
"""

from __future__ import annotations

import asyncio
import gc
import math
import signal
import socket
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from importlib.util import find_spec
from typing import Any, TypeVar

import uvicorn

from ..app import Riverflow
from ..errors import ConfigError

__all__ = ["Server", "calm_collector", "listen", "run_loop", "serving"]

T = TypeVar("T")


class Server(uvicorn.Server):
    """Serves one Riverflow at the root. The river's lifespan is the caller's: whoever starts it also hears why it
    cannot start.

    SIGTERM and SIGINT end it gracefully where `signals` is set, and nothing is raised afterwards; a second one then
    ends the process.
    """

    def __init__(self, river: Riverflow, *, access_log: bool = False, signals: bool = True) -> None:
        config = uvicorn.Config(
            river,
            http="httptools" if find_spec("httptools") else "auto",
            ws="websockets-sansio",
            ws_per_message_deflate=False,
            lifespan="off",
            log_config=None,
            access_log=access_log,
            timeout_graceful_shutdown=math.ceil(river.settings.drain_timeout),
        )
        super().__init__(config)
        self._river = river
        self._signals = signals

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Close the door, send readers away, and only then wait for what is still open."""
        for listener in self.servers:
            listener.close()
        await self._river.drain()
        await super().shutdown(sockets)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        # uvicorn's own raises the signal again when it has ended, which would cut the lifespan around it short.
        if not self._signals:
            yield
            return
        before = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 is a free one. Raises ConfigError where the address cannot be had."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=2048)
    except (OSError, OverflowError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise ConfigError(f"cannot listen on {host} port {port}: {reason}") from None


@asynccontextmanager
async def serving(river: Riverflow, listener: socket.socket) -> AsyncIterator[None]:
    """Serve in the background while inside; on leaving, drain and stop. Takes no signals."""
    server = Server(river, signals=False)
    async with river.lifespan():
        task = asyncio.create_task(server.serve(sockets=[listener]), name="server")
        try:
            yield
        finally:
            server.should_exit = True
            await task  # no task group: it would cancel the server where it should end by itself


def calm_collector() -> None:
    """Have the garbage collector look seldom, and never at what is there now: call it when all is started.

    With 64 runs in flight its defaults took 4 % of the CPU, to find next to nothing: a run leaves no cycles. For a
    process that is riverflow's own; a library does not decide this.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 50)


def run_loop(main: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run on uvloop where it is installed. Ctrl-C cancels `main` and comes out as KeyboardInterrupt."""
    factory: Callable[[], asyncio.AbstractEventLoop] | None = None
    if find_spec("uvloop"):
        import uvloop

        factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(main())
