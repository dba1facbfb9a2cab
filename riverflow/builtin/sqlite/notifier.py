"""Tells which runs have news because another process has committed to the same file. It carries no message: the log
is the news."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from sqlite3 import Connection

from ...ports import Clock
from .queries import query
from .worker import Worker

__all__ = ["DataVersionNotifier"]

_BUSY = 0.025
"""Seconds between two questions: what another process wrote is pushed within a frame or two. Each is some 400 µs of CPU
(two hand-overs between threads, on cold caches), which makes 1.5 % of a core."""

_QUIET = 0.25
"""Seconds between two questions once nobody else has written for `_BUSY_FOR`: a process by itself, mostly."""

_BUSY_FOR = 60.0

_MANY = 1000
"""From so many runs on it is cheaper that every reader looks."""


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
        version, newest = await self._writer.look(_start)
        busy_until = self._clock.monotonic()
        while True:
            await self._clock.sleep(_BUSY if self._clock.monotonic() < busy_until else _QUIET)
            seen, (version, newest, runs) = version, await self._writer.look(partial(_news, version, newest))
            if version == seen:
                continue
            busy_until = self._clock.monotonic() + _BUSY_FOR
            for run_id in runs if len(runs) < _MANY else (None,):
                wake(run_id)

    async def aclose(self) -> None:
        return None


def _start(db: Connection) -> tuple[int, int]:
    return _version(db), _newest(db)


def _news(seen: int, newest: int, db: Connection) -> tuple[int, int, list[str]]:
    """The data version, the newest entry's row, and the runs with rows after the one known: none while nobody else has
    committed. The newest row is read first, so that what is committed between the two reads is not passed over."""
    latest = _newest(db)
    version = _version(db)
    if version == seen:
        return version, latest, []
    return version, latest, [row[0] for row in db.execute(query("runs_with_news"), (newest, _MANY))]


def _newest(db: Connection) -> int:
    return int(db.execute(query("newest_row")).fetchone()[0])


def _version(db: Connection) -> int:
    return int(db.execute(query("data_version")).fetchone()[0])
