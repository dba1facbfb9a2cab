"""pytest fixtures for authors of riverflow plugins and apps, named `riverflow_…`.

pytest loads this module in every environment that has riverflow, before coverage measures: it imports riverflow only
when a fixture is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .clock import FakeClock
    from .ids import SequenceIds
    from .provider import ScriptedProvider

__all__ = ["riverflow_clock", "riverflow_ids", "riverflow_provider"]


@pytest.fixture
def riverflow_clock() -> FakeClock:
    """A clock that stands still until the test moves it."""
    from .clock import FakeClock

    return FakeClock()


@pytest.fixture
def riverflow_ids() -> SequenceIds:
    """Identifiers that count from 1."""
    from .ids import SequenceIds

    return SequenceIds()


@pytest.fixture
def riverflow_provider() -> ScriptedProvider:
    """A provider that says `scripted answer`, and records what it was asked."""
    from .provider import ScriptedProvider

    return ScriptedProvider()
