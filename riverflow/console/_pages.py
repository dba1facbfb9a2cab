"""The table of pages: which function answers which path below the console.

It matches, and knows no page by name. The address of a form that has no page of its own leads to the page that the form
is on: who reloads the form's answer, or keeps its address, must come to something.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable

import msgspec

from ._answers import Answer, Redirect
from ._visit import Visit, header_of

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
        routes = tuple(routes)
        self._rows: dict[int, list[tuple[tuple[str, ...], PageRoute]]] = {}
        for route in (*routes, *_ways_back(routes)):
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


def _ways_back(routes: tuple[PageRoute, ...]) -> list[PageRoute]:
    """A row for each form without a page, which leads to the nearest page above it."""
    pages = {route.path: route.verb for route in routes if route.method == "GET"}
    forms = dict.fromkeys(route.path for route in routes if route.method == "POST" and not route.public)
    return [PageRoute("GET", path, _to_above(path, pages)) for path in forms if path not in pages]


def _to_above(path: str, pages: dict[str, Verb]) -> Verb:
    segments = path.split("/")
    depth = next(n for n in range(len(segments) - 1, -1, -1) if n == 0 or "/".join(segments[:n]) in pages)
    page = pages["/".join(segments[:depth])]

    async def lead(visit: Visit) -> Answer:
        if header_of(visit.scope, b"x-riverflow-live"):
            return await page(visit)  # to be put into what stands here, so its links begin here
        return Redirect("/".join(visit.path.split("/")[:depth]))

    return lead
