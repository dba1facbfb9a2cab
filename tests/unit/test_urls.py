"""Which URLs may be dialled by their text: host spellings, shapes, ports, and one reading for every parser."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyreqwest.http import Url as RustUrl

from riverflow.egress import Egress
from riverflow.errors import HttpError
from riverflow.urls import MAX_URL, Purpose, Url

ALWAYS_REFUSED = [
    "",
    "example.com",
    "//example.com/",
    "file:///etc/passwd",
    "gopher://example.com/",
    "ftp://example.com/",
    "data:text/plain,x",
    "unix:///run/docker.sock",
    "ws://example.com/",
    "https:/example.com/",
    "https:example.com",
    "https:///path",
    "https://",
    "https://user@example.com/",
    "https://good:80@example.com/",
    "https://a@b@example.com/",
    "https://good#@example.com@evil/",
    "https://good.com#@evil.com/",
    "https://good.com?@evil.com/",
    "https://example.com\\@evil.com/",
    "https://example.com\\.evil.com/",
    "https://exa\tmple.com/",
    "https://example.com/\r\nX: y",
    "https://example.com/\x00",
    "https://exa mple.com/",
    " https://example.com/",
    "https://example.com/ ",
    "https://example.com/\u3000x",
    "https://example.com:0/",
    "https://example.com:65536/",
    "https://example.com:/",
    "https://example.com:+443/",
    "https://example.com:-1/",
    "https://example.com:4e2/",
    "https://example.com:443:443/",
    "https://2130706433/",
    "https://0x7f000001/",
    "https://0x7f.1/",
    "https://0177.0.0.1/",
    "https://127.1/",
    "https://127.0.1/",
    "https://127.0.0.01/",
    "https://127.0.0.0x1/",
    "https://256.0.0.1/",
    "https://1.2.3.4.5/",
    "https://[127.0.0.1]/",
    "https://[::1%25eth0]/",
    "https://[fe80::1%eth0]/",
    "https://[::1/",
    "https://::1/",
    "https://[::1]x/",
    "https://[v1.x]/",
    "https://%65xample.com/",
    "https://exa%00mple.com/",
    "https://example..com/",
    "https://.example.com/",
    "https://example.com../",
    "https://-example.com/",
    "https://example-.com/",
    "https://" + "a" * 64 + ".com/",
    "https://" + "a." * 127 + "com/",
    "https://exämple.com/",
    "https://127。0。0。1/",
    "https://127．0．0．1/",
    "https://１２７.0.0.1/",
    "https://exa\u00admple.com/",
    "https://exa\u200bmple.com/",
    "https://*.example.com/",
    "https://exa$mple.com/",
    "https://metadata.google.internal/",
    "https://METADATA.google.internal./",
    "https://x.metadata.google.internal/",
    "https://169.254.169.254/latest",
    "https://224.0.0.1/",
    "https://[ff02::1]/",
    "https://[::ffff:169.254.169.254]/",
    "https://example.com/" + "a" * MAX_URL,
    "https://example.com/a/../b",
    "https://example.com/./b",
    "https://example.com:8443//a/./b",
    "https://example.com/a/%2E%2e/b",
    "https://example.com/a/.%2e",
    "https://example.com/..?x",
    "https://example.com/{id}",
    "https://example.com/a|b",
    "https://example.com/a^b",
    "https://example.com/?q=`x`",
    'https://example.com/?q="x"',
    "https://example.com/?q=<x>",
    "https://example.com/?q='x'",
    "https://example.com/?",
]

REFUSED_IN_PRODUCTION = [
    "http://example.com/",
    "https://localhost/",
    "https://LOCALHOST./",
    "https://a.localhost/",
    "https://printer.local/",
    "https://db.internal/",
    "https://router.home.arpa/",
    "https://intranet/",
    "https://127.0.0.1/",
    "https://127.0.0.1./",
    "https://10.1.2.3/",
    "https://[::1]/",
    "https://[::ffff:127.0.0.1]/",
    "https://[0:0:0:0:0:ffff:7f00:1]/",
    "https://[64:ff9b::10.0.0.1]/",
    "https://[2002:7f00:1::]/",
    "https://0.0.0.0/",
]


def check_url(url: str, purpose: Purpose, *, development: bool) -> Url:
    return Egress(development=development, ports=frozenset({8443})).check_url(url, purpose)


def refused(url: str, purpose: Purpose = "delivery", *, development: bool) -> bool:
    return read_or_code(url, purpose, development) == "policy"


def read_or_code(url: str, purpose: Purpose, development: bool) -> Url | str:
    try:
        return check_url(url, purpose, development=development)
    except HttpError as error:
        return error.code


@pytest.mark.parametrize("url", ALWAYS_REFUSED)
def test_refused_in_every_mode(url: str) -> None:
    assert refused(url, development=False)
    assert refused(url, development=True)
    assert refused(url, "provider", development=False)


@pytest.mark.parametrize("url", REFUSED_IN_PRODUCTION)
def test_refused_in_production_only(url: str) -> None:
    assert refused(url, development=False)
    assert not refused(url, development=True)
    assert not refused(url, "provider", development=False)


@pytest.mark.parametrize("port", [22, 25, 110, 465, 587, 3306, 3389, 5432, 6379, 9200, 11211, 27017])
def test_ports_of_other_protocols_are_refused(port: int) -> None:
    assert refused(f"https://example.com:{port}/", development=False)
    assert refused(f"http://127.0.0.1:{port}/", development=True)
    assert not refused(f"http://127.0.0.1:{port}/", "provider", development=False)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://example.com", Url("https", "example.com", 443, "/")),
        ("HTTPS://Example.COM./a?b#c", Url("https", "example.com", 443, "/a?b")),
        ("https://example.com?b=%2f//", Url("https", "example.com", 443, "/?b=%2f//")),
        ("https://example.com:8443//a//b/", Url("https", "example.com", 8443, "//a//b/")),
        ("https://xn--exmple-cua.com/", Url("https", "xn--exmple-cua.com", 443, "/")),
        ("https://a_b.example.com/", Url("https", "a_b.example.com", 443, "/")),
        ("https://example.com/.well-known/a..b/...", Url("https", "example.com", 443, "/.well-known/a..b/...")),
        ("https://example.com/it's?a=%27??", Url("https", "example.com", 443, "/it's?a=%27??")),
        ("https://example.com/a;b,c=d!$&()*+~[x]%zz", Url("https", "example.com", 443, "/a;b,c=d!$&()*+~[x]%zz")),
        ("https://example.com/@x:y", Url("https", "example.com", 443, "/@x:y")),
        ("https://example.com/" + "a" * (MAX_URL - 20), Url("https", "example.com", 443, "/" + "a" * (MAX_URL - 20))),
    ],
)
def test_what_is_read(url: str, expected: Url) -> None:
    assert check_url(url, "delivery", development=False) == expected


@pytest.mark.parametrize(
    ("url", "authority", "text"),
    [
        ("http://EXAMPLE.com:80/a", "example.com", "http://example.com/a"),
        ("https://example.com:80/", "example.com:80", "https://example.com:80/"),
        ("http://[2606:4700:0:0::1111]:8080/", "[2606:4700::1111]:8080", "http://[2606:4700::1111]:8080/"),
        ("http://93.184.216.34#x", "93.184.216.34", "http://93.184.216.34/"),
    ],
)
def test_the_normal_form(url: str, authority: str, text: str) -> None:
    read = check_url(url, "delivery", development=True)
    assert (read.authority, read.text) == (authority, text)


@given(
    st.text(alphabet="htps:/@#?[]\\.%0x1279aZ-_ \t\u3002", max_size=30).map(lambda rest: f"http://{rest}")
    | st.from_regex(r"https?://[a-z0-9.@:\[\]%-]{1,20}(:[0-9]{1,5})?[/?#]?[a-z@:/]{0,8}", fullmatch=True)
)
def test_every_parser_finds_the_host_that_was_vetted(url: str) -> None:
    """The verdict is total; and what is let through means the same to the Rust client and the standard library."""
    read = read_or_code(url, "provider", development=True)
    if isinstance(read, str):
        assert read == "policy"
        return
    parts = urlsplit(read.text)
    assert (parts.hostname, parts.username) == (read.host, None)
    assert (parts.port or {"http": 80, "https": 443}[parts.scheme]) == read.port
    if "xn--" not in read.host:
        rust = RustUrl(read.text)
        assert ((rust.host_str or "").strip("[]"), rust.port_or_known_default) == (read.host, read.port)
