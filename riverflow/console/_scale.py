"""From moments to places on a line: to scale, but for long stretches in which nothing happens, which are cut short and
marked as cut.

Pure arithmetic: a minute of waiting between two milliseconds of work would else leave nothing of the work to see.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import msgspec

__all__ = ["Cut", "Scale", "Tick"]

_CUT_TO, _CUT_MORE, _CUT_MOST = 0.3, 0.06, 0.6  # of the line: for one cut, for each further one, for all of them
_CUTS = 12
_TICKS = 6
_APART = 14.0  # percent of the line between two labels


class Cut(msgspec.Struct, frozen=True):
    """A stretch that is drawn shorter than it was: places in percent, its true length in seconds."""

    start: float
    end: float
    seconds: float


class Tick(msgspec.Struct, frozen=True):
    """A label of the axis: its place in percent, and seconds since the beginning."""

    place: float
    seconds: float


class Scale:
    """A line from the first of some moments (Unix seconds) to the last. Between two neighbouring moments time runs
    evenly. In `busy` stretches something is done: they are never cut."""

    def __init__(self, moments: Iterable[float], busy: Iterable[tuple[float, float]] = ()) -> None:
        self._moments = sorted(set(moments)) or [0.0]
        pairs = list(zip(self._moments, self._moments[1:], strict=False))
        worked = list(busy)
        idle = {n for n, (a, b) in enumerate(pairs) if not any(begin <= a and b <= end for begin, end in worked)}
        self._cut: set[int] = set()
        self._weights = self._weighed([later - earlier for earlier, later in pairs], idle)
        total = sum(self._weights) or 1.0
        places, at = [0.0], 0.0
        for weight in self._weights:
            at += weight
            places.append(100.0 * at / total)
        self._places = places

    @property
    def begin(self) -> float:
        return self._moments[0]

    @property
    def end(self) -> float:
        return self._moments[-1]

    def place(self, moment: float) -> float:
        """Percent from the left; what lies outside is at the border."""
        moments, places = self._moments, self._places
        if moment <= moments[0]:
            return 0.0
        for number in range(1, len(moments)):
            if moment <= moments[number]:
                before, after = moments[number - 1], moments[number]
                share = (moment - before) / (after - before)
                return places[number - 1] + share * (places[number] - places[number - 1])
        return 100.0

    @property
    def cuts(self) -> tuple[Cut, ...]:
        return tuple(
            Cut(self._places[number], self._places[number + 1], self._moments[number + 1] - self._moments[number])
            for number in sorted(self._cut)
        )

    @property
    def ticks(self) -> tuple[Tick, ...]:
        """Round times where the line is to scale, far enough from one another to be read."""
        drawn = sum(
            self._moments[number + 1] - self._moments[number]
            for number in range(len(self._weights))
            if number not in self._cut
        )
        step = _round_up(drawn / _TICKS) if drawn else 1.0
        ticks = [Tick(0.0, 0.0)]
        for number in range(len(self._weights)):
            if number in self._cut:
                continue
            at = math.ceil((self._moments[number] - self.begin) / step) * step
            while self.begin + at <= self._moments[number + 1]:
                place = self.place(self.begin + at)
                if place - ticks[-1].place >= _APART and place <= 100 - _APART / 3 and self._clear(place):
                    ticks.append(Tick(place, at))
                at += step
        return tuple(ticks)

    def _clear(self, place: float) -> bool:
        """Whether a label there would not run into that of a cut."""
        return all(abs(place - (cut.start + cut.end) / 2) >= _APART for cut in self.cuts)

    def _weighed(self, lengths: list[float], idle: set[int]) -> list[float]:
        """The lengths as they are drawn. As many idle ones are cut as are each twice as long as all that stays to
        scale, so that like pauses are treated alike. Those that are cut share a part of the line evenly."""
        drawn, kept = sum(lengths), sum(lengths)
        longest = sorted(idle, key=lengths.__getitem__, reverse=True)[:_CUTS]
        for number, each in enumerate(longest, start=1):
            drawn -= lengths[each]
            if 0 < 2 * drawn < lengths[each]:
                self._cut, kept = set(longest[:number]), drawn
        share = min(_CUT_TO + _CUT_MORE * (len(self._cut) - 1), _CUT_MOST)
        short = kept * share / (1 - share) / max(len(self._cut), 1)
        return [short if number in self._cut else length for number, length in enumerate(lengths)]


def _round_up(seconds: float) -> float:
    """The next step that people count in: 1, 2 or 5 times a power of ten, then minutes, hours and days."""
    if seconds < 30:
        power = 10.0 ** math.floor(math.log10(max(seconds, 1e-6)))
        return next(step * power for step in (1, 2, 5, 10) if step * power >= seconds * 0.999)
    steps = (30, 60, 120, 300, 600, 1800, 3600, 7200, 21_600, 43_200, 86_400)
    return next((float(step) for step in steps if step >= seconds), math.ceil(seconds / 86_400) * 86_400.0)
