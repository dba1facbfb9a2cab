"""Webhook endpoints: the list, one of them, its secret, and a test event for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...errors import InvalidRequest, RequestError
from ...models import DEFAULT_SIGNERS
from ...retry import PRESETS
from .._answers import Answer, Page, Redirect
from .._confirmation import Confirmation, Question
from .._editing import json_field, json_shown, listed, number_field, optional, problem_of
from .._pages import PageRoute
from .._visit import Visit

__all__ = ["PAGES"]

_PATH = "/console/webhook"
_ONE = "/console/webhook/{name}"
_ROTATE = "/console/webhook/{name}/rotate"
_TEST = "/console/webhook/{name}/test"
_BLANK: dict[str, Any] = {
    "url": "", "description": None, "enabled": True, "events": [], "signers": list(DEFAULT_SIGNERS),
    "encoding": "json", "body": "flat", "retry": None, "concurrency": None, "authorities": None, "source": "api",
}  # fmt: skip


async def index(visit: Visit) -> Answer:
    found = (await visit.house.ask(visit, "GET", _PATH))["data"]
    return Page("webhooks.html", {"webhooks": found})


async def new(visit: Visit) -> Answer:
    return _form(visit, _BLANK, new=True)


async def create(visit: Visit) -> Answer:
    try:
        made = await visit.house.ask(visit, "POST", _PATH, _members(visit))
    except RequestError as error:
        return _form(visit, _as_typed(visit), new=True, error=error)
    return _form(visit, made, secret=made["secret"])


async def show(visit: Visit) -> Answer:
    return _form(visit, await _found(visit))


async def change(visit: Visit) -> Answer:
    found = await _found(visit)
    try:
        await visit.house.ask(visit, "PATCH", _ONE, _members(visit), name=found["id"])
    except RequestError as error:
        return _form(visit, {**found, **_as_typed(visit)}, error=error)
    return Redirect(f"webhooks/{found['id']}?done=saved")


async def switch(visit: Visit) -> Answer:
    """Enable or disable."""
    name, on = visit.params["name"], visit.field("enabled") == "yes"
    try:
        await visit.house.ask(visit, "PATCH", _ONE, {"enabled": on}, name=name)
    except RequestError as error:
        return _form(visit, await _found(visit), error=error)
    return Redirect(f"webhooks/{name}?done={'enabled' if on else 'disabled'}")


async def rotate(visit: Visit) -> Answer:
    try:
        made = await visit.house.ask(visit, "POST", _ROTATE, {}, name=visit.params["name"])
    except RequestError as error:
        return _form(visit, await _found(visit), error=error)
    return _form(visit, {**await _found(visit), **made}, secret=made["secret"], rotated=True)


async def send_test(visit: Visit) -> Answer:
    found = await _found(visit)
    try:
        said = await visit.house.ask(visit, "POST", _TEST, name=found["id"])
    except RequestError as error:
        return _form(visit, found, error=error)
    return _form(visit, found, said=said)


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


def _form(
    visit: Visit,
    shown: dict[str, Any],
    *,
    new: bool = False,
    secret: str = "",
    rotated: bool = False,
    said: dict[str, Any] | None = None,
    error: RequestError | None = None,
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
        "can_rotate": api.has("POST", _ROTATE),
        "can_test": api.has("POST", _TEST),
        "problem": problem_of(error) if error is not None else None,
    }
    return Page("webhook.html", facts, error.status if error is not None else 200, secret=bool(secret))


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


def _concurrency(visit: Visit) -> int | None:
    number = number_field(visit, "concurrency", "Deliveries at once")
    return None if number is None else round(number)


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
    PageRoute("POST", "webhooks/{name}/rotate", rotate),
    PageRoute("POST", "webhooks/{name}/test", send_test),
    PageRoute("GET", "webhooks/{name}/delete", _DELETE.ask),
    PageRoute("POST", "webhooks/{name}/delete", _DELETE.do),
)
