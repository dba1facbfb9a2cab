"""Sender cases 1 to 5 and 7: which addresses are called, against a table that was written apart from the filter's."""

from __future__ import annotations

import ipaddress
from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from riverflow.addresses import Address, is_never_allowed, is_public
from riverflow.egress import Egress
from riverflow.errors import HttpError

# First and last address of what is no part of the public internet: IANA's special-purpose registry, read as numbers.
CASE_1 = """
0.0.0.0-0.255.255.255 10.0.0.0-10.255.255.255 100.64.0.0-100.127.255.255 127.0.0.0-127.255.255.255
169.254.0.0-169.254.255.255 172.16.0.0-172.31.255.255 192.168.0.0-192.168.255.255
"""
CASE_2 = """
192.0.0.0-192.0.0.255 192.0.2.0-192.0.2.255 192.88.99.0-192.88.99.255 198.18.0.0-198.19.255.255
198.51.100.0-198.51.100.255 203.0.113.0-203.0.113.255 224.0.0.0-239.255.255.255 240.0.0.0-255.255.255.255
"""
CASE_3 = """
::-::1 fc00::-fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff fe80::-febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff
fec0::-feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ff00::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff
100::-100::ffff:ffff:ffff:ffff 2001:db8::-2001:db8:ffff:ffff:ffff:ffff:ffff:ffff
3fff::-3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff 5f00::-5f00:ffff:ffff:ffff:ffff:ffff:ffff:ffff
2001:10::-2001:1f:ffff:ffff:ffff:ffff:ffff:ffff 2001:20::-2001:2f:ffff:ffff:ffff:ffff:ffff:ffff
"""
METADATA = """
169.254.169.254 169.254.170.2 fd00:ec2::254 100.100.100.200 168.63.129.16 192.0.0.192 fd20:ce::254 fe80::a9fe:a9fe
"""
PRIVATE_V4 = [
    (int(IPv4Address(first)), int(IPv4Address(last)))
    for first, last in (text.split("-") for text in (CASE_1 + CASE_2).split())
] + [(int(IPv4Address("168.63.129.16")),) * 2]


def by_the_table(address: IPv4Address) -> bool:
    """Whether an IPv4 address is public, by the table above."""
    return not any(first <= int(address) <= last for first, last in PRIVATE_V4)


def embeddings(inner: IPv4Address) -> list[IPv6Address]:
    """Every form of IPv6 address that stands for, or leads to, an IPv4 address (case 4)."""
    packed, number = inner.packed, int(inner)
    public = IPv4Address("8.8.8.8").packed
    inverted = bytes(byte ^ 0xFF for byte in packed)
    site = bytes.fromhex("26064700000000000000")
    forms = [
        bytes(12) + packed,  # compatible
        bytes(10) + b"\xff\xff" + packed,  # mapped
        bytes(8) + b"\xff\xff\x00\x00" + packed,  # SIIT
        bytes.fromhex("0064ff9b0000000000000000") + packed,  # NAT64
        b"\x20\x02" + packed + bytes(10),  # 6to4
        b"\x20\x02" + packed + b"\x00\x01" + bytes(7) + b"\x01",
        bytes.fromhex("20010000") + public + bytes(4) + inverted,  # Teredo: the client
        bytes.fromhex("20010000") + packed + bytes(4) + bytes(byte ^ 0xFF for byte in public),  # Teredo: the server
        site[:8] + bytes.fromhex("00005efe") + packed,  # ISATAP
        site[:8] + bytes.fromhex("02005efe") + packed,
    ]
    assert all(len(form) == 16 for form in forms)
    assert IPv6Address(number) == IPv6Address(forms[0])
    return [IPv6Address(form) for form in forms]


def refused(address: Address, *, development: bool = False, purpose: str = "delivery") -> bool:
    try:
        Egress(development=development).check_address(address, "a.test", purpose)  # type: ignore[arg-type]
    except HttpError as error:
        if error.code != "policy" or str(address) in error.message:
            raise
        return True
    return False


