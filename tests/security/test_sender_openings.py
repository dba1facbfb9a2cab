"""Sender cases 6, 13 and 36: what the operator opens, what stays shut, and that riverflow does not call itself."""

from __future__ import annotations

import ipaddress
import logging
from typing import Any

import pytest

from riverflow import Riverflow
from riverflow.builtin.http.guard import Guard
from riverflow.config import Settings
from riverflow.egress import Egress, Opening
from riverflow.errors import ConfigError, HttpError, InvalidRequest
from riverflow.hops import HOPS, check_hops
from riverflow.testing import FakeClock
from riverflow.testing.suites.http import names

METADATA = ("169.254.169.254", "fd00:ec2::254", "100.100.100.200", "168.63.129.16", "192.0.0.192")


def called(egress: Egress, url: str, *answers: str, project: str = "p") -> bool:
    """Whether a delivery of the project's to a URL whose name has these answers would be made."""
    try:
        read = egress.check_url(url, "delivery", project)
        for answer in answers or ([str(read.address)] if read.address else []):
            egress.check_address(ipaddress.ip_address(answer), read.host, "delivery", project)
    except HttpError as error:
        if error.code != "policy":
            raise
        return False
    return True


def opened(*entries: str, **settings: Any) -> Egress:
    return Egress.of(Settings(egress_allow=entries, **settings))


def test_an_exact_host_may_be_private() -> None:
    """Sender case 36: that name, and no other at the same address."""
    egress = opened("Billing.internal.")
    assert called(egress, "https://billing.internal/", "10.0.0.5")
    assert called(egress, "https://BILLING.internal./hook", "10.0.0.5", "fd12::5")
    assert not called(egress, "https://other.internal/", "10.0.0.5")
    assert not called(egress, "https://billing.internal.example.com/", "10.0.0.5")
    assert not called(egress, "https://10.0.0.5/")


@pytest.mark.parametrize("entry", [".corp.example", "*.corp.example"])
def test_a_suffix_opens_all_names_below_it(entry: str) -> None:
    """Sender case 36: the name itself and names that merely end alike stay shut."""
    egress = opened(entry)
    assert called(egress, "https://a.corp.example/", "10.0.0.5")
    assert called(egress, "https://a.b.corp.example/", "192.168.7.1")
    assert not called(egress, "https://corp.example/", "10.0.0.5")
    assert not called(egress, "https://evilcorp.example/", "10.0.0.5")


@pytest.mark.parametrize(
    ("entry", "inside"),
    [
        ("10.1.0.0/16", "10.1.2.3"),
        ("10.1.2.3", "10.1.2.3"),
        ("127.0.0.0/8", "127.0.0.1"),
        ("fd12::/48", "fd12::3"),
        ("[fd12::3]", "fd12::3"),
    ],
)
def test_a_network_opens_its_addresses(entry: str, inside: str) -> None:
    """Sender case 36: as literals, and behind names, local ones too; one address outside is enough to refuse."""
    egress = opened(entry)
    assert called(egress, f"https://[{inside}]/" if ":" in inside else f"https://{inside}/")
    assert called(egress, "https://hook.example.com/", inside)
    assert called(egress, "https://db.internal/", inside)
    assert not called(egress, "https://hook.example.com/", inside, "10.200.0.1")
    assert not called(egress, "https://10.200.0.1/")
    assert not called(egress, "https://[fd99::1]/")


@pytest.mark.parametrize("entry", ["169.254.0.0/16", "fd00::/8", "100.64.0.0/10", "192.0.0.0/24", ".internal", ".test"])
def test_no_opening_reaches_metadata(entry: str) -> None:
    """Sender cases 5 and 36: by address, by name, or behind a name that is open."""
    egress = opened(entry)
    for address in METADATA:
        assert not called(egress, f"https://[{address}]/" if ":" in address else f"https://{address}/")
        assert not called(egress, "https://a.test/", address)
    assert not called(egress, "https://metadata.google.internal/", "8.8.8.8")
    assert not called(egress, "https://metadata.google.internal/", "169.254.169.254")


def test_an_opening_of_one_project_is_not_anothers() -> None:
    """Sender case 36. At the doors, where a URL is only written down, any project's opening counts."""
    egress = opened("10.0.0.0/8@p1", "billing.internal@p2")
    assert called(egress, "https://10.0.0.5/", project="p1")
    assert not called(egress, "https://10.0.0.5/", project="p2")
    assert called(egress, "https://billing.internal/", "10.0.0.5", project="p2")
    assert not called(egress, "https://billing.internal/", "192.168.0.1", project="p1")
    assert egress.check_url("https://10.0.0.5/", "delivery").host == "10.0.0.5"


def test_an_opening_opens_neither_http_nor_ports() -> None:
    """Sender cases 11, 13 and 36."""
    assert not called(opened("10.0.0.0/8"), "http://10.0.0.5/")
    assert not called(opened("10.0.0.0/8"), "https://10.0.0.5:8443/")
    assert called(opened("10.0.0.0/8", egress_ports=8443), "https://10.0.0.5:8443/")


