"""Which pages may speak to riverflow: the app's own, those that are named, and what they come with."""

from __future__ import annotations

from typing import Any

import pytest

from riverflow._origins import Origins
from riverflow.config import Settings
from riverflow.errors import ConfigError
from riverflow.ports import Scope

HOST = "api.example.com"


def origins(**settings: Any) -> Origins:
    return Origins(Settings.load(settings))


def scope_of(host: str | None = HOST) -> Scope:
    return {"type": "http", "headers": [(b"host", host.encode())] if host is not None else []}


def seen(listed: Origins, origin: str, host: str | None = HOST) -> str:
    """`own`, `named`, `anybody`, or `refused`."""
    visit = listed.visit(origin.encode("latin-1"), scope_of(host))
    if visit is None:
        return "refused"
    headers = dict(visit.headers)
    allowed = headers.get(b"access-control-allow-origin")
    if allowed is None:
        assert visit.ambient
        return "own"
    if allowed == b"*":
        assert not visit.ambient
        assert b"access-control-allow-credentials" not in headers
        return "anybody"
    assert allowed == origin.encode("latin-1")
    assert headers[b"access-control-allow-credentials"] == b"true"
    assert headers[b"vary"] == b"origin"
    return "named"


OWN = [
    ("https://api.example.com", HOST),
    ("http://api.example.com", HOST),
    ("https://API.example.com", "api.Example.com"),
    ("https://api.example.com", "api.example.com:443"),
    ("http://localhost:8000", "localhost:8000"),
    ("http://[::1]:8000", "[::1]:8000"),
]
FOREIGN = [
    ("https://evil.example", HOST),
    ("https://api.example.com.evil.example", HOST),
    ("https://evil-api.example.com", HOST),
    ("https://api.example.com:8443", HOST),
    ("http://localhost:3000", "localhost:8000"),
    ("null", HOST),
    ("", HOST),
    ("https://", ""),
    ("://", None),
    ("\xff", HOST),
    ("api.example.com", HOST),
]


@pytest.mark.parametrize("env", ["production", "development"])
def test_the_app_s_own_pages_are_let_in_everywhere(env: str) -> None:
    for origin, host in OWN:
        assert seen(origins(env=env), origin, host) == "own", origin


def test_in_production_nobody_else_is() -> None:
    for origin, host in FOREIGN:
        assert seen(origins(), origin, host) == "refused", origin


def test_in_development_everybody_is_but_without_his_cookies() -> None:
    for origin, host in FOREIGN:
        assert seen(origins(env="development"), origin, host) == "anybody", origin


def test_development_can_be_closed_and_production_opened() -> None:
    for origin, host in FOREIGN:
        assert seen(origins(env="development", allowed_origins=()), origin, host) == "refused"
        assert seen(origins(env="development", allowed_origins=""), origin, host) == "refused"
        assert seen(origins(allowed_origins="*"), origin, host) == "anybody"


@pytest.mark.parametrize("form", [", ".join, list, tuple])
def test_who_is_named_is_let_in_with_his_cookies_and_nobody_else(form: Any) -> None:
    listed = origins(allowed_origins=form(["https://app.example.com", "http://localhost:3000/", "null"]))
    for origin in ("https://app.example.com", "HTTPS://App.Example.com", "http://localhost:3000", "null"):
        assert seen(listed, origin) == "named", origin
    for origin in (
        "http://app.example.com",
        "https://app.example.com:444",
        "https://x.app.example.com",
        "https://evil",
    ):
        assert seen(listed, origin) == "refused", origin


def test_a_name_goes_before_the_star() -> None:
    listed = origins(allowed_origins="*, https://app.example.com")
    assert seen(listed, "https://app.example.com") == "named"
    assert seen(listed, "https://other.example") == "anybody"


def test_a_wildcard_is_for_what_is_below_it() -> None:
    listed = origins(allowed_origins="https://*.example.org, https://*.example.net:8443")
    for origin in ("https://a.example.org", "https://a.b.example.org", "https://a.example.net:8443"):
        assert seen(listed, origin) == "named", origin
    for origin in (
        "https://example.org",
        "https://.example.org",
        "http://a.example.org",
        "https://evilexample.org",
        "https://a.example.org.evil.example",
        "https://evil.example/.example.org",
        "https://evil.example#.example.org",
        "https://user@evil.example?.example.org",
        "https://a.example.net",
    ):
        assert seen(listed, origin) == "refused", origin


def test_behind_a_proxy_that_changes_the_host_the_public_url_says_which_is_its_own() -> None:
    listed = origins(public_url="https://www.example.com/river")
    assert seen(listed, "https://www.example.com", "internal:8000") == "own"
    assert seen(listed, "https://internal", "internal:8000") == "refused"


@pytest.mark.parametrize(
    "wrong",
    [
        "app.example.com",
        "https://",
        "ftp://example.com",
        "https://example.com/app",
        "https://*",
        "https://a.*.com",
        "**",
    ],
)
def test_what_is_no_origin_is_told_at_the_start(wrong: str) -> None:
    with pytest.raises(ConfigError, match="allowed_origins"):
        origins(allowed_origins=["https://app.example.com", wrong])
