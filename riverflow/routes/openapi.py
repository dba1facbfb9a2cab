"""The OpenAPI 3.1 document, made from the same table and structs that serve the routes."""

from __future__ import annotations

import re
from collections.abc import Iterable
from http import HTTPStatus
from typing import Any

import msgspec

from ..ports import TransportRoute
from ._door import Route

__all__ = ["document"]

_REF = "#/components/schemas/{name}"


class ErrorDetail(msgspec.Struct, kw_only=True):
    """What went wrong, for programs: an error type and a stable code."""

    message: str
    type: str
    code: str


class Problem(msgspec.Struct, kw_only=True):
    """Every error: the OpenAI-style `error` object, a top-level `message`, and the members of RFC 9457."""

    message: str
    error: ErrorDetail
    type: str
    title: str
    status: int
    detail: str


def document(
    routes: Iterable[Route], streams: Iterable[TransportRoute], *, version: str, server: str
) -> dict[str, Any]:
    """The document for a base URL (with prefix). `streams` are the transports' routes; those with a summary are in
    it."""
    table = list(routes)
    structs = {s for route in table for s in (route.takes, route.gives) if s is not None} | {Problem}
    ordered = sorted(structs, key=lambda struct: struct.__name__)
    schemas, components = msgspec.json.schema_components(ordered, ref_template=_REF)
    references = dict(zip(ordered, schemas, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for route in table:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, references)
    for stream in streams:
        if stream.summary is not None:
            paths.setdefault(stream.path, {})["get"] = _stream(stream, references[Problem])
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "riverflow",
            "version": version,
            "description": "Event-driven AI workflows. Paths are also served under `/api`.",
        },
        "servers": [{"url": server}],
        "security": [{"bearer": []}],
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer", "description": "A project's API key."}},
        },
    }


def _operation(route: Route, references: dict[Any, Any]) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": _operation_id(route.method, route.path),
        "summary": route.summary,
        "responses": {
            str(route.status): _content(HTTPStatus(route.status).phrase, references.get(route.gives)),
            **{str(code): _content(HTTPStatus(code).phrase, references[Problem]) for code in route.errors},
        },
    }
    parameters = _parameters(route.path)
    if parameters:
        operation["parameters"] = parameters
    if route.takes is not None:
        operation["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": references[route.takes]}},
        }
    return operation


def _stream(stream: TransportRoute, problem: Any) -> dict[str, Any]:
    return {
        "operationId": _operation_id("get", stream.path),
        "summary": stream.summary,
        "parameters": _parameters(stream.path),
        "responses": {
            "200": {"description": "OK", "content": {"text/event-stream": {"schema": {"type": "string"}}}},
            **{str(code): _content(HTTPStatus(code).phrase, problem) for code in (401, 403, 404)},
        },
    }


def _parameters(path: str) -> list[dict[str, Any]]:
    names = re.findall(r"{(\w+)}", path)
    return [{"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in names]


def _content(description: str, schema: Any) -> dict[str, Any]:
    if schema is None:
        return {"description": description}
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def _operation_id(method: str, path: str) -> str:
    words = re.sub(r"[^a-z_]+", "_", path.removeprefix("/v1").lower()).strip("_")
    return f"{method.lower()}_{words}"
