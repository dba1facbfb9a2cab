"""One request: its timeline to scale, everything that happened, every payload, and what can be done with it."""

from __future__ import annotations

from typing import Any

from ..._queries import RequestDetail
from ...errors import NotFound, RequestError
from ...models import canonical_id
from .._answers import Answer, Download, Page, Redirect
from .._editing import problem_of
from .._lanes import place_of, timeline_of
from .._letters import WORDS as DELIVERY_WORDS
from .._pages import PageRoute
from .._story import story_of
from .._visit import Visit

__all__ = ["PAGES", "TONES", "WORDS"]

_CANCEL = "/v1/ai/{channel_id}/cancel"
_REPLAY = "/v1/requests/{channel_id}/replay"
_FIXTURE = "/v1/requests/{channel_id}/fixture"
_RESEND = "/v1/deliveries/{delivery_id}/replay"
TONES = {"success": "ok", "completed": "ok", "error": "bad", "pending": "run", "ai_generated": "wait"}
WORDS = {
    "success": "Succeeded", "completed": "Completed", "error": "Failed", "pending": "Generating",
    "ai_generated": "Awaiting callback",
}  # fmt: skip


async def show(visit: Visit) -> Answer:
    return await _page(visit)


async def ask_cancel(visit: Visit) -> Answer:
    return Page("confirm.html", _cancel_facts(_id(visit)))


async def cancel(visit: Visit) -> Answer:
    channel_id = _id(visit)
    try:
        await visit.house.ask(visit, "POST", _CANCEL, channel_id=channel_id)
    except RequestError as error:
        return await _page(visit, error)
    return Redirect(f"requests/{channel_id}?done=cancelled")


async def replay(visit: Visit) -> Answer:
    try:
        made = await visit.house.ask(
            visit,
            "POST",
            _REPLAY,
            {"stage": visit.field("stage")} if visit.field("stage") else {},
            channel_id=_id(visit),
        )
    except RequestError as error:
        return await _page(visit, error)
    return Redirect(f"requests/{made['channel_id']}?done=replayed")


async def resend(visit: Visit) -> Answer:
    channel_id = _id(visit)
    try:
        await visit.house.ask(visit, "POST", _RESEND, {}, delivery_id=visit.params["delivery"])
    except RequestError as error:
        return await _page(visit, error)
    return Redirect(f"requests/{channel_id}?done=resent")


async def fixture(visit: Visit) -> Answer:
    channel_id = _id(visit)
    assert visit.who is not None
    reply = await visit.house.api.reply(visit.who, visit.scope, "GET", _FIXTURE, channel_id=channel_id)
    return Download(body=reply.body, type="application/json", name=f"fixture-{channel_id}.json")


def _id(visit: Visit) -> str:
    """Raises NotFound for what is no channel id: no request can have it."""
    channel_id = canonical_id(visit.params["id"])
    if channel_id is None:
        raise NotFound("Request not found.")
    return channel_id


def _tone(detail: RequestDetail) -> str:
    """How the request stands; one that went well and whose result somebody has not got asks for a look."""
    tone = TONES.get(detail.row.status, "idle")
    undelivered = any(
        each.status in ("dead", "expired") or (each.status == "pending" and each.attempts) for each in detail.deliveries
    )
    return "warn" if tone == "ok" and undelivered else tone


async def _page(visit: Visit, error: RequestError | None = None) -> Page:
    house = visit.house
    detail = await house.queries.request(visit.project_id, _id(visit))
    now, api = house.clock.now(), house.api
    facts: dict[str, Any] = {
        "detail": detail,
        "row": detail.row,
        "words": WORDS,
        "delivery_words": DELIVERY_WORDS,
        "tone": _tone(detail),
        "timeline": timeline_of(detail, now),
        "story": story_of(detail),
        "documents": _documents(detail),
        "place_of": place_of,
        "can": {
            "cancel": detail.cancellable and api.has("POST", _CANCEL),
            "replay": api.has("POST", _REPLAY),
            "fixture": api.has("GET", _FIXTURE),
            "resend": api.has("POST", _RESEND),
        },
        "problem": problem_of(error) if error is not None else None,
    }
    return Page("request.html", facts, error.status if error is not None else 200)


def _documents(detail: RequestDetail) -> list[dict[str, Any]]:
    """Every body there is, once: a webhook that went to three endpoints has one."""
    found = [("request", "Request", detail.request), ("answer", "AI response", detail.answer)]
    found.append(("result", "Client message", detail.message))
    documents = [{"id": name, "name": title, "body": body} for name, title, body in found if body is not None]
    seen: set[str] = set()
    for number, delivery in enumerate(detail.deliveries):
        if delivery.body.text not in seen:
            seen.add(delivery.body.text)
            documents.append({"id": f"body-{number}", "name": delivery.type, "body": delivery.body})
    return documents


def _cancel_facts(channel_id: str) -> dict[str, Any]:
    return {
        "title": "Cancel this request?",
        "text": "The request ends with the error “cancelled”; the client is told, the provider call aborted.",
        "act": "Cancel the request",
        "keep": "Keep running",
        "back": f"requests/{channel_id}",
        "back_name": f"Request {channel_id}",
    }


PAGES = (
    PageRoute("GET", "requests/{id}", show),
    PageRoute("GET", "requests/{id}/cancel", ask_cancel),
    PageRoute("POST", "requests/{id}/cancel", cancel),
    PageRoute("POST", "requests/{id}/replay", replay),
    PageRoute("GET", "requests/{id}/fixture", fixture),
    PageRoute("POST", "requests/{id}/deliveries/{delivery}/resend", resend),
)
