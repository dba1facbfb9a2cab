"""`/console/project`: projects see nothing of one another."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from typing import Any

import httpx
import pytest

from .desk import Desk, Sit, client_of, problem

pytestmark = pytest.mark.anyio


async def make(desk: Desk, name: str = "blue") -> dict[str, Any]:
    answer = await desk.client.post("/console/project", json={"name": name})
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


async def tenant(desk: Desk, project: str, **fields: Any) -> httpx.AsyncClient:
    """A client with a key of that project, which the caller closes."""
    answer = await desk.client.post("/console/key", json={"name": "tenant", "project": project, **fields})
    return client_of(str(desk.client.base_url), answer.json()["key"])


async def test_the_first_start_makes_the_default_project(seated: Sit) -> None:
    async with seated() as desk:
        [project] = (await desk.client.get("/console/project")).json()["data"]
        assert (project["id"], project["name"], project["default"]) == (desk.river.project_id, "default", True)
        assert project["created_at"] == "2023-11-14T22:13:20.000Z"
        assert not project["has_secret"]
    async with seated() as desk:
        assert (await desk.client.get("/console/project")).json()["data"] == [project]


async def test_a_project_is_made_found_renamed_and_deleted(desk: Desk) -> None:
    made = await make(desk)
    assert made.pop("secret").startswith("whsec_")
    assert made["has_secret"]
    assert [p["name"] for p in (await desk.client.get("/console/project")).json()["data"]] == ["default", "blue"]
    for reference in ("blue", made["id"]):
        assert (await desk.client.get(f"/console/project/{reference}")).json() == made
    renamed = (await desk.client.patch(f"/console/project/{made['id']}", json={"name": "indigo"})).json()
    assert (renamed["id"], renamed["name"]) == (made["id"], "indigo")
    assert [p["name"] for p in (await desk.client.get("/console/project")).json()["data"]] == ["default", "indigo"]
    problem(await desk.client.get("/console/project/blue"), 404, "project_not_found")
    assert await desk.river.project("indigo") == made["id"]
    assert (await desk.client.delete("/console/project/indigo")).json() == {"name": "indigo", "deleted": True}
    for verb in ("GET", "PATCH", "DELETE"):
        answer = await desk.client.request(verb, f"/console/project/{made['id']}", json={"name": "x"})
        problem(answer, 404, "project_not_found")
    assert (await make(desk))["id"] != made["id"]


async def test_a_name_is_given_once(desk: Desk) -> None:
    await make(desk)
    red = await make(desk, "red")
    problem(await desk.client.post("/console/project", json={"name": "blue"}), 409, "already_exists")
    problem(await desk.client.patch(f"/console/project/{red['id']}", json={"name": "blue"}), 409, "already_exists")
    posts = [desk.client.post("/console/project", json={"name": "green"}) for _ in range(6)]
    assert sorted(answer.status_code for answer in await asyncio.gather(*posts)) == [201] + [409] * 5
    problem(await desk.client.post("/console/project", json={"name": "a/b"}), 422, "invalid_name")
    problem(await desk.client.post("/console/project", json={}), 400)


async def test_the_default_project_stays_as_it_is(desk: Desk) -> None:
    problem(await desk.client.patch("/console/project/default", json={"name": "x"}), 409, "default_project")
    problem(await desk.client.delete("/console/project/default"), 409, "default_project")


async def test_who_has_no_root_key_sees_his_own_project_and_changes_none(desk: Desk) -> None:
    blue, red = await make(desk), await make(desk, "red")
    async with await tenant(desk, "blue") as client:
        assert [p["id"] for p in (await client.get("/console/project")).json()["data"]] == [blue["id"]]
        for reference in ("blue", blue["id"]):
            assert (await client.get(f"/console/project/{reference}")).status_code == 200
        for reference in ("red", red["id"], "default", "no such"):
            problem(await client.get(f"/console/project/{reference}"), 403, "root_key_required")
            problem(await client.post(f"/console/project/{reference}/rotate"), 403, "root_key_required")
        problem(await client.post("/console/project", json={"name": "x"}), 403, "root_key_required")
        problem(await client.patch("/console/project/blue", json={"name": "x"}), 403, "root_key_required")
        problem(await client.delete("/console/project/blue"), 403, "root_key_required")


async def test_a_tenants_rows_do_not_exist_for_another(desk: Desk) -> None:
    await make(desk)
    await make(desk, "red")
    async with await tenant(desk, "blue") as blue, await tenant(desk, "red") as red:
        await blue.post("/console/workflow", json={"name": "w", "provider": "echo", "event_name": "e"})
        await blue.post("/console/structured_output", json={"name": "s", "schema": {"type": "object"}})
        await blue.post("/console/credential", json={"provider": "openai", "api_key": "sk-blue"})
        hook = (await blue.post("/console/webhook", json={"url": "https://example.com/hook"})).json()["id"]
        run = (await blue.post("/v1/ai/async", json={"workflow": "w"})).json()["channel_id"]
        for kind, name in (
            ("workflow", "w"),
            ("structured_output", "s"),
            ("credential", "openai"),
            ("webhook", hook),
        ):
            assert (await blue.get(f"/console/{kind}/{name}")).status_code == 200
            assert (await red.get(f"/console/{kind}")).json()["data"] == []
            for verb in ("GET", "PATCH", "DELETE"):
                problem(await red.request(verb, f"/console/{kind}/{name}", json={}), 404)
        problem(await red.post(f"/console/webhook/{hook}/rotate"), 404)
        problem(await red.delete(f"/console/webhook/{hook}/retired"), 404)
        for verb, path in (
            ("GET", f"/v1/ai/{run}"),
            ("GET", f"/v1/ai/{run}/timeline"),
            ("POST", f"/v1/ai/{run}/cancel"),
            ("POST", f"/v1/callback/{run}"),
        ):
            problem(await red.request(verb, path, json={"data": {}}), 404)
        assert (await blue.get(f"/v1/ai/{run}")).status_code == 200


async def test_a_deleted_projects_keys_let_nobody_in_and_its_things_are_gone(desk: Desk) -> None:
    made = await make(desk)
    async with await tenant(desk, "blue") as client:
        await client.post("/console/workflow", json={"name": "w", "provider": "echo"})
        await client.post("/console/credential", json={"provider": "openai", "api_key": "sk-blue"})
        await client.post("/console/webhook", json={"url": "https://example.com/hook"})
        assert (await desk.client.delete(f"/console/project/{made['id']}")).status_code == 200
        problem(await client.get("/console/workflow"), 401, "invalid_api_key")
    again = await make(desk)
    async with await tenant(desk, "blue") as client:
        for kind in ("workflow", "credential", "webhook"):
            assert (await client.get(f"/console/{kind}")).json()["data"] == []
    assert again["id"] != made["id"]


async def test_a_project_at_work_is_not_deleted(desk: Desk) -> None:
    await make(desk)
    async with await tenant(desk, "blue") as client:
        body = {"provider": "echo", "model": "echo", "prompt": "hi", "events": ["checked"]}
        run = (await client.post("/v1/ai/async", json=body)).json()["channel_id"]
        problem(await desk.client.delete("/console/project/blue"), 409, "project_busy")
        assert (await client.post(f"/v1/ai/{run}/cancel")).status_code == 200
    assert (await desk.client.delete("/console/project/blue")).status_code == 200


async def test_a_deleted_project_is_gone_in_another_process_within_a_second(seated: Sit) -> None:
    async with seated() as desk, seated() as other:
        made = await make(desk)
        assert (await other.client.get(f"/console/project/{made['id']}")).status_code == 200
        await desk.client.delete(f"/console/project/{made['id']}")
        await other.clock.advance(1)
        await other.client.get("/console/key")  # asks the store, after what the second's look has asked it
        problem(await other.client.get(f"/console/project/{made['id']}"), 404)


async def test_a_projects_secret_is_rotated_with_overlap(desk: Desk) -> None:
    made = await make(desk)
    await desk.clock.advance(10)
    answer = (await desk.client.post("/console/project/blue/rotate", json={"overlap": 60})).json()
    assert answer["secret"].startswith("whsec_")
    assert answer["secret"] != made["secret"]
    assert answer["retired"] == [{"until": "2023-11-14T22:14:30.000Z"}]
    shown = (await desk.client.get("/console/project/blue")).json()
    assert "secret" not in shown
    assert shown["retired"] == answer["retired"]
    await desk.clock.advance(60)
    assert (await desk.client.get("/console/project/blue")).json()["retired"] == []
    for overlap in (-1, 31 * 86_400, "long"):
        problem(await desk.client.post("/console/project/blue/rotate", json={"overlap": overlap}), 400, "invalid_type")


async def test_the_default_project_is_issued_a_secret_by_rotating(desk: Desk) -> None:
    warned = await desk.submit("movie", webhook_url="http://localhost:18080/hook")
    assert any("verify" in warning for warning in warned["warnings"])
    answer = (await desk.client.post("/console/project/default/rotate")).json()
    assert answer["secret"].startswith("whsec_")
    assert (answer["has_secret"], answer["retired"]) == (True, [])
    quiet = await desk.submit("movie", webhook_url="http://localhost:18080/hook")
    assert not any("verify" in warning for warning in quiet.get("warnings", []))


async def test_the_runs_of_a_deleted_project_are_forgotten_within_minutes(desk: Desk) -> None:
    """Also where the process stops before that: what is to be done is written with the deletion."""
    await make(desk)
    async with await tenant(desk, "blue") as client:
        await client.post("/console/workflow", json={"name": "w", "provider": "echo"})
        runs = [(await client.post("/v1/ai/async", json={"workflow": "w"})).json()["channel_id"] for _ in range(3)]
        for run in runs:
            while (await client.get(f"/v1/ai/{run}")).json()["status"] != "success":
                await desk.clock.advance(0)
    kept = await desk.submit("plain")
    assert rows(desk, runs) == 3
    assert (await desk.client.delete("/console/project/blue")).status_code == 200
    for _ in range(600):
        if rows(desk, runs) == 0:
            break
        await desk.clock.advance(1)
    assert rows(desk, runs) == 0
    assert (await desk.client.get(f"/v1/ai/{kept['channel_id']}")).status_code == 200


def rows(desk: Desk, runs: list[str]) -> int:
    """How many of these runs the file has."""
    path = desk.river.settings.database_url.removeprefix("sqlite:///")
    with closing(sqlite3.connect(path)) as db:
        left = {run_id for (run_id,) in db.execute("SELECT run_id FROM entries")}
    return len(left.intersection(runs))
