"""What the console's forms for workflows, structured outputs, webhooks and keys can do: all that the API can, and no
more."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from riverflow import Endpoint, StructuredOutput, Workflow
from riverflow.builtin.sqlite.documents import SqliteDocuments
from riverflow.builtin.sqlite.queue import SqliteQueue
from riverflow.errors import StoreUnavailable
from riverflow.testing import FakeClock

from .clean import assert_clean
from .test_playground import api_of
from .visitor import Seen, Visitor, open_console, river_of, served

pytestmark = pytest.mark.anyio

Console = tuple[Visitor, httpx.AsyncClient]

HOOK = "http://127.0.0.1:8001/hook"
SECRET = "whsec_Y29uZmlndXJpbmdjb25maWd1cmluZ2NvbmZpZ3VyaW5n"


@pytest.fixture
async def console(tmp_path: Path) -> AsyncIterator[Console]:
    """A visitor who has logged in, and the same riverflow's API."""
    async with open_console(tmp_path) as (visitor, _), api_of(visitor) as api:
        yield visitor, api


def secret_in(page: Seen) -> str:
    [secret] = re.findall(r'id="secret">([^<]+)<', page.html)
    return str(secret)


# Switched off by riverflow ---------------------------------------------------------------------------------


async def _gone(_: Request) -> PlainTextResponse:
    return PlainTextResponse("", status_code=410)


async def test_what_riverflow_has_disabled_is_enabled_with_a_button_also_where_code_defines_it(tmp_path: Path) -> None:
    clock = FakeClock()
    async with served(Starlette(routes=[Route("/hook", _gone, methods=["POST"])])) as backend:
        told = Endpoint(
            id="ep_code", url=f"{backend}/hook", secret=SECRET, events=("task.completed",), retry="standard"
        )
        plain = [Workflow(name="plain", provider="echo", template="hello")]
        async with (
            open_console(tmp_path, workflows=plain, endpoints=[told], clock=clock, lease=1e6) as (visitor, river),
            api_of(visitor) as api,
        ):
            page = await visitor.see("webhooks/ep_code")
            assert not any(form.action.endswith("/switch") for form in page.forms), "there is nothing to switch yet"
            await (await river.submit(workflow="plain")).result()
            async with asyncio.timeout(20):
                while (await api.get("/console/webhook/ep_code")).json()["enabled"]:
                    await clock.advance(1)
            page = await visitor.see("webhooks/ep_code")
            assert_clean(page)
            assert "Disabled automatically" in page.text
            page = await visitor.send(page, "/switch")
            assert page.status == 200
            assert "Endpoint enabled: deliveries resume." in page.text
            shown = (await api.get("/console/webhook/ep_code")).json()
            assert (shown["enabled"], shown["disabled_because"]) == (True, None)
            assert not any(form.action.endswith("/switch") for form in page.forms)


async def test_what_is_disabled_in_code_has_no_button(tmp_path: Path) -> None:
    off = Endpoint(id="ep_code", url=HOOK, secret=SECRET, enabled=False)
    async with open_console(tmp_path, endpoints=[off]) as (visitor, _):
        page = await visitor.see("webhooks/ep_code")
        assert not any(form.action.endswith("/switch") for form in page.forms)
        fields = {"token": page.forms[0].fields["token"][0], "enabled": "yes"}
        refused = await visitor.post(f"{visitor.base}webhooks/ep_code/switch", fields)
        assert (refused.status, "defined in code" in refused.text) == (409, True)


