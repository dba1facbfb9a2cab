"""One message's claim on its effect: begun before the work, ended after it, on a replay store of either kind.

It knows no message and no answer; a store that fails or answers nonsense never lets a message through.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from inspect import iscoroutine, iscoroutinefunction
from typing import Any

from ..errors import ConfigError, Conflict, RiverflowError, StoreUnavailable
from .replays import ReplayStore

__all__ = ["Claim"]

_COME_BACK = 5.0  # seconds: the first wait of the usual schedules


class Claim:
    """Of one try of a message on its keys. `lease` and `keep` are seconds, `clock` gives Unix seconds."""

    def __init__(
        self, store: ReplayStore, keys: tuple[str, ...], clock: Callable[[], float], *, lease: float, keep: float
    ) -> None:
        self._store = store
        self._keys = keys
        self._clock = clock
        self._lease = lease
        self._keep = keep
        self._name = secrets.token_hex(16)

    def begin(self) -> bool:
        """Whether the work was done before. Raises Conflict where it is being done, StoreUnavailable, ConfigError."""
        return _is_done(_plain(self._begin))

    async def begin_async(self) -> bool:
        """`begin`, off the event loop where the store is plain."""
        return _is_done(await _either(self._store.begin, self._begin))

    def end(self, *, done: bool) -> None:
        """The work is done, or may be tried again. Raises StoreUnavailable, ConfigError."""
        _plain(self._finish if done else self._forget)

    async def end_async(self, *, done: bool) -> None:
        """`end`, off the event loop where the store is plain."""
        if done:
            await _either(self._store.finish, self._finish)
        else:
            await _either(self._store.forget, self._forget)

    def _begin(self) -> Any:
        now = self._clock()
        return self._store.begin(self._keys, self._name, now=now, until=now + self._lease)

    def _finish(self) -> Any:
        return self._store.finish(self._keys, self._name, until=self._clock() + self._keep)

    def _forget(self) -> Any:
        return self._store.forget(self._keys, self._name)


def _is_done(standing: Any) -> bool:
    if standing == "running":
        raise Conflict("this message is being worked on", code="in_progress", retry_after=_COME_BACK)
    if standing not in ("new", "done"):
        raise StoreUnavailable(f"the replay store answered {type(standing).__name__}, not a Standing")
    return bool(standing == "done")


def _plain(call: Callable[[], Any]) -> Any:
    try:
        outcome = call()
    except RiverflowError:
        raise
    except Exception as error:
        raise StoreUnavailable(f"the replay store failed: {type(error).__name__}") from error
    if isinstance(outcome, Awaitable):  # it would count as true
        if iscoroutine(outcome):
            outcome.close()
        raise ConfigError("this replay store is asynchronous: use `async with`, or a plain store")
    return outcome


async def _either(method: Callable[..., Any], call: Callable[[], Any]) -> Any:
    try:
        outcome = call() if iscoroutinefunction(method) else await asyncio.to_thread(call)
        return await outcome if isinstance(outcome, Awaitable) else outcome
    except RiverflowError:
        raise
    except Exception as error:
        raise StoreUnavailable(f"the replay store failed: {type(error).__name__}") from error
