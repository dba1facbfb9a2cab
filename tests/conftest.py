"""What every test of riverflow shares."""

from __future__ import annotations

import hypothesis
import pytest

hypothesis.settings.register_profile("riverflow", deadline=None)  # a busy machine is no fault of an example
hypothesis.settings.load_profile("riverflow")


@pytest.fixture
def anyio_backend() -> str:
    """asyncio is the only event loop."""
    return "asyncio"
