"""Acts that cannot be taken back: a page asks first, a second step does them.

It knows no page by name; what is asked, and what is done then, it is told.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from ..errors import RequestError
from ._answers import Answer, Page, Redirect
from ._editing import problem_of
from ._visit import Visit

__all__ = ["Confirmation", "Question"]


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """What the page asks. `act` and `keep` are the words on its buttons, `back` the page that it came from and
    `back_query` what was chosen there; `fields` is what the form sends along."""

    title: str
    text: str
    back: str
    back_name: str
    act: str = "Delete"
    keep: str = "Cancel"
    back_query: Mapping[str, str] = {}
    fields: Mapping[str, str] = {}


class Confirmation(msgspec.Struct, frozen=True, kw_only=True):
    """Ask about the thing at the API's path `one` (its `name` is in the page's own path), then do `act` (method and
    path); `then` is where that leads."""

    one: str
    act: tuple[str, str]
    question: Callable[[Mapping[str, Any]], Question]
    then: str

    async def ask(self, visit: Visit) -> Answer:
        """The page that asks."""
        return await self._page(visit)

    async def do(self, visit: Visit) -> Answer:
        """Do it; where that fails, the page says why."""
        method, path = self.act
        try:
            await visit.house.ask(visit, method, path, name=visit.params["name"])
        except RequestError as error:
            return await self._page(visit, error)
        return Redirect(self.then)

    async def _page(self, visit: Visit, error: RequestError | None = None) -> Page:
        found = await visit.house.ask(visit, "GET", self.one, name=visit.params["name"])
        facts: dict[str, Any] = msgspec.structs.asdict(self.question(found))
        if error is None:
            return Page("confirm.html", facts)
        return Page("confirm.html", {**facts, "problem": problem_of(error)}, error.status)
