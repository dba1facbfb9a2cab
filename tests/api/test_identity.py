"""Who is asking: the host app's own login, and what it may do."""

from __future__ import annotations

from typing import Any

import pytest

from riverflow import Identity, hookimpl
from riverflow.models import ADMIN, CALLBACK, READ, SUBMIT
from riverflow.ports import Scope

from .desk import NOBODY, Desk, Sit, client_of, problem

pytestmark = pytest.mark.anyio

OTHER = "0190a000-0000-7000-8000-00000000000f"


class Login:
    """A host app's authentication: a cookie names the user, a table says what he may do."""

    def __init__(self) -> None:
        self.known: dict[str, Identity] = {}

    def who(self, scope: Scope) -> Identity | None:
        cookie = dict(scope["headers"]).get(b"cookie", b"").decode()
        return self.known.get(cookie.removeprefix("user="))

    async def who_async(self, scope: Scope) -> Identity | None:
        return self.who(scope)


def allow(login: Login, desk: Desk, user: str, *scopes: str, project: str | None = None) -> dict[str, str]:
    login.known[user] = Identity(
        project_id=project or desk.river.project_id, scopes=frozenset(scopes), subject=f"user {user}"
    )
    return {"cookie": f"user={user}"}


@pytest.mark.parametrize("method", ["who", "who_async"])
async def test_a_user_of_the_host_app_is_let_in_with_his_scopes(seated: Sit, method: str) -> None:
    login = Login()
    async with seated(authenticator=getattr(login, method)) as desk, client_of(str(desk.client.base_url), None) as user:
        places: dict[str, tuple[str, str, Any]] = {
            SUBMIT: ("POST", "/v1/ai/async", {"workflow": "movie"}),
            READ: ("GET", f"/v1/ai/{NOBODY}", None),
            CALLBACK: ("POST", f"/v1/callback/{NOBODY}", {"data": {}}),
            ADMIN: ("GET", "/console/workflow", None),
        }
        for mine in places:
            headers = allow(login, desk, "mia", mine)
            for asked, (verb, path, body) in places.items():
                response = await user.request(verb, path, json=body, headers=headers)
                if asked == mine:
                    assert response.status_code in (200, 404), (mine, response.text)
                else:
                    assert problem(response, 403, "forbidden")["error"]["required_scope"] == asked
        problem(await user.get("/console/workflow", headers={"cookie": "user=nobody"}), 401, "missing_api_key")
        problem(await user.get(f"/v1/ai/{NOBODY}/events", headers=allow(login, desk, "tim", SUBMIT)), 403)


async def test_the_key_still_counts_beside_the_login(seated: Sit) -> None:
    async with seated(authenticator=lambda scope: None) as desk:
        assert (await desk.client.get("/console/workflow")).status_code == 200


async def test_a_plugin_may_be_the_login(seated: Sit) -> None:
    login = Login()

    class Plugin:
        @hookimpl
        def riverflow_authenticator(self) -> Any:
            return login.who

    async with seated(plugins=[Plugin()]) as desk, client_of(str(desk.client.base_url), None) as user:
        assert (await user.get("/console/workflow", headers=allow(login, desk, "mia", ADMIN))).status_code == 200


async def test_a_foreign_project_sees_nothing_and_starts_nothing(seated: Sit) -> None:
    login = Login()
    async with seated(authenticator=login.who) as desk, client_of(str(desk.client.base_url), None) as stranger:
        run = await desk.submit("movie")
        channel_id = run["channel_id"]
        await desk.until(channel_id, "ai_generated")
        headers = allow(login, desk, "eve", SUBMIT, READ, CALLBACK, ADMIN, project=OTHER)
        for verb, path, body in (
            ("GET", f"/v1/ai/{channel_id}", None),
            ("GET", f"/v1/ai/{channel_id}/timeline", None),
            ("GET", f"/v1/ai/{channel_id}/events", None),
            ("POST", f"/v1/ai/{channel_id}/cancel", None),
            ("POST", "/v1/ai/reconnect", {"channel_id": channel_id}),
            ("POST", f"/v1/callback/{channel_id}", {"data": {}}),
            ("POST", "/v1/ai/async", {"workflow": "movie"}),
            ("GET", "/console/workflow/movie", None),
            ("PATCH", "/console/workflow/movie", {"description": "mine"}),
            ("DELETE", "/console/workflow/movie", None),
        ):
            problem(await stranger.request(verb, path, json=body, headers=headers), 404)
        assert (await stranger.get("/console/workflow", headers=headers)).json()["data"] == []
        assert (await desk.client.get(f"/v1/ai/{channel_id}")).json()["status"] == "ai_generated"


async def test_a_project_that_does_not_exist_is_refused_before_a_run_begins(seated: Sit) -> None:
    login = Login()
    begun: list[str] = []

    class Watcher:
        @hookimpl
        def riverflow_entry(self, run_id: str, entry: Any) -> None:
            begun.append(entry.kind)

    async with (
        seated(authenticator=login.who, plugins=[Watcher()]) as desk,
        client_of(str(desk.client.base_url), None) as stranger,
    ):
        headers = allow(login, desk, "eve", SUBMIT, project=OTHER)
        body = {"provider": "echo", "model": "echo", "prompt": "hi"}
        problem(await stranger.post("/v1/ai/async", json=body, headers=headers), 404)
    assert begun == []


async def test_each_tenant_has_a_project_of_his_own_by_name(seated: Sit) -> None:
    tenants: dict[bytes, str] = {}

    def who(scope: Scope) -> Identity | None:
        project = tenants.get(dict(scope["headers"]).get(b"x-tenant", b""))
        return Identity(project_id=project, scopes=frozenset({SUBMIT, READ})) if project else None

    async with seated(authenticator=who) as desk, client_of(str(desk.client.base_url), None) as user:
        tenants |= {name.encode(): await desk.river.project(name) for name in ("blue", "red")}
        assert await desk.river.project("blue") == tenants[b"blue"]
        assert len({*tenants.values(), desk.river.project_id}) == 3
        blue, red = {"x-tenant": "blue"}, {"x-tenant": "red"}
        body = {"provider": "echo", "model": "echo", "prompt": "hi"}
        accepted = await user.post("/v1/ai/async", json=body, headers=blue)
        assert accepted.status_code == 200, accepted.text
        path = f"/v1/ai/{accepted.json()['channel_id']}"
        run = await desk.river.run(accepted.json()["channel_id"], project_id=tenants[b"blue"])
        assert (await run.result())["status"] == "success"
        assert (await user.get(path, headers=blue)).json()["status"] == "success"
        problem(await user.get(path, headers=red), 404)
        problem(await desk.client.get(path), 404)
        problem(await user.get(path), 401)
