"""`/console/key`: keys are made and shown once, let in what their scopes say, and stop when they should."""

from __future__ import annotations

import base64
import hashlib
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import httpx
import pytest

from riverflow.models import ADMIN, CALLBACK, READ, SCOPES, SUBMIT

from .desk import NOBODY, Desk, Sit, client_of, problem

pytestmark = pytest.mark.anyio

DOORS: dict[str, tuple[str, str, Any]] = {
    SUBMIT: ("POST", "/v1/ai/async", {"workflow": "movie"}),
    READ: ("GET", f"/v1/ai/{NOBODY}", None),
    CALLBACK: ("POST", f"/v1/callback/{NOBODY}", {"data": {}}),
    ADMIN: ("GET", "/console/workflow", None),
}


async def make(desk: Desk, name: str = "mine", **fields: Any) -> dict[str, Any]:
    answer = await desk.client.post("/console/key", json={"name": name, **fields})
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


@asynccontextmanager
async def holder(desk: Desk, made: dict[str, Any]) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(str(desk.client.base_url), made["key"]) as client:
        yield client


def bytes_of(folder: Path) -> bytes:
    """All that is in a database's files."""
    return b"".join(path.read_bytes() for path in folder.iterdir())


async def a_second(desk: Desk) -> None:
    """A second goes by, and what riverflow asks its store then is answered: a list of keys asks after that."""
    await desk.clock.advance(1)
    await desk.client.get("/console/key")


async def lets_in(client: httpx.AsyncClient) -> bool:
    answer = await client.get("/console/workflow")
    assert answer.status_code in (200, 401), answer.text
    return answer.status_code == 200


@pytest.mark.parametrize("prefix", ["/console", "/api/console"])
async def test_a_key_is_shown_once_and_kept_as_its_digest(desk: Desk, tmp_path: Path, prefix: str) -> None:
    answer = await desk.client.post(f"{prefix}/key", json={"name": "ci"})
    assert answer.status_code == 201
    made = answer.json()
    key = made.pop("key")
    assert key.startswith("mr_live_")
    assert len(base64.urlsafe_b64decode(key.removeprefix("mr_live_") + "=")) == 32
    assert made["hint"] == f"mr_live_…{key[-4:]}"
    assert (made["name"], made["status"], set(made["scopes"])) == ("ci", "active", SCOPES)
    assert (made["expires_at"], made["revoked_at"], made["last_used_at"]) == (None, None, None)
    assert (await desk.client.get(f"{prefix}/key/{made['id']}")).json() == made
    listed = (await desk.client.get(f"{prefix}/key")).json()
    assert listed == {"data": [made], "has_more": False}
    kept = bytes_of(tmp_path)
    assert key.encode() not in kept
    assert hashlib.sha256(key.encode()).hexdigest().encode() in kept


async def test_no_two_keys_are_alike(desk: Desk) -> None:
    made = [await make(desk) for _ in range(20)]
    assert len({each["key"] for each in made}) == len({each["id"] for each in made}) == 20
    newest_first = [each["id"] for each in (await desk.client.get("/console/key")).json()["data"]]
    assert newest_first == [each["id"] for each in reversed(made)]


@pytest.mark.parametrize("scope", sorted(SCOPES))
async def test_a_key_opens_what_its_scopes_say_and_403_names_what_is_missing(desk: Desk, scope: str) -> None:
    async with holder(desk, await make(desk, scopes=[scope])) as client:
        for asked, (verb, path, body) in DOORS.items():
            answer = await client.request(verb, path, json=body)
            if asked == scope:
                assert answer.status_code in (200, 404), answer.text
            else:
                refused = problem(answer, 403, "forbidden")
                assert refused["error"]["required_scope"] == asked
                assert repr(asked) in refused["message"]


@pytest.mark.parametrize("fields", [{"expires_in": 90.5}, {"expires_in_days": 30}])
async def test_a_key_expires(desk: Desk, fields: dict[str, Any]) -> None:
    lasts = fields.get("expires_in") or 30 * 86_400
    made = await make(desk, **fields)
    async with holder(desk, made) as client:
        assert await lets_in(client)
        await desk.clock.advance(lasts - 0.1)
        assert await lets_in(client)
        await desk.clock.advance(0.1)
        assert not await lets_in(client)
        shown = (await desk.client.get(f"/console/key/{made['id']}")).json()
        assert (shown["status"], shown["expires_at"]) == ("expired", made["expires_at"])
        answer = await desk.client.patch(f"/console/key/{made['id']}", json={"expires_in": None})
        assert (answer.json()["status"], answer.json()["expires_at"]) == ("active", None)
        assert await lets_in(client)


