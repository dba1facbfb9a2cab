"""The playground: a workflow is tried from end to end, beside the timeline of what comes of it."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import urlencode

import msgspec

from ... import codec
from ..._queries import RequestDetail
from ..._simulation import SAYING
from ...errors import InvalidRequest, NotFound, RequestError
from ...models import canonical_id
from ...routes import base_url_of
from .._acts import act_of
from .._answers import Answer, Page, Redirect
from .._editing import json_field, json_shown, problem_of
from .._lanes import timeline_of
from .._pages import PageRoute
from .._plans import stages_of
from .._snippets import Snippet, snippets
from .._visit import Visit
from .request import TONES, WORDS

__all__ = ["PAGES"]

_START: Final = "/v1/playground"
_WORDS_FIRST: Final = "A film about dreams, please"


class _Typed(msgspec.Struct, frozen=True, kw_only=True):
    """The form as it stands."""

    workflow: str
    message: str = ""
    payload: str = ""
    backend: str = "simulated"
    test_mode: bool = False


async def index(visit: Visit) -> Answer:
    """`?run=` shows what came of a try, with the form as it was sent."""
    run_id = visit.query.get("run")
    if run_id is None:
        return await _page(visit, _Typed(workflow=visit.query.get("workflow", ""), message=""))
    channel_id = canonical_id(run_id)
    if channel_id is None:
        raise NotFound("There is no such request.")
    detail = await visit.house.queries.request(visit.project_id, channel_id)
    return await _page(visit, _typed_of(detail), detail=detail)


async def start(visit: Visit) -> Answer:
    typed = _typed(visit)
    try:
        asked = {"request": _request(visit, typed), "backend": typed.backend}
        made = await visit.house.ask(visit, "POST", _START, asked)
    except RequestError as error:
        return await _page(visit, typed, error=error)
    return Redirect(f"playground?{urlencode({'run': made['channel_id']})}#outcome")


async def preview(visit: Visit) -> Answer:
    """The page for what is typed; nothing is run."""
    return await _page(visit, _typed(visit), typing=True)


async def _page(
    visit: Visit,
    typed: _Typed,
    *,
    detail: RequestDetail | None = None,
    error: RequestError | None = None,
    typing: bool = False,
) -> Page:
    house = visit.house
    workflows = {each["name"]: each for each in (await house.ask(visit, "GET", "/console/workflow"))["data"]}
    if not typed.workflow and workflows:
        typed = msgspec.structs.replace(typed, workflow=next(iter(workflows)))
    chosen = workflows.get(typed.workflow)
    facts: dict[str, Any] = {
        "typed": typed,
        "workflows": list(workflows),
        "stages": stages_of(chosen) if chosen is not None else [],
        "disabled": chosen is not None and chosen["disabled"],
        "hands_off": chosen is not None and any(stage["kind"] == "hand_off" for stage in stages_of(chosen)),
        "snippets": _snippets(visit, typed),
        "first_words": _WORDS_FIRST,
        "saying": SAYING,
        "problem": problem_of(error) if error is not None else None,
        "detail": None,
        "typing": typing,
    }
    if detail is not None:
        facts |= _outcome(detail, house.clock.now())
    return Page("playground.html", facts, error.status if error is not None else 200)


def _outcome(detail: RequestDetail, now: float) -> dict[str, Any]:
    final = _decoded(detail.message.text) if detail.message is not None and detail.message.whole else {}
    return {
        "detail": detail,
        "row": detail.row,
        "words": WORDS,
        "tone": TONES.get(detail.row.status, "idle"),
        "timeline": timeline_of(detail, now),
        "acts": [act_of(detail, stage) for stage in detail.stages if stage.kind != "finalise"],
        "enriched": final.get("data") if detail.row.status == "completed" else None,
    }


# The form -------------------------------------------------------------------------------------------------


def _typed(visit: Visit) -> _Typed:
    field = visit.field
    return _Typed(
        workflow=field("workflow"),
        message=field("message"),
        payload=field("payload"),
        backend=field("backend") or "simulated",
        test_mode=field("test_mode") == "yes",
    )


def _request(visit: Visit, typed: _Typed) -> dict[str, Any]:
    """The request that the form means. Raises InvalidRequest that names the field."""
    payload = json_field(visit, "payload", "JSON payload")
    if payload is not None and not isinstance(payload, dict):
        raise InvalidRequest("JSON payload: give an object, such as {}", extra={"param": "payload"})
    if not typed.message and not payload:
        raise InvalidRequest("Message: type one, or give a JSON payload", extra={"param": "message"})
    return _whole(typed, payload or {})


def _whole(typed: _Typed, payload: dict[str, Any]) -> dict[str, Any]:
    """The payload with the message after the messages that it has."""
    request: dict[str, Any] = {"workflow": typed.workflow, **payload}
    if typed.message:
        before = payload.get("messages")
        said = {"role": "user", "content": typed.message}
        request["messages"] = [*(before if isinstance(before, list) else []), said]
    if typed.test_mode:
        request["test_mode"] = True
    return request


def _typed_of(detail: RequestDetail) -> _Typed:
    """The form that would send this request again."""
    request = _decoded(detail.request.text) if detail.request.whole else {}
    workflow = str(request.pop("workflow", detail.row.workflow))
    messages = request.get("messages")
    message = ""
    if isinstance(messages, list) and len(messages) == 1 and isinstance(messages[0], dict):
        content = messages[0].get("content")
        if isinstance(content, str) and messages[0] == {"role": "user", "content": content}:
            message = content
            del request["messages"]
    return _Typed(
        workflow=workflow,
        message=message,
        test_mode=bool(request.pop("test_mode", False)),
        payload=json_shown(request or None),
        backend="simulated" if detail.simulated else "real",
    )


def _snippets(visit: Visit, typed: _Typed) -> tuple[Snippet, ...]:
    """None while the payload is not JSON."""
    payload = _decoded(typed.payload) if typed.payload else {}
    if typed.payload and not payload and typed.payload != "{}":
        return ()
    said = typed if typed.message or payload else msgspec.structs.replace(typed, message=_WORDS_FIRST)
    base = (visit.house.settings.public_url or base_url_of(visit.scope)).rstrip("/")
    return snippets(base, _whole(said, payload))


def _decoded(text: str) -> dict[str, Any]:
    """An object, or an empty one where it is none."""
    try:
        value = codec.decode(text.encode())
    except InvalidRequest:
        return {}
    return value if isinstance(value, dict) else {}


PAGES = (
    PageRoute("GET", "playground", index),
    PageRoute("POST", "playground", start),
    PageRoute("POST", "playground/preview", preview),
)