@pytest.mark.parametrize("text", [*CASE_1.split(), *CASE_2.split(), *CASE_3.split()])
def test_what_is_not_public_is_refused_from_edge_to_edge(text: str) -> None:
    """Sender cases 1, 2 and 3."""
    first, last = map(ipaddress.ip_address, text.split("-"))
    middle = type(first)((int(first) + int(last)) // 2)
    assert all(map(refused, (first, middle, last)))


@pytest.mark.parametrize("text", [*CASE_1.split(), *CASE_2.split()])
def test_the_neighbours_have_their_own_verdict(text: str) -> None:
    """Sender cases 1 and 2: no range is wider than it should be."""
    first, last = (int(IPv4Address(edge)) for edge in text.split("-"))
    for beside in {max(first - 1, 0), min(last + 1, 2**32 - 1)}:
        assert is_public(IPv4Address(beside)) == by_the_table(IPv4Address(beside))


@pytest.mark.parametrize("text", ["127.0.0.1", "10.0.0.1", "169.254.169.254", "192.168.1.1", "100.64.0.1", "0.0.0.0"])
def test_a_bad_ipv4_in_a_good_ipv6_is_refused(text: str) -> None:
    """Sender case 4: mapped, compatible, SIIT, NAT64, 6to4, Teredo both ways, ISATAP."""
    assert all(map(refused, embeddings(IPv4Address(text))))


def test_the_local_nat64_prefix_is_refused_whatever_it_carries() -> None:
    """Sender case 4: 64:ff9b:1::/48 (RFC 8215) leads wherever its operator likes."""
    prefix = int(IPv6Address("64:ff9b:1::"))
    assert refused(IPv6Address(prefix | int(IPv4Address("8.8.8.8"))))
    assert refused(IPv6Address(prefix + 2**80 - 1))


@pytest.mark.parametrize("text", [*METADATA.split(), "224.0.0.1", "239.255.255.250", "ff02::1"])
@pytest.mark.parametrize("development", [False, True])
@pytest.mark.parametrize("purpose", ["delivery", "provider"])
def test_metadata_is_refused_to_everybody(text: str, development: bool, purpose: str) -> None:
    """Sender cases 2 and 5: where private addresses are allowed too, and through every embedding; so is multicast."""
    address = ipaddress.ip_address(text)
    carried = embeddings(address) if isinstance(address, IPv4Address) else []
    assert all(refused(each, development=development, purpose=purpose) for each in (address, *carried))


def test_every_block_of_ipv4_is_judged_as_the_table_says() -> None:
    """Sender case 7: both ends and the middle of all 65 536 blocks of 65 536 addresses, and of the smaller ranges."""
    for block in range(0, 2**32, 2**16):
        for offset in (0, 2**15, 2**16 - 1):
            address = IPv4Address(block + offset)
            assert is_public(address) == by_the_table(address), address


@given(st.ip_addresses(v=4))
@example(IPv4Address("127.0.0.1"))
@example(IPv4Address("168.63.129.16"))
@example(IPv4Address("192.0.0.192"))
@example(IPv4Address("224.0.0.1"))
@example(IPv4Address("8.8.8.8"))
def test_every_embedding_has_the_verdict_of_what_it_carries(inner: IPv4Address) -> None:
    """Sender case 7: for every IPv4 address, through all embeddings, the table's verdict."""
    for outer in embeddings(inner):
        assert is_public(outer) == is_public(inner) == by_the_table(inner), outer
        assert is_never_allowed(outer) == is_never_allowed(inner), outer


@given(st.ip_addresses())
def test_the_verdict_is_total(address: Address) -> None:
    """Sender case 7: no address makes it fail, and what may never be called is not public."""
    assert is_public(address) in (True, False)
    assert not (is_public(address) and is_never_allowed(address))
    assert refused(address) == (not is_public(address))
    assert refused(address, development=True) == is_never_allowed(address)
