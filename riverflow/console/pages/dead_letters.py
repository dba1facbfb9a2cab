"""Dead letters: what could not be told to somebody, why, and sending it again: one, some, or all of a filter."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from ... import codec
from ...errors import InvalidRequest, NotFound, RequestError
from ...models import canonical_id
from .._answers import Answer, Page, Redirect
from .._confirmation import Question
from .._editing import Problem, problem_of
from .._format import moment
from .._lanes import place_of
from .._letters import WORDS, came_to, dated, state_of
from .._pages import PageRoute
from .._visit import Visit

__all__ = ["PAGES"]

_LIST: Final = "/v1/deliveries"
_ONE: Final = "/v1/deliveries/{delivery_id}"
_REPLAY: Final = "/v1/deliveries/{delivery_id}/replay"
_REPLAY_ALL: Final = "/v1/deliveries/replay"
_DEAD: Final = ("dead", "expired")
_STATUSES: Final = {"": "Dead or expired", "dead": "Dead", "expired": "Expired"}
_LENGTHS: Final = {"1h": ("Last hour", 3600.0), "24h": ("Last day", 86_400.0), "7d": ("Last week", 7 * 86_400.0)}
_FILTERS: Final = ("status", "endpoint", "event", "since", "q")
_ROWS: Final = 25
_NOTED: Final = dict.fromkeys(
    ("outcome", "status", "response", "response_headers", "url", "next_attempt_at", "duration_ms")
)


async def index(visit: Visit) -> Answer:
    return await _list(visit, visit.query)


async def send_again(visit: Visit) -> Answer:
    """The selected ones, or all that the filter takes, which is asked for twice; to another URL, where one is given."""
    chosen = visit.query
    asked: dict[str, Any] = {"url": visit.field("url") or None}
    try:
        if visit.field("act") == "all":
            asked["filter"] = _members(_filter(chosen, visit.house.clock.now()))
            if not visit.field("sure"):
                return Page("confirm.html", msgspec.structs.asdict(_whether_all(chosen, asked["url"])))
        else:
            asked["ids"] = visit.fields.get("id", [])
            if not asked["ids"]:
                raise InvalidRequest("Select at least one dead letter first.", extra={"param": "id"})
        said = await visit.house.ask(visit, "POST", _REPLAY_ALL, asked)
    except RequestError as error:
        return await _list(visit, chosen, error=error)
    return await _list(visit, chosen, said=said)


def _whether_all(chosen: dict[str, str], url: str | None) -> Question:
    kept = _kept(chosen)
    which = "All dead letters that match the filter" if kept else "All dead letters"
    return Question(
        title="Replay all that match?",
        text=f"{which} are replayed, up to 1,000 of the newest{f', to {url}' if url else ''}. This cannot be undone.",
        act="Replay all",
        keep="Cancel",
        back="dead-letters",
        back_name="Dead letters",
        back_query=kept,
        fields={"act": "all", "url": url or "", "sure": "yes"},
    )


async def show(visit: Visit) -> Answer:
    return await _page(visit)


async def replay(visit: Visit) -> Answer:
    name, url = visit.params["id"], visit.field("url")
    try:
        await visit.house.ask(visit, "POST", _REPLAY, {"url": url or None}, delivery_id=name)
    except NotFound:
        raise
    except RequestError as error:
        return await _page(visit, error)
    return Redirect(f"dead-letters/{name}?done=resent")


# The list -------------------------------------------------------------------------------------------------


async def _list(
    visit: Visit, chosen: dict[str, str], *, said: dict[str, Any] | None = None, error: RequestError | None = None
) -> Page:
    problem, status = (problem_of(error), error.status) if error is not None else (None, 200)
    try:
        found = await _found(visit, chosen)
    except InvalidRequest as wrong:
        problem, status = Problem(wrong.message, str(wrong.extra.get("param", ""))), wrong.status
        found = {"data": [], "has_more": False}
    ids = [each["id"] for each in found["data"]]
    endpoints = (await visit.house.ask(visit, "GET", "/console/webhook"))["data"]
    back = bool(chosen.get("ending_before"))
    facts = {
        "letters": [dated(each) for each in found["data"]],
        "reasons": await _reasons(visit, found["data"]),
        "older": ids[-1] if ids and (found["has_more"] or back) else None,
        "newer": ids[0] if ids and (found["has_more"] if back else chosen.get("starting_after")) else None,
        "first_page": not (chosen.get("starting_after") or chosen.get("ending_before")),
        "chosen": chosen,
        "filtered": any(chosen.get(name) for name in _FILTERS),
        "kept": _kept(chosen),
        "endpoints": _endpoints(endpoints, found["data"], chosen.get("endpoint", "")),
        "descriptions": {each["id"]: each["description"] for each in endpoints},
        "statuses": _STATUSES,
        "lengths": {name: each[0] for name, each in _LENGTHS.items()},
        "words": WORDS,
        "state_of": state_of,
        "place_of": place_of,
        "said": said,
        "typed": {"url": visit.field("url") if error is not None else "", "ids": visit.fields.get("id", [])},
        "problem": problem,
    }  # fmt: skip
    return Page("dead_letters.html", facts, status)


async def _found(visit: Visit, chosen: dict[str, str]) -> dict[str, Any]:
    house = visit.house
    query = {"limit": str(_ROWS), **_filter(chosen, house.clock.now())}
    query |= {name: chosen[name] for name in ("starting_after", "ending_before") if chosen.get(name)}
    found: dict[str, Any] = await house.ask(visit, "GET", _LIST, query=query)
    return found


def _filter(chosen: dict[str, str], now: float) -> dict[str, str]:
    """The API's parameters for what the page's filters say. Raises InvalidRequest for a status that is none of a dead
    letter's."""
    status = chosen.get("status", "")
    if status not in _STATUSES:
        raise InvalidRequest(f"status: {status!r} is none of {', '.join(_DEAD)}", extra={"param": "status"})
    params = {"status": status or ",".join(_DEAD)}
    params |= {name: chosen[name] for name in ("endpoint", "event", "since") if chosen.get(name)}
    if params.get("since") in _LENGTHS:
        params["since"] = str(round(now - _LENGTHS[params["since"]][1]))
    text = chosen.get("q", "").strip()
    if text:
        run_id = canonical_id(text)
        params |= {"run": run_id} if run_id is not None else {"event": text}
    return params


