"""Small charts as SVG, drawn by the server: they need no script, and no style beside the console's own.

Places are percentages or a stretched view box, so that a chart fits the width it is given. Every chart says in words
what it shows; the same numbers stand on the page as text.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

import msgspec

from ._markup import Html

__all__ = ["Column", "Line", "bars", "ceiling", "lines", "spark"]

_WIDE = 1000.0


class Column(msgspec.Struct, frozen=True):
    """One column of stacked bars: what it stands for, and its parts from the bottom up (class, name, number)."""

    label: str
    parts: tuple[tuple[str, str, float], ...]

    @property
    def total(self) -> float:
        return sum(number for _, _, number in self.parts)


class Line(msgspec.Struct, frozen=True):
    """One line: its class, its name, and a number per place (None: nothing known there)."""

    tone: str
    name: str
    numbers: tuple[float | None, ...]


def ceiling(number: float) -> float:
    """The next round number: 1, 2, 2.5 or 5 times a power of ten; never 0."""
    if number <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(number))
    return next(step * power for step in (1, 2, 2.5, 5, 10) if step * power >= number * 0.9999)


def bars(columns: Sequence[Column], label: str, *, height: int = 132) -> Html:
    """Stacked columns with three grid lines. A column that is not empty is at least 2 pixels high."""
    top = ceiling(max((column.total for column in columns), default=0))
    drawn = [_grid(height)]
    width = 100 / max(len(columns), 1)
    for place, column in enumerate(columns):
        x, y = place * width + width * 0.1, float(height)
        rects = []
        for tone, _, number in column.parts:
            if number > 0:
                tall = max(2.0, number / top * (height - 2))
                y = max(0.0, y - tall)
                rects.append(_rect(tone, x, width * 0.8, y, tall))
        said = ", ".join(f"{number:g} {name}" for _, name, number in column.parts if number) or "nothing"
        back = f'<rect class="c-back" x="{place * width:.3f}%" y="0" width="{width:.3f}%" height="{height}"/>'
        drawn.append(f"<g><title>{escape(f'{column.label}: {said}')}</title>{back}{''.join(rects)}</g>")
    return _svg("chart", f'height="{height}"', label, "".join(drawn))


def lines(series: Sequence[Line], label: str, *, height: int = 132, top: float | None = None) -> Html:
    """Lines over one another on one scale from 0."""
    known = [number for line in series for number in line.numbers if number is not None]
    top = top or ceiling(max(known, default=0))
    drawn = [_grid(height)]
    inner = [f'<path class="c-line {line.tone}" d="{_path(line.numbers, top, height)}"/>' for line in series]
    drawn.append(
        f'<svg viewBox="0 0 {_WIDE:.0f} {height}" width="100%" height="{height}" preserveAspectRatio="none">'
        f"{''.join(inner)}</svg>"
    )
    return _svg("chart", f'height="{height}"', label, "".join(drawn))


def spark(numbers: Sequence[float | None], tone: str, *, height: int = 28) -> Html:
    """A line without scale, for beside a number; decoration."""
    known = [number for number in numbers if number is not None]
    if len(known) < 2:
        return Html("")
    top = max(known) or 1.0
    path = _path(numbers, top * 1.08, height)
    area = f"{path} L{_WIDE:.0f} {height} L0 {height} Z" if None not in numbers else ""
    return Html(
        f'<svg class="spark {tone}" viewBox="0 0 {_WIDE:.0f} {height}" preserveAspectRatio="none" aria-hidden="true">'
        f'<path class="c-area" d="{area}"/><path class="c-line" d="{path}"/></svg>'
    )


def _path(numbers: Sequence[float | None], top: float, height: int) -> str:
    """A path with a gap where nothing is known; one lonely number is a short stroke."""
    step = _WIDE / max(len(numbers) - 1, 1)
    parts: list[str] = []
    pen = False
    for place, number in enumerate(numbers):
        if number is None:
            pen = False
            continue
        x, y = place * step, height - 1 - min(number / top, 1) * (height - 3)
        parts.append(f"{'L' if pen else 'M'}{x:.1f} {y:.1f}")
        alone = not pen and (place + 1 == len(numbers) or numbers[place + 1] is None)
        if alone:
            parts.append(f"h{min(step / 3, 6):.1f}")
        pen = True
    return " ".join(parts)


def _grid(height: int) -> str:
    return "".join(
        f'<line class="c-grid" x1="0" x2="100%" y1="{y:.1f}" y2="{y:.1f}"/>'
        for y in (0.5, height / 2 + 0.5, height - 0.5)
    )


def _rect(tone: str, x: float, width: float, y: float, height: float) -> str:
    return f'<rect class="c-bar {tone}" x="{x:.3f}%" y="{y:.1f}" width="{width:.3f}%" height="{height:.1f}" rx="1.5"/>'


def _svg(name: str, size: str, label: str, inner: str) -> Html:
    return Html(f'<svg class="{name}" {size} width="100%" role="img" aria-label="{escape(label)}">{inner}</svg>')
