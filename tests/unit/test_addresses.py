"""Which addresses are public: each range at its edges, and the same verdict through every way to embed an IPv4."""

from __future__ import annotations

import ipaddress
from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from riverflow.addresses import embedded_ipv4, is_never_allowed, is_public, parse_address

REFUSED = """
0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12 192.0.0.0/24 192.0.2.0/24 192.88.99.0/24
192.168.0.0/16 198.18.0.0/15 198.51.100.0/24 203.0.113.0/24 224.0.0.0/4 240.0.0.0/4 168.63.129.16/32
::/128 ::1/128 fc00::/7 fe80::/10 fec0::/10 ff00::/8 100::/64 2001:db8::/32 3fff::/20 5f00::/16 2001:10::/28
2001:20::/28 2001:2::/48 64:ff9b:1::/48 fd00:ec2::254/128 4000::/3 8000::/1
"""

NEVER = """
169.254.169.254 169.254.170.2 fd00:ec2::254 100.100.100.200 168.63.129.16 192.0.0.192 fe80::a9fe:a9fe fe80::1
fd20:ce::254 ::ffff:169.254.169.254 64:ff9b::169.254.169.254 2002:a9fe:a9fe::
"""

PUBLIC = """
1.1.1.1 8.8.8.8 9.255.255.255 11.0.0.0 93.184.216.34 100.63.255.255 100.128.0.0 126.255.255.255 128.0.0.0
169.253.255.255 169.255.0.0 172.15.255.255 172.32.0.0 192.0.1.0 192.0.3.0 192.167.255.255 192.169.0.0 198.17.255.255
198.20.0.0 223.255.255.255 168.63.129.15 168.63.129.17
2606:4700::1111 2a00:1450:4001::1 2001:200::1 2001:db7:ffff::1 2001:db9:: 2000::1 3ffe::1
"""

ipv4 = st.ip_addresses(v=4)
ipv6 = st.ip_addresses(v=6)


def embeddings(inner: IPv4Address) -> dict[str, IPv6Address]:
    number = int(inner)
    public = int(IPv4Address("8.8.8.8"))
    return {
        "compatible": IPv6Address(number),
        "mapped": IPv6Address(0xFFFF << 32 | number),
        "translated": IPv6Address(0xFFFF << 48 | number),
        "nat64": IPv6Address((0x64FF9B << 96) | number),
        "6to4": IPv6Address((0x2002 << 112) | (number << 80) | 1),
        "teredo": IPv6Address((0x20010000 << 96) | (public << 64) | (~number & 0xFFFFFFFF)),
        "teredo-server": IPv6Address((0x20010000 << 96) | (number << 64) | (~public & 0xFFFFFFFF)),
        "isatap": IPv6Address((0x26064700 << 96) | (0x5EFE << 32) | number),
        "isatap-global": IPv6Address((0x26064700 << 96) | (0x02005EFE << 32) | number),
    }


@pytest.mark.parametrize("text", REFUSED.split())
def test_a_range_is_refused_from_edge_to_edge(text: str) -> None:
    network = ipaddress.ip_network(text)
    assert not is_public(network[0])
    assert not is_public(network[-1])
    assert not is_public(network[network.num_addresses // 2])


@pytest.mark.parametrize("text", PUBLIC.split())
def test_what_lies_beside_is_public(text: str) -> None:
    assert is_public(ipaddress.ip_address(text))
    assert not is_never_allowed(ipaddress.ip_address(text))


@pytest.mark.parametrize("text", NEVER.split())
def test_metadata_and_link_local_are_never_allowed(text: str) -> None:
    assert is_never_allowed(ipaddress.ip_address(text))
    assert not is_public(ipaddress.ip_address(text))


@given(ipv4)
@example(IPv4Address("127.0.0.1"))
@example(IPv4Address("169.254.169.254"))
@example(IPv4Address("10.0.0.1"))
@example(IPv4Address("8.8.8.8"))
def test_an_embedded_address_has_its_own_verdict(inner: IPv4Address) -> None:
    for name, outer in embeddings(inner).items():
        assert inner in embedded_ipv4(outer), name
        assert is_public(outer) == is_public(inner), name
        assert is_never_allowed(outer) == is_never_allowed(inner), name


@given(ipv4 | ipv6)
def test_nothing_is_public_that_the_standard_library_calls_private(address: IPv4Address | IPv6Address) -> None:
    if is_public(address) and not embedded_ipv4(address):
        assert address.is_global
        kinds = (address.is_multicast, address.is_reserved, address.is_loopback, address.is_unspecified)
        assert not any(kinds)


@given(ipv4)
def test_of_ipv4_only_the_listed_ranges_are_refused(address: IPv4Address) -> None:
    listed = [ipaddress.ip_network(text) for text in REFUSED.split()]
    assert is_public(address) == (not any(address in network for network in listed if network.version == 4))


@given(st.text(alphabet="0123456789abcdefx.:%", max_size=24))
def test_a_spelling_that_is_read_is_the_canonical_one(text: str) -> None:
    address = parse_address(text)
    if isinstance(address, IPv4Address):
        assert str(address) == text.partition("%")[0]


@pytest.mark.parametrize("text", ["2130706433", "0177.0.0.1", "0x7f.1", "127.1", "1.2.3.256", "01.2.3.4", "", "::g"])
def test_odd_spellings_are_no_addresses(text: str) -> None:
    assert parse_address(text) is None
