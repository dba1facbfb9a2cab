"""Fixtures of the API tests."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest

from .desk import Desk, Sit, sit


@pytest.fixture
def seated(tmp_path: Path) -> Sit:
    """Builds a desk with options of one's own: `async with seated(max_body_bytes=100) as desk: …`."""
    return partial(sit, tmp_path)


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with sit(tmp_path) as seat:
        yield seat
