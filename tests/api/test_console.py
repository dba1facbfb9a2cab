"""`/console`: workflows, webhooks and structured outputs as documents."""

from __future__ import annotations

import asyncio
import base64
import sys
from typing import Any

import pytest

from riverflow import Endpoint, Riverflow, Stage, StructuredOutput, Workflow
from riverflow.errors import ConfigError

from .desk import PLAIN, Desk, Sit, problem

pytestmark = pytest.mark.anyio

SEED = {
    "name": "movie_suggestion",
    "event_name": "new_movie_suggestion",
    "provider": "openai",
    "model": "gpt-4o",
    "structured_output_id": "schema_abc123",
}
"""The body of the seed page's curl."""

SCHEMA = {"type": "object", "properties": {"title": {"type": "string"}}, "required": ["title"]}
HOOK = {"url": "https://backend.example.com/hook", "description": "mine", "events": ["new_movie"]}


@pytest.mark.parametrize("prefix", ["/console", "/api/console"])
async def test_the_curl_of_the_seed_page_works_with_a_warning(desk: Desk, prefix: str) -> None:
    response = await desk.client.post(f"{prefix}/workflow", json=SEED)
    assert response.status_code == 201
    created = response.json()
    assert {name: created[name] for name in SEED} == SEED
    assert created["id"].startswith("wf_")
    assert created["source"] == "api"
    assert created["version"] == 1
    assert len(created["warnings"]) == 1
    assert "schema_abc123" in created["warnings"][0]


async def test_a_workflow_is_created_read_changed_and_deleted(desk: Desk) -> None:
    path = "/console/workflow/movie_suggestion"
    created = (await desk.client.post("/console/workflow", json={**SEED, "structured_output_id": None})).json()
    assert "warnings" not in created
    assert (await desk.client.get(path)).json() == created
    assert created in (await desk.client.get("/console/workflow")).json()["data"]

    await desk.clock.advance(60)
    changed = (await desk.client.patch(path, json={"model": "gpt-5", "callback_timeout": 60})).json()
    assert changed == {
        **created,
        "model": "gpt-5",
        "callback_timeout": 60,
        "version": 2,
        "updated_at": "2023-11-14T22:14:20.000Z",
    }
    assert (await desk.client.get(path)).json() == changed

    assert (await desk.client.delete(path)).json() == {"name": "movie_suggestion", "deleted": True}
    problem(await desk.client.get(path), 404, "workflow_not_found")
    problem(await desk.client.patch(path, json={}), 404, "workflow_not_found")
    problem(await desk.client.delete(path), 404, "workflow_not_found")
    problem(await desk.client.post("/v1/ai/async", json={"workflow": "movie_suggestion"}), 404, "model_not_found")
    assert (await desk.client.post("/console/workflow", json=SEED)).status_code == 201


async def test_a_created_workflow_runs_at_once_and_a_changed_one_from_the_next_request(desk: Desk) -> None:
    await desk.client.post("/console/workflow", json={"name": "mine", "provider": "echo", "template": "one"})
    first = await desk.submit("mine")
    await desk.client.patch("/console/workflow/mine", json={"template": "two"})
    second = await desk.submit("mine")
    assert (await desk.until(first["channel_id"], "success"))["content"] == "one"
    assert (await desk.until(second["channel_id"], "success"))["content"] == "two"


async def test_a_second_post_of_a_name_is_409(desk: Desk) -> None:
    for kind, body in (("workflow", SEED), ("structured_output", {"name": "movie", "schema": SCHEMA})):
        assert (await desk.client.post(f"/console/{kind}", json=body)).status_code == 201
        problem(await desk.client.post(f"/console/{kind}", json=body), 409, "already_exists")
    problem(await desk.client.post("/console/workflow", json={"name": "plain"}), 409, "already_exists")


async def test_of_two_who_create_the_same_name_at_once_one_wins(desk: Desk) -> None:
    posts = [desk.client.post("/console/workflow", json=SEED) for _ in range(8)]
    statuses = sorted(response.status_code for response in await asyncio.gather(*posts))
    assert statuses == [201] + [409] * 7


async def test_concurrent_changes_lose_nothing_silently(desk: Desk) -> None:
    await desk.client.post("/console/workflow", json=SEED)
    path = "/console/workflow/movie_suggestion"
    patches = [desk.client.patch(path, json={"description": str(number)}) for number in range(8)]
    done = [response for response in await asyncio.gather(*patches) if response.status_code == 200]
    assert (await desk.client.get(path)).json()["version"] == 1 + len(done)
    assert done


