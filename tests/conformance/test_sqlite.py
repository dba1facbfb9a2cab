"""SQLite under the shipped store suite: on a file, and in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from riverflow.builtin.sqlite import open_sqlite
from riverflow.config import Settings
from riverflow.ports import Clock, Store
from riverflow.testing import FakeClock, make_context
from riverflow.testing.suites.store import StoreSuite


class RealSleep(FakeClock):
    """Stands still, but its sleepers do sleep: SQLite's notifier looks at the file again and again."""

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


def a_store(url: str, clock: Clock | None = None) -> Store:
    return open_sqlite(make_context(settings=Settings(database_url=url), clock=clock or RealSleep()))


class TestFile(StoreSuite):
    @pytest.fixture
    def make(self, tmp_path: Path) -> Callable[[], Store]:
        return lambda: a_store(f"sqlite:///{tmp_path}/river.db")


class TestMemory(StoreSuite):
    durable = False
    shared = False

    @pytest.fixture
    def make(self) -> Callable[[], Store]:
        return lambda: a_store("memory://")
