"""The HTTP server that carries a Riverflow by itself: uvicorn, told to end streams before it waits for connections.

It parses no argument and prints nothing; what it must say goes to the log, without socket tokens.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import math
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from importlib.util import find_spec
from typing import Any, TypeVar

import uvicorn

from ..app import Riverflow
from ..errors import ConfigError
from ..routes._masks import masked

__all__ = ["Server", "calm_collector", "end_soon", "listen", "run_loop", "serving"]

T = TypeVar("T")

MAX_MESSAGE = 256 * 1024  # bytes of a WebSocket message: what a client has to say to a channel is far shorter

_ENDED_WITHIN = 1.0  # seconds for worker threads that only have to hear that it is over

_log = logging.getLogger("riverflow.server")


class Server(uvicorn.Server):
    """Serves one Riverflow at the root. The river's lifespan is the caller's: whoever starts it also hears why it
    cannot start.

    SIGTERM and SIGINT end it gracefully where `signals` is set, and nothing is raised afterwards; a second one then
    ends the process.
    """

    def __init__(self, river: Riverflow, *, access_log: bool = False, signals: bool = True) -> None:
        config = uvicorn.Config(
            river,
            http=_http_protocol(),
            ws="websockets-sansio",
            ws_max_size=MAX_MESSAGE,
            ws_per_message_deflate=False,
            lifespan="off",
            log_config=None,
            access_log=access_log,
            timeout_graceful_shutdown=math.ceil(river.settings.drain_timeout),
        )
        super().__init__(config)
        for name in ("uvicorn.access", "uvicorn.error"):  # the latter logs a socket's request line and headers too
            logging.getLogger(name).addFilter(_without_secrets)  # the same one again is none
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


def _http_protocol() -> Any:
    """httptools with bounded heads; h11, which has bounds of its own, where it is not installed."""
    if find_spec("httptools") is None:
        return "auto"
    from .heads import BoundedHeads

    return BoundedHeads


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


def end_soon() -> None:
    """Make sure that this process ends now that all is served: Python waits for worker threads, for ever where a plain
    handler hangs in one. What that handler was to answer is delivered again after the next start."""
    threading.Thread(target=_leave_behind, name="riverflow end", daemon=True).start()


def _leave_behind() -> None:
    until = time.monotonic() + _ENDED_WITHIN
    workers = [each for each in threading.enumerate() if not each.daemon and each is not threading.main_thread()]
    for worker in workers:
        worker.join(max(0.0, until - time.monotonic()))
    if any(worker.is_alive() for worker in workers):
        _log.warning("a plain handler (or stage) is still running in its thread; the process ends without it")
        logging.shutdown()
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os._exit(0)


def _without_secrets(record: logging.LogRecord) -> bool:
    """A logging filter that lets all pass, tokens and keys masked."""
    record.msg = _masked(record.msg)
    if isinstance(record.args, tuple):
        record.args = tuple(map(_masked, record.args))
    return True


def _masked(value: Any) -> Any:
    return masked(value) if isinstance(value, str) else value


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
