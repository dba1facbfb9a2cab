"""What every test of riverflow shares."""

from __future__ import annotations

import pytest


@pytest.fixture
def anyio_backend() -> str:
    """asyncio is the only event loop."""
    return "asyncio"
