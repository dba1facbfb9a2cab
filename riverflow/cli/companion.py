"""The demo's backend as the demo sees it: a child process that is started, told its secret, listened to and ended.

What the child does is `backend`'s.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from ..errors import ConfigError

__all__ = ["Companion", "companion"]


class Companion:
    """A backend that is starting or runs."""

    def __init__(self, process: asyncio.subprocess.Process, heard: Callable[[str], None]) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._stdin = process.stdin
        self._stdout = process.stdout
        self._heard = heard
        self._url: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def url(self) -> str:
        """Its webhook receiver, once it is up. Raises ConfigError where it does not come up."""
        url = await self._url
        if not url:
            raise ConfigError("the backend process did not start; what it said is above")
        return url

    async def hear(self) -> None:
        """Take its lines until it ends: the first is its URL."""
        self._url.set_result((await self._stdout.readline()).decode().strip())
        async for line in self._stdout:
            self._heard(line.decode("utf-8", "replace").rstrip())

    async def trust(self, secret: str) -> None:
        """Give the webhook's secret, which exists only once the URL is registered."""
        self._stdin.write(f"{secret}\n".encode())
        await self._stdin.drain()


@asynccontextmanager
async def companion(api_key: str, heard: Callable[[str], None]) -> AsyncIterator[Companion]:
    """Start the backend; each line it says goes to `heard`. On leaving it is ended, whatever happened."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "riverflow.cli.backend"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "MODELRIVER_API_KEY": api_key},
        start_new_session=True,  # Ctrl-C is for the demo, which ends the backend when nobody calls it any more
    )
    backend = Companion(process, heard)
    hearing = asyncio.create_task(backend.hear(), name="backend's lines")
    try:
        yield backend
    finally:
        await _end(process)
        hearing.cancel()


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.terminate()
    try:
        await asyncio.wait_for(process.wait(), 2)
    except (TimeoutError, asyncio.CancelledError):
        if process.returncode is None:
            process.kill()
        raise