# A thing with the name `new` -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pages", "api_path", "members"),
    [
        ("workflows", "/console/workflow", {"provider": "echo"}),
        ("structured-outputs", "/console/structured_output", {"schema": {}}),
    ],
)
async def test_one_with_the_name_new_has_a_page(
    console: Console, pages: str, api_path: str, members: dict[str, Any]
) -> None:
    visitor, api = console
    assert "with the name new" not in (await visitor.see(f"{pages}/new")).text
    page = await visitor.send(await visitor.see(f"{pages}/new"), f"{pages}/new", name="new", **_form_of(members))
    assert "Created." in page.text
    for link in (await visitor.see(pages), await visitor.see(f"{pages}/new")):
        [target] = [each for each in link.links if each.endswith("/~new")]
        page = await visitor.see(str(httpx.URL(link.url).join(target)))
        assert page.status == 200
        assert "Save" in page.text
    assert (await visitor.see(f"{pages}/new")).form(f"{pages}/new").fields["name"] == [""]
    page = await visitor.send(page, "/~new", description="changed")
    assert "Saved." in page.text
    assert (await api.get(f"{api_path}/new")).json()["description"] == "changed"
    [delete] = [each for each in page.links if each.endswith("/delete")]
    asked = await visitor.see(str(httpx.URL(page.url).join(delete)))
    await visitor.send(asked, "/delete")
    assert (await api.get(f"{api_path}/new")).status_code == 404


async def test_one_with_the_name_new_that_code_defines_has_a_page(tmp_path: Path) -> None:
    named: dict[str, Any] = {
        "workflows": [Workflow(name="new", provider="echo")],
        "structured_outputs": [StructuredOutput(name="new", schema={})],
    }
    async with open_console(tmp_path, **named) as (visitor, _):
        for pages in ("workflows", "structured-outputs"):
            assert "defined in code" in (await visitor.see(f"{pages}/~new")).text


def _form_of(members: dict[str, Any]) -> dict[str, Any]:
    return {name: "{}" if value == {} else value for name, value in members.items()}


# Every member of the API ----------------------------------------------------------------------------------

CALLED = {"fallbacks": "fallback_provider", "expires_in_days": "life"}
EXCEPTIONS = {
    ("workflow", "name", "edit"): "cannot be changed",
    ("workflow", "disabled", "new"): "its page has a button for it",
    ("workflow", "disabled", "edit"): "its page has a button for it",
    ("structured_output", "name", "edit"): "cannot be changed",
    ("key", "expires_in", "new"): "for programs: a form takes days",
    ("key", "expires_in", "edit"): "for programs: a form takes days",
    ("key", "project", "new"): "for the root key: the console shows one project",
}


async def _made(api: httpx.AsyncClient) -> dict[str, str]:
    """One of everything, by kind: its page."""
    await api.post("/console/workflow", json={"name": "mine", "provider": "echo"})
    await api.post("/console/structured_output", json={"name": "mine", "schema": {}})
    hook = (await api.post("/console/webhook", json={"url": HOOK})).json()["id"]
    key = (await api.post("/console/key", json={"name": "mine", "scopes": ["read"]})).json()["id"]
    return {
        "workflow": "workflows/mine", "structured_output": "structured-outputs/mine",
        "webhook": f"webhooks/{hook}", "key": f"keys/{key}",
    }  # fmt: skip


async def test_every_member_of_the_api_is_in_the_form(console: Console) -> None:
    visitor, api = console
    described = (await api.get("/openapi.json")).json()
    pages = await _made(api)
    missing = set()
    for kind, path in pages.items():
        for which, where, method in (("new", "", "post"), ("edit", "/{name}", "patch")):
            operation = described["paths"][f"/console/{kind}{where}"][method]
            schema = operation["requestBody"]["content"]["application/json"]["schema"]
            name = schema["$ref"].rpartition("/")[2]
            members = described["components"]["schemas"][name]["properties"]
            at = path if which == "edit" else f"{path.partition('/')[0]}/new"
            fields = (await visitor.see(at)).form(at).fields
            assert len(members) > 2
            missing |= {(kind, each, which) for each in members if CALLED.get(each, each) not in fields}
    assert missing == set(EXCEPTIONS)


