"""`/v1/approvals`: who may see and decide what waits for a person, in which words, and what is refused."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from riverflow import Stage, StructuredOutput, Workflow
from riverflow.errors import PipelineError
from riverflow.pipeline import Pipeline

from .desk import Desk, Sit, client_of, problem

pytestmark = pytest.mark.anyio

GENERATE = Stage(name="generate", kind="generate")
FINALISE = Stage(name="finalise", kind="finalise")
FILM = {"title": "Inception", "year": 2010}
SCHEMA = {
    "type": "object",
    "properties": {"title": {"type": "string"}, "year": {"type": "integer"}, "tags": {"type": "array"}},
    "required": ["title", "year"],
    "additionalProperties": False,
}
FILMS = StructuredOutput(name="film", schema=SCHEMA, sample_data=FILM)
REVIEWED = Workflow(
    name="reviewed",
    provider="echo",
    structured_output_id="film",
    pipeline=(GENERATE, Stage.approval("review", timeout=86_400), FINALISE),
)
PLAIN = Workflow(name="plain", provider="echo", pipeline=(GENERATE, Stage.approval("look"), FINALISE))


@pytest.fixture
async def desk(seated: Sit) -> AsyncIterator[Desk]:
    async with seated(workflows=[REVIEWED, PLAIN], structured_outputs=[FILMS]) as desk:
        yield desk


async def hold(desk: Desk, workflow: str = "reviewed", **fields: Any) -> str:
    """The id of a new approval."""
    accepted = await desk.submit(workflow, **fields)
    await desk.until(accepted["channel_id"], "ai_generated")
    stage = "look" if workflow == "plain" else "review"
    return f"apr_{accepted['channel_id'].replace('-', '')}_{stage}"


async def say(desk: Desk, approval_id: str, **said: Any) -> httpx.Response:
    return await desk.client.post(f"/v1/approvals/{approval_id}", json=said)


async def client_with(desk: Desk, *scopes: str) -> httpx.AsyncClient:
    made = await desk.client.post("/console/key", json={"name": "k", "scopes": scopes})
    assert made.status_code == 201, made.text
    return client_of(str(desk.client.base_url), made.json()["key"])


async def test_what_waits_is_listed_in_pages_newest_first(desk: Desk) -> None:
    ids = [await hold(desk) for _ in range(3)]
    other = await hold(desk, "plain")
    first = (await desk.client.get("/v1/approvals", params={"workflow": "reviewed", "limit": 2})).json()
    assert ([each["id"] for each in first["data"]], first["has_more"]) == ([ids[2], ids[1]], True)
    assert {each["state"] for each in first["data"]} == {"pending"}
    page = {"workflow": "reviewed", "starting_after": first["data"][-1]["id"]}
    rest = (await desk.client.get("/v1/approvals", params=page)).json()
    assert ([each["id"] for each in rest["data"]], rest["has_more"]) == ([ids[0]], False)
    back = (await desk.client.get("/v1/approvals", params={"ending_before": ids[0], "limit": 2})).json()
    assert [each["id"] for each in back["data"]] == [ids[2], ids[1]]
    everything = (await desk.client.get("/v1/approvals")).json()["data"]
    assert other in [each["id"] for each in everything]
    assert everything[-1]["deadline_at"] > everything[-1]["requested_at"]


@pytest.mark.parametrize("limit", ["0", "101", "x", "-1"])
async def test_a_page_has_its_bounds(desk: Desk, limit: str) -> None:
    problem(await desk.client.get("/v1/approvals", params={"limit": limit}), 400, "invalid_parameter")


@pytest.mark.parametrize("name", ["nonsense", "apr_", "apr_x_review", "apr_0190a00000007000800000000000000z_review"])
async def test_what_is_no_approval_is_not_found(desk: Desk, name: str) -> None:
    problem(await desk.client.get(f"/v1/approvals/{name}"), 404, "approval_not_found")
    problem(await say(desk, name, decision="approve"), 404, "approval_not_found")
    problem(await desk.client.post(f"/v1/approvals/{name}/link", json={}), 404, "approval_not_found")
    problem(await desk.client.get("/v1/approvals", params={"starting_after": name}), 400, "invalid_parameter")


async def test_no_other_stage_is_an_approval(desk: Desk) -> None:
    approval_id = await hold(desk)
    for stage in ("generate", "finalise", "nothing"):
        problem(await say(desk, approval_id.replace("review", stage), decision="approve"), 404, "approval_not_found")


async def test_an_edit_must_satisfy_the_structured_output(desk: Desk) -> None:
    approval_id = await hold(desk)
    shown = (await desk.client.get(f"/v1/approvals/{approval_id}")).json()
    assert (shown["json_schema"], shown["data"]) == (SCHEMA, FILM)
    wrong = {"title": 5, "year": "soon", "mood": "dark"}
    error = problem(await say(desk, approval_id, decision="approve", data=wrong), 422, "invalid_data")["error"]
    assert {each["pointer"] for each in error["violations"]} == {"", "/title", "/year"}
    assert all(each["message"] for each in error["violations"])
    for data in ([], "text", None, 3):
        error = problem(await say(desk, approval_id, decision="approve", data=data), 422, "invalid_data")["error"]
        assert [each["pointer"] for each in error["violations"]] == [""]
    assert (await desk.client.get(f"/v1/approvals/{approval_id}")).json()["state"] == "pending"
    good = {"title": "Inception", "year": 2011, "tags": ["a/b"]}
    answer = await say(desk, approval_id, decision="approve", data=good)
    assert answer.json()["ruling"]["changed"] == ["/year", "/tags"]


async def test_without_a_structured_output_an_object_stays_an_object(desk: Desk) -> None:
    approval_id = await hold(desk, "plain")
    shown = (await desk.client.get(f"/v1/approvals/{approval_id}")).json()
    assert shown["json_schema"] is None
    problem(await say(desk, approval_id, decision="approve", data="text"), 422, "invalid_data")
    data = {**shown["data"], "added": 1}
    assert (await say(desk, approval_id, decision="approve", data=data)).json()["status"] == "completed"


async def test_nobody_approves_what_he_has_not_seen(desk: Desk) -> None:
    approval_id = await hold(desk)
    digest = (await desk.client.get(f"/v1/approvals/{approval_id}")).json()["sha256"]
    other = ("0" if digest[0] != "0" else "1") + digest[1:]
    for said in ({"decision": "approve"}, {"decision": "reject", "reason": "no"}):
        problem(await say(desk, approval_id, **said, sha256=other), 409, "approval_changed")
    assert (await desk.client.get(f"/v1/approvals/{approval_id}")).json()["state"] == "pending"
    answer = await say(desk, approval_id, decision="approve", sha256=digest)
    assert (answer.status_code, answer.json()["ruling"]["sha256"]) == (200, digest)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"[]", 400),
        (b'{"decision": "maybe"}', 400),
        (b'{"data": {}}', 400),
        (b'{"decision": "approve", "who": "me"}', 400),
        (b'{"decision": "reject"}', 422),
        (b'{"decision": "reject", "reason": ""}', 422),
    ],
)
async def test_what_is_no_decision_is_refused(desk: Desk, body: bytes, status: int) -> None:
    approval_id = await hold(desk)
    problem(await desk.client.post(f"/v1/approvals/{approval_id}", content=body), status)
    assert (await desk.client.get(f"/v1/approvals/{approval_id}")).json()["state"] == "pending"


async def test_who_may_approve(desk: Desk) -> None:
    """A scope of its own, which an admin has without saying so; and no backend."""
    approval_id = await hold(desk)
    path = f"/v1/approvals/{approval_id}"
    async with await client_with(desk, "submit", "read", "callback") as backend:
        for answer in (
            await backend.get("/v1/approvals"),
            await backend.get(path),
            await backend.post(path, json={"decision": "approve"}),
            await backend.post(f"{path}/link", json={}),
        ):
            assert problem(answer, 403)["error"]["required_scope"] == "approve"
    async with await client_with(desk, "approve") as person:
        assert (await person.get(path)).status_code == 200
        problem(await person.get("/v1/requests"), 403)
        problem(await person.post(f"/v1/ai/{(await person.get(path)).json()['channel_id']}/cancel"), 403)
        decided = (await person.post(path, json={"decision": "approve"})).json()
        assert decided["ruling"]["by"].startswith("key_")
        assert decided["ruling"]["way"] == "api"
    other = await hold(desk)
    async with await client_with(desk, "admin") as admin:
        assert (await admin.post(f"/v1/approvals/{other}", json={"decision": "approve"})).status_code == 200
    async with client_of(str(desk.client.base_url), None) as nobody:
        problem(await nobody.get("/v1/approvals"), 401)


async def test_a_project_has_its_own(desk: Desk) -> None:
    approval_id = await hold(desk)
    project = (await desk.client.post("/console/project", json={"name": "other"})).json()
    made = await desk.client.post("/console/key", json={"name": "k", "scopes": ["approve"], "project": project["id"]})
    assert made.status_code == 201, made.text
    async with client_of(str(desk.client.base_url), made.json()["key"]) as stranger:
        assert (await stranger.get("/v1/approvals")).json() == {"data": [], "has_more": False}
        problem(await stranger.get(f"/v1/approvals/{approval_id}"), 404, "approval_not_found")
        answer = await stranger.post(f"/v1/approvals/{approval_id}", json={"decision": "approve"})
        problem(answer, 404, "approval_not_found")
        problem(await stranger.post(f"/v1/approvals/{approval_id}/link", json={}), 404, "approval_not_found")


async def test_a_workflow_with_an_approval_is_made_over_the_api(desk: Desk) -> None:
    review = {"name": "review", "kind": "approval", "timeout": 259_200, "on_timeout": "approve"}
    stages = [{"name": "generate", "kind": "generate"}, review, {"name": "finalise", "kind": "finalise"}]
    made = await desk.client.post("/console/workflow", json={"name": "w", "provider": "echo", "pipeline": stages})
    assert made.status_code == 201, made.text
    approval_id = await hold(desk, "w")
    assert (await desk.client.get(f"/v1/approvals/{approval_id}")).json()["on_timeout"] == "approve"
    stages[1] = {**review, "on_timeout": "shrug"}
    answer = await desk.client.post("/console/workflow", json={"name": "x", "provider": "echo", "pipeline": stages})
    assert answer.status_code in (400, 422)


@pytest.mark.parametrize(
    ("stages", "said"),
    [
        ((Stage.approval("a"), GENERATE, FINALISE), "first approval"),
        ((Stage.approval("a"), FINALISE), "comes first"),
        ((GENERATE, Stage.approval("a", timeout=31 * 86_400), FINALISE), "30 days"),
        ((GENERATE, Stage.approval("a", timeout=0), FINALISE), "above 0"),
        ((Stage(name="g", kind="generate", on_timeout="fail"), FINALISE), "only an approval"),
        ((GENERATE, Stage.approval("a"), Stage.approval("a"), FINALISE), "used twice"),
    ],
)
def test_where_an_approval_may_stand(stages: tuple[Stage, ...], said: str) -> None:
    with pytest.raises(PipelineError, match=said):
        Pipeline(stages)
