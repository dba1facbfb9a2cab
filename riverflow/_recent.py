"""What the newest runs have told so far: a browser that comes at once is answered without asking the log.

This module must not decide when its memory is true; whoever hears of another writer has it forget.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from .models import Entry
from .ports import EntryPage

__all__ = ["Recent"]

SECONDS = 60.0  # after its birth a run is the log's: mostly its browser comes within milliseconds
BYTES = 4 * 1024 * 1024  # of messages; the oldest runs go first
MESSAGES = 16  # of one run; one that streams is the log's
_OVERHEAD = 1000  # bytes that a run counts beside its messages


class _Told:
    """One run's public entries and the number of its newest entry."""

    __slots__ = ("born_at", "entries", "newest", "project_id", "size")

    def __init__(self, project_id: str, born_at: float) -> None:
        self.project_id = project_id
        self.born_at = born_at
        self.entries: tuple[Entry, ...] = ()
        self.newest = 0
        self.size = _OVERHEAD


class Recent:
    """The public entries of runs that were born here lately; `monotonic` gives seconds."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._runs: dict[str, _Told] = {}
        self._size = 0

    def born(self, project_id: str, run_id: str) -> None:
        """Remember a run from its first entry on."""
        self._runs[run_id] = _Told(project_id, self._monotonic())
        self._grow(_OVERHEAD)

    def note(self, run_id: str, first: int, entries: Sequence[Entry]) -> None:
        """Entries that were just appended, the first of them under that number. A gap is another writer's: the run is
        forgotten."""
        told = self._runs.get(run_id)
        if told is None:
            return
        if first != told.newest + 1 or len(told.entries) + len(entries) > MESSAGES:
            self.forget(run_id)
            return
        told.newest += len(entries)
        for number, entry in enumerate(entries, start=first):
            if entry.public:
                told.entries += (msgspec.structs.replace(entry, number=number),)
                size = len(bytes(entry.data))
                told.size += size
                self._grow(size)

    def page(self, project_id: str, run_id: str, after: int) -> EntryPage | None:
        """A run's public entries after a number, or None where the log must be asked."""
        told = self._runs.get(run_id)
        if told is None or told.project_id != project_id or self._monotonic() - told.born_at > SECONDS:
            return None
        entries = told.entries if after <= 0 else tuple(entry for entry in told.entries if entry.number > after)
        return EntryPage(entries=entries, latest=told.newest)

    def forget(self, run_id: str | None) -> None:
        """Forget a run, or (None) all of them."""
        if run_id is None:
            self._runs.clear()
            self._size = 0
        elif (told := self._runs.pop(run_id, None)) is not None:
            self._size -= told.size

    def _grow(self, size: int) -> None:
        self._size += size
        while self._size > BYTES:
            self.forget(next(iter(self._runs)))
