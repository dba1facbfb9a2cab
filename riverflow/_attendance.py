"""Who was connected to a run: since when, until when, and how.

In this process's memory alone, a bounded piece of it: it is for people who look at a timeline, and nothing hangs on it.
"""

from __future__ import annotations

from collections import OrderedDict

import msgspec

__all__ = ["Attendance", "Connection"]

_RUNS = 1000  # that are remembered after their last reader has left, the latest
_EACH = 20  # readers of one, the latest


class Connection(msgspec.Struct, frozen=True, kw_only=True):
    """One reader of a run: the transport that he came over (`sse`, `websocket`, …), and from when to when (Unix
    seconds; `until` None: he is there)."""

    transport: str
    since: float
    until: float | None = None


class Attendance:
    """Who has left."""

    def __init__(self) -> None:
        self._gone: OrderedDict[str, list[Connection]] = OrderedDict()

    def left(self, run_id: str, connection: Connection) -> None:
        """A reader of this run has gone."""
        gone = self._gone.setdefault(run_id, [])
        gone.append(connection)
        del gone[:-_EACH]
        self._gone.move_to_end(run_id)
        if len(self._gone) > _RUNS:
            self._gone.popitem(last=False)

    def of(self, run_id: str) -> tuple[Connection, ...]:
        """Who was there and is no more, in the order of leaving."""
        return tuple(self._gone.get(run_id, ()))
