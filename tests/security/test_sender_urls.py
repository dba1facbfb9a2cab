"""Sender cases 8 to 14: what a URL may look like, and that whoever dials it reads the same in it."""

from __future__ import annotations

import time
from urllib.parse import urlsplit

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyreqwest.http import Url as RustUrl
from yarl import URL

from riverflow.egress import Egress
from riverflow.errors import HttpError
from riverflow.urls import MAX_URL, Url

PRODUCTION = Egress()
DEVELOPMENT = Egress(development=True)

CASE_8 = """
2130706433 017700000001 0177.0.0.1 0x7f.1 0x7f000001 0X7F000001 127.1 127.0.1 127.0.0.01 127.0.0.0x1 0x7f.0.0.1
256.0.0.1 1.2.3.256 4294967296 1.2.3.4.5 127.0.0.1.1 00.0.0.0
"""
CASE_9 = [
    "%65xample.com",
    "127%2e0.0.1",
    "exa%00mple.com",
    "１２７.0.0.1",
    "127。0。0。1",
    "127．0．0．1",
    "127｡0｡0｡1",
    "exämple.com",
    "exa\u00admple.com",
    "exa\u200bmple.com",
    "a..com",
    ".a.com",
    "a.com..",
    "a" * 64 + ".com",
    "a." * 126 + "ab",
    "-a.com",
    "a-.com",
]
CASE_10_ALWAYS = ["[127.0.0.1]", "[::1%25eth0]", "[fe80::1%eth0]", "[::1", "::1", "[v1.a]", "[]"]
CASE_10_PRODUCTION = """
[::ffff:127.0.0.1] localhost LOCALHOST. a.localhost printer.local db.internal intranet router.home.arpa x.corp x.lan
"""
CASE_11 = """
file:///etc/passwd gopher://a.test/ ftp://a.test/ data:text/plain,x unix:///run/a.sock ws://a.test/ wss://a.test/
//a.test/ a.test javascript:alert(1) ldap://a.test/ dict://a.test/ jar:https://a.test/!/ asgi:///hook local:event
"""
CASE_12 = [
    "https://user@example.com/",
    "https://good:80@example.com/",
    "https://a@b@example.com/",
    "https://good.com#@evil.com/",
    "https://good.com?@evil.com/",
    "https://good.com\\@evil.com/",
    "https://good.com\\.evil.com/",
    "https:\\\\good.com/",
    "https://exa\tmple.com/",
    "https://example.com/\r\nX: y",
    "https://example.com/\nX",
    "https://example.com/\x00",
    "https://exa mple.com/",
    " https://example.com/",
    "https://example.com/ ",
    "https:///example.com/",
    "https:/example.com/",
    "https:example.com",
    "https://exa\u2028mple.com/",
]
CASE_13 = [":0", ":65536", ":", ":+443", ":-1", ":4e2", ":0x1bb", ":443:443", ":４４３"]
WELL_KNOWN = [22, 23, 25, 110, 143, 465, 587, 993, 2375, 3306, 3389, 5432, 6379, 9200, 11211, 27017]


def refusal(url: str, egress: Egress = PRODUCTION) -> str | None:
    """Why a delivery to a URL is refused; None where it is not."""
    try:
        egress.check_url(url, "delivery")
    except HttpError as error:
        if error.code != "policy":
            raise
        return error.message
    return None


@pytest.mark.parametrize("host", CASE_8.split())
@pytest.mark.parametrize("end", ["", "."])
def test_an_ipv4_address_has_one_spelling(host: str, end: str) -> None:
    """Sender case 8: decimal, octal, hexadecimal, short, mixed, leading zeros, over range; in development too."""
    assert refusal(f"https://{host}{end}/", DEVELOPMENT)
    assert refusal(f"https://127.0.0.1{end}/") == "refused by the egress policy: the address is not public"


@pytest.mark.parametrize("host", CASE_9)
def test_a_host_name_is_plain_ascii_with_good_labels(host: str) -> None:
    """Sender case 9: percent-encoded, full-width, look-alike dots, invisible characters, bad labels."""
    assert refusal(f"https://{host}/", DEVELOPMENT)


def test_a_host_name_in_capitals_or_punycode_is_one_name() -> None:
    """Sender case 9: lower-cased for the look-up, the pool and the Host header alike."""
    read = PRODUCTION.check_url("https://WWW.XN--EXMPLE-CUA.com./", "delivery")
    assert (read.host, read.authority) == ("www.xn--exmple-cua.com",) * 2


@pytest.mark.parametrize("host", CASE_10_ALWAYS)
def test_brackets_hold_plain_ipv6_only(host: str) -> None:
    """Sender case 10: no IPv4, no zone, no future version."""
    assert refusal(f"https://{host}/", DEVELOPMENT)


@pytest.mark.parametrize("host", CASE_10_PRODUCTION.split())
def test_local_names_are_refused_in_production(host: str) -> None:
    """Sender case 10: loopback in disguise, single labels, and what only local resolvers know."""
    assert refusal(f"https://{host}/")
    assert refusal(f"https://{host}/", DEVELOPMENT) is None


@pytest.mark.parametrize("url", CASE_11.split())
def test_only_http_and_https_are_called(url: str) -> None:
    """Sender case 11."""
    assert refusal(url, DEVELOPMENT)


def test_production_calls_https_only() -> None:
    """Sender case 11: the switch is the mode."""
    assert refusal("http://example.com/") == "refused by the egress policy: only https is allowed in production"
    assert refusal("http://example.com/", DEVELOPMENT) is None
    assert PRODUCTION.check_url("http://ollama:11434/v1", "provider").scheme == "http"