WRONG_TYPES: list[dict[str, Any]] = [
    {"name": 5},
    {"provider": None},
    {"model": ["gpt"]},
    {"fallbacks": {"provider": "openai"}},
    {"fallbacks": [{"provider": "openai"}]},
    {"cache_fields": 5},
    {"callback_timeout": "soon"},
    {"pipeline": "generate"},
    {"pipeline": [{"name": "generate"}]},
]


async def test_a_field_of_the_wrong_type_is_400(desk: Desk) -> None:
    await desk.client.post("/console/workflow", json=SEED)
    for fields in WRONG_TYPES:
        problem(await desk.client.post("/console/workflow", json={**SEED, **fields}), 400, "invalid_type")
        if "name" not in fields:
            problem(await desk.client.patch("/console/workflow/movie_suggestion", json=fields), 400, "invalid_type")


UNWORKABLE: list[tuple[dict[str, Any], str]] = [
    ({"name": ""}, "name"),
    ({"name": " "}, "name"),
    ({"name": "a/b"}, "name"),
    ({"name": "x" * 201}, "1 to 200 characters"),
    ({"name": ".."}, "a letter or a digit"),
    ({"name": "_ _"}, "a letter or a digit"),
    ({"name": "a?b"}, "letters, digits"),
    ({"name": "a%2Fb"}, "letters, digits"),
    ({"name": " a"}, "spaces inside"),
    ({"name": "a "}, "spaces inside"),
    ({"name": "a\nb"}, "name"),
    ({"name": "a\u200bb"}, "name"),
    ({"provider": "no_such"}, "echo, openai"),
    ({"fallbacks": [{"provider": "no_such", "model": "m"}]}, "no_such"),
    ({"callback_timeout": 0}, "callback_timeout"),
    ({"provider_timeout": -1}, "provider_timeout"),
    ({"pipeline": []}, "pipeline"),
    ({"pipeline": [{"name": "generate", "kind": "generate"}]}, "finalise"),
    ({"pipeline": [{"name": "check", "kind": "no_kind"}, {"name": "finalise", "kind": "finalise"}]}, "no_kind"),
]


async def test_a_workflow_that_cannot_work_is_422_and_says_why(desk: Desk) -> None:
    for fields, said in UNWORKABLE:
        response = await desk.client.post("/console/workflow", json={**SEED, **fields})
        assert said in problem(response, 422)["message"], fields
    assert [w["name"] for w in (await desk.client.get("/console/workflow")).json()["data"]] == ["plain", "movie"]


async def test_a_name_that_needs_escaping_is_found_again(desk: Desk) -> None:
    for name in ("über movie", "v1.2: new-movie", "x" * 200, "ワークフロー", "हिन्दी"):
        assert (await desk.client.post("/console/workflow", json={**SEED, "name": name})).status_code == 201
        path = "/console/workflow/" + "".join(f"%{byte:02x}" for byte in name.encode())
        response = await desk.client.get(path)
        assert response.status_code == 200, name
        assert response.json()["name"] == name


async def test_a_name_cannot_be_changed(desk: Desk) -> None:
    await desk.client.post("/console/workflow", json=SEED)
    path = "/console/workflow/movie_suggestion"
    problem(await desk.client.patch(path, json={"name": "other"}), 422)
    assert (await desk.client.patch(path, json={"name": "movie_suggestion"})).status_code == 200


async def test_unknown_fields_are_taken_with_a_warning(desk: Desk) -> None:
    created = (
        await desk.client.post("/console/workflow", json={"name": "w", "provider": "echo", "mode": "Testing"})
    ).json()
    assert any("'mode'" in warning for warning in created["warnings"])
    assert "mode" not in created


async def test_cache_fields_may_be_a_list_in_text(desk: Desk) -> None:
    body = {"name": "w", "provider": "echo", "cache_fields": "user_id, metadata.bucket\nmessages.0.content,"}
    created = (await desk.client.post("/console/workflow", json=body)).json()
    assert created["cache_fields"] == ["user_id", "metadata.bucket", "messages.0.content"]


