"""What a stop hands back, and what is said where it cannot."""

from __future__ import annotations

import logging
from types import SimpleNamespace
from typing import Any

import pytest

from riverflow._setbacks import SetBacks
from riverflow.errors import NotWaiting, StoreError, StoreUnavailable, VersionConflict

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (StoreUnavailable("locked"), True),
        (StoreError("corrupt"), True),
        (RuntimeError("unforeseen"), True),
        (NotWaiting("cancelled meanwhile"), False),
        (VersionConflict("somebody else's"), False),
    ],
    ids=lambda value: type(value).__name__,
)
async def test_what_could_not_be_handed_back_is_told(
    error: Exception, told: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """Else an operator would look for the attempt that nobody made."""
    asked: list[str] = []

    async def write(record: Any, taken: Any, owner: str | None) -> None:
        asked.append(record.run.id)
        if record.run.id == "first":
            raise error

    async def give_back(run_id: str, delivery_id: None, delay: float) -> None:
        raise AssertionError("the leases are given back together")

    set_backs = SetBacks(write, give_back)
    for run_id in ("first", "second"):
        set_backs.cut_off(SimpleNamespace(run=SimpleNamespace(id=run_id)))  # type: ignore[arg-type]
    with caplog.at_level(logging.WARNING, "riverflow.runner"):
        await set_backs.hand_back()
    assert asked == ["first", "second"]
    assert [("first" in each.getMessage()) for each in caplog.records] == [True] * told