def _kept(chosen: dict[str, str]) -> dict[str, str]:
    """The filters in the page's address."""
    return {name: chosen[name] for name in _FILTERS if chosen.get(name)}


def _endpoints(known: list[dict[str, Any]], letters: list[dict[str, Any]], chosen: str) -> dict[str, str]:
    """What can be chosen: every endpoint, those of this page's letters that were deleted since, and what is chosen."""
    names = {each["id"]: each["url"] for each in known}
    gone = {each["endpoint_id"]: f"{each['url']} (deleted)" for each in letters if each["endpoint_id"]}
    names |= {name: text for name, text in gone.items() if name not in names}
    return names | ({chosen: chosen} if chosen and chosen not in names else {})


def _members(params: dict[str, str]) -> dict[str, Any]:
    """The parameters of the list as the members of a filter."""
    return {**params, "status": params["status"].split(",")}


async def _reasons(visit: Visit, letters: list[dict[str, Any]]) -> dict[str, str]:
    """What their last attempts came to, short."""
    runs = {each["id"]: each["channel_id"] for each in letters}
    last = await visit.house.engine.deliveries.last_attempts(visit.project_id, runs)
    return {name: came_to(codec.decode(last[name].data)) if name in last else "" for name in runs}


# One of them ----------------------------------------------------------------------------------------------


async def _page(visit: Visit, error: RequestError | None = None) -> Page:
    found = await visit.house.ask(visit, "GET", _ONE, delivery_id=visit.params["id"])
    attempts = [
        {
            **each,
            "at": moment(each["at"]),
            "came_to": came_to(each["data"]),
            "all": each["data"],
            "data": _NOTED | each["data"],
        }
        for each in found["attempts"]
    ]
    facts = {
        "letter": dated(found),
        "attempts": attempts,
        "words": WORDS,
        "state_of": state_of,
        "place_of": place_of,
        "typed": visit.field("url") if error is not None else "",
        "problem": problem_of(error) if error is not None else None,
    }
    return Page("dead_letter.html", facts, error.status if error is not None else 200)


PAGES = (
    PageRoute("GET", "dead-letters", index),
    PageRoute("POST", "dead-letters", send_again),
    PageRoute("GET", "dead-letters/{id}", show),
    PageRoute("POST", "dead-letters/{id}/replay", replay),
)
