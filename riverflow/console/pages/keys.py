"""API keys: the list, a new one (shown once), its name and scopes, its end."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from ...errors import RequestError
from ...models import SCOPES
from .._answers import Answer, Page, Redirect
from .._confirmation import Confirmation, Question
from .._editing import problem_of
from .._pages import PageRoute
from .._visit import Visit

__all__ = ["PAGES"]

_PATH = "/console/key"
_ONE = "/console/key/{name}"
_REVOKE = "/console/key/{name}/revoke"
_LIVES = {"1": "1 day", "7": "7 days", "30": "30 days", "60": "60 days", "90": "90 days", "365": "a year"}
_MEANINGS = {
    "submit": "start requests, cancel them, reconnect browsers",
    "read": "look at requests and their timelines",
    "callback": "answer hand-offs: what a backend needs",
    "approve": "decide on what waits for a person",
    "admin": "change the configuration, and log in here",
}
_WORDS = {"active": "on", "expired": "expired", "revoked": "revoked"}


async def index(visit: Visit) -> Answer:
    found = (await visit.house.ask(visit, "GET", _PATH))["data"]
    return Page("keys.html", {"keys": [_dated(each) for each in found], "words": _WORDS})


async def new(visit: Visit) -> Answer:
    return _form({"name": "", "scopes": sorted(SCOPES - {"admin"}), "life": "90"})


async def create(visit: Visit) -> Answer:
    typed = _typed(visit)
    members: dict[str, Any] = {"name": typed["name"], "scopes": typed["scopes"]}
    if typed["life"] in _LIVES:
        members["expires_in_days"] = int(typed["life"])
    try:
        made = await visit.house.ask(visit, "POST", _PATH, members)
    except RequestError as error:
        return _form(typed, error)
    return Page("key.html", {"key": _dated(made), **_choices(), "secret": made["key"], "words": _WORDS}, secret=True)


async def show(visit: Visit) -> Answer:
    return await _page(visit)


async def change(visit: Visit) -> Answer:
    typed = _typed(visit)
    try:
        await visit.house.ask(
            visit, "PATCH", _ONE, {"name": typed["name"], "scopes": typed["scopes"]}, name=visit.params["name"]
        )
    except RequestError as error:
        return await _page(visit, error)
    return Redirect(f"keys/{visit.params['name']}?done=saved")


async def _found(visit: Visit) -> dict[str, Any]:
    found: dict[str, Any] = await visit.house.ask(visit, "GET", _ONE, name=visit.params["name"])
    return found


async def _page(visit: Visit, error: RequestError | None = None) -> Page:
    found = await _found(visit)
    if error is not None:
        found = {**found, **_typed(visit)}
    problem = problem_of(error) if error is not None else None
    facts = {"key": _dated(found), **_choices(), "secret": "", "words": _WORDS, "problem": problem}
    return Page("key.html", facts, error.status if error is not None else 200)


def _form(typed: dict[str, Any], error: RequestError | None = None) -> Page:
    problem = problem_of(error) if error is not None else None
    facts = {"key": None, "typed": typed, **_choices(), "secret": "", "words": _WORDS, "problem": problem}
    return Page("key.html", facts, error.status if error is not None else 200)


def _choices() -> dict[str, Any]:
    return {"scopes": {scope: _MEANINGS.get(scope, "") for scope in sorted(SCOPES)}, "lives": _LIVES}


def _typed(visit: Visit) -> dict[str, Any]:
    return {"name": visit.field("name"), "scopes": visit.fields.get("scopes", []), "life": visit.field("life")}


def _revocation(found: Mapping[str, Any]) -> Question:
    return Question(
        title=f"Revoke the key {found['name']}?",
        text=f"{found['hint']} lets nobody in from then on, and whoever logged in here with it is out. It cannot be "
        "taken back.",
        act="Revoke it",
        back=f"keys/{found['id']}",
        back_name=found["name"],
    )


_REVOCATION = Confirmation(one=_ONE, act=("POST", _REVOKE), question=_revocation, then="keys?done=revoked")


def _dated(key: dict[str, Any]) -> dict[str, Any]:
    """The API's dates as the pages write theirs."""
    names = ("created_at", "expires_at", "revoked_at", "last_used_at")
    return {**key, **{name: datetime.fromisoformat(key[name]).timestamp() if key[name] else None for name in names}}


PAGES = (
    PageRoute("GET", "keys", index),
    PageRoute("GET", "keys/new", new),
    PageRoute("POST", "keys/new", create),
    PageRoute("GET", "keys/{name}", show),
    PageRoute("POST", "keys/{name}", change),
    PageRoute("GET", "keys/{name}/revoke", _REVOCATION.ask),
    PageRoute("POST", "keys/{name}/revoke", _REVOCATION.do),
)