async def test_unknown_expired_and_revoked_keys_are_answered_alike(desk: Desk) -> None:
    revoked, expired, deleted = await make(desk), await make(desk, expires_in=5), await make(desk)
    await desk.client.post(f"/console/key/{revoked['id']}/revoke")
    await desk.client.delete(f"/console/key/{deleted['id']}")
    await desk.clock.advance(5)
    unknown = {"key": "mr_live_" + base64.urlsafe_b64encode(bytes(32)).decode().rstrip("=")}
    answers = []
    for made in (unknown, revoked, expired, deleted, {"key": revoked["key"][:-1]}, {"key": "ü"}):
        answer = await desk.client.get("/console/key", headers={"authorization": f"Bearer {made['key']}".encode()})
        problem(answer, 401, "invalid_api_key")
        answers.append((answer.content, {**answer.headers, "date": ""}))
    assert all(answer == answers[0] for answer in answers)


async def test_a_revoked_key_lets_nobody_in_from_the_next_request_on_and_for_good(desk: Desk) -> None:
    made = await make(desk)
    async with holder(desk, made) as client:
        assert await lets_in(client)
        first = await desk.client.post(f"/console/key/{made['id']}/revoke")
        assert first.json()["status"] == "revoked"
        assert not await lets_in(client)
        await desk.clock.advance(60)
        again = await desk.client.post(f"/console/key/{made['id']}/revoke")
        assert again.json()["revoked_at"] == first.json()["revoked_at"]
        problem(await desk.client.patch(f"/console/key/{made['id']}", json={"name": "x"}), 409, "key_revoked")
        assert not await lets_in(client)


async def test_a_revocation_counts_in_another_process_within_a_second(seated: Sit, tmp_path: Path) -> None:
    async with seated() as desk, seated() as other:
        made = await make(desk)
        async with holder(other, made) as client:
            assert await lets_in(client), "a new key counts everywhere at once"
            await desk.client.post(f"/console/key/{made['id']}/revoke")
            await a_second(other)
            assert not await lets_in(client)


async def test_a_key_may_revoke_itself(desk: Desk) -> None:
    made = await make(desk)
    async with holder(desk, made) as client:
        assert (await client.post(f"/console/key/{made['id']}/revoke")).status_code == 200
        assert not await lets_in(client)


async def test_a_deleted_key_is_gone(desk: Desk) -> None:
    made = await make(desk)
    path = f"/console/key/{made['id']}"
    async with holder(desk, made) as client:
        assert await lets_in(client)
        assert (await desk.client.delete(path)).json() == {"name": made["id"], "deleted": True}
        assert not await lets_in(client)
    for verb, where in (("GET", path), ("PATCH", path), ("DELETE", path), ("POST", f"{path}/revoke")):
        problem(await desk.client.request(verb, where, json={}), 404, "key_not_found")


async def test_name_and_scopes_can_be_changed(desk: Desk) -> None:
    made = await make(desk, scopes=[SUBMIT, READ])
    async with holder(desk, made) as client:
        problem(await client.get("/console/workflow"), 403)
        changed = await desk.client.patch(f"/console/key/{made['id']}", json={"name": "ops", "scopes": [ADMIN]})
        assert (changed.json()["name"], changed.json()["scopes"]) == ("ops", [ADMIN])
        assert (await client.get("/console/workflow")).status_code == 200
        problem(await client.get(f"/v1/ai/{NOBODY}"), 403)


WRONG: list[tuple[dict[str, Any], int, str]] = [
    ({}, 400, "name"),
    ({"name": 5}, 400, "str"),
    ({"name": ""}, 422, "1 to 200"),
    ({"name": "x", "scopes": []}, 422, "opens nothing"),
    ({"name": "x", "scopes": ["read", "write"]}, 422, "'write'"),
    ({"name": "x", "scopes": "read"}, 400, "array"),
    ({"name": "x", "expires_in": 0}, 400, "expires_in"),
    ({"name": "x", "expires_in": -1}, 400, "expires_in"),
    ({"name": "x", "expires_in": 1e300}, 400, "expires_in"),
    ({"name": "x", "expires_in_days": 0}, 400, "expires_in_days"),
    ({"name": "x", "expires_in_days": 1.5}, 400, "expires_in_days"),
    ({"name": "x", "expires_in": 5, "expires_in_days": 1}, 422, "not both"),
]


@pytest.mark.parametrize(("body", "status", "said"), WRONG)
async def test_what_is_wrong_is_said(desk: Desk, body: dict[str, Any], status: int, said: str) -> None:
    assert said in problem(await desk.client.post("/console/key", json=body), status)["message"]
    assert (await desk.client.get("/console/key")).json()["data"] == []
    problem(await desk.client.post("/console/key", json=[]), 400, "invalid_type")
    if "name" in body:
        made = await make(desk)
        problem(await desk.client.patch(f"/console/key/{made['id']}", json=body), status)
        assert (await desk.client.get(f"/console/key/{made['id']}")).json()["name"] == "mine"


