"""The egress guard: from a URL to the addresses that may be dialled for it, or a refusal.

It sends nothing and holds no connection; what a client dials must be the addresses given here, with the URL's own
host as SNI and Host (a second look-up could answer otherwise: DNS rebinding).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from weakref import WeakValueDictionary

import msgspec

from ...addresses import parse_address
from ...egress import Egress
from ...errors import HttpError
from ...ports import Clock
from ...urls import Purpose, Url, refuse
from .bounded import Bounded
from .resolver import Resolve, SystemResolver

__all__ = ["Destination", "Guard"]

FRESH = 60.0  # seconds that a verdict holds before the name is resolved and vetted again
DIALLED = 4  # addresses that are tried at most; all answers are vetted
ANSWERS = 256  # addresses that a name may have; more are a fault or an attack
REMEMBERED = 4096  # URLs, and names, that are kept
LOOKUPS = 4  # look-ups of one tenant at a time: names that nobody answers for hold a thread each

Pool = tuple[str, str, str, int, tuple[str, ...]]

logger = logging.getLogger("riverflow.egress")


class Destination(msgspec.Struct, frozen=True):
    """A vetted URL: `url` is what to send, `addresses` all that may be dialled, in order of preference. Requests may
    share a connection where `pool` is the same: tenant, scheme, host, port and addresses."""

    url: Url
    text: str
    addresses: tuple[str, ...]
    fresh_until: float
    pool: Pool


class Guard:
    """Vets URLs by the rules given, and remembers for a minute, by the clock given, what it found. A tenant is known by
    what its requests say (a project's id); his verdicts are his own."""

    def __init__(self, clock: Clock, egress: Egress, resolve: Resolve | None = None) -> None:
        self._monotonic = clock.monotonic
        self._egress = egress
        self._system = SystemResolver()
        self._resolve = resolve or self._system
        self._urls: dict[Purpose, Bounded[tuple[str, str], Destination]] = {
            "delivery": Bounded(REMEMBERED),
            "provider": Bounded(REMEMBERED),
        }
        self._names: Bounded[tuple[str, int], tuple[float, tuple[str, ...]]] = Bounded(REMEMBERED)
        self._resolving: WeakValueDictionary[tuple[str, int], asyncio.Lock] = WeakValueDictionary()
        self._tenants: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()

    def known(self, url: str, purpose: Purpose, tenant: str = "") -> Destination | None:
        """A verdict that still holds: one look-up, for the hot path."""
        destination = self._urls[purpose].get((tenant, url))
        return destination if destination is not None and self._monotonic() < destination.fresh_until else None

    async def vet(self, url: str, purpose: Purpose, timeout: float, tenant: str = "") -> Destination:
        """Where a URL may go. Raises HttpError: `policy`, or `connection_error` and `timeout` of the name's resolution;
        its text shows no address."""
        read = self._egress.check_url(url, purpose, tenant)
        if read.address is None:
            until, answers = await self._answers((read.host, read.port), timeout, tenant)
        else:
            until, answers = self._monotonic() + FRESH, (str(read.address),)
        addresses = self._vet_all(answers, read, purpose, tenant)
        pool = (tenant, read.scheme, read.host, read.port, addresses)
        destination = Destination(read, read.text, addresses, until, pool)
        self._urls[purpose].put((tenant, url), destination)
        return destination

    def close(self) -> None:
        """Let go of the threads that resolve."""
        self._system.close()

    async def _answers(self, name: tuple[str, int], timeout: float, tenant: str) -> tuple[float, tuple[str, ...]]:
        """What a name resolves to, and until when that counts. Many who ask at once cause one look-up."""
        share = self._tenants.setdefault(tenant, asyncio.Semaphore(LOOKUPS))
        lock = self._resolving.setdefault(name, asyncio.Lock())
        try:
            async with asyncio.timeout(timeout), share, lock:  # in this order: who waits for his share holds no name
                known = self._names.get(name)
                if known is not None and known[0] > self._monotonic():
                    return known
                answers = tuple(dict.fromkeys(await self._resolve(*name)))
                if not answers:
                    raise OSError("no answer")
                found = self._monotonic() + FRESH, answers
                self._names.put(name, found)
                return found
        except TimeoutError:
            raise HttpError("the host name was not resolved in time", code="timeout") from None
        except (OSError, UnicodeError):
            raise HttpError("the host name could not be resolved", code="connection_error") from None

    def _vet_all(self, answers: Sequence[str], url: Url, purpose: Purpose, tenant: str) -> tuple[str, ...]:
        """All answers must pass: one bad address among good ones is how rebinding and split answers look."""
        if len(answers) > ANSWERS:
            raise refuse(f"the host name has more than {ANSWERS} addresses")
        used = set()
        for answer in answers:
            address = parse_address(answer)
            if address is None:
                raise refuse("the host name resolves to no address")
            opening = self._egress.check_address(address, url.host, purpose, tenant)
            if opening is not None:
                used.add(opening.text)
        if used:
            logger.info("egress_allow %s lets project %s call %s", sorted(used), tenant or "-", url.host)
        return tuple(answers[:DIALLED])
