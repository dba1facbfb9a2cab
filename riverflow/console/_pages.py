"""The table of pages: which function answers which path below the console.

It matches and calls nothing.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable

import msgspec

from ._answers import Answer
from ._visit import Visit

__all__ = ["PageRoute", "Table", "Verb"]

Verb = Callable[[Visit], Awaitable[Answer]]


class PageRoute(msgspec.Struct, frozen=True):
    """A row: `path` is below the console, a segment in braces is a parameter. `public` pages need no login."""

    method: str
    path: str
    verb: Verb
    public: bool = False


class Table:
    """Pages by path."""

    def __init__(self, routes: Iterable[PageRoute]) -> None:
        self._rows: dict[int, list[tuple[tuple[str, ...], PageRoute]]] = {}
        for route in routes:
            segments = tuple(route.path.split("/"))
            self._rows.setdefault(len(segments), []).append((segments, route))

    def find(self, method: str, path: str) -> tuple[PageRoute | None, dict[str, str], bool]:
        """The page, its parameters, and whether the path is served at all. A path as it is written goes before one
        with parameters: rows are tried in the table's order."""
        segments, served = path.split("/"), False
        for pattern, route in self._rows.get(len(segments), ()):
            pairs = list(zip(pattern, segments, strict=True))
            if all(wanted == given or (wanted[:1] == "{" and given) for wanted, given in pairs):
                served = True
                if route.method == method:
                    return route, {wanted[1:-1]: given for wanted, given in pairs if wanted[:1] == "{"}, True
        return None, {}, served
