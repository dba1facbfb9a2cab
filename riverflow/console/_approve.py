"""`approve/{link}`: the page that a signed link leads to, for somebody without a login.

Looking decides nothing, so that programs that follow links in mail and chat cannot; only its form does. The link is all
that is asked for, so there is no cookie that another site could make use of.
"""

from __future__ import annotations

import gzip
import logging
from collections.abc import Awaitable
from html import escape
from typing import Any

from .._approvals import Approval
from ..errors import Conflict, Expired, RequestError, RiverflowError, StoreError
from ..ports import Receive, Scope, Send
from ..routes._door import read_body
from ._headers import LINKED_PAGE
from ._house import House
from ._rulings import decision_of, facts_of
from ._templates import MISSING
from ._visit import FORM, Visit, header_of

__all__ = ["ApproveLinks"]

logger = logging.getLogger("riverflow.console")

_PACKED_FROM = 1500
_LATER = "This approval cannot be loaded right now. Try again in a moment."
_WRONG = "Internal error: see the server log."


class _Outside(Visit):
    """A visit to a page beside the console, whose style it shares."""

    def to(self, path: str = "", **query: Any) -> str:
        return f"../console/{super().to(path, **query).removeprefix('./')}"


class ApproveLinks:
    """The ASGI app of all links."""

    def __init__(self, house: House) -> None:
        self._house = house

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        visit = _Outside(house=self._house, scope=scope, path="approve")
        if not await self._house.templates.ready():
            await _respond(visit, send, 503, f"<!doctype html><title>Not installed</title><p>{escape(MISSING)}</p>")
            return
        link = scope["path_params"]["link"]
        look = self._decide(visit, link, receive) if visit.method == "POST" else self._look(visit, link)
        status, facts = await self._answered(look)
        body = await self._house.templates.render("approve.html", self._shared(visit) | facts)
        await _respond(visit, send, status, body)

    async def _answered(self, look: Awaitable[tuple[int, dict[str, Any]]]) -> tuple[int, dict[str, Any]]:
        """No line of the log names the link."""
        try:
            return await look
        except RequestError as error:
            return error.status, {"approval": None, "message": error.message}
        except StoreError as error:
            logger.warning("a link to an approval: %s", error)
            return error.status, {"approval": None, "message": _LATER}
        except Exception:
            logger.exception("a link to an approval: unforeseen error")
            return RiverflowError.status, {"approval": None, "message": _WRONG}

    async def _look(self, visit: Visit, link: str) -> tuple[int, dict[str, Any]]:
        linked = await self._house.engine.approvals.follow(link)
        return 200, _facts(linked.approval, name=linked.name)

    async def _decide(self, visit: Visit, link: str, receive: Receive) -> tuple[int, dict[str, Any]]:
        approvals = self._house.engine.approvals
        linked = await approvals.follow(link)  # before the body: nothing is kept of what strangers send
        visit.read_form(await read_body(visit.scope, receive, min(FORM, self._house.settings.max_body_bytes)))
        try:
            decided = await approvals.decide_by_link(link, decision_of(visit))
        except (Conflict, Expired) as error:  # somebody was first: what he did is shown
            return error.status, _facts((await approvals.follow(link)).approval, name=linked.name, error=error)
        except RequestError as error:
            return error.status, _facts(linked.approval, name=linked.name, error=error, typed=visit)
        return 200, _facts(decided.approval, name=linked.name, done=True)

    def _shared(self, visit: Visit) -> dict[str, Any]:
        return {
            "visit": visit,
            "to": visit.to,
            "here": visit.here,
            "token": visit.token,
            "now": self._house.clock.now(),
            "message": "",
        }


def _facts(
    approval: Approval,
    *,
    name: str,
    error: RequestError | None = None,
    typed: Visit | None = None,
    done: bool = False,
) -> dict[str, Any]:
    return facts_of(approval, error, typed) | {"name": name, "done": done}


async def _respond(visit: Visit, send: Send, status: int, text: str) -> None:
    body = text.encode()
    headers = [*LINKED_PAGE, (b"content-type", b"text/html; charset=utf-8"), (b"x-robots-tag", b"noindex")]
    if len(body) > _PACKED_FROM and "gzip" in header_of(visit.scope, b"accept-encoding"):
        body = gzip.compress(body, 5, mtime=0)
        headers.append((b"content-encoding", b"gzip"))
    headers.append((b"content-length", b"%d" % len(body)))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if visit.method == "HEAD" else body})
