"""The console as an ASGI app: assets, then who it is, then the page, then how its answer is sent.

It knows no page's content; every error becomes a page here.
"""

from __future__ import annotations

import gzip
import logging
from html import escape
from typing import Any
from urllib.parse import quote, urlencode

from ..errors import Forbidden, MethodNotAllowed, NotFound, RequestError, RiverflowError, StoreError
from ..ports import Receive, Scope, Send
from ..routes._door import read_body
from ._answers import Answer, Download, Page, Redirect, Stream
from ._approve import ApproveLinks
from ._entrance import Entrance
from ._headers import PAGE
from ._house import House
from ._notes import note_of
from ._pages import PageRoute, Table
from ._templates import MISSING
from ._visit import FORM, FORM_OF_STRANGERS, Visit, header_of, query_of

__all__ = ["Console"]

logger = logging.getLogger("riverflow.console")

_PACKED_FROM = 1500  # bytes; a smaller page fits into one packet anyway
_QUERY = "%!$&'()*+,;=:@/?-._~#"  # what stands as it is in a query, or begins a fragment (RFC 3986, 3.4)
_BARE = "<!doctype html><html lang=en><meta charset=utf-8><title>{title}</title><h1>{title}</h1><p>{text}</p>"


class Console:
    """Serves everything below `console/`; `links` what is beside it, for who has no login."""

    def __init__(self, house: House, entrance: Entrance, table: Table, links: ApproveLinks) -> None:
        self.links = links
        self._house = house
        self._entrance = entrance
        self._table = table

    async def drain(self) -> None:
        """End the live streams."""
        self._house.pulse.close()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path: str | None = scope.get("path_params", {}).get("rest")
        if path is None:
            await _respond(send, 308, [(b"location", b"console/")], b"")
            return
        if path.startswith("static/"):
            await self._asset(scope, send, path.removeprefix("static/"))
            return
        visit = Visit(house=self._house, scope=scope, path=path, crumb=self._entrance.crumb(scope))
        try:
            visit.query = query_of(scope)
            if not await self._house.templates.ready():
                await _bare(send, 503, "Console not installed", MISSING)
                return
            await self._send(visit, await self._answer(visit, receive), receive, send)
        except RequestError as error:
            await self._problem(visit, error, error.message, send)
        except StoreError as error:
            logger.warning("%s %s: %s", scope["method"], scope["path"], error)
            await self._problem(visit, error, "The store is not responding. Try again in a moment.", send)
        except Exception as error:
            logger.exception("%s %s: unforeseen error", scope["method"], scope["path"])
            await self._problem(visit, RiverflowError(str(error)), "Internal error: see the server log.", send)

    # In

    async def _answer(self, visit: Visit, receive: Receive) -> Answer:
        if visit.path.endswith("/"):
            return Redirect(visit.path.rstrip("/"))
        method = "GET" if visit.method == "HEAD" else visit.method
        route, visit.params, served = self._table.find(method, visit.path)
        await self._entrance.meet(visit)
        if visit.who is None and (route is None or not route.public):
            return self._to_login(visit)
        if route is None:
            raise MethodNotAllowed("Method Not Allowed") if served else NotFound("Page not found.")
        if method == "POST":
            await self._take_form(visit, receive)
        return await self._visited(visit, route)

    async def _visited(self, visit: Visit, route: PageRoute) -> Answer:
        """A page for somebody; who comes without a cookie (by the host app's login) is given one first, since his forms
        are bound to it."""
        if not visit.crumb and not route.public and visit.method == "GET" and "cookie" not in visit.query:
            next_page = visit.path + ("?" + visit.scope["query_string"].decode("latin-1")).rstrip("?")
            return Redirect(_login(next_page))
        return await route.verb(visit)

    def _to_login(self, visit: Visit) -> Answer:
        if header_of(visit.scope, b"x-riverflow-live") or visit.method not in ("GET", "HEAD"):
            raise Forbidden("Your session has ended. Log in again, then repeat this.")
        if header_of(visit.scope, b"sec-fetch-site") == "cross-site":
            # A Strict cookie does not come with a link from elsewhere; from our own page, it does.
            return Page("again.html", {})
        query = visit.scope["query_string"].decode("latin-1")
        return Redirect(_login(f"{visit.path}?{query}" if query else visit.path))

    async def _take_form(self, visit: Visit, receive: Receive) -> None:
        """Raises Forbidden for a form that no page of ours has made for this visitor."""
        if not self._entrance.same_origin(visit.scope):
            raise Forbidden("This form was sent from another site: nothing was changed.")
        most = FORM_OF_STRANGERS if visit.who is None else FORM
        visit.read_form(await read_body(visit.scope, receive, min(most, self._house.settings.max_body_bytes)))
        if not visit.token_good():
            raise Forbidden(
                "This form is too old, or your browser keeps no cookies for this page: nothing was done. Go back, load "
                "the page again, and repeat it."
            )

    # Out

    async def _send(self, visit: Visit, answer: Answer, receive: Receive, send: Send) -> None:
        if isinstance(answer, Stream):
            await answer.app(visit.scope, receive, send)
        elif isinstance(answer, Redirect):
            headers = [(b"location", _location(visit, answer.to).encode("ascii", "ignore"))]
            if answer.cookie is not None:
                headers.append((b"set-cookie", answer.cookie.encode()))
            await _respond(send, 303, headers, b"")
        elif isinstance(answer, Download):
            kept = "".join(c if c.isascii() and (c.isalnum() or c in "-_.") else "_" for c in answer.name)
            headers = [
                (b"content-type", answer.type.encode()),
                (b"content-disposition", f'attachment; filename="{kept}"'.encode()),
            ]
            await _respond(send, 200, headers, answer.body)
        else:
            await self._page(visit, answer, send)

    async def _page(self, visit: Visit, page: Page, send: Send) -> None:
        facts: dict[str, Any] = {
            "visit": visit,
            "to": visit.to,
            "here": visit.here,
            "token": visit.token,
            "now": self._house.clock.now(),
            "note": note_of(visit.query.get("done", "")),
            "project_name": self._house.project_name(visit),
            "tallies": await self._house.tallies(visit),
            "problem": None,
        }
        body = (await self._house.templates.render(page.template, {**facts, **page.facts})).encode()
        headers = [(b"content-type", b"text/html; charset=utf-8")]
        if page.cookie is not None:
            headers.append((b"set-cookie", page.cookie.encode()))
        if not page.secret and len(body) > _PACKED_FROM and "gzip" in header_of(visit.scope, b"accept-encoding"):
            body = gzip.compress(body, 5, mtime=0)
            headers.append((b"content-encoding", b"gzip"))
        await _respond(send, page.status, headers, b"" if visit.method == "HEAD" else body)

    async def _problem(self, visit: Visit, error: RiverflowError, message: str, send: Send) -> None:
        if visit.who is None and error.status >= 500:
            await _bare(send, error.status, "Unavailable", message)
            return
        facts = {"message": message, "status": error.status, "title": _TITLES.get(error.status, "Request failed")}
        await self._page(visit, Page("problem.html", facts, error.status), send)

    async def _asset(self, scope: Scope, send: Send, name: str) -> None:
        asset = self._house.assets.find(name)
        if asset is None:
            await _bare(send, 404, "Not found", "File not found.")
            return
        body, headers = asset.reply("gzip" in header_of(scope, b"accept-encoding"))
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})


_TITLES = {
    403: "Not allowed",
    404: "Not found",
    405: "Method not allowed",
    409: "Conflict",
    429: "Too many requests",
    503: "Unavailable",
}


def _login(next_page: str) -> str:
    """The path of the login page that leads back to where the visitor was."""
    return f"login?{urlencode({'next': next_page})}" if next_page else "login"


def _location(visit: Visit, to: str) -> str:
    path, _, query = to.partition("?")
    return visit.to(path) + (f"?{quote(query, safe=_QUERY)}" if query else "")


async def _respond(send: Send, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
    sent = [*PAGE, *headers, (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": sent})
    await send({"type": "http.response.body", "body": body})


async def _bare(send: Send, status: int, title: str, text: str) -> None:
    """A page without templates."""
    body = _BARE.format(title=escape(title), text=escape(text)).encode()
    await _respond(send, status, [(b"content-type", b"text/html; charset=utf-8")], body)
