"""`/console/structured_output`: JSON Schemas that answers must satisfy, as documents."""

from __future__ import annotations

from typing import Any

from ..._directory import STRUCTURED_OUTPUT, Stored, identifier
from ...errors import Unprocessable
from ...models import StructuredOutput
from ...schema import SchemaError, check_schema
from .._door import Call
from ._resource import Resource, converted, origin, routes, whole

__all__ = ["ROUTES"]


class StructuredOutputResponse(StructuredOutput, frozen=True, kw_only=True):
    """A structured output as it stands."""

    id: str
    source: str
    version: int
    updated_at: str | None
    warnings: tuple[str, ...] = ()


class StructuredOutputs(Resource):
    kind = STRUCTURED_OUTPUT
    takes = StructuredOutput
    gives = StructuredOutputResponse

    async def build(self, call: Call, members: dict[str, Any], stored: Stored | None) -> tuple[str, Any]:
        output: StructuredOutput = converted(members, StructuredOutput, "structured output")
        if stored is None:
            call.checks.name(self.kind, output.name)
        try:
            check_schema(output.schema)
        except SchemaError as error:
            raise Unprocessable(f"schema: {error}", code="invalid_schema", extra={"param": "schema"}) from None
        return output.name, output

    def shown(self, call: Call, stored: Stored) -> dict[str, Any]:
        return {"id": identifier("schema", call.project_id, stored.name), **whole(stored.value), **origin(stored)}


ROUTES = routes(StructuredOutputs(), StructuredOutputResponse)
