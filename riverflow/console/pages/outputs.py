"""Structured outputs: the list, and one of them as a form."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...errors import InvalidRequest, RequestError
from .._answers import Answer, Page, Redirect
from .._confirmation import Confirmation, Question
from .._editing import json_field, json_shown, optional, problem_of
from .._format import segment
from .._pages import PageRoute
from .._saving import has_namesake, is_stale, named, save
from .._visit import Visit

__all__ = ["PAGES"]

_PATH = "/console/structured_output"
_ONE = "/console/structured_output/{name}"
_EXAMPLE = {"type": "object", "properties": {"title": {"type": "string"}}, "required": ["title"]}
_BLANK: dict[str, Any] = {
    "name": "", "description": None, "schema": _EXAMPLE, "sample_data": None, "source": "api", "version": "",
}  # fmt: skip


async def index(visit: Visit) -> Answer:
    house = visit.house
    found = (await house.ask(visit, "GET", _PATH))["data"]
    used: dict[str, list[str]] = {}
    for workflow in (await house.ask(visit, "GET", "/console/workflow"))["data"]:
        used.setdefault(workflow["structured_output_id"] or "", []).append(workflow["name"])
    users = {each["name"]: [*used.get(each["name"], []), *used.get(each["id"], [])] for each in found}
    shown = [{**each, "members": _member_names(each["schema"])} for each in found]
    return Page("outputs.html", {"outputs": shown, "users": users})


async def new(visit: Visit) -> Answer:
    return _form(_BLANK, new=True, namesake=await has_namesake(visit, _ONE))


async def create(visit: Visit) -> Answer:
    try:
        made = await visit.house.ask(visit, "POST", _PATH, _members(visit))
    except RequestError as error:
        return _form(_as_typed(visit), new=True, error=error)
    return Redirect(f"structured-outputs/{segment(made['name'])}?done=created")


async def show(visit: Visit) -> Answer:
    return _form(await visit.house.ask(visit, "GET", _ONE, name=named(visit)))


async def change(visit: Visit) -> Answer:
    name = named(visit)
    try:
        members = _members(visit)
        del members["name"]
        await save(visit, _ONE, members, name)
    except RequestError as error:
        found = await visit.house.ask(visit, "GET", _ONE, name=name)
        typed = _as_typed(visit) | {"name": name, "version": visit.field("version")}
        return _form(typed, error=error, stale=is_stale(visit, found, error))
    return Redirect(f"structured-outputs/{segment(name)}?done=saved")


def _member_names(schema: Any) -> list[str]:
    """The members that a schema names; a schema may be anything that JSON Schema allows."""
    properties = schema.get("properties") if isinstance(schema, dict) else None
    return list(properties) if isinstance(properties, dict) else []


def _deletion(found: Mapping[str, Any]) -> Question:
    return Question(
        title=f"Delete the structured output {found['name']}?",
        text="Answers of workflows that name it are no longer checked. Runs that have begun keep the schema they "
        "were accepted with.",
        back=f"structured-outputs/{segment(found['name'])}",
        back_name=found["name"],
    )


_DELETE = Confirmation(one=_ONE, act=("DELETE", _ONE), question=_deletion, then="structured-outputs?done=deleted")


def _form(
    shown: dict[str, Any],
    *,
    new: bool = False,
    namesake: bool = False,
    error: RequestError | None = None,
    stale: bool = False,
) -> Page:
    facts = {
        "output": shown,
        "new": new,
        "namesake": namesake,
        "stale": stale,
        "at": "structured-outputs/new" if new else f"structured-outputs/{segment(shown['name'])}",
        "problem": problem_of(error) if error is not None else None,
        "texts": shown.get("typed") or {name: json_shown(shown[name]) for name in ("schema", "sample_data")},
    }
    return Page("output.html", facts, error.status if error is not None else 200)


def _members(visit: Visit) -> dict[str, Any]:
    schema = json_field(visit, "schema", "JSON Schema")
    if schema is None:
        raise InvalidRequest("JSON Schema: give one; {} takes any JSON", extra={"param": "schema"})
    return {
        "name": visit.field("name"),
        "description": optional(visit.field("description")),
        "schema": schema,
        "sample_data": json_field(visit, "sample_data", "Sample data"),
    }


def _as_typed(visit: Visit) -> dict[str, Any]:
    texts = {name: visit.field(name) for name in ("name", "description", "schema", "sample_data")}
    return {**texts, "source": "api", "version": "", "typed": texts}


PAGES = (
    PageRoute("GET", "structured-outputs", index),
    PageRoute("GET", "structured-outputs/new", new),
    PageRoute("POST", "structured-outputs/new", create),
    PageRoute("GET", "structured-outputs/{name}", show),
    PageRoute("POST", "structured-outputs/{name}", change),
    PageRoute("GET", "structured-outputs/{name}/delete", _DELETE.ask),
    PageRoute("POST", "structured-outputs/{name}/delete", _DELETE.do),
)
