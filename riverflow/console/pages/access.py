"""Logging in and out."""

from __future__ import annotations

import re

from ...errors import Unauthenticated
from .._answers import Answer, Page, Redirect
from .._pages import PageRoute
from .._sessions import LASTS
from .._visit import Visit

__all__ = ["PAGES"]

# A page of ours, and nothing above it
_BELOW = re.compile(r"[a-z][a-z-]*(/[A-Za-z0-9 ._:%~@-]+)*(\?[^#\\\x00-\x20\x7f]*)?")


async def login_page(visit: Visit) -> Answer:
    """The form; who needs none goes on to where he wanted."""
    if visit.who is not None and visit.crumb:
        return Redirect(_next(visit))
    entrance = visit.house.entrance
    if visit.who is not None:
        cookie = entrance.set_cookie(visit.scope, entrance.fresh_crumb())
        path, _, query = _next(visit).partition("?")
        # `cookie` in the query says that it was given: a browser that keeps none is not sent round in circles.
        return Redirect(f"{path}?{query + '&' if query else ''}cookie=given", cookie)
    return await _form(visit)


async def log_in(visit: Visit) -> Answer:
    try:
        cookie = await visit.house.entrance.log_in(visit)
    except Unauthenticated as error:
        return await _form(visit, error)
    return Redirect(_next(visit), visit.house.entrance.set_cookie(visit.scope, cookie))


async def log_out(visit: Visit) -> Answer:
    await visit.house.entrance.log_out(visit.crumb)
    return Redirect("login", visit.house.entrance.set_cookie(visit.scope, ""))


async def _form(visit: Visit, problem: Unauthenticated | None = None) -> Page:
    entrance, cookie = visit.house.entrance, None
    if not visit.crumb:
        visit.crumb = entrance.fresh_crumb()
        cookie = entrance.set_cookie(visit.scope, visit.crumb)
    facts = {
        "problem": problem,
        "next_page": visit.query.get("next", ""),
        "keyless": await entrance.keyless(),
        "can_make_keys": visit.house.api.has("POST", "/console/key"),
        "lasts": LASTS,
    }
    return Page("login.html", facts, problem.status if problem is not None else 200, cookie=cookie)


def _next(visit: Visit) -> str:
    """Where the visitor was going, if that is a page of the console."""
    wanted = visit.query.get("next", "")
    good = _BELOW.fullmatch(wanted) and ".." not in wanted
    return wanted if good and not wanted.startswith(("login", "logout")) else ""


PAGES = (
    PageRoute("GET", "login", login_page, public=True),
    PageRoute("POST", "login", log_in, public=True),
    PageRoute("POST", "logout", log_out, public=True),
)
