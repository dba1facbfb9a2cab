"""Who may see the console: keys, sessions, the host app's own login, and forms that nobody else can send."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import httpx
import pytest

from riverflow import Identity
from riverflow.models import READ
from riverflow.ports import Scope
from riverflow.testing import FakeClock

from .visitor import KEY, Visitor, open_console, river_of, served, visiting

pytestmark = pytest.mark.anyio

LOGIN = "Log in to the console"


def api(visitor: Visitor) -> httpx.AsyncClient:
    """A client of the HTTP API with the root key."""
    base = visitor.base.removesuffix("console/")
    return httpx.AsyncClient(base_url=base, trust_env=False, headers={"authorization": f"Bearer {KEY}"})


async def is_out(visitor: Visitor, path: str = "workflows") -> bool:
    """Whether a page sends the visitor to the login."""
    page = await visitor.see(path, follow=False)
    return page.status == 303 and "login" in page.headers["location"]


async def make_key(visitor: Visitor, **members: Any) -> tuple[str, str]:
    """A key by the API: its id and itself."""
    async with api(visitor) as client:
        made = (await client.post("/console/key", json={"name": "somebody", **members})).json()
        return made["id"], made["key"]


async def test_a_stranger_is_sent_to_the_login_and_back_to_where_he_was_going(tmp_path: Path) -> None:
    async with open_console(tmp_path, log_in=False) as (visitor, _):
        page = await visitor.see("requests?status=error")
        assert LOGIN in page.text
        assert "requests" in page.url
        page = await visitor.send(page, "login", key=KEY)
        assert page.status == 200
        assert page.url == f"{visitor.base}requests?status=error"


@pytest.mark.parametrize("path", ["", "workflows/new", "requests/x/y/z", "no-such-page"])
async def test_a_stranger_learns_of_no_page_whether_it_is_there(tmp_path: Path, path: str) -> None:
    async with open_console(tmp_path, log_in=False) as (visitor, _):
        assert await is_out(visitor, path)


async def test_the_cookie_is_the_browsers_alone_and_is_renewed_by_the_login(tmp_path: Path) -> None:
    async with open_console(tmp_path, log_in=False) as (visitor, _):
        page = await visitor.see("login")
        before = visitor.cookies
        page = await visitor.send(page, "login", key=KEY, follow=False)
        said = page.headers["set-cookie"].lower()
        assert "httponly" in said
        assert "samesite=strict" in said
        assert "domain" not in said
        assert "secure" not in said
        assert before.keys() == visitor.cookies.keys()
        assert before != visitor.cookies
        [value] = visitor.cookies.values()
        assert value not in (tmp_path / "console.db").read_bytes().decode("latin-1")


async def test_over_https_the_cookie_never_travels_without_it(tmp_path: Path) -> None:
    async with open_console(tmp_path, log_in=False) as (visitor, _):
        page = await visitor.see("login", **{"x-forwarded-proto": "https"})
        assert "; secure" in page.headers["set-cookie"].lower()


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_login_from_an_https_page_of_ours_needs_no_proxy_to_say_so(tmp_path: Path, scheme: str) -> None:
    async with open_console(tmp_path, log_in=False) as (visitor, _):
        fields = (await visitor.see("login")).form("login").filled(key=KEY)
        mine = f"{scheme}://{httpx.URL(visitor.base).netloc.decode()}"
        page = await visitor.post("login", fields, follow=False, origin=mine)
        assert page.status == 303
        assert ("; secure" in page.headers["set-cookie"].lower()) is (scheme == "https")


@pytest.mark.parametrize("key", ["", "wrong", KEY + "x", "ключ"])
async def test_a_wrong_key_opens_nothing(tmp_path: Path, key: str) -> None:
    async with open_console(tmp_path, log_in=False) as (visitor, _):
        page = await visitor.log_in(key)
        assert page.status == 401
        assert "not a valid API key" in page.text
        assert key == "" or key not in page.html
        assert await is_out(visitor)


async def test_a_key_without_admin_opens_nothing(tmp_path: Path) -> None:
    async with open_console(tmp_path, log_in=False) as (visitor, _):
        _, key = await make_key(visitor, scopes=["read", "submit"])
        page = await visitor.log_in(key)
        assert page.status == 401
        assert "admin" in page.text
        assert await is_out(visitor)


async def test_who_tries_too_often_must_wait(tmp_path: Path) -> None:
    async with open_console(tmp_path, log_in=False, rate_limit_unkeyed=4, trusted_proxies=1) as (visitor, _):
        visitor.http.headers["x-forwarded-for"] = "203.0.113.9"  # this machine's own is never counted
        page = await visitor.see("login")
        statuses = [(await visitor.send(page, "login", key=f"guess {n}")).status for n in range(5)]
        assert statuses == [401, 401, 401, 429, 429]
        visitor.http.headers["x-forwarded-for"] = "203.0.113.10"
        assert (await visitor.log_in()).status == 200
        for _ in range(10):
            assert not await is_out(visitor)  # who has logged in is no stranger


async def test_logging_out_ends_the_session_everywhere(tmp_path: Path) -> None:
    async with open_console(tmp_path) as (visitor, _):
        [(name, cookie)] = visitor.cookies.items()
        page = await visitor.send(await visitor.see("workflows"), "logout")
        assert LOGIN in page.text
        assert await is_out(visitor)
        async with visiting(visitor.base.removesuffix("/console/")) as thief:
            thief.http.headers["cookie"] = f"{name}={cookie}"
            assert await is_out(thief)


async def test_a_revoked_key_takes_its_session_along(tmp_path: Path) -> None:
    async with open_console(tmp_path, log_in=False) as (visitor, _):
        key_id, key = await make_key(visitor)
        assert (await visitor.log_in(key)).status == 200
        assert not await is_out(visitor)
        async with api(visitor) as client:
            await client.post(f"/console/key/{key_id}/revoke")
        assert await is_out(visitor)


async def test_a_key_that_has_lost_admin_takes_its_session_along(tmp_path: Path) -> None:
    async with open_console(tmp_path, log_in=False) as (visitor, _):
        key_id, key = await make_key(visitor)
        await visitor.log_in(key)
        async with api(visitor) as client:
            await client.patch(f"/console/key/{key_id}", json={"scopes": ["read"]})
        assert await is_out(visitor)


async def test_a_session_ends_by_itself(tmp_path: Path) -> None:
    clock = FakeClock()
    async with open_console(tmp_path, clock=clock) as (visitor, _):
        await clock.advance(11 * 3600)
        assert not await is_out(visitor)
        await clock.advance(2 * 3600)
        assert await is_out(visitor)


async def test_a_session_outlives_a_restart_but_not_another_root_key(tmp_path: Path) -> None:
    async with open_console(tmp_path) as (visitor, _):
        [(name, cookie)] = visitor.cookies.items()
    for key, out in ((KEY, False), ("mr_live_another", True), (None, True)):
        async with served(river_of(tmp_path, api_key=key, env="production")) as origin, visiting(origin) as again:
            again.http.headers["cookie"] = f"{name}={cookie}"
            assert await is_out(again) is out


# Forms -----------------------------------------------------------------------------------------------------


async def test_a_form_without_its_token_does_nothing(tmp_path: Path) -> None:
    async with open_console(tmp_path) as (visitor, _):
        page = await visitor.see("structured-outputs/new")
        other = (await visitor.see("workflows/new")).form("workflows/new").fields["token"][0]
        [salt, seal] = other.split(".")
        for token in (None, "", "x", f"{salt}.", f".{seal}", f"{salt}x.{seal}", other[:-1]):
            answer = await visitor.send(page, "structured-outputs/new", token=token, name="forged", schema="{}")
            assert answer.status == 403
            assert "nothing was done" in answer.text
        assert "forged" not in (await visitor.see("structured-outputs")).text
        good = await visitor.send(page, "structured-outputs/new", token=other, name="honest", schema="{}")
        assert good.status == 200
        assert "honest" in (await visitor.see("structured-outputs")).text


async def test_a_token_is_worth_nothing_to_another_visitor(tmp_path: Path) -> None:
    async with open_console(tmp_path) as (visitor, _), visiting(visitor.base.removesuffix("/console/")) as other:
        await other.log_in()
        page = await other.see("structured-outputs/new")
        token = page.form("structured-outputs/new").fields["token"][0]
        mine = await visitor.see("structured-outputs/new")
        assert (await visitor.send(mine, "structured-outputs/new", token=token, name="x", schema="{}")).status == 403


@pytest.mark.parametrize(
    "headers",
    [
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"origin": "https://evil.example"},
        {"origin": "null"},
    ],
    ids=str,
)
async def test_a_form_that_another_site_sends_is_refused(tmp_path: Path, headers: dict[str, str]) -> None:
    async with open_console(tmp_path) as (visitor, _):
        form = (await visitor.see("structured-outputs/new")).form("structured-outputs/new")
        fields = form.filled(name="forged", schema="{}")
        answer = await visitor.post("structured-outputs/new", fields, follow=False, **headers)
        # A foreign origin loses its cookies at the front door already, so that it is nobody here.
        assert answer.status == 403
        assert "forged" not in (await visitor.see("structured-outputs")).text


async def test_no_other_origin_reads_a_page_whoever_is_logged_in(tmp_path: Path) -> None:
    """Not even one that may speak to the API: it would find there the token of every form."""
    shop = "https://shop.example.com"
    async with open_console(tmp_path, allowed_origins=["https://*.example.com"]) as (visitor, _):
        for path in ("workflows", "", "login", "live", "static/console.js", "no/such/page", "../api/console/workflows"):
            for headers in ({}, {"sec-fetch-site": "same-site", "sec-fetch-mode": "cors"}):
                page = await visitor.see(path, follow=False, **({"origin": shop} | headers))
                assert page.status == 403
                assert "origin_not_allowed" in page.text
                assert not [name for name in page.headers if name.startswith("access-control-")]
        async with api(visitor) as client:
            answer = await client.get("console/workflow", headers={"origin": shop})
            assert answer.status_code == 200
            assert answer.headers["access-control-allow-origin"] == shop
        mine = visitor.base.removesuffix("/console/")
        assert (await visitor.see("workflows", follow=False, origin=mine)).status == 200


async def test_a_link_from_elsewhere_finds_the_way_in(tmp_path: Path) -> None:
    """A Strict cookie does not come with it; the page that answers asks again, and then it does."""
    async with open_console(tmp_path, log_in=False) as (visitor, _):
        page = await visitor.see("requests", follow=False, **{"sec-fetch-site": "cross-site"})
        assert page.status == 200
        assert ("meta", {"http-equiv": "refresh", "content": "0"}) in page.tags
        assert await is_out(visitor, "requests")


@pytest.mark.parametrize("kind", ["application/json", "text/plain", "multipart/form-data; boundary=x"])
async def test_only_forms_of_ours_are_read(tmp_path: Path, kind: str) -> None:
    async with open_console(tmp_path) as (visitor, _):
        answer = await visitor.post("structured-outputs/new", {"name": "x"}, **{"content-type": kind})
        assert answer.status == 400


@pytest.mark.parametrize(
    "wanted",
    ["//evil.example", "https://evil.example", "/\\evil.example", "../../../x", "javascript:alert(1)", "login"],
)
async def test_the_login_leads_nowhere_else(tmp_path: Path, wanted: str) -> None:
    async with open_console(tmp_path, log_in=False) as (visitor, _):
        page = await visitor.see(f"login?{httpx.QueryParams({'next': wanted})}")
        answer = await visitor.send(page, "login", key=KEY, follow=False)
        assert httpx.URL(f"{visitor.base}login").join(answer.headers["location"]) == visitor.base


# Nobody, and the host app's own users -----------------------------------------------------------------------


async def test_in_production_nobody_comes_in_without_a_key(tmp_path: Path) -> None:
    async with open_console(tmp_path, log_in=False, api_key=None, env="production") as (visitor, _):
        page = await visitor.see("")
        assert LOGIN in page.text
        assert "no API key" in page.text
        assert await is_out(visitor)


async def test_in_development_without_any_key_it_is_open_on_this_machine(tmp_path: Path) -> None:
    async with open_console(tmp_path, log_in=False, api_key=None) as (visitor, _):
        page = await visitor.see("workflows")
        assert page.status == 200
        assert "Login is off" in page.text
        made = await visitor.send(
            await visitor.see("structured-outputs/new"), "structured-outputs/new", name="free", schema="{}"
        )
        assert "free" in made.text


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "evil.example"},
        {"host": "localhost.evil.example"},
        {"host": "x@localhost"},
        {"host": "[::1"},
        {"x-forwarded-for": "203.0.113.9"},
        {"x-forwarded-proto": "https"},
        {"x-original-host": "river.example"},
        {"x-real-ip": "203.0.113.9"},
        {"cf-connecting-ip": "203.0.113.9"},
        {"via": "1.1 proxy"},
        {"forwarded": "for=203.0.113.9"},
    ],
    ids=str,
)
async def test_but_not_to_a_rebound_name_nor_through_a_tunnel(tmp_path: Path, headers: dict[str, str]) -> None:
    async with open_console(tmp_path, log_in=False, api_key=None) as (visitor, _):
        page = await visitor.see("workflows", follow=False, **headers)
        assert page.status == 303


async def test_nor_to_a_proxy_that_speaks_http_1_0(tmp_path: Path) -> None:
    """As nginx does, which then names no other host than ours."""
    async with open_console(tmp_path, log_in=False, api_key=None) as (visitor, _):
        url = httpx.URL(visitor.base)
        for version, first in (("1.0", b"303"), ("1.1", b"200")):
            reader, writer = await asyncio.open_connection(url.host, url.port)
            head = f"GET /console/workflows?cookie=given HTTP/{version}\r\nHost: 127.0.0.1:{url.port}\r\n"
            writer.write(f"{head}Connection: close\r\n\r\n".encode())
            assert (await reader.read()).split(b" ", 2)[1] == first
            writer.close()


@pytest.mark.parametrize("path", ["settings?cookie=given", "live", "keys/new"])
@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:5173", "sec-fetch-site": "same-site", "sec-fetch-mode": "cors"},
        {"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"},
        {"sec-fetch-site": "same-site", "sec-fetch-mode": "no-cors"},
        {"sec-fetch-site": "same-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "iframe"},
    ],
    ids=str,
)
async def test_nor_to_the_page_of_another_site(tmp_path: Path, headers: dict[str, str], path: str) -> None:
    async with open_console(tmp_path, log_in=False, api_key=None) as (visitor, _):
        page = await visitor.see(path, **headers)
        assert "Login is off" not in page.text
        assert "text/event-stream" not in page.headers["content-type"]
        assert "access-control-allow-origin" not in page.headers


@pytest.mark.parametrize("site", ["none", "same-origin", "same-site"])
async def test_but_to_who_follows_a_link_of_an_app_beside_it(tmp_path: Path, site: str) -> None:
    async with open_console(tmp_path, log_in=False, api_key=None) as (visitor, _):
        link = {"sec-fetch-site": site, "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}
        assert "Login is off" in (await visitor.see("workflows", **link)).text
        again = await visitor.see("workflows", **(link | {"sec-fetch-site": "cross-site"}))
        assert ("meta", {"http-equiv": "refresh", "content": "0"}) in again.tags
        assert "Login is off" not in again.text


async def test_and_no_longer_once_there_is_a_key(tmp_path: Path) -> None:
    async with open_console(tmp_path, log_in=False, api_key=None) as (visitor, _):
        page = await visitor.send(await visitor.see("keys/new"), "keys/new", name="first", scopes=["admin"])
        [key] = re.findall(r'id="secret">([^<]+)<', page.html)
        assert await is_out(visitor)
        assert (await visitor.log_in(key)).status == 200


class Users:
    """The host app's own login: a cookie names the user."""

    def __init__(self) -> None:
        self.known: dict[str, Identity] = {}

    def who(self, scope: Scope) -> Identity | None:
        for name, value in scope["headers"]:
            if name == b"cookie":
                for pair in value.decode().split("; "):
                    user = self.known.get(pair.removeprefix("user="))
                    if user is not None:
                        return user
        return None


