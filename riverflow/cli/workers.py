"""Several processes behind one listening socket: starts them, replaces one that dies, stops them together.

It knows nothing of what they serve. POSIX only: the socket goes down by inheritance.
"""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
from collections.abc import Sequence

from ..errors import ConfigError

__all__ = ["supervise"]

_SETTLED = 30.0  # seconds: a worker that exits with an error sooner than this has not come up, and would not again


async def supervise(listener: socket.socket, arguments: Sequence[str], count: int) -> None:
    """Run `count` times `riverflow <arguments> --fd …` until SIGTERM or SIGINT. Raises ConfigError where a worker does
    not come up; what it said is on stderr."""
    crew = _Crew(listener, arguments)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, crew.stop)
    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(count):
                group.create_task(crew.keep_one())
    except* _Failed as failed:
        raise ConfigError(str(failed.exceptions[0])) from None


class _Failed(Exception):
    """A worker ended before it had settled."""


class _Crew:
    def __init__(self, listener: socket.socket, arguments: Sequence[str]) -> None:
        self._fd = listener.fileno()
        self._command = [sys.executable, "-m", "riverflow", *arguments, "--fd", str(self._fd)]
        self._processes: set[asyncio.subprocess.Process] = set()
        self._stopping = False

    def stop(self) -> None:
        """Ask all to end gracefully; nobody is replaced any more."""
        self._stopping = True
        for process in self._processes:
            if process.returncode is None:
                process.terminate()

    async def keep_one(self) -> None:
        """Keep one worker alive until stopped."""
        while not self._stopping:
            begun = asyncio.get_running_loop().time()
            status = await self._run_one()
            early = asyncio.get_running_loop().time() - begun < _SETTLED
            if status > 0 and early and not self._stopping:  # below 0 it was killed, which says nothing of the next
                self.stop()
                raise _Failed(f"a worker ended at once, with status {status}")

    async def _run_one(self) -> int:
        process = await asyncio.create_subprocess_exec(*self._command, pass_fds=[self._fd])
        self._processes.add(process)
        if self._stopping:
            process.terminate()
        try:
            return await process.wait()
        finally:
            self._processes.discard(process)
            if process.returncode is None:
                process.terminate()
