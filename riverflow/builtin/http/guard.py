"""The egress guard: from a URL to the addresses that may be dialled for it, or a refusal.

It sends nothing and holds no connection; what a client dials must be the addresses given here, with the URL's own
host as SNI and Host (a second look-up could answer otherwise: DNS rebinding).
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence
from weakref import WeakValueDictionary

import msgspec

from ...addresses import parse_address
from ...errors import HttpError
from ...ports import Clock
from ...urls import Purpose, Url, check_address, check_url, refuse
from .bounded import Bounded

__all__ = [
    "Destination",
    "Guard",
    "Resolve",
    "system_resolver",
]

FRESH = 60.0  # seconds that a verdict holds before the name is resolved and vetted again
DIALLED = 4  # addresses that are tried at most; all answers are vetted
REMEMBERED = 4096  # URLs, and names, whose verdict is kept

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""Names to address texts. Raises OSError where there is no answer."""


class Destination(msgspec.Struct, frozen=True):
    """A vetted URL: `url` is what to send, `addresses` all that may be dialled, in order of preference."""

    url: Url
    text: str
    addresses: tuple[str, ...]
    fresh_until: float


async def system_resolver(host: str, port: int) -> Sequence[str]:
    """Resolve by the operating system, off the event loop."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(address[0]) for *_, address in found]


class Guard:
    """Vets URLs under one policy. In production a delivery goes to public https addresses only; in development, and
    for the operator's own providers, plain http and private addresses are allowed. Link-local addresses and metadata
    services never are.

    Verdicts are kept for a minute by the clock given.
    """

    def __init__(self, clock: Clock, *, development: bool, resolve: Resolve = system_resolver) -> None:
        self._monotonic = clock.monotonic
        self._development = development
        self._resolve = resolve
        self._urls: dict[Purpose, Bounded[str, Destination]] = {
            "delivery": Bounded(REMEMBERED),
            "provider": Bounded(REMEMBERED),
        }
        self._names: Bounded[tuple[str, int, Purpose], tuple[float, tuple[str, ...]]] = Bounded(REMEMBERED)
        self._resolving: WeakValueDictionary[tuple[str, int, Purpose], asyncio.Lock] = WeakValueDictionary()

    def known(self, url: str, purpose: Purpose) -> Destination | None:
        """A verdict that still holds: one look-up, for the hot path."""
        destination = self._urls[purpose].get(url)
        return destination if destination is not None and self._monotonic() < destination.fresh_until else None

    async def vet(self, url: str, purpose: Purpose, timeout: float) -> Destination:
        """Where a URL may go. Raises HttpError: `policy`, or `connection_error` and `timeout` of the name's resolution;
        its text shows no address."""
        read = check_url(url, purpose, development=self._development)
        if read.address is None:
            until, addresses = await self._vetted(read, purpose, timeout)
            destination = Destination(read, read.text, addresses, until)
        else:
            destination = Destination(read, read.text, (str(read.address),), self._monotonic() + FRESH)
        self._urls[purpose].put(url, destination)
        return destination

    async def _vetted(self, url: Url, purpose: Purpose, timeout: float) -> tuple[float, tuple[str, ...]]:
        key = (url.host, url.port, purpose)
        lock = self._resolving.setdefault(key, asyncio.Lock())
        try:
            async with asyncio.timeout(timeout), lock:
                verdict = self._names.get(key)
                if verdict is None or verdict[0] <= self._monotonic():
                    verdict = self._monotonic() + FRESH, self._vet_all(await self._resolve(*key[:2]), purpose)
                    self._names.put(key, verdict)
                return verdict
        except TimeoutError:
            raise HttpError("the host name was not resolved in time", code="timeout") from None
        except (OSError, UnicodeError):
            raise HttpError("the host name could not be resolved", code="connection_error") from None

    def _vet_all(self, answers: Sequence[str], purpose: Purpose) -> tuple[str, ...]:
        """All answers must pass: one bad address among good ones is how rebinding and split answers look."""
        for answer in answers:
            address = parse_address(answer)
            if address is None:
                raise refuse("the host name resolves to no address")
            check_address(address, purpose, development=self._development)
        if not answers:
            raise OSError("no answer")
        return tuple(dict.fromkeys(answers))[:DIALLED]
