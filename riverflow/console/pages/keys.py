"""API keys: the list, a new one (shown once), its name and scopes, its end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...errors import InvalidRequest, RequestError
from ...models import SCOPES
from .._answers import Answer, Page, Redirect
from .._confirmation import Confirmation, Question
from .._editing import Problem, problem_of
from .._format import moment
from .._pages import PageRoute
from .._saving import is_stale, once, save
from .._visit import Visit

__all__ = ["PAGES"]

_PATH = "/console/key"
_ONE = "/console/key/{name}"
_REVOKE = "/console/key/{name}/revoke"
_KEEP = "keep"
_DIGITS = 18  # of a number of days; int() refuses a text of thousands
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
    return await _index(visit)


async def _index(visit: Visit, problem: Problem | None = None) -> Page:
    found = (await visit.house.ask(visit, "GET", _PATH))["data"]
    facts = {"keys": [_dated(each) for each in found], "words": _WORDS, "problem": problem}
    return Page("keys.html", facts, 200 if problem is None else 409)


async def new(visit: Visit) -> Answer:
    return _form({"name": "", "scopes": sorted(SCOPES - {"admin"}), "life": "90"})


async def create(visit: Visit) -> Answer:
    typed = _typed(visit)
    try:
        async with once(visit) as first:
            if not first:
                done = "This form was sent before and its key was made, so no other was. The key was shown once: if "
                return await _index(visit, Problem(done + "nobody kept it, delete it and make a new one."))
            made = await visit.house.ask(visit, "POST", _PATH, _members(typed))
    except RequestError as error:
        return _form(typed, error)
    return Page("key.html", {"key": _dated(made), **_choices(), "secret": made["key"], "words": _WORDS}, secret=True)


async def show(visit: Visit) -> Answer:
    return await _page(visit)


async def change(visit: Visit) -> Answer:
    try:
        await save(visit, _ONE, _members(_typed(visit)), visit.params["name"])
    except RequestError as error:
        return await _page(visit, error)
    return Redirect(f"keys/{visit.params['name']}?done=saved")


async def _found(visit: Visit) -> dict[str, Any]:
    found: dict[str, Any] = await visit.house.ask(visit, "GET", _ONE, name=visit.params["name"])
    return found


async def _page(visit: Visit, error: RequestError | None = None) -> Page:
    found = await _found(visit)
    stale = error is not None and is_stale(visit, found, error)
    if error is not None:
        found = {**found, **_typed(visit), "version": visit.field("version")}
    problem = problem_of(error) if error is not None else None
    facts = {"key": _dated(found), **_choices(), "secret": "", "words": _WORDS, "problem": problem, "stale": stale}
    return Page("key.html", facts, error.status if error is not None else 200)


def _form(typed: dict[str, Any], error: RequestError | None = None) -> Page:
    problem = problem_of(error) if error is not None else None
    facts = {"key": None, "typed": typed, **_choices(), "secret": "", "words": _WORDS, "problem": problem}
    return Page("key.html", facts, error.status if error is not None else 200)


def _choices() -> dict[str, Any]:
    return {"scopes": {scope: _MEANINGS.get(scope, "") for scope in sorted(SCOPES)}, "lives": _LIVES}


def _members(typed: Mapping[str, Any]) -> dict[str, Any]:
    """What the form says, as the API takes it. Raises InvalidRequest."""
    members = {"name": typed["name"], "scopes": typed["scopes"]}
    life = typed["life"]
    if life == _KEEP:
        return members
    if life and not (life.isascii() and life.isdigit() and len(life) <= _DIGITS):
        raise InvalidRequest(f"Expires after: {life!r} is no number of days", extra={"param": "life"})
    return {**members, "expires_in_days": int(life) if life else None}


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


def _deletion(found: Mapping[str, Any]) -> Question:
    return Question(
        title=f"Delete the key {found['name']}?",
        text=f"{found['hint']} lets nobody in from then on, and it is gone from the list. A key that is only revoked "
        "stays there to be read.",
        back=f"keys/{found['id']}",
        back_name=found["name"],
    )


_DELETE = Confirmation(one=_ONE, act=("DELETE", _ONE), question=_deletion, then="keys?done=deleted")


def _dated(key: dict[str, Any]) -> dict[str, Any]:
    """The API's dates as the pages write theirs."""
    names = ("created_at", "expires_at", "revoked_at", "last_used_at")
    return {**key, **{name: moment(key[name]) for name in names}}


PAGES = (
    PageRoute("GET", "keys", index),
    PageRoute("GET", "keys/new", new),
    PageRoute("POST", "keys/new", create),
    PageRoute("GET", "keys/{name}", show),
    PageRoute("POST", "keys/{name}", change),
    PageRoute("GET", "keys/{name}/revoke", _REVOCATION.ask),
    PageRoute("POST", "keys/{name}/revoke", _REVOCATION.do),
    PageRoute("GET", "keys/{name}/delete", _DELETE.ask),
    PageRoute("POST", "keys/{name}/delete", _DELETE.do),
)
