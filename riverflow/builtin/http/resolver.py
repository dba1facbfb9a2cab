"""Names to addresses by the operating system, off the event loop and apart from other work in threads.

It judges no address and remembers none.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

__all__ = ["Resolve", "SystemResolver"]

THREADS = 32  # look-ups at a time; a name that nobody answers for holds one for as long as the system's resolver tries

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""Names to address texts. Raises OSError where there is no answer."""


class SystemResolver:
    """`getaddrinfo` in threads of its own, so that slow name servers delay neither handlers nor files. Nothing runs
    before the first name is asked for."""

    def __init__(self) -> None:
        self._threads: ThreadPoolExecutor | None = None

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        """The answers in the system's order. Raises OSError and UnicodeError."""
        if self._threads is None:
            self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="riverflow-names")
        found = await asyncio.get_running_loop().run_in_executor(self._threads, _look_up, host, port)
        return [str(address[0]) for *_, address in found]

    def close(self) -> None:
        """Take no more names; look-ups under way end by themselves."""
        if self._threads is not None:
            self._threads.shutdown(wait=False, cancel_futures=True)
            self._threads = None


def _look_up(host: str, port: int) -> list[tuple[int, int, int, str, tuple[str | int, ...]]]:
    return [tuple(found) for found in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]  # type: ignore[misc]
