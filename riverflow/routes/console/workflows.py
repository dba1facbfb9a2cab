"""`/console/workflow`: workflows, as documents."""

from __future__ import annotations

from typing import Any

from ..._directory import WORKFLOW, Stored, identifier
from ...errors import PipelineError, Unprocessable
from ...models import Workflow
from .._door import Call
from ._resource import Resource, converted, origin, routes, whole

__all__ = ["ROUTES"]


class WorkflowResponse(Workflow, frozen=True, kw_only=True):
    """A workflow as it stands: `source` is `code` or `api`, `warnings` say what is missing for it."""

    id: str
    source: str
    version: int
    updated_at: str | None
    warnings: tuple[str, ...] = ()


class Workflows(Resource):
    kind = WORKFLOW
    takes = Workflow
    gives = WorkflowResponse

    async def build(self, call: Call, members: dict[str, Any], stored: Stored | None) -> tuple[str, Any]:
        if isinstance(members.get("cache_fields"), str):  # the hosted console's form: comma or newline list
            listed = members["cache_fields"].replace("\n", ",").split(",")
            members["cache_fields"] = [field.strip() for field in listed if field.strip()]
        workflow: Workflow = converted(members, Workflow, "workflow")
        if stored is None:
            call.checks.name(self.kind, workflow.name)
        if any(
            seconds is not None and seconds <= 0 for seconds in (workflow.callback_timeout, workflow.provider_timeout)
        ):
            raise Unprocessable("callback_timeout and provider_timeout are seconds above 0")
        try:
            workflow.stages()
        except PipelineError as error:
            raise Unprocessable(f"pipeline: {error}", extra={"param": "pipeline"}) from None
        call.checks.workflow(workflow)
        return workflow.name, workflow

    async def warnings(self, call: Call, value: Any) -> list[str]:
        reference = value.structured_output_id
        if reference is None or await call.directory.structured_output(call.project_id, reference) is not None:
            return []
        return [f"the structured output {reference!r} does not exist yet; until it does, answers are not checked"]

    def shown(self, call: Call, stored: Stored) -> dict[str, Any]:
        return {"id": identifier("wf", call.project_id, stored.name), **whole(stored.value), **origin(stored)}


ROUTES = routes(Workflows(), WorkflowResponse)
