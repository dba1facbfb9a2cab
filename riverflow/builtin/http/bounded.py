"""A mapping that forgets the oldest of too many entries. It knows nothing of what it holds."""

from __future__ import annotations

from typing import Generic, TypeVar

__all__ = ["Bounded"]

K = TypeVar("K")
V = TypeVar("V")


class Bounded(Generic[K, V]):
    """At most `limit` entries; the one written or used longest ago goes first. `get` is one dict look-up and does not
    count as use."""

    __slots__ = ("_entries", "_limit", "get")

    def __init__(self, limit: int) -> None:
        self._entries: dict[K, V] = {}
        self._limit = limit
        self.get = self._entries.get

    def __len__(self) -> int:
        return len(self._entries)

    def use(self, key: K) -> V | None:
        """The entry of a key, now the last to go."""
        value = self._entries.pop(key, None)
        if value is not None:
            self._entries[key] = value
        return value

    def put(self, key: K, value: V) -> V | None:
        """Write an entry; return the one that had to go, if any."""
        self._entries.pop(key, None)
        self._entries[key] = value
        if len(self._entries) <= self._limit:
            return None
        return self._entries.pop(next(iter(self._entries)))

    def clear(self) -> list[V]:
        """Forget all; return what there was."""
        values = list(self._entries.values())
        self._entries.clear()
        return values
