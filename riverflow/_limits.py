"""Rate limits: how many requests a minute an address, a key, a user, a project may make.

It counts in this process's memory alone, a bounded piece of it, and refuses by raising; whom it concerns is the
doors' question.
"""

from __future__ import annotations

import logging
import math
from collections import OrderedDict
from collections.abc import Callable, Hashable

import msgspec

from ._peers import Peers
from .config import Settings
from .errors import RateLimited
from .models import Identity
from .ports import Scope

__all__ = ["KEPT", "WINDOW", "Limits", "Quota", "Windows", "judged"]

logger = logging.getLogger("riverflow.limits")

WINDOW = 60.0  # seconds
KEPT = 10_000  # callers that are counted at a time, of each kind: about 2 MB

Headers = tuple[tuple[bytes, bytes], ...]


class Quota(msgspec.Struct, frozen=True):
    """Where a caller stands after a request: whether it was `taken`, how many are `left`, and in how many seconds there
    is room again (`reset`; where there still is, the rest of the minute)."""

    name: str
    limit: int
    left: int
    reset: float
    taken: bool

    @property
    def headers(self) -> Headers:
        """`RateLimit-Policy` and `RateLimit` (draft-ietf-httpapi-ratelimit-headers-10, sections 3 and 4)."""
        return (
            (b"ratelimit-policy", b'"%b";q=%d;w=%d' % (self.name.encode(), self.limit, WINDOW)),
            (b"ratelimit", b'"%b";r=%d;t=%d' % (self.name.encode(), self.left, math.ceil(self.reset))),
        )


class Windows:
    """A sliding window for each caller: the present minute's count, and of the last minute's as much as still lies in
    the window, taken to be even. Two numbers a caller, whoever he is; the exact log of his requests would be 300.

    Nobody is let in more often than `limit` times in any minute but for that estimate. Over `KEPT` callers the one who
    was away longest is forgotten.
    """

    def __init__(self, name: str, limit: int, monotonic: Callable[[], float]) -> None:
        self.name = name
        self.limit = limit
        self._monotonic = monotonic
        self._seen: OrderedDict[Hashable, tuple[int, int, int]] = OrderedDict()  # minute, count in it, in the last
        self._told_in = -1
        self._refused = 0

    def __len__(self) -> int:
        return len(self._seen)

    def take(self, caller: Hashable) -> Quota:
        """Count a request, unless there is no room for it."""
        minute, share = divmod(self._monotonic() / WINDOW, 1.0)
        count, last = self._counts(caller, int(minute))
        room = self.limit - count - last * (1.0 - share)
        taken = room >= 1.0 - 1e-9  # the shares of a minute are no exact numbers
        count += taken
        self._seen[caller] = (int(minute), count, last)
        self._seen.move_to_end(caller)
        if len(self._seen) > KEPT:
            self._seen.popitem(last=False)
        left = max(0, math.floor(room - taken + 1e-9))
        if not taken:
            self._tell(caller, int(minute))
        reset = (1.0 - share) * WINDOW if taken else self._until_room(count, last, share)
        return Quota(self.name, self.limit, left, reset, taken)

    def _counts(self, caller: Hashable, minute: int) -> tuple[int, int]:
        then, count, last = self._seen.get(caller, (minute, 0, 0))
        if then == minute:
            return count, last
        return 0, count if then == minute - 1 else 0

    def _tell(self, caller: Hashable, minute: int) -> None:
        """Log once a minute, however many are refused in it."""
        self._refused += 1
        if minute != self._told_in:
            logger.warning(
                "over the limit of %d requests a minute by %s: %s (%d refused so far)",
                *(self.limit, self.name, caller, self._refused),
            )
            self._told_in = minute

    def _until_room(self, count: int, last: int, share: float) -> float:
        """Seconds until one more would be let in, if nothing else comes."""
        spare = self.limit - 1 - count
        if spare >= 0:  # in this minute, once enough of the last one has left the window
            return (1.0 - spare / last - share) * WINDOW
        return (1.0 - share + 1.0 - (self.limit - 1) / count) * WINDOW


class Limits:
    """The limits of one app.

    Doors without a key and failed authentication are limited by address from the start; traffic with a good key where
    the settings say so. `by_key` is whether they do: then `admit` has to be asked.
    """

    def __init__(self, settings: Settings, monotonic: Callable[[], float]) -> None:
        def windows(name: str, limit: int) -> Windows | None:
            return Windows(name, limit, monotonic) if limit else None

        self._peers = Peers(settings.trusted_proxies)
        self._unkeyed = windows("address", settings.rate_limit_unkeyed)
        self._rationed = windows("rationed", settings.rate_limit_rationed)
        self._address = windows("address", settings.rate_limit_ip)
        self._key = windows("key", settings.rate_limit_key)
        self._user = windows("user", settings.rate_limit_user)
        self._project = windows("project", settings.rate_limit_project)
        self.by_key = any(each is not None for each in (self._address, self._key, self._user, self._project))

    def stranger(self, scope: Scope) -> None:
        """Count a request without a key, or with none that is good, by the address it comes from. Raises
        RateLimited."""
        address = self._peers.of(scope) if self._unkeyed is not None else None
        if self._unkeyed is not None and address is not None:
            judged(self._unkeyed.take(address))

    def admit(self, identity: Identity, scope: Scope) -> Headers:
        """Count a request of somebody who is known, in every window that is set: the headers of the one with the least
        room. Raises RateLimited."""
        narrowest: Quota | None = None
        for windows, caller in (
            (self._address, self._peers.of(scope) if self._address is not None else None),
            (self._key, identity.key_id and (identity.project_id, identity.key_id)),
            (self._user, None if identity.key_id else (identity.project_id, identity.subject)),
            (self._project, identity.project_id),
        ):
            if windows is not None and caller:
                quota = judged(windows.take(caller))
                narrowest = quota if narrowest is None or quota.left < narrowest.left else narrowest
        return narrowest.headers if narrowest is not None else ()

    def ration(self, identity: Identity) -> None:
        """Count what sends something to somebody at the press of a button, by project. Raises RateLimited."""
        if self._rationed is not None:
            judged(self._rationed.take(identity.project_id))


def judged(quota: Quota) -> Quota:
    """The quota of a request that was let in. Raises RateLimited for any other."""
    if not quota.taken:
        raise RateLimited(
            f"over the limit of {quota.limit} requests a minute ({quota.name}); try again after "
            f"{max(1, math.ceil(quota.reset))} seconds",
            retry_after=quota.reset,
            headers=quota.headers,
        )
    return quota
