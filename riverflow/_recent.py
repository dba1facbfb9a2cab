"""What the newest runs have told so far: a browser that comes at once is answered without asking the log.

This module must not decide when its memory is true; whoever hears of another writer has it forget.
"""

from __future__ import annotations

from collections.abc import Callable

from ._frames import News
from .models import Frame

__all__ = ["Recent"]

SECONDS = 60.0  # after its birth a run is the log's: mostly its browser comes within milliseconds
BYTES = 4 * 1024 * 1024  # of messages; the oldest runs go first
MESSAGES = 16  # of one run; one that streams is the log's
_OVERHEAD = 1000  # bytes that a run counts beside its messages


class _Told:
    """One run's frames and the number of its newest entry."""

    __slots__ = ("born_at", "frames", "newest", "project_id", "size")

    def __init__(self, project_id: str, born_at: float) -> None:
        self.project_id = project_id
        self.born_at = born_at
        self.frames: list[Frame] = []
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

    def note(self, run_id: str, news: News) -> None:
        """What was just appended. A gap is another writer's: the run is forgotten."""
        told = self._runs.get(run_id)
        if told is None:
            return
        if news.first != told.newest + 1 or news.last > told.newest + MESSAGES - len(told.frames):
            self.forget(run_id)
            return
        told.newest = news.last
        for frame in news.frames:
            told.frames.append(frame)
            told.size += len(frame.data)
            self._size += len(frame.data)
        if self._size > BYTES:
            self._shrink()

    def news(self, project_id: str, run_id: str) -> News | None:
        """All that a run has told, or None where the log must be asked."""
        told = self._runs.get(run_id)
        if told is None or told.project_id != project_id or self._monotonic() - told.born_at > SECONDS:
            return None
        return News(1, told.newest, tuple(told.frames))

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
