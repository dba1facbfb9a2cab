"""Workflows: the list, and one of them as a form."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...errors import RequestError
from .._answers import Answer, Page, Redirect
from .._confirmation import Confirmation, Question
from .._editing import json_field, json_shown, listed, number_field, optional, problem_of
from .._format import segment
from .._pages import PageRoute
from .._plans import stages_of
from .._saving import has_namesake, is_stale, named, save
from .._visit import Visit

__all__ = ["PAGES"]

_PATH = "/console/workflow"
_ONE = "/console/workflow/{name}"
_BLANK: dict[str, Any] = {
    "name": "", "description": None, "provider": "openai", "model": "", "fallbacks": [], "event_name": None,
    "instructions": None, "structured_output_id": None, "cache_fields": [], "callback_timeout": None,
    "on_timeout": "fail", "provider_timeout": None, "pipeline": None, "template": None, "sample_data": None,
    "disabled": False, "source": "api", "version": "",
}  # fmt: skip


async def index(visit: Visit) -> Answer:
    found = (await visit.house.ask(visit, "GET", _PATH))["data"]
    return Page("workflows.html", {"workflows": [{**each, "stages": stages_of(each)} for each in found]})


async def new(visit: Visit) -> Answer:
    return await _form(visit, _BLANK, new=True, namesake=await has_namesake(visit, _ONE))


async def create(visit: Visit) -> Answer:
    try:
        members = _members(visit)
        made = await visit.house.ask(visit, "POST", _PATH, members)
    except RequestError as error:
        return await _form(visit, _as_typed(visit), new=True, error=error)
    return Redirect(f"workflows/{segment(made['name'])}?done=created")


async def show(visit: Visit) -> Answer:
    return await _form(visit, await visit.house.ask(visit, "GET", _ONE, name=named(visit)))


async def change(visit: Visit) -> Answer:
    name = named(visit)
    try:
        members = _members(visit)
        del members["name"]
        await save(visit, _ONE, members, name)
    except RequestError as error:
        found = await visit.house.ask(visit, "GET", _ONE, name=name)
        typed = _as_typed(visit) | {"name": name, "disabled": found["disabled"], "version": visit.field("version")}
        return await _form(visit, typed, error=error, stale=is_stale(visit, found, error))
    return Redirect(f"workflows/{segment(name)}?done=saved")


async def switch(visit: Visit) -> Answer:
    """Enable or disable."""
    name, on = named(visit), visit.field("enabled") == "yes"
    try:
        await visit.house.ask(visit, "PATCH", _ONE, {"disabled": not on}, name=name)
    except RequestError as error:
        return await _form(visit, await visit.house.ask(visit, "GET", _ONE, name=name), error=error)
    return Redirect(f"workflows/{segment(name)}?done={'workflow-on' if on else 'workflow-off'}")


def _deletion(found: Mapping[str, Any]) -> Question:
    return Question(
        title=f"Delete the workflow {found['name']}?",
        text="New requests for it will be refused. Runs that have begun go on as they were accepted, and the log "
        "keeps what was.",
        back=f"workflows/{segment(found['name'])}",
        back_name=found["name"],
    )


_DELETE = Confirmation(one=_ONE, act=("DELETE", _ONE), question=_deletion, then="workflows?done=deleted")


async def _form(
    visit: Visit,
    shown: dict[str, Any],
    *,
    new: bool = False,
    namesake: bool = False,
    error: RequestError | None = None,
    stale: bool = False,
) -> Page:
    outputs = (await visit.house.ask(visit, "GET", "/console/structured_output"))["data"]
    facts = {
        "workflow": shown,
        "new": new,
        "namesake": namesake,
        "stale": stale,
        "at": "workflows/new" if new else f"workflows/{segment(shown['name'])}",
        "problem": problem_of(error) if error is not None else None,
        "providers": visit.house.names["providers"],
        "outputs": outputs,
        "texts": {name: json_shown(shown[name]) for name in ("pipeline", "sample_data")} | shown.get("typed", {}),
        "stages": [] if new else stages_of(shown),
        "rows": max(2, len(shown["fallbacks"]) + 1),
    }
    return Page("workflow.html", facts, error.status if error is not None else 200)


def _members(visit: Visit) -> dict[str, Any]:
    """What the form says, as the API takes it. Raises InvalidRequest."""
    field = visit.field
    return {
        "name": field("name"),
        "description": optional(field("description")),
        "provider": field("provider"),
        "model": field("model"),
        "fallbacks": _fallbacks(visit),
        "event_name": optional(field("event_name")),
        "instructions": optional(field("instructions")),
        "structured_output_id": optional(field("structured_output_id")),
        "cache_fields": listed(field("cache_fields")),
        "callback_timeout": number_field(visit, "callback_timeout", "Callback timeout"),
        "on_timeout": field("on_timeout") or "fail",
        "provider_timeout": number_field(visit, "provider_timeout", "Provider timeout"),
        "pipeline": json_field(visit, "pipeline", "Pipeline"),
        "template": optional(field("template")),
        "sample_data": json_field(visit, "sample_data", "Sample data"),
    }


def _fallbacks(visit: Visit) -> list[dict[str, Any]]:
    providers, models = (visit.fields.get(name, []) for name in ("fallback_provider", "fallback_model"))
    named = [(provider.strip(), model.strip()) for provider, model in zip(providers, models, strict=False)]
    chosen = [pair for pair in named if pair[0]]
    return [{"provider": p, "model": m, "position": place} for place, (p, m) in enumerate(chosen, start=1)]


def _as_typed(visit: Visit) -> dict[str, Any]:
    """The form as it was sent, to be put right."""
    field = visit.field
    texts = {
        name: field(name)
        for name in _BLANK
        if name not in ("fallbacks", "cache_fields", "disabled", "source", "version")
    }
    return {
        **texts,
        "fallbacks": _fallbacks(visit),
        "cache_fields": listed(field("cache_fields")),
        "disabled": False,
        "source": "api",
        "version": "",
        "typed": {name: field(name) for name in ("pipeline", "sample_data")},
    }


PAGES = (
    PageRoute("GET", "workflows", index),
    PageRoute("GET", "workflows/new", new),
    PageRoute("POST", "workflows/new", create),
    PageRoute("GET", "workflows/{name}", show),
    PageRoute("POST", "workflows/{name}", change),
    PageRoute("POST", "workflows/{name}/switch", switch),
    PageRoute("GET", "workflows/{name}/delete", _DELETE.ask),
    PageRoute("POST", "workflows/{name}/delete", _DELETE.do),
)