@pytest.mark.parametrize("url", CASE_12)
def test_what_parsers_read_differently_is_refused(url: str) -> None:
    """Sender case 12: user information, backslashes, control characters, spaces, too many or too few slashes."""
    assert refusal(url, DEVELOPMENT)


@pytest.mark.parametrize("port", CASE_13)
def test_a_port_is_a_number_in_range(port: str) -> None:
    """Sender case 13."""
    assert refusal(f"https://example.com{port}/", DEVELOPMENT)


@pytest.mark.parametrize("port", WELL_KNOWN)
def test_ports_of_other_protocols_are_never_called(port: int) -> None:
    """Sender case 13: in development neither, and an opening cannot name them (see the settings)."""
    for egress in (PRODUCTION, DEVELOPMENT, Egress(ports=frozenset({port}))):
        assert refusal(f"https://example.com:{port}/", egress)


def test_production_calls_443_80_and_what_is_listed() -> None:
    """Sender case 13."""
    listed = Egress(ports=frozenset({8443}))
    assert refusal("https://example.com:8443/", listed) is None
    assert "egress_ports" in (refusal("https://example.com:8443/") or "")
    assert "egress_ports" in (refusal("https://example.com:8444/", listed) or "")
    assert {refusal(f"https://example.com{port}/") for port in ("", ":443", ":80")} == {None}
    assert refusal("https://example.com:8444/", DEVELOPMENT) is None


def test_a_url_has_a_longest_length() -> None:
    """Sender case 14."""
    longest = "https://example.com/".ljust(MAX_URL, "a")
    assert refusal(longest) is None
    assert refusal(longest + "a")


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("https://example.com/a%2Fb//c;d=1?x=%20&&y=#part", "/a%2Fb//c;d=1?x=%20&&y="),
        ("https://example.com?x#y", "/?x"),
        ("https://example.com#/a?b", "/"),
    ],
)
def test_path_and_query_stay_and_the_fragment_goes(url: str, target: str) -> None:
    """Sender case 14."""
    assert PRODUCTION.check_url(url, "delivery").target == target


@pytest.mark.parametrize("target", ["/a/../b", "/./a", "/%2e%2E/a", "/{a}", "/a|b", "/?a=`b`", "/?a='b'", "/?"])
def test_what_a_client_would_rewrite_is_refused(target: str) -> None:
    """Sender case 14: byte for byte, or not at all."""
    assert refusal(f"https://example.com{target}", DEVELOPMENT)


def readings(read: Url) -> dict[str, tuple[str, int | None, str]]:
    """Host, port and target as each parser on the way to a socket finds them in the text."""
    text, standard, yarl, other = read.text, urlsplit(read.text), URL(read.text, encoded=True), httpx.URL(read.text)
    query = f"?{standard.query}" if "?" in text else ""
    found = {
        "urllib": (standard.hostname or "", standard.port or {"http": 80, "https": 443}[standard.scheme]),
        "yarl (aiohttp)": (yarl.raw_host or "", yarl.port),
        "httpx": (other.raw_host.decode().strip("[]"), other.port or {"http": 80, "https": 443}[other.scheme]),
    }
    targets = {
        "urllib": (standard.path or "/") + query,
        "yarl (aiohttp)": yarl.raw_path_qs,
        "httpx": read.target,  # which escapes anew what it is given; the client hands over the target itself
    }
    if "xn--" not in read.host:  # the Rust parser refuses some of what these decode to
        rust = RustUrl(text)
        found["url (pyreqwest)"] = ((rust.host_str or "").strip("[]"), rust.port_or_known_default)
        targets["url (pyreqwest)"] = rust.path + (f"?{rust.query_string}" if rust.query_string is not None else "")
    return {name: (*found[name], targets[name]) for name in found}


@given(
    st.text(alphabet="htps:/@#?[]\\.%0x1279aZ-_ \t\u3002'{}|", max_size=30).map(lambda rest: f"http://{rest}")
    | st.from_regex(r"https?://[a-z0-9.@:\[\]%-]{1,20}(:[0-9]{1,5})?[/?#]?[a-z@:/.%2e'?]{0,12}", fullmatch=True)
    | st.builds(
        "https://{}{}{}".format,
        st.sampled_from(["a.test", "A.test.", "93.184.216.34", "[2606:4700::1111]", "[::ffff:8.8.8.8]"]),
        st.sampled_from(["", ":80", ":443", ":8443"]),
        st.text(alphabet="/?#.%2e;:@&=+$,!*'()[]~_-a", max_size=20).map(lambda rest: f"/{rest}"),
    )
)
def test_what_was_vetted_is_what_every_client_reads(url: str) -> None:
    """Sender case 12: the verdict is total, and all parsers agree on the host, the port and the bytes that are sent."""
    try:
        read = DEVELOPMENT.check_url(url, "provider")
    except HttpError as error:
        if error.code != "policy":
            raise
        return
    for parser, reading in readings(read).items():
        assert reading == (read.host, read.port, read.target), parser


def test_reading_a_hostile_url_takes_no_time() -> None:
    """Sender case 14: no pattern that a long text can drive to and fro."""

    begun = time.process_time()
    for piece in ("a", ".", "%2e", "/.", "-a", "1.", "[", ":", "@", "?'"):
        for _ in range(20):
            refusal("https://" + piece * (MAX_URL // len(piece) - 8), DEVELOPMENT)
            refusal("https://a.test/" + piece * (MAX_URL // len(piece) - 20), DEVELOPMENT)
    assert time.process_time() - begun < 5
