"""Whose address a connection comes from: the peer's own, or what trusted proxies in front say of it.

It believes a header only as far as the setting `trusted_proxies` reaches, and judges nobody.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from .errors import ConfigError
from .ports import Scope

__all__ = ["Peers"]

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_HEADER = b"x-forwarded-for"
_MOST = 32  # entries of the header that are looked at, from the right: no chain of proxies is longer
_SUBSCRIBER = 64  # bits of an IPv6 address that name a subscriber's network (RFC 6177); the rest he chooses himself


class Peers:
    """Reads client addresses. `trusted` is the number of proxies in front of this process, or their addresses and
    networks (`10.0.0.0/8`), as a list or with commas between.

    A number n takes the n-th entry of X-Forwarded-For from the right, for each proxy appends whom it heard from.
    Addresses take the first entry from the right that is no proxy's, where the peer itself is one. Raises ConfigError.
    """

    def __init__(self, trusted: int | str | Iterable[str]) -> None:
        words = trusted.split(",") if isinstance(trusted, str) else [] if isinstance(trusted, int) else list(trusted)
        words = [word.strip() for word in words if word.strip()]
        counted = trusted if isinstance(trusted, int) else int(words[0]) if _is_count(words) else 0
        if counted < 0:
            raise ConfigError("trusted_proxies: a number of proxies is 0 or more")
        self._hops = counted
        self._networks = () if _is_count(words) else tuple(map(_network, words))

    def of(self, scope: Scope) -> str | None:
        """The client's address, of IPv6 the /64 network; None for this machine's own (loopback, a Unix socket): there
        is nobody there to be told from anybody else."""
        peer = _address((scope.get("client") or ("",))[0])
        address = self._forwarded(scope, peer) if self._hops or self._networks else peer
        if address is None or address.is_loopback:
            return None
        if isinstance(address, IPv4Address):
            return str(address)
        return f"{IPv6Address(int(address) >> _SUBSCRIBER << _SUBSCRIBER)}/{_SUBSCRIBER}"

    def _forwarded(self, scope: Scope, peer: Address | None) -> Address | None:
        if not self._hops and not self._is_proxy(peer):
            return peer
        entries = _entries(scope)
        if self._hops:
            # Fewer entries than proxies: it did not come through all of them, so nobody vouches for any.
            return (_address(entries[-self._hops]) or peer) if len(entries) >= self._hops else peer
        nearest = peer
        for entry in reversed(entries):
            address = _address(entry)
            if address is None:
                return nearest
            if not self._is_proxy(address):
                return address
            nearest = address
        return nearest

    def _is_proxy(self, address: Address | None) -> bool:
        return address is not None and any(address in network for network in self._networks)


def _entries(scope: Scope) -> Sequence[str]:
    """X-Forwarded-For, its lines joined (RFC 9110, 5.3), the end of it."""
    lines = [value for name, value in scope["headers"] if name == _HEADER]
    return b",".join(lines).decode("latin-1").rsplit(",", _MOST)[-_MOST:] if lines else ()


def _address(text: str) -> Address | None:
    """An address with or without port and brackets; None where it is none. A mapped IPv4 address is that address."""
    text = text.strip().strip('"')
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def _is_count(words: Sequence[str]) -> bool:
    return len(words) == 1 and words[0].isascii() and words[0].isdigit()


def _network(text: str) -> Network:
    try:
        return ip_network(text)
    except ValueError as error:
        raise ConfigError(
            f"trusted_proxies: {error}; give the number of proxies, or their addresses and networks such as 10.0.0.0/8"
        ) from None
