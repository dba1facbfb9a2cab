"""What factories and stage runners are given, made for a test in one line.

It starts nothing: the HTTP client it puts in refuses every request.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ..codec import from_python
from ..config import Settings
from ..errors import HttpError
from ..models import Json, Output, Plan, Record, Run
from ..pipeline import Pipeline, Stage
from ..ports import Clock, Context, Handler, HttpClient, HttpRequest, HttpResponse, Ids, Provider, StageContext
from .clock import FakeClock
from .ids import SequenceIds

__all__ = ["NoHttp", "make_context", "stage_context"]


class NoHttp:
    """ports.HttpClient without a network: HttpError with code `policy` for every request."""

    async def send(self, request: HttpRequest) -> HttpResponse:
        raise HttpError("this test has no network", code="policy")

    async def aclose(self) -> None:
        return None


def make_context(
    *,
    settings: Settings | None = None,
    http: HttpClient | None = None,
    clock: Clock | None = None,
    ids: Ids | None = None,
    handlers: Mapping[str, Handler] | None = None,
    providers: Mapping[str, Provider] | None = None,
    options: Mapping[str, Any] | None = None,
) -> Context:
    """A Context with fakes in the places that are not given, and no wrapped app."""
    return Context(
        settings=settings or Settings(),
        http=http or NoHttp(),
        clock=clock or FakeClock(),
        ids=ids or SequenceIds(),
        handlers=handlers or {},
        wrapped=lambda: None,
        providers=providers or {},
        options=options or {},
    )


def stage_context(
    stage: Stage | None = None,
    *,
    request: Any = None,
    outputs: Iterable[Output] = (),
    attempt: int = 1,
    **plan: Any,
) -> StageContext:
    """What a stage runner sees of a run: at `stage` (the `generate` stage unless given), with the caller's `request` (a
    JSON value; unless given, a chat that says `hello`). `plan` are members of models.Plan."""
    pipeline = Pipeline.default(None) if stage is None else Pipeline([stage, Stage(name="finalise", kind="finalise")])
    defaults: dict[str, Any] = {
        "workflow": "test",
        "workflow_id": "wf_test",
        "stages": pipeline.stages,
        "provider": "scripted",
        "model": "scripted",
    }
    asked = {"messages": [{"role": "user", "content": "hello"}]} if request is None else request
    record = Record(
        run=_run(pipeline.stages[0]),
        plan=Plan(**(defaults | plan)),
        request=asked if isinstance(asked, Json) else from_python(asked),
        outputs=tuple(outputs),
    )
    return StageContext(record=record, stage=pipeline.stages[0], attempt=attempt)


def _run(stage: Stage) -> Run:
    return Run(
        id=SequenceIds().channel_id(),
        project_id="018bcfe5-6800-7000-8000-00000000000f",
        workflow="test",
        event_name=None,
        status="pending",
        stage=stage.name,
        phase="running",
        version=1,
        generation=1,
        created_at=1_700_000_000.0,
    )
