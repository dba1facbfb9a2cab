"""Webhook endpoints: the list, one of them, its secret, and a test event for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from ...errors import Forbidden, InvalidRequest, RequestError
from ...models import DEFAULT_SIGNERS
from ...retry import PRESETS
from .._answers import Answer, Page, Redirect
from .._confirmation import Confirmation, Question
from .._editing import Problem, json_field, json_shown, listed, number_field, optional, problem_of
from .._letters import WORDS, dated, state_of
from .._pages import PageRoute
from .._saving import is_stale, once, save
from .._visit import Visit

__all__ = ["PAGES"]

_PATH = "/console/webhook"
_ONE = "/console/webhook/{name}"
_ROTATE = "/console/webhook/{name}/rotate"
_ENABLE = "/console/webhook/{name}/enable"
_RETIRED = "/console/webhook/{name}/retired"
_TEST = "/console/webhook/{name}/test"
_DELIVERIES = "/v1/deliveries"
_LATEST = 8  # deliveries on the page of an endpoint
_OVERLAPS = {"86400": "1 day", "604800": "7 days", "2592000": "30 days", "3600": "1 hour", "0": "none: it ends at once"}
_BLANK: dict[str, Any] = {
    "url": "", "description": None, "enabled": True, "events": [], "signers": list(DEFAULT_SIGNERS),
    "encoding": "json", "body": "flat", "retry": None, "concurrency": None, "authorities": None, "source": "api",
    "version": "",
}  # fmt: skip


async def index(visit: Visit) -> Answer:
    return await _index(visit)


async def _index(visit: Visit, problem: Problem | None = None) -> Page:
    found = (await visit.house.ask(visit, "GET", _PATH))["data"]
    facts = {
        "webhooks": found,
        "last": {each["id"]: await _latest(visit, each["id"], 1) for each in found},
        "words": WORDS,
        "state_of": state_of,
        "problem": problem,
    }
    return Page("webhooks.html", facts, 200 if problem is None else 409)


async def _latest(visit: Visit, endpoint_id: str, limit: int) -> list[dict[str, Any]]:
    """What was sent there, newest first; nothing for who may not read requests."""
    try:
        query = {"endpoint": endpoint_id, "limit": str(limit)}
        found = await visit.house.ask(visit, "GET", _DELIVERIES, query=query)
    except Forbidden:
        return []
    return [dated(each) for each in found["data"]]


async def new(visit: Visit) -> Answer:
    return await _form(visit, _BLANK, new=True)


async def create(visit: Visit) -> Answer:
    try:
        async with once(visit) as first:
            if not first:
                done = "This form was sent before and its endpoint was made, so no other was. The secret was shown "
                return await _index(visit, Problem(done + "once: if nobody kept it, open the endpoint and replace it."))
            made = await visit.house.ask(visit, "POST", _PATH, _members(visit))
    except RequestError as error:
        return await _form(visit, _as_typed(visit), new=True, error=error)
    return await _form(visit, made, secret=made["secret"])


async def show(visit: Visit) -> Answer:
    return await _form(visit, await _found(visit))


async def change(visit: Visit) -> Answer:
    found = await _found(visit)
    try:
        await save(visit, _ONE, _members(visit), found["id"])
    except RequestError as error:
        found = await _found(visit)
        typed = {**found, **_as_typed(visit), "source": found["source"], "version": visit.field("version")}
        return await _form(visit, typed, error=error, stale=is_stale(visit, found, error))
    return Redirect(f"webhooks/{found['id']}?done=saved")


async def switch(visit: Visit) -> Answer:
    """Enable or disable; what code defines can be enabled where riverflow has disabled it."""
    name, on = visit.params["name"], visit.field("enabled") == "yes"
    try:
        if on:
            await visit.house.ask(visit, "POST", _ENABLE, name=name)
        else:
            await visit.house.ask(visit, "PATCH", _ONE, {"enabled": False}, name=name)
    except RequestError as error:
        return await _form(visit, await _found(visit), error=error)
    return Redirect(f"webhooks/{name}?done={'enabled' if on else 'disabled'}")


async def ask_rotate(visit: Visit) -> Answer:
    return await _ask_rotate(visit)


async def _ask_rotate(visit: Visit, error: RequestError | None = None) -> Page:
    facts = msgspec.structs.asdict(_rotation(await _found(visit))) | {"overlaps": _OVERLAPS}
    if error is None:
        return Page("confirm.html", facts)
    return Page("confirm.html", {**facts, "problem": problem_of(error)}, error.status)


async def rotate(visit: Visit) -> Answer:
    try:
        async with once(visit) as first:
            if not first:
                done = "This form was sent before and its secret was made, so no other was. The secret was shown once: "
                problem = Problem(done + "if nobody kept it, make another.")
                return await _form(visit, await _found(visit), problem=problem)
            overlap = number_field(visit, "overlap", "Overlap")
            asked = {} if overlap is None else {"overlap": overlap}
            made = await visit.house.ask(visit, "POST", _ROTATE, asked, name=visit.params["name"])
    except RequestError as error:
        return await _ask_rotate(visit, error)
    return await _form(visit, made, secret=made["secret"], rotated=True)


async def retire(visit: Visit) -> Answer:
    """End the earlier secrets now."""
    answer = await _RETIREMENT.do(visit)
    return Redirect(f"webhooks/{visit.params['name']}?done=saved") if isinstance(answer, Redirect) else answer


async def send_test(visit: Visit) -> Answer:
    found = await _found(visit)
    try:
        said = await visit.house.ask(visit, "POST", _TEST, name=found["id"])
    except RequestError as error:
        return await _form(visit, found, error=error)
    return await _form(visit, found, said=said)


async def _found(visit: Visit) -> dict[str, Any]:
    found: dict[str, Any] = await visit.house.ask(visit, "GET", _ONE, name=visit.params["name"])
    return found


def _deletion(found: Mapping[str, Any]) -> Question:
    return Question(
        title="Delete this webhook endpoint?",
        text=f"Nothing more is sent to {found['url']}, and deliveries that still wait for another attempt end as "
        "dead. Its secret is gone for good. To stop only for a while, disable it.",
        back=f"webhooks/{found['id']}",
        back_name=found["url"],
    )


_DELETE = Confirmation(one=_ONE, act=("DELETE", _ONE), question=_deletion, then="webhooks?done=deleted")


def _rotation(found: Mapping[str, Any]) -> Question:
    return Question(
        title="Rotate secret?",
        text=f"Deliveries to {found['url']} are signed with it from then on. During the overlap they carry the old "
        "secret's signature as well.",
        act="Rotate secret",
        keep="Keep the old one",
        back=f"webhooks/{found['id']}",
        back_name=found["url"],
    )


def _retirement(found: Mapping[str, Any]) -> Question:
    return Question(
        title="End the old secrets now?",
        text=f"Deliveries to {found['url']} are signed with the newest secret alone from then on. A receiver that "
        "only knows an old one refuses them.",
        act="End them now",
        keep="Keep them",
        back=f"webhooks/{found['id']}",
        back_name=found["url"],
    )


_RETIREMENT = Confirmation(one=_ONE, act=("DELETE", _RETIRED), question=_retirement, then="webhooks")


async def _form(
    visit: Visit,
    shown: dict[str, Any],
    *,
    new: bool = False,
    secret: str = "",
    rotated: bool = False,
    said: dict[str, Any] | None = None,
    error: RequestError | None = None,
    problem: Problem | None = None,
    stale: bool = False,
) -> Page:
    api = visit.house.api
    facts = {
        "webhook": shown,
        "new": new,
        "secret": secret,
        "rotated": rotated,
        "said": said,
        "signers": visit.house.names["signers"],
        "presets": list(PRESETS),
        "retry": _retry_shown(shown["retry"]),
        # A store that is away now must not keep back a secret that is shown once.
        "deliveries": None if new or secret else await _latest(visit, shown["id"], _LATEST),
        "words": WORDS,
        "state_of": state_of,
        "can_rotate": api.has("POST", _ROTATE),
        "can_test": api.has("POST", _TEST),
        "problem": problem_of(error) if error is not None else problem,
        "stale": stale,
    }
    status = error.status if error is not None else 200 if problem is None else 409
    return Page("webhook.html", facts, status, secret=bool(secret))


def _members(visit: Visit) -> dict[str, Any]:
    return {
        "url": visit.field("url"),
        "description": optional(visit.field("description")),
        "enabled": visit.field("enabled") == "yes",
        "events": listed(visit.field("events")),
        "signers": visit.fields.get("signers", []),
        "encoding": visit.field("encoding") or "json",
        "body": visit.field("body") or "flat",
        "retry": _retry(visit),
        "concurrency": _concurrency(visit),
        "authorities": optional(visit.field("authorities")),
    }


def _retry(visit: Visit) -> Any:
    """A policy by name, a list of waits, or a whole one as JSON. Raises InvalidRequest."""
    text = visit.field("retry")
    if text.startswith("{"):
        return json_field(visit, "retry", "Retries")
    if not text or not text[0].isdigit():
        return optional(text)
    try:
        return [float(part) for part in listed(text)]
    except ValueError:
        raise InvalidRequest(f"Retries: {text!r} is no list of seconds", extra={"param": "retry"}) from None


def _concurrency(visit: Visit) -> float | None:
    number = number_field(visit, "concurrency", "Deliveries at once")
    return int(number) if number is not None and number.is_integer() else number


def _as_typed(visit: Visit) -> dict[str, Any]:
    """The form as it was sent, to be put right."""
    field = visit.field
    return {
        **_BLANK,
        **{
            name: field(name)
            for name in ("url", "description", "encoding", "body", "retry", "concurrency", "authorities")
        },
        "enabled": field("enabled") == "yes",
        "events": listed(field("events")),
        "signers": visit.fields.get("signers", []),
    }


def _retry_shown(retry: Any) -> str:
    """A policy as its field shows it."""
    if isinstance(retry, list):
        return ", ".join(f"{wait:g}" for wait in retry)
    return retry if isinstance(retry, str) else json_shown(retry)


PAGES = (
    PageRoute("GET", "webhooks", index),
    PageRoute("GET", "webhooks/new", new),
    PageRoute("POST", "webhooks/new", create),
    PageRoute("GET", "webhooks/{name}", show),
    PageRoute("POST", "webhooks/{name}", change),
    PageRoute("POST", "webhooks/{name}/switch", switch),
    PageRoute("GET", "webhooks/{name}/rotate", ask_rotate),
    PageRoute("POST", "webhooks/{name}/rotate", rotate),
    PageRoute("GET", "webhooks/{name}/retired", _RETIREMENT.ask),
    PageRoute("POST", "webhooks/{name}/retired", retire),
    PageRoute("POST", "webhooks/{name}/test", send_test),
    PageRoute("GET", "webhooks/{name}/delete", _DELETE.ask),
    PageRoute("POST", "webhooks/{name}/delete", _DELETE.do),
)
