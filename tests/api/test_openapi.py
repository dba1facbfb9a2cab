"""The OpenAPI document: what it says is what is served."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import jsonschema_rs
import pytest

from riverflow.routes import ROUTES

from .desk import KEY, NOBODY, Desk, client_of

pytestmark = pytest.mark.anyio


@pytest.fixture
async def document(desk: Desk) -> dict[str, Any]:
    async with client_of(str(desk.client.base_url), key=None) as anybody:
        described: dict[str, Any] = (await anybody.get("/openapi.json")).json()
    return described


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield method.upper(), path, operation


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for member in value.values():
            yield from references(member)
    elif isinstance(value, list):
        for member in value:
            yield from references(member)


async def test_every_route_stands_in_it_and_nothing_else(document: dict[str, Any]) -> None:
    described = {(method, path) for method, path, _ in operations(document)}
    streams = {("GET", "/v1/ai/{channel_id}/events"), ("GET", "/v1/ai/{channel_id}/timeline/events")}
    assert described == {(route.method, route.path) for route in ROUTES} | streams


async def test_every_reference_leads_somewhere_and_every_schema_is_one(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    named = {reference.removeprefix("#/components/schemas/") for reference in references(document)}
    assert named <= set(schemas)
    assert set(schemas) <= named, "a schema that nobody refers to"
    for name in schemas:
        bundle = {"$ref": f"#/components/schemas/{name}", "components": document["components"]}
        jsonschema_rs.validator_for(bundle)


async def test_its_structure_is_that_of_openapi_3_1(document: dict[str, Any], desk: Desk) -> None:
    assert document["openapi"] == "3.1.0"
    assert document["info"]["title"] == "riverflow"
    assert re.fullmatch(r"\d+\.\d+\.\d+.*", document["info"]["version"])
    assert document["servers"] == [{"url": f"{desk.origin}/river"}]
    assert document["security"] == [{"bearer": []}]
    assert document["components"]["securitySchemes"]["bearer"]["scheme"] == "bearer"
    bodies = {(route.method, route.path) for route in ROUTES if route.takes is not None}
    ids = [operation["operationId"] for _, _, operation in operations(document)]
    assert len(ids) == len(set(ids))
    for method, path, operation in operations(document):
        assert operation["summary"]
        declared = {p["name"] for p in operation.get("parameters", ()) if p["in"] == "path"}
        assert declared == set(re.findall(r"{(\w+)}", path))
        assert all(p["required"] for p in operation.get("parameters", ()) if p["in"] == "path")
        assert "401" in operation["responses"]
        assert any(status.startswith("2") for status in operation["responses"])
        assert all(response["description"] for response in operation["responses"].values())
        assert ("requestBody" in operation) == ((method, path) in bodies)
        assert bodies == {("POST" if method == "POST" else "PATCH", path) for method, path in bodies}


async def test_every_operation_says_what_a_key_must_be_allowed_and_what_can_go_wrong(document: dict[str, Any]) -> None:
    scopes = {(route.method, route.path): route.scope for route in ROUTES}
    for method, path, operation in operations(document):
        assert {"bearer": [scopes.get((method, path), "read")]} in operation["security"]
        assert operation["tags"]
        answers = operation["responses"]
        for status in ("401", "403", "414", "429", "431", "503"):
            schema = answers[status]["content"]["application/json"]["schema"]
            assert schema == {"$ref": "#/components/schemas/Problem"}
        assert set(answers["429"]["headers"]) == {"Retry-After", "RateLimit", "RateLimit-Policy"}
        assert "Retry-After" in answers["503"]["headers"]
        assert "WWW-Authenticate" in answers["401"]["headers"]
        assert ("413" in answers) == ("requestBody" in operation)


async def test_headers_and_queries_that_are_read_are_described(document: dict[str, Any]) -> None:
    def parameters(path: str, method: str) -> dict[tuple[str, str], Any]:
        return {(p["in"], p["name"]): p["schema"] for p in document["paths"][path][method]["parameters"]}

    submit = document["paths"]["/v1/ai/async"]["post"]
    assert parameters("/v1/ai/async", "post") == {
        ("header", "Idempotency-Key"): {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"}
    }
    assert "Idempotent-Replayed" in submit["responses"]["200"]["headers"]
    assert ("query", "after") in parameters("/v1/ai/{channel_id}/timeline", "get")
    events = parameters("/v1/ai/{channel_id}/events", "get")
    assert {("path", "channel_id"), ("query", "after"), ("header", "Last-Event-Id")} <= set(events)
    assert {"socketToken": []} in document["paths"]["/v1/ai/{channel_id}/events"]["get"]["security"]
    assert {"socketToken": []} not in document["paths"]["/v1/ai/{channel_id}/timeline/events"]["get"]["security"]


async def test_a_change_requires_no_member(document: dict[str, Any]) -> None:
    for method, path, operation in operations(document):
        if method == "PATCH":
            name = operation["requestBody"]["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
            assert not document["components"]["schemas"][name].get("required"), path


async def test_it_names_the_base_by_which_it_was_asked_for(desk: Desk) -> None:
    for host in ("river.example", "other.example"):
        answer = await desk.client.get("/openapi.json", headers={"host": host})
        assert answer.json()["servers"] == [{"url": f"http://{host}/river"}]


async def test_every_described_operation_is_served(document: dict[str, Any], desk: Desk) -> None:
    for method, path, operation in operations(document):
        place = path.replace("{channel_id}", NOBODY).replace("{stage}", "enrich").replace("{name}", "no_such")
        response = await desk.client.request(method, place)
        assert response.status_code not in (405, 500), (method, path)
        assert str(response.status_code) in operation["responses"], (method, path, response.status_code)
        assert "route_not_found" not in response.text, (method, path)


async def test_answers_are_what_it_says(document: dict[str, Any], desk: Desk) -> None:
    run = await desk.client.post("/v1/ai/async", json={"workflow": "movie"})
    channel_id = run.json()["channel_id"]
    await desk.until(channel_id, "ai_generated")
    hook = await desk.client.post("/console/webhook", json={"url": "https://example.com/"})
    workflow = await desk.client.get("/console/workflow/movie")
    answers = {
        ("/v1/ai/async", "post"): run,
        ("/v1/ai/reconnect", "post"): await desk.client.post("/v1/ai/reconnect", json={"channel_id": channel_id}),
        ("/v1/ai/{channel_id}", "get"): await desk.client.get(f"/v1/ai/{channel_id}"),
        ("/v1/ai/{channel_id}/timeline", "get"): await desk.client.get(f"/v1/ai/{channel_id}/timeline"),
        ("/v1/callback/{channel_id}", "post"): await desk.client.post(f"/v1/callback/{channel_id}", json={"data": {}}),
        ("/v1/ai/{channel_id}/cancel", "post"): await desk.client.post(f"/v1/ai/{channel_id}/cancel"),
        ("/console/workflow", "get"): await desk.client.get("/console/workflow"),
        ("/console/workflow/{name}", "get"): workflow,
        ("/console/webhook", "post"): hook,
    }
    for (path, method), response in answers.items():
        described = document["paths"][path][method]["responses"][str(response.status_code)]
        schema = described["content"]["application/json"]["schema"]
        errors = list(
            jsonschema_rs.validator_for({**schema, "components": document["components"]}).iter_errors(response.json())
        )
        assert not errors, (path, [error.message for error in errors])


async def test_the_secret_of_a_webhook_is_described_where_it_is_shown_and_only_there(
    document: dict[str, Any],
) -> None:
    def members(operation: dict[str, Any], status: str) -> set[str]:
        name = operation["responses"][status]["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
        return set(document["components"]["schemas"][name]["properties"])

    webhook = document["paths"]["/console/webhook"]
    assert "secret" in members(webhook["post"], "201")
    assert "secret" not in members(document["paths"]["/console/webhook/{name}"]["get"], "200")
    assert KEY not in str(document)