async def test_a_workflow_goes_on_after_the_callback_timeout(console: Console) -> None:
    visitor, api = console
    await _made(api)
    page = await visitor.see("workflows/mine")
    assert page.form("workflows/mine").fields["on_timeout"] == ["fail"]
    page = await visitor.send(page, "workflows/mine", on_timeout="finish")
    assert (await api.get("/console/workflow/mine")).json()["on_timeout"] == "finish"
    assert page.form("workflows/mine").fields["on_timeout"] == ["finish"]


async def test_a_key_is_given_another_expiry(console: Console) -> None:
    visitor, api = console
    path = (await _made(api))["key"]
    one = path.replace("keys/", "/console/key/")
    page = await visitor.send(await visitor.see(path), path, life="7")
    first = (await api.get(one)).json()["expires_at"]
    assert first is not None
    page = await visitor.send(page, path, name="Renamed")
    assert (await api.get(one)).json()["expires_at"] == first, "what is not changed stays"
    await visitor.send(page, path, life="")
    assert (await api.get(one)).json()["expires_at"] is None


@pytest.mark.parametrize("revoked", [False, True])
async def test_a_key_is_deleted_after_a_question(console: Console, revoked: bool) -> None:
    visitor, api = console
    path = (await _made(api))["key"]
    one = path.replace("keys/", "/console/key/")
    if revoked:
        await api.post(f"{one}/revoke")
    page = await visitor.see(path)
    [link] = [each for each in page.links if each.endswith("/delete")]
    asked = await visitor.see(str(httpx.URL(page.url).join(link)))
    assert_clean(asked)
    assert (await api.get(one)).status_code == 200
    page = await visitor.send(asked, "/delete")
    assert "Deleted." in page.text
    assert (await api.get(one)).status_code == 404


# A new secret ----------------------------------------------------------------------------------------------


async def _asked_to_rotate(visitor: Visitor, path: str) -> Seen:
    """By the way that a visitor without script takes."""
    page = await visitor.see(path)
    [link] = [each for each in page.links if each.endswith("/rotate")]
    return await visitor.see(str(httpx.URL(page.url).join(link)))


async def test_a_new_secret_is_made_after_a_question_and_the_old_one_ended(console: Console) -> None:
    visitor, api = console
    path = (await _made(api))["webhook"]
    one = path.replace("webhooks/", "/console/webhook/")
    before = (await api.get(one)).json()["version"]
    assert not any(form.action.endswith("/rotate") for form in (await visitor.see(path)).forms), "not with one click"
    asked = await _asked_to_rotate(visitor, path)
    assert_clean(asked)
    assert "Rotate secret?" in asked.text
    assert (await api.get(one)).json()["version"] == before
    page = await visitor.send(asked, "/rotate")
    assert secret_in(page).startswith("whsec_")
    assert len((await api.get(one)).json()["retired"]) == 1
    page = await visitor.see(path)
    [link] = [each for each in page.links if each.endswith("/retired")]
    asked = await visitor.see(str(httpx.URL(page.url).join(link)))
    assert_clean(asked)
    assert len((await api.get(one)).json()["retired"]) == 1
    page = await visitor.send(asked, "/retired")
    assert "Saved." in page.text
    assert (await api.get(one)).json()["retired"] == []
    assert not any(each.endswith("/retired") for each in page.links)


