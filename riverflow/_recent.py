"""What the newest runs have told so far: a browser that comes at once is answered without asking the log.

This module must not decide when its memory is true; whoever hears of another writer has it forget.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ._frames import News, frame_of
from .models import Entry

__all__ = ["Recent"]

SECONDS = 60.0  # after its birth a run is the log's: mostly its browser comes within milliseconds
BYTES = 4 * 1024 * 1024  # of messages; the oldest runs go first
MESSAGES = 16  # of one run; one that streams is the log's
_OVERHEAD = 1000  # bytes that a run counts beside its messages


class _Told:
    """What one run has told the public, each with its number, and the number of its newest entry."""

    __slots__ = ("born_at", "newest", "project_id", "public", "size")

    def __init__(self, project_id: str, born_at: float) -> None:
        self.project_id = project_id
        self.born_at = born_at
        self.public: list[tuple[Entry, int]] = []
        self.newest = 0
        self.size = _OVERHEAD


class Recent:
    """What runs that were born here lately have told the public; `monotonic` gives seconds."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._runs: dict[str, _Told] = {}
        self._size = 0

    def born(self, project_id: str, run_id: str) -> None:
        """Remember a run from its first entry on."""
        self._runs[run_id] = _Told(project_id, self._monotonic())
        self._size += _OVERHEAD
        if self._size > BYTES:
            self._shrink()

    def note(self, run_id: str, entries: Sequence[Entry], first: int) -> None:
        """What was just appended, the first of it under that number. A gap is another writer's: the run is forgotten.
        Frames are made for who comes: most runs over webhooks have no reader here."""
        told = self._runs.get(run_id)
        if told is None:
            return
        last = first + len(entries) - 1
        if first != told.newest + 1 or last > told.newest + MESSAGES - len(told.public):
            self.forget(run_id)
            return
        told.newest = last
        for number, entry in enumerate(entries, first):
            if entry.public:
                told.public.append((entry, number))
                size = len(entry.data)
                told.size += size
                self._size += size
        if self._size > BYTES:
            self._shrink()

    def news(self, project_id: str, run_id: str) -> News | None:
        """All that a run has told, or None where the log must be asked."""
        told = self._runs.get(run_id)
        if told is None or told.project_id != project_id or self._monotonic() - told.born_at > SECONDS:
            return None
        return News(1, told.newest, [frame_of(entry, number) for entry, number in told.public])

    def forget(self, run_id: str | None) -> None:
        """Forget a run, or (None) all of them."""
        if run_id is None:
            self._runs.clear()
            self._size = 0
        elif (told := self._runs.pop(run_id, None)) is not None:
            self._size -= told.size

    def _shrink(self) -> None:
        while self._size > BYTES:
            self.forget(next(iter(self._runs)))
