"""Which IP addresses may be dialled: tables of ranges, and the IPv4 addresses that hide inside IPv6 ones.

Pure and total: every address gets a verdict. No name is resolved here.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

__all__ = ["Address", "embedded_ipv4", "is_never_allowed", "is_public", "parse_address"]

Address = IPv4Address | IPv6Address


def _networks(*texts: str) -> tuple[IPv4Network | IPv6Network, ...]:
    return tuple(ipaddress.ip_network(text) for text in texts)


# IANA special-purpose registries (RFC 6890 and its successors), plus what clouds use. An own table, because the
# `is_global` of the standard library has changed from release to release.
_NOT_PUBLIC_V4 = _networks(
    "0.0.0.0/8",  # this network
    "10.0.0.0/8",
    "100.64.0.0/10",  # carrier-grade NAT
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.0.2.0/24",  # documentation
    "192.88.99.0/24",  # 6to4 relays
    "192.168.0.0/16",
    "198.18.0.0/15",  # benchmarking
    "198.51.100.0/24",
    "203.0.113.0/24",
    "224.0.0.0/4",  # multicast
    "240.0.0.0/4",  # class E and broadcast
)

# Of IPv6 only the global unicast block is public at all (RFC 4291, 2.4); these are its exceptions.
_GLOBAL_UNICAST = IPv6Network("2000::/3")
_NOT_PUBLIC_V6 = _networks(
    "2001::/23",  # IETF protocols: benchmarking, ORCHID; Teredo is decided by what it embeds
    "2001:db8::/32",
    "3fff::/20",  # documentation
)

# Not even for the operator, and not in development: credentials for the asking live at most of them.
_NEVER = _networks(
    "169.254.0.0/16",  # link-local: 169.254.169.254 (most clouds), 169.254.170.2 (ECS), …
    "fe80::/10",  # link-local: fe80::a9fe:a9fe (OpenStack)
    "fd00:ec2::/32",  # AWS
    "fd20:ce::254/128",  # Google Cloud
    "100.100.100.200/32",  # Alibaba Cloud
    "168.63.129.16/32",  # Azure, a public range
    "192.0.0.192/32",  # Oracle Cloud
    "224.0.0.0/4",  # multicast: nobody answers there
    "ff00::/8",
)

_COMPATIBLE = IPv6Network("::/96")  # RFC 4291, 2.5.5.1
_MAPPED = IPv6Network("::ffff:0:0/96")  # RFC 4291, 2.5.5.2
_TRANSLATED = IPv6Network("::ffff:0:0:0/96")  # SIIT, RFC 2765
_NAT64 = IPv6Network("64:ff9b::/96")  # RFC 6052; the local 64:ff9b:1::/48 (RFC 8215) is not public
_TEREDO = IPv6Network("2001::/32")  # RFC 4380
_6TO4 = IPv6Network("2002::/16")  # RFC 3056
_LOW_32 = (_COMPATIBLE, _MAPPED, _TRANSLATED, _NAT64)
_ISATAP = frozenset({0x00005EFE, 0x02005EFE})  # RFC 5214, 6.1: the interface identifier's upper half


def parse_address(text: str) -> Address | None:
    """An address in its one canonical spelling (a zone is dropped), or None: no octal, hexadecimal or short IPv4."""
    try:
        return ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None


def embedded_ipv4(address: Address) -> tuple[IPv4Address, ...]:
    """Every IPv4 address that a transition form carries; empty for plain addresses."""
    if isinstance(address, IPv4Address):
        return ()
    number = int(address)
    found = []
    if any(address in network for network in _LOW_32) or (number >> 32) & 0xFFFFFFFF in _ISATAP:
        found.append(number & 0xFFFFFFFF)
    if address in _6TO4:
        found.append((number >> 80) & 0xFFFFFFFF)
    if address in _TEREDO:
        found += [(number >> 64) & 0xFFFFFFFF, ~number & 0xFFFFFFFF]
    return tuple(IPv4Address(number) for number in found)


def is_public(address: Address) -> bool:
    """Whether an address belongs to the public internet; transition forms are as public as what they carry."""
    if is_never_allowed(address):
        return False
    if isinstance(address, IPv4Address):
        return not _within(address, _NOT_PUBLIC_V4)
    if not all(is_public(inner) for inner in embedded_ipv4(address)):
        return False
    if address in _TEREDO or any(address in network for network in _LOW_32):
        return True
    return address in _GLOBAL_UNICAST and not _within(address, _NOT_PUBLIC_V6)


def is_never_allowed(address: Address) -> bool:
    """Whether an address, or one it carries, is link-local, multicast or a cloud's metadata service."""
    return _within(address, _NEVER) or any(_within(inner, _NEVER) for inner in embedded_ipv4(address))


def _within(address: Address, networks: Iterable[IPv4Network | IPv6Network]) -> bool:
    return any(address.version == network.version and address in network for network in networks)