async def test_what_is_shown_once_is_shown_whatever_else_cannot_be_read(
    console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    visitor, api = console
    path = (await _made(api))["webhook"]
    asked, form = await _asked_to_rotate(visitor, path), await visitor.see("webhooks/new")

    async def away(*_: Any, **__: Any) -> Any:
        raise StoreUnavailable("the store is away")

    monkeypatch.setattr(SqliteQueue, "find_deliveries", away)
    assert (await visitor.see(path)).status == 503
    assert secret_in(await visitor.send(asked, "/rotate")).startswith("whsec_")
    made = await visitor.send(form, "webhooks/new", url="http://127.0.0.1:8001/other")
    assert secret_in(made).startswith("whsec_")


async def test_the_overlap_of_two_secrets_is_chosen(console: Console) -> None:
    visitor, api = console
    path = (await _made(api))["webhook"]
    one = path.replace("webhooks/", "/console/webhook/")
    asked = await _asked_to_rotate(visitor, path)
    for wrong in ("-1", "99999999", "long"):
        refused = await visitor.send(asked, "/rotate", overlap=wrong)
        assert refused.status == 400
        assert "Rotate secret?" in refused.text
        assert (await api.get(one)).json()["retired"] == []
    await visitor.send(asked, "/rotate", overlap="3600")
    [hour] = (await api.get(one)).json()["retired"]
    await visitor.send(await _asked_to_rotate(visitor, path), "/rotate", overlap="604800")
    week = (await api.get(one)).json()["retired"][0]
    assert hour["until"] < week["until"]
    page = await visitor.send(await _asked_to_rotate(visitor, path), "/rotate", overlap="0")
    assert (await api.get(one)).json()["retired"] == []
    assert "with this secret alone" in page.text


# Two at once -----------------------------------------------------------------------------------------------

TYPED = {"workflow": "description", "structured_output": "description", "webhook": "description", "key": "name"}


@pytest.mark.parametrize("kind", TYPED)
async def test_who_saves_an_older_page_is_told_and_overwrites_nothing(console: Console, kind: str) -> None:
    visitor, api = console
    field, path = TYPED[kind], (await _made(api))[kind]
    one = f"/console/{kind}/{path.partition('/')[2]}"
    mine, yours = await visitor.see(path), await visitor.see(path)
    assert (await visitor.send(yours, path, **{field: "yours"})).status == 200
    refused = await visitor.send(mine, path, **{field: "mine"})
    assert refused.status == 409
    assert_clean(refused)
    assert "Somebody changed this" in refused.text
    assert refused.form(path).fields[field] == ["mine"], "what was typed is kept"
    assert (await api.get(one)).json()[field] == "yours"
    assert (await visitor.send(refused, path)).status == 409, "again is as late"
    [newer] = [
        str(httpx.URL(refused.url).join(given["href"] or ""))
        for tag, given in refused.tags
        if tag == "a" and (given.get("href") or "").endswith(path) and "class" not in given
    ]
    page = await visitor.see(newer)
    assert page.form(path).fields[field] == ["yours"]
    assert (await visitor.send(page, path, **{field: "both"})).status == 200
    assert (await api.get(one)).json()[field] == "both"


@pytest.mark.parametrize("kind", TYPED)
async def test_the_api_changes_the_version_that_it_is_told_of(console: Console, kind: str) -> None:
    _, api = console
    one = f"/console/{kind}/{(await _made(api))[kind].partition('/')[2]}"
    version = (await api.get(one)).json()["version"]
    change = {TYPED[kind]: "first"}
    for wrong in (version + 1, -1, "x"):
        refused = await api.patch(one, params={"version": wrong}, json=change)
        assert refused.status_code == (409 if wrong == version + 1 else 400)
    first = await api.patch(one, params={"version": version}, json=change)
    assert (first.status_code, first.json()["version"]) == (200, version + 1)
    late = await api.patch(one, params={"version": version}, json={TYPED[kind]: "second"})
    assert late.status_code == 409
    assert "was changed by somebody else" in late.json()["message"]
    assert (await api.get(one)).json()[TYPED[kind]] == "first"
    assert (await api.patch(one, json={TYPED[kind]: "third"})).status_code == 200, "who names none may"


async def test_a_version_that_another_process_has_made_is_known(console: Console, tmp_path: Path) -> None:
    _, api = console
    await _made(api)
    assert (await api.get("/console/workflow/mine")).json()["version"] == 1
    async with served(river_of(tmp_path)) as origin:
        there = httpx.AsyncClient(base_url=origin, trust_env=False, headers=api.headers)
        async with there:
            assert (await there.patch("/console/workflow/mine", json={"model": "m2"})).status_code == 200
            answer = await api.patch("/console/workflow/mine", params={"version": 2}, json={"model": "m3"})
            assert answer.status_code == 200, answer.text


# Sent twice ------------------------------------------------------------------------------------------------


async def _twice(visitor: Visitor, page: Seen, ending: str, **changes: Any) -> tuple[Seen, Seen]:
    """A form that is sent, and again with the browser's reload."""
    first = await visitor.send(page, ending, **changes)
    return first, await visitor.send(page, ending, **changes)


async def test_a_reload_makes_no_second_key(console: Console, tmp_path: Path) -> None:
    visitor, api = console
    new = await visitor.see("keys/new")
    made, again = await _twice(visitor, new, "keys/new", name="one", scopes=["read"])
    assert secret_in(made)
    assert (again.status, "was sent before" in again.text) == (409, True)
    assert_clean(again)
    [key] = (await api.get("/console/key")).json()["data"]
    assert any(link.endswith(f"keys/{key['id']}") for link in again.links)
    async with served(river_of(tmp_path)) as origin:  # nor in another process
        form = new.form("keys/new").filled(name="one", scopes=["read"])
        there = await visitor.post(f"{origin}/console/keys/new", form)
        assert (there.status, "was sent before" in there.text) == (409, True)
    assert len((await api.get("/console/key")).json()["data"]) == 1
    other = await visitor.send(new, "keys/new", name="two", scopes=["read"])
    assert secret_in(other), "another name is another key"


async def test_a_reload_makes_no_second_endpoint_and_no_second_secret(console: Console) -> None:
    visitor, api = console
    made, again = await _twice(visitor, await visitor.see("webhooks/new"), "webhooks/new", url=HOOK)
    assert secret_in(made)
    assert (again.status, "was sent before" in again.text) == (409, True)
    [endpoint] = (await api.get("/console/webhook")).json()["data"]
    path = f"webhooks/{endpoint['id']}"
    assert any(link.endswith(path) for link in again.links)
    made, again = await _twice(visitor, await _asked_to_rotate(visitor, path), "/rotate")
    assert secret_in(made)
    assert (again.status, "was sent before" in again.text) == (409, True)
    assert len((await api.get(f"/console/webhook/{endpoint['id']}")).json()["retired"]) == 1


async def test_a_form_that_was_refused_may_be_sent_again(console: Console) -> None:
    visitor, _ = console
    refused, again = await _twice(visitor, await visitor.see("keys/new"), "keys/new", name="one", scopes=[])
    assert (refused.status, again.status) == (422, 422)


# In the same words -----------------------------------------------------------------------------------------

GOOD: dict[str, tuple[str, dict[str, Any]]] = {
    "workflow": ("workflows/new", {"name": "films", "provider": "echo"}),
    "structured_output": ("structured-outputs/new", {"name": "films", "schema": {}}),
    "webhook": ("webhooks/new", {"url": HOOK}),
    "key": ("keys/new", {"name": "films", "scopes": ["read"]}),
}
WRONG = [
    ("workflow", "name", "a/b", "a/b"),
    ("workflow", "name", "", ""),
    ("workflow", "name", "in_code", "in_code"),
    ("workflow", "provider", "nobody", "nobody"),
    ("workflow", "callback_timeout", "-1", -1),
    ("workflow", "provider_timeout", "0", 0),
    ("workflow", "on_timeout", "never", "never"),
    ("workflow", "pipeline", "{}", {}),
    ("workflow", "pipeline", '[{"name": "g", "kind": "generate"}]', [{"name": "g", "kind": "generate"}]),
    ("structured_output", "name", "a/b", "a/b"),
    ("structured_output", "name", "fixed", "fixed"),
    ("structured_output", "schema", '{"type": "nonsense"}', {"type": "nonsense"}),
    ("structured_output", "schema", "5", 5),
    ("webhook", "url", "ftp://example.com/x", "ftp://example.com/x"),
    ("webhook", "url", "nowhere", "nowhere"),
    ("webhook", "signers", [], []),
    ("webhook", "signers", ["nobody"], ["nobody"]),
    ("webhook", "encoding", "xml", "xml"),
    ("webhook", "body", "odd", "odd"),
    ("webhook", "retry", "sometimes", "sometimes"),
    ("webhook", "retry", "0, -5", [0, -5]),
    ("webhook", "concurrency", "0", 0),
    ("webhook", "concurrency", "1.5", 1.5),
    ("webhook", "authorities", "none", "none"),
    ("webhook", "authorities", "für", "für"),
    ("key", "name", "a/b", "a/b"),
    ("key", "name", "", ""),
    ("key", "scopes", [], []),
    ("key", "scopes", ["everything"], ["everything"]),
    ("key", "expires_in_days", "0", 0),
    ("key", "expires_in_days", "9999", 9999),
]


@pytest.mark.parametrize(("kind", "member", "typed", "value"), WRONG)
async def test_the_form_refuses_what_the_api_refuses_in_the_same_words(
    console: Console, kind: str, member: str, typed: Any, value: Any
) -> None:
    visitor, api = console
    page, good = GOOD[kind]
    before = (await api.get(f"/console/{kind}")).json()["data"]
    refused = await api.post(f"/console/{kind}", json={**good, member: value})
    assert refused.status_code in (400, 409, 422)
    sent = _form_of({**good, CALLED.get(member, member): typed})
    answer = await visitor.send(await visitor.see(page), page, **sent)
    assert answer.status == refused.status_code
    assert " ".join(refused.json()["message"].split()) in answer.text
    kept = sent["name" if "name" in good else "url"]
    assert answer.form(page).fields["name" if "name" in good else "url"] == [kept], "what was typed is kept"
    assert (await api.get(f"/console/{kind}")).json()["data"] == before


@pytest.mark.parametrize(
    ("kind", "field", "typed"),
    [
        ("workflow", "callback_timeout", "soon"),
        ("workflow", "pipeline", "["),
        ("workflow", "sample_data", "{"),
        ("structured_output", "schema", ""),
        ("structured_output", "sample_data", "{"),
        ("webhook", "concurrency", "many"),
        ("webhook", "retry", "0, soon"),
        ("webhook", "retry", "{"),
        ("key", "life", "soon"),
    ],
)
async def test_what_is_no_number_and_no_json_is_refused_at_its_field(
    console: Console, kind: str, field: str, typed: str
) -> None:
    visitor, api = console
    page, good = GOOD[kind]
    before = (await api.get(f"/console/{kind}")).json()["data"]
    answer = await visitor.send(await visitor.see(page), page, **_form_of({**good, field: typed}))
    assert answer.status == 400
    assert f'id="{field}-wrong"' in answer.html
    assert (await api.get(f"/console/{kind}")).json()["data"] == before


async def test_a_form_that_failed_may_be_sent_again(console: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    visitor, _ = console
    new = await visitor.see("keys/new")

    async def down(*_: Any, **__: Any) -> int:
        raise StoreUnavailable("down")

    with monkeypatch.context() as patch:
        patch.setattr(SqliteDocuments, "put", down)
        assert (await visitor.send(new, "keys/new", name="one", scopes=["read"])).status == 503
    assert secret_in(await visitor.send(new, "keys/new", name="one", scopes=["read"]))


async def test_a_life_of_thousands_of_digits_is_refused(console: Console) -> None:
    visitor, _ = console
    page = await visitor.see("keys/new")
    assert (await visitor.send(page, "keys/new", name="one", scopes=["read"], life="9" * 5000)).status == 400
