"""What a receiver remembers of the messages it has taken: the port, and a store in memory.

A store knows keys and claims; it sees no message and decides no answer.
"""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Sequence
from itertools import islice
from typing import Literal, NamedTuple, Protocol

from ..errors import ConfigError, StoreUnavailable

__all__ = ["MemoryReplays", "ReplayStore", "Standing"]

Standing = Literal["new", "running", "done"]
"""Of a message: never seen, being worked on right now, or worked on."""

_LOOKED_AT = 64  # entries that one call looks at to make room: it stays quick however full the store is


class ReplayStore(Protocol):
    """Remembers which messages have been taken. Times are Unix seconds and come from the caller.

    A message has several keys: whoever holds a copy of it can send it by its weaker signature too, so one known key is
    enough. The methods may be plain (then they are called in a worker thread where the receiver is asynchronous) or
    coroutine functions (for asynchronous receivers only). What they raise makes the receiver answer 503: a message is
    taken only where it can be remembered.
    """

    def begin(self, keys: Sequence[str], claim: str, *, now: float, until: float) -> Standing | Awaitable[Standing]:
        """In one atomic step: `done` where a key is done, else `running` where a key is claimed by another, else claim
        all of them until `until` and answer `new`. Of two that begin at once, one gets `new`."""
        ...

    def finish(self, keys: Sequence[str], claim: str, *, until: float) -> Awaitable[None] | None:
        """The work is done: all keys are `done` until `until`, whatever has become of the claim."""
        ...

    def forget(self, keys: Sequence[str], claim: str) -> Awaitable[None] | None:
        """The work failed: what this claim holds is as if it had never come. Another's claim, and what is done,
        stay."""
        ...


class _Entry(NamedTuple):
    claim: str | None  # None: done
    until: float


class MemoryReplays:
    """A ReplayStore for one process, gone when it ends. Any thread may use it.

    At most `capacity` keys (a message has one to three) are kept: beyond that, the oldest that are done are given up
    before their time. Where all are being worked on, a new message is refused.
    """

    def __init__(self, capacity: int = 200_000) -> None:
        if capacity < 1:
            raise ConfigError("capacity is a number of keys, 1 or more")
        self._capacity = capacity
        self._entries: dict[str, _Entry] = {}  # in the order of their newest state, so nearly in that of their ends
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._entries)

    def begin(self, keys: Sequence[str], claim: str, *, now: float, until: float) -> Standing:
        """See ReplayStore. Raises StoreUnavailable where it is full."""
        with self._lock:
            known = [entry for key in keys if (entry := self._entries.get(key)) is not None and now < entry.until]
            if known:
                return "done" if any(entry.claim is None for entry in known) else "running"
            self._make_room(len(keys), now)
            self._keep(keys, _Entry(claim, until))
            return "new"

    def finish(self, keys: Sequence[str], claim: str, *, until: float) -> None:
        """See ReplayStore."""
        with self._lock:
            self._keep(keys, _Entry(None, until))

    def forget(self, keys: Sequence[str], claim: str) -> None:
        """See ReplayStore."""
        with self._lock:
            for key in keys:
                if (entry := self._entries.get(key)) is not None and entry.claim == claim:
                    del self._entries[key]

    def _keep(self, keys: Sequence[str], entry: _Entry) -> None:
        for key in keys:
            self._entries.pop(key, None)
            self._entries[key] = entry

    def _make_room(self, wanted: int, now: float) -> None:
        oldest = list(islice(self._entries.items(), _LOOKED_AT))
        for key, entry in oldest:
            if entry.until <= now:
                del self._entries[key]
        for key, entry in oldest:
            if len(self._entries) + wanted <= self._capacity:
                return
            if entry.claim is None:
                self._entries.pop(key, None)
        if len(self._entries) + wanted > self._capacity:
            raise StoreUnavailable(f"the replay store is full: {self._capacity} keys, the oldest still being worked on")
