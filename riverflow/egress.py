"""Who may be called: the operator's rules for outbound URLs and the addresses behind them.

Pure: no name is resolved and nothing is sent; whoever dials asks here first, for the URL and for every address.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network
from urllib.parse import unquote

import msgspec

from .addresses import Address, is_never_allowed, is_public, parse_address
from .config import Settings
from .errors import ConfigError, HttpError
from .urls import Purpose, Url, read_host, read_url, refuse

__all__ = ["Egress", "Opening"]

_METADATA_NAMES = frozenset({"metadata", "metadata.google.internal", "metadata.goog", "instance-data"})
_PRIVATE_SUFFIXES = (".localhost", ".local", ".internal", ".localdomain", ".home.arpa", ".lan", ".intranet", ".corp")

_WEB_PORTS = frozenset({443, 80})

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

_DOORS = frozenset({"ai", "v1", "console", "socket"})  # first segments below the prefix, and below its alias /api

_WIDEST = {4: 8, 6: 7}  # prefix lengths of 10.0.0.0/8 and fc00::/7: no private network is wider


class Opening(msgspec.Struct, frozen=True):
    """An entry of `egress_allow`: one host name, all names below a suffix (`.example.com`), or a network; for one
    project, or for all where `project_id` is None. `text` is the entry as it was written."""

    text: str
    host: str = ""
    suffix: str = ""
    network: IPv4Network | IPv6Network | None = None
    project_id: str | None = None

    @classmethod
    def parse(cls, text: str) -> Opening:
        """Read `billing.internal`, `.internal`, `*.internal`, `10.1.0.0/16` or `10.1.2.3`, each with `@` and a
        project's id behind it where only that project may. Raises ConfigError."""
        text = text.strip()
        target, _, project = text.partition("@")
        target = target.lower()
        network = _network(target.strip("[]"), text)
        if network is not None:
            return cls(text, network=network, project_id=project or None)
        try:
            name = read_host(target.removeprefix("*").removeprefix("."))
        except HttpError:
            name = None
        if not isinstance(name, str) or ("@" in text and not project):
            raise ConfigError(
                f"egress_allow {text!r}: give a host name, a suffix such as .example.internal, or a network such as "
                "10.1.0.0/16; for one project alone with @ and its id behind it"
            )
        if target.startswith(("*.", ".")):
            return cls(text, suffix=f".{name}", project_id=project or None)
        return cls(text, host=name, project_id=project or None)

    def names(self, host: str) -> bool:
        """Whether it is about that host name."""
        return host == self.host or bool(self.suffix and host.endswith(self.suffix))

    def reaches(self, address: Address) -> bool:
        """Whether the address lies in its network."""
        network = self.network
        return network is not None and address.version == network.version and address in network


