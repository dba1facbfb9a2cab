"""The simulation's store of plain dictionaries under the shipped store suite."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from riverflow.ports import Store
from riverflow.testing.simulation.memory import MemoryStore, Post
from riverflow.testing.simulation.tables import Tables
from riverflow.testing.suites.store import StoreSuite


class TestMemoryStore(StoreSuite):
    @pytest.fixture
    def make(self) -> Callable[[], Store]:
        tables, post = Tables(), Post()
        return lambda: MemoryStore(tables, post)
