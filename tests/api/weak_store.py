"""A SQLite store that can be stopped, or made to fail, just before or just after it writes a run."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from riverflow import hookimpl
from riverflow.builtin.sqlite import open_sqlite
from riverflow.errors import StoreUnavailable
from riverflow.models import Append
from riverflow.ports import Context


class WeakStore:
    """The scheme `weak:`. The next new run is lost (`fail_before`), written without anybody hearing of it
    (`fail_after`), or held up until `release` (`hold`; `held` says that it is)."""

    def __init__(self) -> None:
        self.fail_before = self.fail_after = self.hold = False
        self.held, self.release = asyncio.Event(), asyncio.Event()

    @hookimpl
    def riverflow_stores(self) -> Mapping[str, Callable[[Context], Any]]:
        return {"weak": self._open}

    def _open(self, context: Context) -> Any:
        url = context.settings.database_url.replace("weak:", "sqlite:")
        settings = msgspec.structs.replace(context.settings, database_url=url)
        store = open_sqlite(msgspec.structs.replace(context, settings=settings))
        append = store.log.append

        async def weakly(what: Append) -> int:
            if what.expected_version is not None:
                return await append(what)
            if self.hold:
                self.hold = False
                self.held.set()
                await self.release.wait()
            if self.fail_before:
                self.fail_before = False
                raise StoreUnavailable("the disk is full")
            number = await append(what)
            if self.fail_after:
                self.fail_after = False
                raise StoreUnavailable("the disk is full")
            return number

        store.log.append = weakly  # type: ignore[method-assign]
        return store
