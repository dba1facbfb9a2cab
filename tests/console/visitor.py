"""A visitor of the console without a browser: he follows links, fills in forms, keeps cookies; and whom he visits.

He sends what a browser would, and knows nothing of riverflow's inside.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import httpx

from riverflow import Riverflow, StructuredOutput, Workflow
from riverflow.ports import ASGIApp
from riverflow.testing import FakeClock, serve

__all__ = ["KEY", "Form", "Visitor", "open_console", "served", "visiting"]

KEY = "mr_live_visitor"


class Form:
    """A form as it stands in a page."""

    def __init__(self, action: str, method: str) -> None:
        self.action = action
        self.method = method
        self.fields: dict[str, list[str]] = {}

    def filled(self, **changes: Any) -> list[tuple[str, str]]:
        """The fields with some changed; a list is several, None takes a field away."""
        fields = dict(self.fields)
        for name, value in changes.items():
            fields[name] = [] if value is None else value if isinstance(value, list) else [value]
        return [(name, value) for name, values in fields.items() for value in values]


class _Reader(HTMLParser):
    """Text, forms and links of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.forms: list[Form] = []
        self.links: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self._inside: list[Form] = []
        self._select: tuple[str, list[str], str | None] | None = None
        self._area: str | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.tags.append((tag, given))
        if tag == "a":
            self.links.append(given.get("href") or "")
        if tag == "form":
            self.forms.append(Form(given.get("action") or "", (given.get("method") or "get").upper()))
            self._inside = [self.forms[-1]]
        name = given.get("name")
        if tag == "input" and name and self._inside:
            chosen = given.get("type") not in ("checkbox", "radio") or "checked" in given
            values = self._inside[0].fields.setdefault(name, [])
            if chosen:
                values.append(given.get("value") or "")
        if tag == "textarea" and name and self._inside:
            self._area = name
            self._inside[0].fields.setdefault(name, []).append("")
        if tag == "select" and name and self._inside:
            self._inside[0].fields.setdefault(name, []).append("")
            self._select = (name, [], None)
        if tag == "option" and self._select and self._inside:
            value = given.get("value")
            self._option = (value, "selected" in given)
            if value is not None and ("selected" in given or not self._select[1]):
                self._inside[0].fields[self._select[0]][-1] = value
            self._select[1].append(value or "")

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._inside = []
        if tag == "select":
            self._select = None
        if tag == "textarea":
            self._area = None

    def handle_data(self, data: str) -> None:
        self.text.append(data)
        if self._area and self._inside:
            self._inside[0].fields[self._area][-1] += data
        if self._select and self._inside and data.strip():
            value, selected = self._option
            if value is None and (selected or len(self._select[1]) == 1):
                self._inside[0].fields[self._select[0]][-1] = data.strip()


class Seen:
    """A page as it was answered."""

    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        self.status = response.status_code
        self.headers = response.headers
        self.url = str(response.url)
        self.html = response.text
        reader = _Reader()
        reader.feed(self.html)
        self.forms, self.links, self.tags = reader.forms, reader.links, reader.tags
        self.text = " ".join(" ".join(reader.text).split())

    def form(self, ending: str) -> Form:
        """The form whose action ends so."""
        return next(form for form in self.forms if form.action.partition("?")[0].endswith(ending))


class Visitor:
    """One browser without script. `base` ends in `/console/`."""

    def __init__(self, base: str, **headers: str) -> None:
        self.base = base
        self.http = httpx.AsyncClient(base_url=base, timeout=10, trust_env=False, headers=headers)

    async def see(self, path: str = "", *, follow: bool = True, **headers: str) -> Seen:
        response = await self.http.get(path, headers=headers, follow_redirects=follow)
        return Seen(response)

    async def send(self, page: Seen, ending: str, *, follow: bool = True, **changes: Any) -> Seen:
        """Fill in a form of a page and send it."""
        form = page.form(ending)
        return await self.post(str(httpx.URL(page.url).join(form.action)), form.filled(**changes), follow=follow)

    async def post(self, url: str, fields: Any, *, follow: bool = True, **headers: str) -> Seen:
        pairs = fields if isinstance(fields, list) else list(fields.items())
        body = httpx.QueryParams(pairs)
        headers = {"content-type": "application/x-www-form-urlencoded", **headers}
        response = await self.http.post(url, content=str(body), headers=headers, follow_redirects=follow)
        return Seen(response)

    async def log_in(self, key: str = KEY) -> Seen:
        return await self.send(await self.see("login"), "login", key=key)

    @property
    def cookies(self) -> dict[str, str]:
        return dict(self.http.cookies)


@asynccontextmanager
async def served(app: ASGIApp) -> AsyncIterator[str]:
    async with serve(app, lifespan="on") as origin:
        yield origin


@asynccontextmanager
async def visiting(origin: str, **headers: str) -> AsyncIterator[Visitor]:
    visitor = Visitor(f"{origin}/console/", **headers)
    async with visitor.http:
        yield visitor


def river_of(path: Path, **options: Any) -> Riverflow:
    """A riverflow on a file of the test's."""
    defaults: dict[str, Any] = {
        "database_url": f"sqlite:///{path}/console.db",
        "api_key": KEY,
        "env": "development",
        "workflows": [Workflow(name="in_code", provider="echo", template="hello", event_name="film")],
        "structured_outputs": [StructuredOutput(name="fixed", schema={"type": "object"})],
        "environ": {},
        "discover_plugins": False,
        "clock": FakeClock(),
        "drain_timeout": 0.5,
    }
    return Riverflow(**(defaults | options))


@asynccontextmanager
async def open_console(path: Path, *, log_in: bool = True, **options: Any) -> AsyncIterator[tuple[Visitor, Riverflow]]:
    """A console and its visitor, who has logged in."""
    river = river_of(path, **options)
    async with served(river) as origin, visiting(origin) as visitor:
        if log_in:
            assert (await visitor.log_in()).status == 200
        yield visitor, river
