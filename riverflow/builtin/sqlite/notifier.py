"""Tells that another process has committed to the same file. It carries no message: the commit is the news."""

from __future__ import annotations

from collections.abc import Callable

from ...ports import Clock
from .queries import query
from .worker import Worker

__all__ = ["DataVersionNotifier"]

_INTERVAL = 0.025
"""Seconds between two questions, each some 30 µs of CPU: what another process wrote is pushed within a frame or two."""


class DataVersionNotifier:
    """ports.Notifier over `PRAGMA data_version`.

    It is asked on the writer's connection, for which commits of its own do not count
    (https://www.sqlite.org/pragma.html#pragma_data_version).
    """

    def __init__(self, writer: Worker, clock: Clock) -> None:
        self._writer = writer
        self._clock = clock

    def publish(self, run_id: str, number: int) -> None:
        return None

    async def listen(self, wake: Callable[[str | None], None]) -> None:
        seen = await self._data_version()
        while True:
            await self._clock.sleep(_INTERVAL)
            version = await self._data_version()
            if version != seen:
                seen = version
                wake(None)

    async def aclose(self) -> None:
        return None

    async def _data_version(self) -> int:
        row = await self._writer.look(lambda db: db.execute(query("data_version")).fetchone())
        return int(row[0])