class Egress(msgspec.Struct, frozen=True, kw_only=True):
    """The rules. In production a delivery goes by https to a public address and to port 443, 80 or one of `ports`;
    `openings` let it reach what is private. In development it may go by http, to private addresses and to any port
    but other protocols' well-known ones. A provider, which the operator names, is as free in production. Nothing ever
    goes to link-local and multicast addresses and to metadata services, and no delivery to riverflow's own doors
    (`own`: the public URL as it was read)."""

    development: bool = False
    ports: frozenset[int] = frozenset()
    openings: tuple[Opening, ...] = ()
    own: Url | None = None

    @classmethod
    def of(cls, settings: Settings) -> Egress:
        """The rules that the settings `env`, `public_url`, `egress_allow` and `egress_ports` make. Raises ConfigError
        where one of them cannot be read."""
        return cls(
            development=settings.development,
            ports=frozenset(map(_port, _listed(settings.egress_ports))),
            openings=tuple(map(Opening.parse, _listed(settings.egress_allow))),
            own=_read(settings.public_url) if settings.public_url else None,
        )

    def check_url(self, url: str, purpose: Purpose, project_id: str | None = None) -> Url:
        """Read a URL and apply all rules that need no resolving. Without a project the openings of every project count.
        Raises HttpError with code `policy`."""
        read = read_url(url)
        if read.host in _METADATA_NAMES or read.host.endswith(".metadata.google.internal"):
            raise refuse("the host is a metadata service")
        if read.address is not None:
            self.check_address(read.address, read.host, purpose, project_id)
        if purpose == "delivery":
            self._check_delivery(read, project_id)
        return read

    def check_address(
        self, address: Address, host: str, purpose: Purpose, project_id: str | None = None
    ) -> Opening | None:
        """Apply the rules for one address that `host` stands for; returns the opening that it needs, if any. Raises
        HttpError with code `policy`; the text does not show the address."""
        if is_never_allowed(address):
            raise refuse("the address is link-local, multicast or a metadata service")
        if purpose == "provider" or self.development or is_public(address):
            return None
        for opening in self.openings:
            concerned = project_id is None or opening.project_id in (None, project_id)
            if concerned and (opening.names(host) or opening.reaches(address)):
                return opening
        raise refuse("the address is not public")

    def _check_delivery(self, url: Url, project_id: str | None) -> None:
        if url.port in _BAD_PORTS:
            raise refuse(f"port {url.port} belongs to another protocol")
        if self.own is not None and _is_own_door(url, self.own):
            raise refuse("the URL is one of riverflow's own")
        if self.development:
            return
        if url.scheme != "https":
            raise refuse("only https is allowed in production")
        if url.port not in _WEB_PORTS and url.port not in self.ports:
            raise refuse(f"port {url.port} is neither 443 nor 80 nor one of the setting egress_ports")
        local = url.address is None and ("." not in url.host or url.host.endswith(_PRIVATE_SUFFIXES))
        if local and not self._opened(url.host, project_id):
            raise refuse("the host name is a local one")

    def _opened(self, host: str, project_id: str | None) -> bool:
        """Whether a local name may be resolved at all: where networks are open, its addresses decide."""
        return any(
            (project_id is None or opening.project_id in (None, project_id))
            and (opening.names(host) or opening.network is not None)
            for opening in self.openings
        )


def _is_own_door(url: Url, own: Url) -> bool:
    """Whether a URL leads to a door of this riverflow, not just to the host that it shares with others. The paths are
    compared as a server reads them: decoded, without empty segments."""
    if (url.host, url.port) != (own.host, own.port):
        return False
    prefix, path = _segments(own.target), _segments(url.target)
    below = path[len(prefix) :]
    if below[:1] == ["api"]:
        below = below[1:]
    return path[: len(prefix)] == prefix and bool(below) and below[0] in _DOORS


def _segments(target: str) -> list[str]:
    return [segment for segment in unquote(target.partition("?")[0]).split("/") if segment]


def _read(public_url: str) -> Url | None:
    try:
        return read_url(public_url)
    except HttpError:
        return None  # no delivery can name it either


def _listed(value: int | str | Iterable[int | str]) -> list[str]:
    """The entries of a setting that is a list, or a text with commas between them."""
    parts = str(value).split(",") if isinstance(value, int | str) else map(str, value)
    return [part for part in parts if part.strip()]


def _network(target: str, text: str) -> IPv4Network | IPv6Network | None:
    """The network that a target spells, an address being one of its own; None for a name. Raises ConfigError."""
    if "/" not in target and parse_address(target) is None:
        return None
    try:
        network = ipaddress.ip_network(target)
    except ValueError as error:
        raise ConfigError(f"egress_allow {text!r}: {error}") from None
    if network.prefixlen < _WIDEST[network.version]:
        raise ConfigError(f"egress_allow {text!r}: no private network is as wide as /{network.prefixlen}")
    return network


def _port(text: str) -> int:
    text = text.strip()
    port = int(text) if text.isascii() and text.isdigit() and len(text) < 6 else 0
    if not 0 < port < 65536:
        raise ConfigError(f"egress_ports {text!r}: a port is a number from 1 to 65535")
    if port in _BAD_PORTS:
        raise ConfigError(f"egress_ports {port}: the port belongs to another protocol")
    return port
