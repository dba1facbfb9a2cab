"""`kill -9` at saturation, again and again: whatever was accepted ends in one final state, and its trail is whole.

`make torture` does the same with more of it.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from .torture import torture

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

KILLS = int(os.environ.get("RIVERFLOW_TEST_KILLS", "50"))


@pytest.mark.timeout(120 + 6 * KILLS)
async def test_killed_under_load(tmp_path: Path) -> None:
    """64 runs in flight, remote and in process, with 5 % provider errors, 20 % receiver errors, 1 % duplicates."""
    result = await torture(tmp_path, runs=12 * KILLS, kills=KILLS)
    assert result.problems == []
    assert result.kills == KILLS
    assert len(result.told.accepted) == result.runs
    assert min(result.told.counted[name] for name in ("provider errors", "receiver errors")) > 0
