"""The list of requests: filtered, in pages, live, and as a file."""

from __future__ import annotations

from typing import Any, Final, get_args

from ..._queries import wanted
from ...errors import InvalidRequest
from ...models import RunFilter, Status, canonical_id
from ...ports import Receive, Scope, Send
from ...routes import EXPORTED, respond
from .._answers import Answer, Page, Stream
from .._editing import Problem
from .._pages import PageRoute
from .._visit import Visit

__all__ = ["PAGES"]

_LENGTHS: Final = {"1h": ("Last hour", 3600.0), "24h": ("Last day", 86_400.0), "7d": ("Last week", 7 * 86_400.0)}
_STATUSES: Final = {
    "pending": "Generating", "ai_generated": "Awaiting callback", "success": "Succeeded", "completed": "Completed",
    "error": "Failed",
}  # fmt: skip
_TAGS: Final = {
    "": "Production",
    "test": "Test mode",
    "pg": "Playground",
    "pg_test_mode": "Playground, test mode",
    "all": "All traffic",
}
_MORE = ("event_name", "provider", "model", "from", "until")  # in the form's second row
_HIDDEN = ("customer", "channel_id")  # the API's: the form has one box for both
_FILTERS = ("status", "workflow", "tag", "since", *_MORE, *_HIDDEN)
_ROWS = 50
_EXPORT = "/v1/requests/export"


async def index(visit: Visit) -> Answer:
    house, query = visit.house, visit.query
    params, problem = _params(query, house.clock.now()), None
    try:
        page = await house.queries.requests(
            visit.project_id,
            wanted(params),
            starting_after=_cursor(query, "starting_after"),
            ending_before=_cursor(query, "ending_before"),
            limit=_ROWS,
        )
    except InvalidRequest as error:
        problem = Problem(error.message, str(error.extra.get("param", "")))
        page = await house.queries.requests(visit.project_id, RunFilter(channel_id="-"), limit=1)
    workflows = (await house.ask(visit, "GET", "/console/workflow"))["data"]
    facts: dict[str, Any] = {
        "page": page,
        "problem": problem,
        "workflow_options": [(each["name"], each["name"]) for each in workflows],
        "provider_options": [(name, name) for name in house.names["providers"]],
        "event_names": sorted({each["event_name"] for each in workflows if each.get("event_name")}),
        "more": any(query.get(name) for name in _MORE),
        "hidden": {name: query[name] for name in _HIDDEN if query.get(name)},
        "export_limit": EXPORTED,
        "statuses": {name: _STATUSES.get(name, name) for name in get_args(Status)},
        "tags": _TAGS,
        "lengths": {name: each[0] for name, each in _LENGTHS.items()},
        "chosen": query,
        "filtered": any(query.get(name) for name in (*_FILTERS, "q")),
        "first_page": not (query.get("starting_after") or query.get("ending_before")),
        "export": {name: query.get(name, "") for name in (*_FILTERS, "q")},
        "can_export": house.api.has("GET", _EXPORT),
    }
    return Page("requests.html", facts, 200 if problem is None else 400)


def _cursor(query: dict[str, str], name: str) -> str | None:
    """Raises InvalidRequest for what no page of ours links to."""
    text = query.get(name)
    if not text:
        return None
    cursor = canonical_id(text)
    if cursor is None:
        raise InvalidRequest(f"{name}: {text!r} is not a channel id", extra={"param": name})
    return cursor


async def export(visit: Visit) -> Answer:
    """The same filters as a file, as the API writes it."""
    assert visit.who is not None
    asked = {"format": visit.query.get("format", ""), **_params(visit.query, visit.house.clock.now())}
    reply = await visit.house.api.reply(visit.who, visit.scope, "GET", _EXPORT, query=asked)

    async def send_file(scope: Scope, receive: Receive, send: Send) -> None:
        await respond(send, reply)

    return Stream(send_file)


def _params(query: dict[str, str], now: float) -> dict[str, str]:
    """The API's parameters for what the page's filters say. One box searches: for `key=value` in the customer data, or
    for the beginning of an id. The exact `from` counts before the length chosen as `since`."""
    params = {name: query[name] for name in _FILTERS if query.get(name)}
    if "from" in params:
        params["since"] = params.pop("from")
    if params.get("since") in _LENGTHS:
        params["since"] = str(round(now - _LENGTHS[params["since"]][1]))
    text = query.get("q", "").strip()
    if "=" in text:
        params["customer"] = text
    elif text:
        params["channel_id"] = text
    return params


PAGES = (PageRoute("GET", "requests", index), PageRoute("GET", "requests/export", export))