@pytest.mark.anyio
async def test_what_is_opened_is_logged_where_it_is_used(caplog: pytest.LogCaptureFixture) -> None:
    """Sender case 36: audited, by entry, project and host."""
    caplog.set_level(logging.INFO, "riverflow.egress")
    guard = Guard(
        FakeClock(), opened(".corp.example", "10.9.0.0/16"), names(a_corp_example=("10.0.0.5",), b_test=("1.1.1.1",))
    )
    await guard.vet("https://b.test/", "delivery", 5, "p1")
    assert not caplog.messages
    await guard.vet("https://a.corp.example/", "delivery", 5, "p1")
    assert caplog.messages == ["egress_allow ['.corp.example'] lets project p1 call a.corp.example"]


@pytest.mark.parametrize(
    "entry",
    [
        "",
        "10.0.0.0/33",
        "10.0.0.1/8",
        "0.0.0.0/0",
        "::/0",
        "a b",
        "http://a.test",
        "a.test:8443",
        "a..b",
        "@p",
        "a@",
        "1.2.3",
    ],
)
def test_an_opening_that_cannot_be_meant_stops_the_start(entry: str) -> None:
    """Sender case 36: typing errors open nothing by chance."""
    with pytest.raises(ConfigError, match="egress_allow"):
        Opening.parse(entry)


@pytest.mark.parametrize("ports", [0, 65536, -1, "https", "443,x", "25", (443, 5432)])
def test_a_port_that_cannot_be_meant_stops_the_start(ports: Any) -> None:
    """Sender case 13."""
    with pytest.raises(ConfigError, match="egress_ports"):
        Egress.of(Settings(egress_ports=ports))


@pytest.mark.anyio
async def test_the_app_does_not_start_with_settings_that_cannot_be_meant() -> None:
    """Sender cases 13 and 36."""
    for setting in ({"egress_allow": "10.0.0.0/33"}, {"egress_ports": 25}):
        river = Riverflow(database_url="memory://", **setting)  # type: ignore[arg-type]
        with pytest.raises(ConfigError, match="egress_"):
            async with river.lifespan():
                raise AssertionError("it started")


def test_lists_may_come_from_the_environment() -> None:
    """Sender cases 13 and 36."""
    environ = {"RIVERFLOW_EGRESS_ALLOW": "10.1.0.0/16, .corp.example@p1,", "RIVERFLOW_EGRESS_PORTS": "8443, 9443"}
    egress = Egress.of(Settings.load(environ=environ))
    assert [opening.text for opening in egress.openings] == ["10.1.0.0/16", ".corp.example@p1"]
    assert egress.ports == {8443, 9443}


@pytest.mark.parametrize(
    ("public_url", "url", "own"),
    [
        ("https://api.example.com/river", "https://api.example.com/river/v1/ai/async", True),
        ("https://api.example.com/river/", "https://API.example.com.:443/river//api/v1/callback/x?y", True),
        ("https://api.example.com/river", "https://api.example.com/%72iver/%761/ai/async", True),
        ("https://api.example.com/river", "https://api.example.com/river/console/webhook", True),
        ("https://api.example.com/river", "https://api.example.com/river/api/ai/async", True),
        ("https://api.example.com/river", "https://api.example.com/river/socket/websocket", True),
        ("https://api.example.com", "https://api.example.com/v1/ai/async", True),
        ("https://api.example.com", "https://api.example.com/webhooks/ai", False),
        ("https://api.example.com/river", "https://api.example.com/webhooks/ai", False),
        ("https://api.example.com/river", "https://api.example.com/v1/ai", False),
        ("https://api.example.com/river", "https://api.example.com/riverside/v1", False),
        ("https://api.example.com/river", "https://other.example.com/river/v1/ai/async", False),
        ("https://api.example.com:8443/river", "https://api.example.com/river/v1/ai/async", False),
    ],
)
def test_riverflow_does_not_call_its_own_doors(public_url: str, url: str, own: bool) -> None:
    """Sender case 6: they are known by the public URL; an app that it is mounted into has other doors."""
    for env in ("production", "development"):
        assert called(Egress.of(Settings(env=env, public_url=public_url)), url, "93.184.216.34") is not own  # type: ignore[arg-type]


def test_own_listeners_are_refused_as_the_private_addresses_that_they_are() -> None:
    """Sender case 6: by any name that leads there."""
    for address in ("127.0.0.1", "0.0.0.0", "::1", "::", "192.168.1.10"):
        assert not called(Egress(), "https://loop.example.com/", address)


@pytest.mark.parametrize("value", [b"1", b"2", b"99999999999999999999", b"", b"x", b"-1", b"0x0", "٣".encode()])
def test_a_delivery_starts_no_run(value: bytes) -> None:
    """Sender case 6: the hop counter, whatever it says and wherever the request comes from."""
    headers = [(b"host", b"a.test"), (HOPS.encode(), value)]
    with pytest.raises(InvalidRequest) as caught:
        check_hops(headers)
    assert caught.value.code == "loop_detected"
    check_hops(headers[:1])
    check_hops([(HOPS.encode(), b"0")])
