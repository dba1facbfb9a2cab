"""Whose address a connection comes from, and whom one must believe for that."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from riverflow._peers import Peers
from riverflow.errors import ConfigError
from riverflow.ports import Scope

PROXY, INNER, CLIENT, LIAR = "10.0.0.1", "10.0.0.2", "198.51.100.7", "192.0.2.66"


def scope_of(peer: str, *forwarded: str) -> Scope:
    headers = [(b"x-forwarded-for", line.encode("latin-1")) for line in forwarded]
    return {"type": "http", "client": (peer, 4711), "headers": headers}


@pytest.mark.parametrize("trusted", [(), "", 0, "0", ["192.168.0.0/16"]])
def test_without_a_trusted_proxy_nobody_is_believed(trusted: Any) -> None:
    assert Peers(trusted).of(scope_of(PROXY, CLIENT)) == PROXY


@pytest.mark.parametrize(
    ("count", "forwarded", "found"),
    [
        (1, [CLIENT], CLIENT),
        (1, [f"{LIAR}, {CLIENT}"], CLIENT),
        (1, [LIAR, CLIENT], CLIENT),
        (2, [f"{LIAR}, {CLIENT}, {INNER}"], CLIENT),
        (2, [f"{LIAR},{CLIENT}", INNER], CLIENT),
        (2, [LIAR], PROXY),
        (1, [], PROXY),
        (1, ["unknown"], PROXY),
        (1, [""], PROXY),
        (1, [f"{CLIENT}:4711"], CLIENT),
        (1, [f'"{CLIENT}:4711"'], CLIENT),
        (1, ["[2001:db8::1]:4711"], "2001:db8::/64"),
        (1, ["2001:db8::1"], "2001:db8::/64"),
        (1, ["fe80::1%eth0"], "fe80::/64"),
        (1, ["::ffff:198.51.100.7"], CLIENT),
    ],
)
def test_of_so_many_proxies_the_outermost_is_believed(count: int, forwarded: list[str], found: str) -> None:
    for trusted in (count, str(count)):
        assert Peers(trusted).of(scope_of(PROXY, *forwarded)) == found


@pytest.mark.parametrize(
    ("peer", "forwarded", "found"),
    [
        (PROXY, [CLIENT], CLIENT),
        (PROXY, [f"{LIAR}, {CLIENT}, {INNER}"], CLIENT),
        (PROXY, [f"{LIAR}, {CLIENT}", INNER], CLIENT),
        (LIAR, [CLIENT], LIAR),
        (PROXY, [INNER], INNER),
        (PROXY, [], PROXY),
        (PROXY, [f"{LIAR}, nonsense, {INNER}"], INNER),
        ("::ffff:10.0.0.1", [CLIENT], CLIENT),
    ],
)
@pytest.mark.parametrize("trusted", ["10.0.0.0/8", "10.0.0.1, 10.0.0.2", ["10.0.0.0/24", "fd00::/8"]])
def test_trusted_proxies_are_believed_and_nobody_before_them(
    trusted: Any, peer: str, forwarded: list[str], found: str
) -> None:
    assert Peers(trusted).of(scope_of(peer, *forwarded)) == found


def test_a_socket_without_an_address_is_this_machine() -> None:
    for client in (None, ("", 0), ("/run/river.sock", None), ("testclient", 50000)):
        assert Peers(()).of({"type": "http", "client": client, "headers": []}) is None


@pytest.mark.parametrize("trusted", ["proxy.internal", "10.0.0.0/33", ["10.0.0.1/8"], -1, "1,2", "10.0.0.1,,x"])
def test_what_is_no_proxy_is_told_at_the_start(trusted: Any) -> None:
    with pytest.raises(ConfigError, match="trusted_proxies"):
        Peers(trusted)


@given(st.lists(st.text(max_size=40).map(lambda text: text.encode("utf-8").decode("latin-1")), max_size=40))
def test_no_header_breaks_anything_nor_is_believed_beyond_the_proxies(lines: list[str]) -> None:
    for trusted in ((), 1, 3, "10.0.0.0/8"):
        found = Peers(trusted).of(scope_of(LIAR, *lines))
        assert found is None or isinstance(found, str)
    assert Peers("10.0.0.0/8").of(scope_of(LIAR, *lines)) == LIAR
    assert Peers(1).of(scope_of(LIAR, *lines, CLIENT)) == CLIENT
