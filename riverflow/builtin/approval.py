"""The stage kind `approval`: the run waits there for a person.

It tells nobody and takes no decision: what a waiting stage is answered with comes by other ways.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ..hookspecs import hookimpl
from ..models import Waiting
from ..pipeline import APPROVAL, APPROVAL_TIMEOUT
from ..ports import Context, StageContext, StageRunner

__all__ = ["Approval"]


class Approval:
    """ports.StageRunner: waits for as long as the stage says (a week, where it says nothing)."""

    async def run(self, context: StageContext) -> Waiting:
        stage = context.stage
        return Waiting(event_name=stage.event, timeout=stage.timeout or APPROVAL_TIMEOUT)


@hookimpl
def riverflow_stages() -> Mapping[str, Callable[[Context], StageRunner]]:
    return {APPROVAL: lambda context: Approval()}
