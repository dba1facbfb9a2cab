"""The OpenAPI 3.1 document, made from the same table and structs that serve the routes.

What every door does alike (authentication, limits, errors) is said here once; what one does is said in its row.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any

import msgspec

from ..ports import TransportRoute
from ._door import Route

__all__ = ["document"]

_REF = "#/components/schemas/{name}"

_DESCRIPTION = """\
Event-driven AI workflows: start a run, follow its channel, answer its hand-offs.

Every path is also served under `/api`. Errors have one body, `Problem`: `error.code` is stable and for programs, \
`message` for people. A request whose JSON is nested over 128 levels is answered 400, a body over the limit 413.

Runs are followed as server-sent events, or over WebSocket (Phoenix Channels, serializers 1 and 2) at \
`/socket/websocket?token=<ws_token>&vsn=2.0.0`, topic `websocket_channel`.\
"""

_TAGS = {
    "ai": "Runs: start, look at, follow, cancel.",
    "callback": "Answers of backends to hand-offs.",
    "approvals": "Runs that wait for a person.",
    "console": "Configuration, for keys with the scope `admin`.",
}

_SCHEMES = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "A project's API key. Scopes are those of the key."},
    "socketToken": {
        "type": "apiKey",
        "in": "query",
        "name": "token",
        "description": "The `ws_token` of one channel, for browsers.",
    },
}

_EVERYWHERE = (401, 403, 414, 429, 431, 500, 503)
_WITH_A_BODY = (400, 413)

_HEADERS: Mapping[str, tuple[str, dict[str, Any]]] = {
    "WWW-Authenticate": ("The scheme to use (RFC 9110, 11.6.1).", {"type": "string"}),
    "Retry-After": ("Seconds to wait (RFC 9110, 10.2.3).", {"type": "integer", "minimum": 1}),
    "RateLimit": ("What is left of the limit, and for how long.", {"type": "string"}),
    "RateLimit-Policy": ("The limit: requests in so many seconds.", {"type": "string"}),
}
_HEADERS_OF = {
    401: ("WWW-Authenticate",),
    429: ("Retry-After", "RateLimit", "RateLimit-Policy"),
    503: ("Retry-After",),
}
_PATHS = {
    "channel_id": {"type": "string", "format": "uuid"},
    "stage": {"type": "string", "pattern": "^[a-z][a-z0-9_]{0,63}$"},
}


class ErrorDetail(msgspec.Struct, kw_only=True):
    """What went wrong, for programs: an error type and a stable code; `param` names the field where it is one."""

    message: str
    type: str
    code: str
    param: str | msgspec.UnsetType = msgspec.UNSET


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
    schemas = _Schemas(table)
    paths: dict[str, dict[str, Any]] = {}
    for route in table:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, schemas)
    for stream in streams:
        if stream.summary is not None:
            paths.setdefault(stream.path, {})["get"] = _stream(stream, schemas)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "riverflow",
            "version": version,
            "summary": "Event-driven AI workflows.",
            "description": _DESCRIPTION,
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": server}],
        "security": [{"bearer": []}],
        "tags": [{"name": name, "description": words} for name, words in _TAGS.items()],
        "paths": paths,
        "components": {"schemas": schemas.components, "securitySchemes": _SCHEMES},
    }


class _Schemas:
    """The schemas of all bodies, by name."""

    def __init__(self, table: list[Route]) -> None:
        structs = {s for route in table for s in (route.takes, route.gives) if s is not None} | {Problem}
        ordered = sorted(structs, key=lambda struct: struct.__name__)
        given, self.components = msgspec.json.schema_components(ordered, ref_template=_REF)
        self._references = dict(zip(ordered, given, strict=True))
        self._used = {route.takes for route in table if route.method != "PATCH"} | {route.gives for route in table}
        self.problem = self._references[Problem]

    def of(self, struct: Any) -> dict[str, Any] | None:
        """The schema of a body, or None where there is none."""
        return self._references.get(struct)

    def changes(self, struct: Any) -> dict[str, Any]:
        """The schema of a body that changes what it names, and nothing else: no member is required in it."""
        reference: dict[str, Any] = self._references[struct]
        whole = self.components[struct.__name__]
        if not whole.get("required"):
            return reference
        name = f"{struct.__name__}Changes"
        members = {
            key: {k: v for k, v in member.items() if k != "default"} for key, member in whole["properties"].items()
        }
        self.components[name] = {**whole, "title": name, "properties": members, "required": []}
        if struct not in self._used:
            self.components.pop(struct.__name__, None)
        return {"$ref": _REF.format(name=name)}


def _operation(route: Route, schemas: _Schemas) -> dict[str, Any]:
    errors = {*route.errors, *_EVERYWHERE, *(_WITH_A_BODY if route.takes is not None else ())}
    operation: dict[str, Any] = {
        "operationId": _operation_id(route.method, route.path),
        "summary": route.summary,
        "tags": [_tag(route.path)],
        "security": [{"bearer": [route.scope]}],
        "responses": {
            str(route.status): _answer(route.status, schemas.of(route.gives), _fields(route.tells)),
            **_problems(errors, schemas),
        },
    }
    parameters = [*_path_parameters(route.path), *_read(route.query, "query"), *_read(route.headers, "header")]
    if parameters:
        operation["parameters"] = parameters
    if route.takes is not None:
        schema = schemas.changes(route.takes) if route.method == "PATCH" else schemas.of(route.takes)
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
    return operation


def _stream(stream: TransportRoute, schemas: _Schemas) -> dict[str, Any]:
    by_token: list[dict[str, list[str]]] = [{"socketToken": []}] if stream.by_token else []
    return {
        "operationId": _operation_id("get", stream.path),
        "summary": stream.summary,
        "tags": [_tag(stream.path)],
        "security": [{"bearer": [stream.scope]}, *by_token],
        "parameters": [
            *_path_parameters(stream.path),
            *_read(stream.query, "query"),
            *_read(stream.headers, "header"),
        ],
        "responses": {
            "200": {"description": "OK", "content": {"text/event-stream": {"schema": {"type": "string"}}}},
            **({"204": {"description": "It has ended, and the reader has seen it end."}} if stream.by_token else {}),
            **_problems({400, 404, *_EVERYWHERE}, schemas),
        },
    }


def _problems(statuses: Iterable[int], schemas: _Schemas) -> dict[str, Any]:
    return {
        str(status): _answer(status, schemas.problem, {name: _HEADERS[name] for name in _HEADERS_OF.get(status, ())})
        for status in sorted(statuses)
    }


def _answer(status: int, schema: Any, headers: Mapping[str, tuple[str, dict[str, Any]]]) -> dict[str, Any]:
    answer: dict[str, Any] = {"description": HTTPStatus(status).phrase}
    if headers:
        answer["headers"] = {
            name: {"description": words, "schema": member} for name, (words, member) in headers.items()
        }
    if schema is not None:
        answer["content"] = {"application/json": {"schema": schema}}
    return answer


def _path_parameters(path: str) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "path", "required": True, "schema": _PATHS.get(name, {"type": "string", "minLength": 1})}
        for name in re.findall(r"{(\w+)}", path)
    ]


def _read(struct: Any, place: str) -> list[dict[str, Any]]:
    """The fields of a struct as parameters in the query or the header."""
    return [
        {"name": name, "in": place, "required": False, **({"description": words} if words else {}), "schema": schema}
        for name, (words, schema) in _fields(struct, header=place == "header").items()
    ]


def _fields(struct: Any, *, header: bool = True) -> dict[str, tuple[str, dict[str, Any]]]:
    """A struct's fields with their words and schemas. There is no null in a query or a header: nothing is said."""
    if struct is None:
        return {}
    (_,), components = msgspec.json.schema_components([struct], ref_template=_REF)
    found = {}
    for name, schema in components[struct.__name__]["properties"].items():
        kinds = [kind for kind in schema.get("anyOf", ()) if kind != {"type": "null"}]
        member = {**(kinds[0] if len(kinds) == 1 else schema)}
        if member.get("default", 0) is None:
            del member["default"]
        words = schema.get("description") or member.pop("description", "")
        found["-".join(map(str.capitalize, name.split("_"))) if header else name] = (words, member)
    return found


def _tag(path: str) -> str:
    place = path.removeprefix("/v1").split("/")[1]
    return place if place in _TAGS else "ai"


def _operation_id(method: str, path: str) -> str:
    words = re.sub(r"[^a-z_]+", "_", path.removeprefix("/v1").lower()).strip("_")
    return f"{method.lower()}_{words}"
