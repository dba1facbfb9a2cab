"""Approvals: what waits for a person, and one of them to approve, edit or reject."""

from __future__ import annotations

from typing import Any

from ..._approvals import Approval
from ..._holds import id_of
from ...errors import Conflict, Expired, InvalidRequest, NotFound, RequestError
from ...ports import RunPage
from .._answers import Answer, Page, Redirect
from .._editing import problem_of
from .._pages import PageRoute
from .._rulings import customer_of, decision_of, facts_of
from .._visit import Visit

__all__ = ["PAGES"]

_ROWS = 50


async def index(visit: Visit) -> Answer:
    query, approvals = visit.query, visit.house.engine.approvals
    page, problem, status = RunPage(runs=(), has_more=False), None, 200
    try:
        page = await approvals.pending(
            visit.project_id,
            starting_after=query.get("starting_after") or None,
            ending_before=query.get("ending_before") or None,
            limit=_ROWS,
        )
    except InvalidRequest as error:
        problem, status = problem_of(error), error.status
    back = bool(query.get("ending_before"))
    turned = bool(query.get("starting_after")) or back
    ids = [id_of(run.id, run.stage) for run in page.runs]
    facts: dict[str, Any] = {
        "rows": [
            {"id": id_of(run.id, run.stage), "run": run, "customer": customer_of(run.summary.customer)}
            for run in page.runs
        ],
        "count": await approvals.count(visit.project_id),
        "newer": ids[0] if ids and (page.has_more if back else turned) else None,
        "older": ids[-1] if ids and (back or page.has_more) else None,
        "first_page": not turned,
        "problem": problem,
    }
    return Page("approvals.html", facts, status)


async def show(visit: Visit) -> Answer:
    return _item(await _found(visit))


async def decide(visit: Visit) -> Answer:
    assert visit.who is not None
    approval = await _found(visit)
    try:
        await visit.house.engine.approvals.decide(
            visit.project_id, approval.id, decision_of(visit), by=visit.who.subject, way="console"
        )
    except (Conflict, Expired) as error:  # somebody was first: what he did is shown
        return _item(await _found(visit), error)
    except RequestError as error:
        return _item(approval, error, visit)
    return Redirect(f"approvals/{approval.id}")


async def link(visit: Visit) -> Answer:
    approval = await _found(visit)
    base = (visit.house.settings.public_url or "").rstrip("/")
    try:
        url, approval = await visit.house.engine.approvals.link(
            visit.project_id, approval.id, base, visit.field("name")
        )
    except RequestError as error:
        return _item(approval, error, visit)
    return _item(approval, url=url)


async def _found(visit: Visit) -> Approval:
    """Raises NotFound."""
    try:
        return await visit.house.engine.approvals.one(visit.project_id, visit.params["id"])
    except NotFound:
        raise NotFound("There is no such approval.") from None


def _item(
    approval: Approval, error: RequestError | None = None, typed: Visit | None = None, url: str | None = None
) -> Page:
    facts = facts_of(approval, error, typed) | {"url": url}
    return Page("approval.html", facts, error.status if error is not None else 200, secret=url is not None)


PAGES = (
    PageRoute("GET", "approvals", index),
    PageRoute("GET", "approvals/{id}", show),
    PageRoute("POST", "approvals/{id}", decide),
    PageRoute("POST", "approvals/{id}/link", link),
)
