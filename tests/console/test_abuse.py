"""Who means harm, or only sends too much: nobody else waits for him, and he learns nothing that is not his."""

from __future__ import annotations

import time
from pathlib import Path

import httpx
import pytest

from riverflow.console._markup import json_view
from riverflow.testing import FakeClock

from .visitor import KEY, Visitor, open_console, river_of, served, visiting

pytestmark = pytest.mark.anyio


async def project_of(root: Visitor, name: str) -> tuple[str, str]:
    """Another project and a key of its admin's."""
    api = httpx.AsyncClient(base_url=root.base, headers={"authorization": f"Bearer {KEY}"}, trust_env=False)
    async with api:
        made = (await api.post("project", json={"name": name})).json()
        key = await api.post("key", json={"name": "theirs", "scopes": ["admin"], "project": made["id"]})
    assert key.status_code == 201, key.text
    return made["id"], key.json()["key"]


@pytest.mark.parametrize("end", ["", "\\", '"'])
def test_a_long_text_full_of_quotes_is_coloured_at_once(end: str) -> None:
    """It took a minute when each quote began a search to the end. The bound is CPU time, a hundred times what it is."""
    began = time.process_time()
    view = json_view("{" + '"<p class=\\"a\\">' * 6000 + "z" * 60_000 + end)
    assert time.process_time() - began < 5
    assert "cut here" in view


def test_colours_are_as_they_were() -> None:
    shown = json_view('{"a\\"b" : ["c\\\\", -1.5e3, true, "d')
    assert shown.count("j-key") == shown.count("j-number") == shown.count("j-word") == 1
    assert shown.count("j-text") == 2  # what is no JSON is coloured as far as it goes
    assert json_view({"k": 'x"y', "n": None}).count("j-text") == 1


async def test_a_form_of_a_stranger_is_read_no_further_than_a_key_is_long(tmp_path: Path) -> None:
    async with open_console(tmp_path, log_in=False) as (visitor, _):
        page = await visitor.see("login")
        assert (await visitor.send(page, "login", key="x" * 20_000)).status == 413
        assert (await visitor.send(page, "login", key=KEY)).status == 200


async def test_a_form_of_somebody_known_is_read_up_to_a_megabyte(tmp_path: Path) -> None:
    async with open_console(tmp_path) as (visitor, _):
        page = await visitor.see("structured-outputs/new")
        long = '{"description": "%s"}' % ("x" * 500_000)
        assert "long" in (await visitor.send(page, "structured-outputs/new", name="long", schema=long)).text
        over = '{"description": "%s"}' % ("x" * 1_100_000)
        assert (await visitor.send(page, "structured-outputs/new", name="over", schema=over)).status == 413


async def test_keys_are_not_guessed_faster_by_who_is_logged_in(tmp_path: Path) -> None:
    async with (
        served(river_of(tmp_path, rate_limit_unkeyed=8, trusted_proxies="127.0.0.1")) as origin,
        visiting(origin, **{"x-forwarded-for": "203.0.113.9"}) as visitor,
    ):
        await visitor.log_in()
        page = await visitor.see("keys")
        token = page.form("logout").fields["token"][0]
        tried = [(await visitor.post("login", {"key": f"guess {n}", "token": token})).status for n in range(10)]
        assert tried[0] == 401
        assert tried[-1] == 429
        assert (await visitor.see("keys")).status == 200


async def test_too_many_logins_of_one_project_end_its_own_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("riverflow.console._sessions._KEPT", 3)
    clock = FakeClock()
    river = river_of(tmp_path, clock=clock)
    async with served(river) as origin, visiting(origin) as root, visiting(origin) as first:
        await root.log_in()
        _, key = await project_of(root, "blue")
        assert (await first.log_in(key)).status == 200
        for _ in range(5):
            async with visiting(origin) as another:
                assert (await another.log_in(key)).status == 200
            await clock.advance(1)
        assert (await root.see("keys", follow=False)).status == 200
        assert (await first.see("keys", follow=False)).status == 303


async def test_the_operators_settings_are_not_for_other_projects(tmp_path: Path) -> None:
    river = river_of(tmp_path, openai_base_url="https://user:sEcReT@llm.example/v1?key=sEcReT")
    async with served(river) as origin, visiting(origin) as root, visiting(origin) as tenant:
        await root.log_in()
        _, key = await project_of(root, "blue")
        await tenant.log_in(key)
        own, theirs = await root.see("settings"), await tenant.see("settings")
        assert "https://llm.example/v1" in own.text
        assert "sEcReT" not in own.html
        assert "egress_allow" in own.text
        assert "egress_allow" not in theirs.text
        assert "console.db" not in theirs.text
    assert "sEcReT" not in repr(river.settings)


async def test_the_feed_of_a_request_is_for_its_own_project(tmp_path: Path) -> None:
    river = river_of(tmp_path)
    async with served(river) as origin, visiting(origin) as root, visiting(origin) as tenant:
        await root.log_in()
        _, key = await project_of(root, "blue")
        await tenant.log_in(key)
        run = await river.submit(workflow="in_code", messages=[{"role": "user", "content": "x"}])
        assert (await tenant.see(f"live?run={run.channel_id}")).status == 404


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("login?" + "&a=1" * 600, 400),
        ("keys?" + "&a=1" * 600, 400),
        ("requests?path=x&self=y&visit=z", 200),
        ("requests?starting_after=00000000-0000-7000-8000-000000000000&path=x", 200),
    ],
)
async def test_a_strange_query_is_answered_with_a_page(tmp_path: Path, path: str, status: int) -> None:
    async with open_console(tmp_path) as (visitor, _):
        page = await visitor.see(path)
        assert page.status == status
        assert "<h1" in page.html
        assert "content-security-policy" in page.headers


async def test_no_line_break_gets_into_a_header(tmp_path: Path) -> None:
    async with open_console(tmp_path) as (visitor, _):
        page = await visitor.see("login?next=requests%3Fa%0d%0aSet-Cookie:%20pwned=1", follow=False)
        assert page.status == 303
        assert page.headers["location"] == "./"
        page = await visitor.see("login?next=requests%3Fq%3Duser_id%253Du1%26status%3Derror", follow=False)
        assert page.headers["location"] == "./requests?q=user_id%3Du1&status=error"


@pytest.mark.parametrize("number", ["nan", "inf", "-inf", "1e400"])
async def test_a_number_is_one(tmp_path: Path, number: str) -> None:
    async with open_console(tmp_path) as (visitor, _):
        page = await visitor.see("webhooks/new")
        fields = {"url": "http://127.0.0.1:9/x", "concurrency": number}
        answer = await visitor.send(page, "webhooks/new", **fields)
        assert answer.status in (400, 422)
        assert "is not a number" in answer.text
