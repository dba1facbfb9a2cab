"""Stages made of plain functions (`river.stage`): the stage-runner port over a developer's own callable."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import anyio.to_thread

from ..codec import from_python
from ..models import Completed, Failed, Outcome, Waiting
from ..ports import StageContext

__all__ = ["FunctionStage"]


class FunctionStage:
    """Runs one function as a stage; a plain one in a worker thread. What it returns is the stage's data, unless it
    is an Outcome already."""

    def __init__(self, function: Callable[[StageContext], Any]) -> None:
        self._function = function
        self._is_async = inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
            getattr(function, "__call__", None)  # noqa: B004 - an object with an async __call__
        )

    async def run(self, context: StageContext) -> Outcome:
        if self._is_async:
            returned = await self._function(context)
        else:
            returned = await anyio.to_thread.run_sync(self._function, context, abandon_on_cancel=True)
        if isinstance(returned, Completed | Failed | Waiting):
            return returned
        return Completed(data=from_python(returned))
