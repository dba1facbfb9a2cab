"""The text of URLs: one strict reading of scheme, host, port and target.

Pure: no name is resolved, and who may call which host is not decided here. What a stricter parser and a laxer one could
read differently is refused, so that the host that was vetted is the host that is dialled.
"""

from __future__ import annotations

import re
from ipaddress import IPv6Address
from typing import Literal

import msgspec

from .addresses import Address, parse_address
from .errors import HttpError

__all__ = ["MAX_URL", "Purpose", "Url", "read_host", "read_url", "refuse"]

Purpose = Literal["delivery", "provider"]
"""`delivery`: a URL that users name; `provider`: one that the operator configured."""

MAX_URL = 2048  # characters; what proxies and servers commonly take
MAX_HOST = 253  # RFC 1035, 2.3.4

_UNSAFE = re.compile(r"[\x00-\x20\x7f\\\s]|[^\x00-\x7f]")
_URL = re.compile(r"(https?)://([^/?#]*)([^#]*)(?:#.*)?", re.IGNORECASE)
_AUTHORITY = re.compile(r"(\[[^\[\]@]*\]|[^\[\]@:]*)(?::([0-9]{1,5}))?")
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMERIC = re.compile(r"[0-9]+|0x[0-9a-f]*")  # WHATWG URL, "ends in a number"

# What some parsers rewrite before they send it: characters outside RFC 3986 and, in a query, the apostrophe (WHATWG
# URL, percent-encode sets), and dot segments (RFC 3986, 5.2.4), of which `%2e` is a spelling (WHATWG URL, 4.4).
_REWRITTEN = re.compile(r"""["<>^`{|}]|\?.*'""")
_DOTS = re.compile(r"/(?:\.|%2e){1,2}(?:[/?]|$)", re.IGNORECASE)


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


def read_url(url: str) -> Url:
    """The one reading of a URL. Raises HttpError with code `policy` where there could be another; its text tells what
    to change."""
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
    target = _target(parts[3])
    found = read_host(host)
    if isinstance(found, str):
        return Url(scheme, found, port, target)
    return Url(scheme, str(found), port, target, found)


def read_host(host: str) -> str | Address:
    """A checked host name without its final dot, or the address that an IP literal spells (IPv6 in brackets); `host` is
    in lower case. Raises HttpError with code `policy`."""
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


def _target(text: str) -> str:
    """Path and query as they are sent, byte for byte."""
    target = text if text.startswith("/") else f"/{text}"
    if _REWRITTEN.search(target):
        raise refuse("the URL's path or query holds a character that URLs cannot carry: percent-encode it")
    if _DOTS.search(target.partition("?")[0]):
        raise refuse("the URL's path holds dot segments")
    if target.endswith("?") and target.count("?") == 1:
        raise refuse("the URL's query is empty: leave out the question mark")
    return target


def _default_port(scheme: str) -> int:
    return 443 if scheme == "https" else 80