async def test_a_user_of_the_host_app_needs_no_key(tmp_path: Path) -> None:
    users = Users()
    async with open_console(tmp_path, log_in=False, authenticator=users.who) as (visitor, river):
        users.known["mia"] = Identity(project_id=river.project_id, subject="mia")
        users.known["tim"] = Identity(project_id=river.project_id, subject="tim", scopes=frozenset({READ}))
        visitor.http.cookies.set("user", "tim")
        assert await is_out(visitor)
        visitor.http.cookies.set("user", "mia")
        page = await visitor.see("structured-outputs/new")
        assert page.status == 200
        assert "cookie=given" in page.url
        made = await visitor.send(page, "structured-outputs/new", name="mias", schema="{}")
        assert "mias" in made.text
        assert not [form for form in made.forms if form.action.endswith("logout")], "it would let her straight in again"
        assert (await visitor.send(page, "structured-outputs/new", name="x", schema="{}", token="")).status == 403


async def test_a_key_in_a_header_is_for_the_api_alone(tmp_path: Path) -> None:
    async with open_console(tmp_path, log_in=False) as (visitor, _):
        assert await is_out(visitor)
        page = await visitor.see("workflows", follow=False, authorization=f"Bearer {KEY}")
        assert page.status == 303


async def test_a_host_login_that_breaks_ends_a_live_page_in_order(tmp_path: Path) -> None:
    broken = False

    async def login(_: Scope) -> Identity | None:
        if broken:
            raise RuntimeError("boom")
        return None

    async with open_console(tmp_path, authenticator=login, heartbeat=0.3) as (visitor, _):
        page = await visitor.see("keys")
        async with visitor.http.stream("GET", "live") as stream:
            chunks = stream.aiter_raw()
            await anext(chunks)
            broken = True
            await visitor.send(page, "logout", follow=False)
            async with asyncio.timeout(10):
                async for _chunk in chunks:  # a broken answer is httpx.RemoteProtocolError
                    pass