async def test_last_use_is_shown_at_once_and_written_once_a_minute(desk: Desk, tmp_path: Path) -> None:
    made = await make(desk)

    def written() -> list[tuple[int, float]]:
        with closing(sqlite3.connect(tmp_path / "desk.db")) as db:
            return db.execute("SELECT version, updated_at FROM documents WHERE kind = 'key_use'").fetchall()

    def changes() -> int:
        with closing(sqlite3.connect(tmp_path / "desk.db")) as db:
            return int(db.execute("SELECT value FROM counters").fetchone()[0])

    before = changes()
    async with holder(desk, made) as client:
        await desk.clock.advance(5)
        for _ in range(10):
            assert await lets_in(client)
        used = desk.clock.now()
        assert written() == []
        shown = (await desk.client.get(f"/console/key/{made['id']}")).json()["last_used_at"]
        assert shown == "2023-11-14T22:13:25.000Z"
        await until_written(desk, lambda: written() == [(1, used)])
        await lets_in(client)
        again = desk.clock.now()
        await until_written(desk, lambda: written() == [(2, again)])
    assert changes() == before, "a use changes nothing that anybody keeps in memory"


async def until_written(desk: Desk, condition: Any) -> None:
    """A minute goes by; the writer has a thread of its own."""
    await desk.clock.advance(60)
    for _ in range(200):
        if condition():
            return
        await desk.client.get("/console/key")  # goes through the store's threads
    raise AssertionError("it was not written")


async def test_last_use_outlives_the_process(seated: Sit) -> None:
    async with seated() as desk:
        made = await make(desk)
        async with holder(desk, made) as client:
            assert await lets_in(client)
    async with seated() as desk:
        assert (await desk.client.get(f"/console/key/{made['id']}")).json()["last_used_at"] is not None


# Projects -----------------------------------------------------------------------------------------------------


async def test_a_key_belongs_to_one_project(desk: Desk) -> None:
    other = (await desk.client.post("/console/project", json={"name": "other"})).json()
    mine, theirs = await make(desk), await make(desk, "theirs", project="other")
    assert theirs["project_id"] == other["id"]
    assert [each["id"] for each in (await desk.client.get("/console/key")).json()["data"]] == [mine["id"]]
    for reference in ("other", other["id"]):
        listed = (await desk.client.get("/console/key", params={"project": reference})).json()["data"]
        assert [each["id"] for each in listed] == [theirs["id"]]
    async with holder(desk, theirs) as client:
        await client.post("/console/workflow", json={"name": "hers", "provider": "echo"})
        assert [w["name"] for w in (await client.get("/console/workflow")).json()["data"]] == ["hers"]
        assert (await client.post("/v1/ai/async", json={"workflow": "hers"})).json()["project_id"] == other["id"]
        assert [each["id"] for each in (await client.get("/console/key")).json()["data"]] == [theirs["id"]]
        for verb, path in (("GET", ""), ("PATCH", ""), ("DELETE", ""), ("POST", "/revoke")):
            problem(await client.request(verb, f"/console/key/{mine['id']}{path}", json={}), 404, "key_not_found")
        assert (await client.post("/console/key", json={"name": "x", "project": "other"})).status_code == 201


async def test_only_the_root_key_makes_keys_for_other_projects(desk: Desk) -> None:
    await desk.client.post("/console/project", json={"name": "other"})
    async with holder(desk, await make(desk)) as client:
        assert (await client.post("/console/key", json={"name": "x", "project": "default"})).status_code == 201
        for reference in ("other", "no such"):
            body = {"name": "x", "project": reference}
            problem(await client.post("/console/key", json=body), 403, "root_key_required")
            answer = await client.get("/console/key", params={"project": reference})
            problem(answer, 403, "root_key_required")
    problem(await desk.client.post("/console/key", json={"name": "x", "project": "no such"}), 404, "project_not_found")


# Without a root key -------------------------------------------------------------------------------------------


async def test_a_stored_key_lets_in_where_no_root_key_is_set(seated: Sit) -> None:
    async with seated() as desk:
        made = await make(desk)
    async with seated(api_key=None) as desk, holder(desk, made) as client:
        assert await lets_in(client)
        problem(await desk.client.get("/console/key"), 401, "invalid_api_key")


async def test_where_there_is_no_key_at_all_the_cure_is_said(seated: Sit) -> None:
    async with seated(api_key=None) as desk:
        refused = problem(await desk.client.get("/console/key"), 401, "no_api_key_configured")
        assert "riverflow keys create" in refused["message"]
