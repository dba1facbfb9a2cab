"""What runs are listed and counted by: their series, and the tallies of those that ended.

Arithmetic and memory only; the ledger writes the rows.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b

from ...codec import encode
from ...models import Run, duration_class
from .rows import NO_TEXT, Row

__all__ = ["APPROVAL", "HOUR", "MINUTE", "Catalogue", "Tallies", "Words", "number_of", "series_of", "whole_of"]

MINUTE, HOUR = 60, 3600
APPROVAL = "approval"
"""In the place of the phase `waiting`: a series of runs that wait for a person's decision."""

_KEPT = 49 * HOUR  # minutes of the last two days, and one hour for clocks that differ
_WORDS = 4096  # series whose numbers are remembered

Words = tuple[str, ...]


def series_of(run: Run) -> Words:
    """The words that a run's series stands for."""
    summary = run.summary
    return (
        run.project_id,
        summary.tag,
        run.workflow,
        run.event_name or NO_TEXT,
        summary.provider,
        summary.model,
        run.status,
        APPROVAL if summary.approval is not None and run.phase == "waiting" else run.phase,
    )


def whole_of(run: Run) -> Words:
    """The words of what an ended run is counted in beside its own series: project, tag and status."""
    return (run.project_id, run.summary.tag, NO_TEXT, NO_TEXT, NO_TEXT, NO_TEXT, run.status, NO_TEXT)


def number_of(words: Words) -> int:
    """The number of a series: 63 bits of a hash, so that processes that share a file number alike without asking each
    other. Small numbers are left to the migration, which has no hash."""
    return int.from_bytes(blake2b(encode(words), digest_size=8).digest(), "big") >> 1 | 1 << 62


class Catalogue(dict[Words, int]):
    """The numbers of series by their words, and the newest minute that was tallied. One writer's.

    Its items are the series that the database is known to have. What else it is asked for is to be written.
    """

    __slots__ = ("_minute", "_unwritten")

    def __init__(self) -> None:
        self._unwritten: dict[Words, int] = {}
        self._minute = 0

    def __missing__(self, words: Words) -> int:
        number = self._unwritten[words] = number_of(words)
        return number

    def unwritten(self) -> list[Row]:
        """The rows of series that were asked for and are not known to be there. They are, once these are written."""
        rows = [(number, *words) for words, number in self._unwritten.items()]
        if len(self) > _WORDS:
            self.clear()
        self.update(self._unwritten)
        self._unwritten.clear()
        return rows

    def forget(self) -> None:
        """What was written may have been rolled back."""
        self.clear()
        self._unwritten.clear()
        self._minute = 0

    def outdated(self, minute: int) -> int | None:
        """Where a minute is the first of its kind: before when minutes need not be kept any longer."""
        if minute <= self._minute:
            return None
        self._minute = minute
        return minute - _KEPT


class Tallies:
    """Runs that ended, counted."""

    __slots__ = ("_counted", "newest")

    def __init__(self) -> None:
        self._counted: dict[tuple[int, int, int, int], list[int]] = {}
        self.newest = 0

    def add(self, run: Run, own: int, whole: int) -> None:
        """Count a run that is done, in its own series and in that of everything."""
        at = run.finished_at or run.created_at
        minute = int(at) // MINUTE * MINUTE
        self.newest = max(self.newest, minute)
        key = (own, whole, minute, duration_class(at - run.created_at))
        counted = self._counted.get(key)
        if counted is None:
            counted = self._counted[key] = [0, 0, 0]
        counted[0] += 1
        counted[1] += run.summary.prompt_tokens
        counted[2] += run.summary.completion_tokens

    def rows(self) -> Iterable[Row]:
        """One for each minute and hour and each series."""
        for (own, whole, minute, its_class), counted in self._counted.items():
            for series in (own, whole):
                yield (MINUTE, series, minute, its_class, *counted)
                yield (HOUR, series, minute // HOUR * HOUR, its_class, *counted)