async def test_a_pipeline_is_kept_and_shown_as_it_was_given(desk: Desk) -> None:
    pipeline = [
        {"name": "generate", "kind": "generate"},
        {"name": "validate", "kind": "hand_off", "event_name": "validate_movie", "timeout": 30.0},
        {"name": "finalise", "kind": "finalise"},
    ]
    created = (
        await desk.client.post("/console/workflow", json={"name": "w", "provider": "echo", "pipeline": pipeline})
    ).json()
    assert created["pipeline"] == pipeline
    assert (await desk.client.patch("/console/workflow/w", json={"description": "d"})).json()["pipeline"] == pipeline


# Structured outputs -----------------------------------------------------------------------------------------


async def test_a_structured_output_is_found_by_name_and_by_id(desk: Desk) -> None:
    body = {"name": "movie_schema", "schema": SCHEMA, "description": "a movie", "sample_data": {"title": "Inception"}}
    created = (await desk.client.post("/console/structured_output", json=body)).json()
    assert {name: created[name] for name in body} == body
    assert created["id"].startswith("schema_")
    for reference in ("movie_schema", created["id"]):
        workflow = {"name": reference, "provider": "echo", "structured_output_id": reference}
        assert "warnings" not in (await desk.client.post("/console/workflow", json=workflow)).json()
        run = await desk.submit(reference)
        assert "warnings" not in run
        state = await desk.until(run["channel_id"], "success", "error")
        assert state["data"] == {"title": "Inception"}
        assert state["meta"]["structured_output"] is True


async def test_a_structured_output_needs_a_name_that_can_stand_in_a_path(desk: Desk) -> None:
    for name in ("", "..", "a/b", "a?b", " a", "a\tb", "x" * 201):
        response = await desk.client.post("/console/structured_output", json={"name": name, "schema": SCHEMA})
        assert "letters, digits" in problem(response, 422, "invalid_name")["message"]


async def test_without_the_schema_library_no_structured_output_is_taken(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "jsonschema_rs", None)
    response = await desk.client.post("/console/structured_output", json={"name": "s", "schema": SCHEMA})
    assert "riverflow[schema]" in problem(response, 422, "invalid_schema")["message"]


async def test_a_schema_that_is_none_is_422(desk: Desk) -> None:
    for schema in ({"type": "no_such"}, {"$ref": "https://example.com/schema.json"}, 5, "text", None, []):
        response = await desk.client.post("/console/structured_output", json={"name": "s", "schema": schema})
        problem(response, 422, "invalid_schema")
    problem(await desk.client.post("/console/structured_output", json={"name": "s"}), 400, "invalid_type")


# Webhooks ---------------------------------------------------------------------------------------------------


async def test_a_webhooks_secret_is_shown_once(desk: Desk) -> None:
    response = await desk.client.post("/console/webhook", json=HOOK)
    assert response.status_code == 201
    created = response.json()
    assert {name: created[name] for name in HOOK} == HOOK
    assert created["id"].startswith("ep_")
    assert created["enabled"] is True
    secret = created.pop("secret")
    assert secret.startswith("whsec_")
    assert len(base64.b64decode(secret.removeprefix("whsec_"))) == 32
    path = f"/console/webhook/{created['id']}"
    for response in (
        await desk.client.get(path),
        await desk.client.get("/console/webhook"),
        await desk.client.patch(path, json={"enabled": False}),
        await desk.client.delete(path),
    ):
        assert response.status_code == 200
        assert secret not in response.text
        assert "secret" not in response.text
    problem(await desk.client.get(path), 404, "webhook_not_found")


async def test_two_webhooks_may_have_one_url_and_each_its_secret(desk: Desk) -> None:
    one, two = [(await desk.client.post("/console/webhook", json=HOOK)).json() for _ in range(2)]
    assert one["id"] != two["id"]
    assert one["secret"] != two["secret"]
    assert len((await desk.client.get("/console/webhook")).json()["data"]) == 2


async def test_neither_id_nor_secret_of_a_webhook_is_the_callers_to_choose(desk: Desk) -> None:
    created = (await desk.client.post("/console/webhook", json={**HOOK, "secret": "guessable", "id": "mine"})).json()
    assert created["id"].startswith("ep_")
    assert created["secret"].startswith("whsec_")
    assert len(created["warnings"]) == 2
    path = f"/console/webhook/{created['id']}"
    changed = (await desk.client.patch(path, json={"secret": "guessable", "id": "mine", "description": "new"})).json()
    assert changed["id"] == created["id"]
    assert changed["description"] == "new"


