"""A store as one process of the simulation reaches it: each call takes its time on the way, may be refused, may be done
without the caller being told, and may be the last thing that the process does.

What is done is the memory store's business; here it is only delayed, hidden or forgone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, cast

from ...errors import StoreUnavailable
from ...ports import Documents, Notifier, Queue, RunLog
from .faults import Faults
from .memory import MemoryStore

__all__ = ["FaultyStore"]

Begin = Callable[[Coroutine[Any, Any, None]], object]


class FaultyStore:
    """ports.Store around a MemoryStore.

    `begin` starts what happens outside the process: a request that is on its way arrives though its sender has died.
    `kill` ends the process. `heard` says whether the process is told of others' appends.
    """

    def __init__(
        self, inner: MemoryStore, faults: Faults, begin: Begin, kill: Callable[[], None], *, heard: bool = True
    ) -> None:
        self._inner = inner
        self._faults = faults
        self._begin = begin
        self._kill = kill
        self._heard = heard

    @property
    def log(self) -> RunLog:
        return cast("RunLog", _Far(self._inner.log, self._call))

    @property
    def queue(self) -> Queue:
        return cast("Queue", _Far(self._inner.queue, self._call))

    @property
    def documents(self) -> Documents:
        return cast("Documents", _Far(self._inner.documents, self._call))

    @property
    def notifier(self) -> Notifier | None:
        return self._inner.notifier if self._heard else None

    async def open(self) -> None:
        await self._inner.open()

    async def aclose(self) -> None:
        await self._inner.aclose()

    async def _call(self, act: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        told: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._begin(self._serve(act, told))
        return await told

    async def _serve(self, act: Callable[[], Coroutine[Any, Any, Any]], told: asyncio.Future[Any]) -> None:
        faults = self._faults
        await asyncio.sleep(faults.delay())
        if faults.strikes("killed_before"):
            self._kill()
            return
        if faults.strikes("store_refuses"):
            _tell(told, StoreUnavailable("the simulated store refuses"))
            return
        try:
            result = await act()
        except Exception as error:
            result = error
        if faults.strikes("killed_after"):
            self._kill()
            return
        await asyncio.sleep(faults.delay())
        if faults.strikes("store_forgets"):
            result = StoreUnavailable("the simulated store's answer was lost")
        _tell(told, result)


class _Far:
    """The methods of one port, each through `call`."""

    def __init__(self, port: object, call: Callable[[Callable[[], Coroutine[Any, Any, Any]]], Any]) -> None:
        self._port = port
        self._call = call

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._port, name)

        async def call(*args: Any, **options: Any) -> Any:
            return await self._call(lambda: method(*args, **options))

        return call


def _tell(told: asyncio.Future[Any], result: Any) -> None:
    if told.done():  # cancelled: nobody waits any more
        return
    if isinstance(result, Exception):
        told.set_exception(result)
    else:
        told.set_result(result)
