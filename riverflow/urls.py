"""Which URLs may be dialled, by their text alone: one strict reading of scheme, host and port.

Pure: no name is resolved. What a stricter parser and a laxer one could read differently is refused, so that the host
that was vetted is the host that is dialled.
"""

from __future__ import annotations

import re
from ipaddress import IPv6Address
from typing import Literal

import msgspec

from .addresses import Address, is_never_allowed, is_public, parse_address
from .errors import HttpError

__all__ = ["MAX_URL", "Purpose", "Url", "check_address", "check_url", "refuse"]

Purpose = Literal["delivery", "provider"]

MAX_URL = 2048  # characters; what proxies and servers commonly take
MAX_HOST = 253  # RFC 1035, 2.3.4

_UNSAFE = re.compile(r"[\x00-\x20\x7f\\\s]|[^\x00-\x7f]")
_URL = re.compile(r"(https?)://([^/?#]*)([^#]*)(?:#.*)?", re.IGNORECASE)
_AUTHORITY = re.compile(r"(\[[^\[\]@]*\]|[^\[\]@:]*)(?::([0-9]{1,5}))?")
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMERIC = re.compile(r"[0-9]+|0x[0-9a-f]*")  # WHATWG URL, "ends in a number"

_METADATA_NAMES = frozenset({"metadata", "metadata.google.internal", "metadata.goog", "instance-data"})
_PRIVATE_SUFFIXES = (".localhost", ".local", ".internal", ".localdomain", ".home.arpa", ".lan", ".intranet", ".corp")

# Ports where a request could be taken for another protocol's words (Fetch standard, "bad ports"), and databases.
# fmt: off
_BAD_PORTS = frozenset((
    1, 7, 9, 11, 13, 15, 17, 19, 20, 21, 22, 23, 25, 37, 42, 43, 53, 69, 77, 79, 87, 95, 101, 102, 103, 104, 109,
    110, 111, 113, 115, 117, 119, 123, 135, 137, 138, 139, 143, 161, 179, 389, 427, 445, 465, 512, 513, 514, 515,
    526, 530, 531, 532, 540, 548, 554, 556, 563, 587, 601, 636, 873, 989, 990, 992, 993, 995, 1433, 1521, 1719, 1720,
    1723, 2049, 2181, 2375, 2376, 2379, 2380, 3306, 3389, 3659, 4045, 4190, 5060, 5061, 5432, 5672, 5900, 5985, 5986,
    6000, 6379, 6566, 6665, 6666, 6667, 6668, 6669, 6679, 6697, 9042, 9092, 9200, 9300, 10080, 11211, 27017, 27018,
))
# fmt: on


class Url(msgspec.Struct, frozen=True):
    """A URL as it is dialled. `host` is lower-case, without brackets and final dot; `address` is set where it is an
    IP literal; `target` is path and query, byte for byte."""

    scheme: str
    host: str
    port: int
    target: str
    address: Address | None = None

    @property
    def authority(self) -> str:
        """Host and, where it is not the scheme's own, port: the `Host` header."""
        host = f"[{self.host}]" if isinstance(self.address, IPv6Address) else self.host
        return host if self.port == _default_port(self.scheme) else f"{host}:{self.port}"

    @property
    def text(self) -> str:
        return f"{self.scheme}://{self.authority}{self.target}"


def check_url(url: str, purpose: Purpose, *, development: bool) -> Url:
    """Read a URL and apply all rules that need no resolving. Raises HttpError with code `policy`."""
    if len(url) > MAX_URL:
        raise refuse(f"the URL is longer than {MAX_URL} characters")
    if _UNSAFE.search(url):
        raise refuse("the URL contains a space, a control character, a backslash or non-ASCII text")
    parts = _URL.fullmatch(url)
    if parts is None:
        raise refuse("the URL is not http or https")
    if "@" in parts[2] or ("@" in url and not parts[3].startswith("/")):
        raise refuse("the URL carries user information, or looks as if it did")
    scheme = parts[1].lower()
    host, port = _split(parts[2], _default_port(scheme))
    target = parts[3] if parts[3].startswith("/") else f"/{parts[3]}"
    found = _host(host)
    read = Url(scheme, str(found) if not isinstance(found, str) else found, port, target, _literal(found))
    _apply(read, purpose, development)
    return read


def check_address(address: Address, purpose: Purpose, *, development: bool) -> None:
    """Apply the address rule. Raises HttpError with code `policy`; the text does not show the address."""
    if is_never_allowed(address) or address.is_multicast:
        raise refuse("the address is link-local, multicast or a metadata service")
    if purpose == "delivery" and not development and not is_public(address):
        raise refuse("the address is not public")


def refuse(reason: str) -> HttpError:
    """The error of everything that policy forbids."""
    return HttpError(f"refused by the egress policy: {reason}", code="policy")


def _split(authority: str, default: int) -> tuple[str, int]:
    parts = _AUTHORITY.fullmatch(authority)
    if parts is None:
        raise refuse("the host or port is malformed")
    port = int(parts[2]) if parts[2] is not None else default
    if not 0 < port < 65536:
        raise refuse("the port is out of range")
    return parts[1].lower(), port


def _host(host: str) -> str | Address:
    """A checked host name, or the address that an IP literal spells."""
    if host.startswith("["):
        literal = parse_address(host[1:-1])
        if not isinstance(literal, IPv6Address) or "%" in host:
            raise refuse("the brackets hold no plain IPv6 address")
        return literal
    name = host.removesuffix(".")
    labels = name.split(".")
    if _NUMERIC.fullmatch(labels[-1]):
        address = parse_address(name)
        if address is None:
            raise refuse("the host is an IPv4 address in an unusual spelling")
        return address
    if len(name) > MAX_HOST or not all(_LABEL.fullmatch(label) for label in labels):
        raise refuse("the host name is malformed (write an international name in its xn-- form)")
    return name


def _literal(host: str | Address) -> Address | None:
    return None if isinstance(host, str) else host


def _apply(url: Url, purpose: Purpose, development: bool) -> None:
    if url.host in _METADATA_NAMES or url.host.endswith(".metadata.google.internal"):
        raise refuse("the host is a metadata service")
    if url.address is not None:
        check_address(url.address, purpose, development=development)
    if purpose == "provider":
        return
    if url.port in _BAD_PORTS:
        raise refuse(f"port {url.port} belongs to another protocol")
    if development:
        return
    if url.scheme != "https":
        raise refuse("only https is allowed in production")
    if url.address is None and ("." not in url.host or url.host.endswith(_PRIVATE_SUFFIXES)):
        raise refuse("the host name is a local one")


def _default_port(scheme: str) -> int:
    return 443 if scheme == "https" else 80
