"""Time and chance."""

from __future__ import annotations

from typing import Protocol

__all__ = ["Clock", "Ids"]


class Clock(Protocol):
    """Time. `now` is Unix seconds; `monotonic` is for durations; `sleep` may return early only when cancelled."""

    def now(self) -> float: ...
    def monotonic(self) -> float: ...
    async def sleep(self, seconds: float) -> None: ...


class Ids(Protocol):
    """Names nobody else has. `channel_id` is a UUIDv7 in canonical text, `opaque` a sortable id with a prefix
    and without dots (`ep_…`), `secret` is `whsec_` + base64 of 32 random bytes."""

    def channel_id(self) -> str: ...
    def opaque(self, prefix: str) -> str: ...
    def secret(self) -> str: ...