async def test_a_webhook_that_cannot_work_is_refused(desk: Desk) -> None:
    for fields in ({"signers": ["no_such"]}, {"signers": []}, {"url": "asgi:///hook"}):
        problem(await desk.client.post("/console/webhook", json={**HOOK, **fields}), 422)
    for fields in ({"encoding": "xml"}, {"body": "round"}, {"enabled": "yes"}, {"events": "new_movie"}, {"url": None}):
        problem(await desk.client.post("/console/webhook", json={**HOOK, **fields}), 400, "invalid_type")
    created = (await desk.client.post("/console/webhook", json=HOOK)).json()
    path = f"/console/webhook/{created['id']}"
    problem(await desk.client.patch(path, json={"url": "asgi:///hook"}), 422, "invalid_url")
    problem(await desk.client.patch(path, json={"signers": ["no_such"]}), 422, "not_installed")
    unsigned = problem(await desk.client.patch(path, json={"signers": []}), 422)
    assert "an endpoint needs at least one signer" in unsigned["message"]


async def test_in_production_a_webhook_needs_the_public_url(seated: Sit) -> None:
    async with seated(env="production") as desk:
        response = await desk.client.post("/console/webhook", json=HOOK)
        assert "RIVERFLOW_PUBLIC_URL" in problem(response, 422, "public_url_required")["message"]


# What is defined in code ------------------------------------------------------------------------------------


async def test_what_is_defined_in_code_is_shown_and_cannot_be_changed(seated: Sit) -> None:
    options: dict[str, Any] = {
        "workflows": [PLAIN],
        "structured_outputs": [StructuredOutput(name="movie", schema=SCHEMA)],
        "endpoints": [Endpoint(url="asgi:///hook", secret="whsec_in_code")],
    }
    async with seated(**options) as desk:
        for kind in ("workflow", "structured_output", "webhook"):
            [shown] = (await desk.client.get(f"/console/{kind}")).json()["data"]
            assert shown["source"] == "code"
            assert "in_code" not in str(shown)
            path = f"/console/{kind}/{shown.get('name') or shown['id']}"
            change = {"url": "https://example.com/"} if kind == "webhook" else {"description": "mine"}
            problem(await desk.client.patch(path, json=change), 409, "defined_in_code")
            problem(await desk.client.delete(path), 409, "defined_in_code")
            assert (await desk.client.get(path)).json() == shown


@pytest.mark.parametrize(
    "options",
    [
        {"workflows": [Workflow(name="a/b", provider="echo")]},
        {"structured_outputs": [StructuredOutput(name="a/b", schema=SCHEMA)]},
    ],
    ids=["workflow", "structured_output"],
)
async def test_a_name_in_code_that_cannot_stand_in_a_path_keeps_it_from_starting(options: dict[str, Any]) -> None:
    river = Riverflow(env="development", environ={}, database_url="memory://", discover_plugins=False, **options)
    with pytest.raises(ConfigError, match=r"'a/b': a name has"):
        async with river.lifespan():
            pass


@pytest.mark.parametrize("pem", ["für", "none", ""])
async def test_certificates_in_code_that_are_none_keep_it_from_starting(pem: str) -> None:
    secret = "whsec_" + "YWJj" * 11
    endpoint = Endpoint(url="https://127.0.0.1:9443/", secret=secret, events=("never",), authorities=pem)
    river = Riverflow(
        env="development", environ={}, database_url="memory://", discover_plugins=False, endpoints=[endpoint]
    )
    with pytest.raises(ConfigError, match="authorities: give root certificates in PEM"):
        async with river.lifespan():
            pass


async def test_what_was_created_is_there_after_a_restart(seated: Sit) -> None:
    async with seated() as desk:
        await desk.client.post("/console/workflow", json=SEED)
        await desk.client.post("/console/webhook", json=HOOK)
        before = [(await desk.client.get(f"/console/{kind}")).json() for kind in ("workflow", "webhook")]
    async with seated() as desk:
        after = [(await desk.client.get(f"/console/{kind}")).json() for kind in ("workflow", "webhook")]
    assert after == before


async def test_code_that_now_defines_a_name_wins_over_what_was_created(seated: Sit) -> None:
    async with seated() as desk:
        await desk.client.post("/console/workflow", json=SEED)
    pipeline = (Stage(name="generate", kind="generate"), Stage(name="finalise", kind="finalise"))
    mine = Workflow(name="movie_suggestion", provider="echo", pipeline=pipeline)
    async with seated(workflows=[mine]) as desk:
        shown = (await desk.client.get("/console/workflow/movie_suggestion")).json()
        assert (shown["source"], shown["provider"]) == ("code", "echo")
