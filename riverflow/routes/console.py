"""`/console/…`: workflows, webhook endpoints and structured outputs, as documents that a key with `admin` may change.

Pages for people are elsewhere; what is defined in code can be read here but not changed.
"""

from __future__ import annotations

from typing import Any

import msgspec

from .. import _payloads, codec
from .._directory import ENDPOINT, STRUCTURED_OUTPUT, WORKFLOW, Kind, Stored, identifier
from .._intake import remote_url
from ..errors import InvalidRequest, PipelineError, Unprocessable
from ..models import ADMIN, DEFAULT_SIGNERS, Endpoint, StructuredOutput, Workflow
from ..schema import SchemaError, check_schema
from ._door import Call, Reply, Route

__all__ = ["ROUTES"]


class Page(msgspec.Struct, kw_only=True):
    """A list of documents; everything is on one page."""

    data: list[dict[str, Any]]
    has_more: bool = False


class Deleted(msgspec.Struct, kw_only=True):
    """It is gone."""

    name: str
    deleted: bool = True


class EndpointRequest(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A webhook endpoint to register; the secret is made here and shown once, in the answer."""

    url: str
    description: str | None = None
    enabled: bool = True
    events: tuple[str, ...] = ()
    signers: tuple[str, ...] = DEFAULT_SIGNERS
    encoding: str = "json"
    body: str = "flat"


class WorkflowResponse(Workflow, frozen=True, kw_only=True):
    """A workflow as it stands: `source` is `code` or `api`, `warnings` say what is missing for it."""

    id: str
    source: str
    version: int
    updated_at: str | None
    warnings: tuple[str, ...] = ()


class StructuredOutputResponse(StructuredOutput, frozen=True, kw_only=True):
    """A structured output as it stands."""

    id: str
    source: str
    version: int
    updated_at: str | None
    warnings: tuple[str, ...] = ()


class EndpointResponse(EndpointRequest, kw_only=True):
    """A webhook endpoint as it stands."""

    id: str
    source: str
    version: int
    updated_at: str | None
    warnings: tuple[str, ...] = ()


class EndpointCreated(EndpointResponse, kw_only=True):
    """A new webhook endpoint with its secret, which is not shown again."""

    secret: str


class Resource:
    """One kind of document under `/console/<kind>`: how it is checked, named and shown."""

    kind: Kind
    takes: Any
    gives: Any
    fixed: tuple[str, ...] = ("name",)  # members that PATCH cannot change

    def members(self, stored: Stored) -> dict[str, Any]:
        """The members that PATCH starts from."""
        members: dict[str, Any] = msgspec.to_builtins(stored.value)
        return members

    async def build(self, call: Call, members: dict[str, Any], stored: Stored | None) -> tuple[str, Any]:
        """The name and the checked struct. Raises Unprocessable or InvalidRequest."""
        raise NotImplementedError

    async def warnings(self, call: Call, value: Any) -> list[str]:
        return []

    def shown(self, call: Call, stored: Stored) -> dict[str, Any]:
        """As the API answers it: no secret, where it comes from, when it changed."""
        raise NotImplementedError

    async def create(self, call: Call) -> Reply:
        members, ignored = self._read(call)
        name, value = await self.build(call, members, None)
        stored = await call.directory.create(call.project_id, self.kind, name, value)
        return await self._reply(call, stored, ignored, 201)

    async def read_all(self, call: Call) -> Reply:
        everything = await call.directory.all(call.project_id, self.kind)
        return Reply(codec.encode(Page(data=[self.shown(call, stored) for stored in everything.values()])))

    async def read(self, call: Call) -> Reply:
        stored = await call.directory.find(call.project_id, self.kind, call.param("name"))
        return Reply(codec.encode(self.shown(call, stored)))

    async def change(self, call: Call) -> Reply:
        stored = await call.directory.find(call.project_id, self.kind, call.param("name"))
        changes, ignored = self._read(call)
        for member in self.fixed:
            if member in changes and changes[member] != stored.name:
                raise Unprocessable(f"{member} cannot be changed; create a new one", extra={"param": member})
        _, value = await self.build(call, self.members(stored) | changes, stored)
        return await self._reply(call, await call.directory.replace(call.project_id, self.kind, stored, value), ignored)

    async def delete(self, call: Call) -> Reply:
        await call.directory.remove(call.project_id, self.kind, call.param("name"))
        return Reply(codec.encode(Deleted(name=call.param("name"))))

    async def _reply(self, call: Call, stored: Stored, ignored: list[str], status: int = 200) -> Reply:
        shown = self.shown(call, stored)
        warnings = [*ignored, *await self.warnings(call, stored.value)]
        return Reply(codec.encode(shown | ({"warnings": warnings} if warnings else {})), status)

    def _read(self, call: Call) -> tuple[dict[str, Any], list[str]]:
        """The body's members, and a warning for each that is not known (the hosted service takes more of them)."""
        members = codec.decode(codec.canonical(call.body))
        if not isinstance(members, dict):
            raise InvalidRequest("give a JSON object", code="invalid_type")
        known = self.takes.__struct_fields__
        ignored = [
            f"{name!r} is not a field of a {self.kind.name}; it was ignored" for name in members if name not in known
        ]
        return {name: value for name, value in members.items() if name in known}, ignored


class Workflows(Resource):
    kind = WORKFLOW
    takes = Workflow
    gives = WorkflowResponse

    async def build(self, call: Call, members: dict[str, Any], stored: Stored | None) -> tuple[str, Any]:
        if isinstance(members.get("cache_fields"), str):  # the hosted console's form: comma or newline list
            listed = members["cache_fields"].replace("\n", ",").split(",")
            members["cache_fields"] = [field.strip() for field in listed if field.strip()]
        workflow: Workflow = _converted(members, Workflow, "workflow")
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
        return {"id": identifier("wf", call.project_id, stored.name), **_whole(stored.value), **_origin(stored)}


class StructuredOutputs(Resource):
    kind = STRUCTURED_OUTPUT
    takes = StructuredOutput
    gives = StructuredOutputResponse

    async def build(self, call: Call, members: dict[str, Any], stored: Stored | None) -> tuple[str, Any]:
        output: StructuredOutput = _converted(members, StructuredOutput, "structured output")
        if stored is None:
            call.checks.name(self.kind, output.name)
        try:
            check_schema(output.schema)
        except SchemaError as error:
            raise Unprocessable(f"schema: {error}", code="invalid_schema", extra={"param": "schema"}) from None
        return output.name, output

    def shown(self, call: Call, stored: Stored) -> dict[str, Any]:
        return {"id": identifier("schema", call.project_id, stored.name), **_whole(stored.value), **_origin(stored)}


class Webhooks(Resource):
    kind = ENDPOINT
    takes = EndpointRequest
    gives = EndpointResponse
    fixed = ()

    async def build(self, call: Call, members: dict[str, Any], stored: Stored | None) -> tuple[str, Any]:
        _converted(
            {key: members[key] for key in members if key in self.takes.__struct_fields__}, EndpointRequest, "webhook"
        )
        if stored is None:
            members |= {"id": call.ids.opaque("ep"), "secret": call.ids.secret()}
        endpoint: Endpoint = _converted(members, Endpoint, "webhook")
        remote_url(endpoint.url, call.settings, "url")
        if not endpoint.signers:  # riverflow would send what the backend cannot know to be from here
            raise Unprocessable("signers: an endpoint needs at least one signer", extra={"param": "signers"})
        call.checks.signers(endpoint.signers)
        if not call.settings.development and not call.settings.public_url:
            raise Unprocessable(
                "set RIVERFLOW_PUBLIC_URL first: a backend is told to call back there", code="public_url_required"
            )
        return endpoint.id, endpoint

    async def create(self, call: Call) -> Reply:
        members, ignored = self._read(call)
        name, value = await self.build(call, members, None)
        stored = await call.directory.create(call.project_id, self.kind, name, value)
        shown = self.shown(call, stored) | {"secret": value.secret}
        return Reply(codec.encode(shown | ({"warnings": ignored} if ignored else {})), 201)

    def shown(self, call: Call, stored: Stored) -> dict[str, Any]:
        members = _whole(stored.value)
        del members["secret"]
        return {**members, **_origin(stored)}


def _converted(members: dict[str, Any], struct: Any, what: str) -> Any:
    try:
        return msgspec.convert(members, struct)
    except msgspec.ValidationError as error:
        raise InvalidRequest(f"{what}: {error}", code="invalid_type") from None


def _whole(value: msgspec.Struct) -> dict[str, Any]:
    """Every member, defaults included: a reader should not have to know them."""
    return {name: msgspec.to_builtins(getattr(value, name)) for name in value.__struct_fields__}


def _origin(stored: Stored) -> dict[str, Any]:
    updated = _payloads.iso(stored.updated_at) if stored.updated_at is not None else None
    return {"source": "code" if stored.in_code else "api", "version": stored.version, "updated_at": updated}


def _routes(resource: Resource, creates: Any) -> tuple[Route, ...]:
    path, noun = f"/console/{resource.kind.name}", resource.kind.name.replace("_", " ")
    one = f"{path}/{{name}}"
    common = (401, 403)
    return (
        Route(
            method="POST", path=path, verb=resource.create, scope=ADMIN, summary=f"Create a {noun}.",
            takes=resource.takes, gives=creates, status=201, errors=(400, *common, 409, 413, 422),
        ),
        Route(
            method="GET", path=path, verb=resource.read_all, scope=ADMIN, summary=f"All {noun}s.",
            gives=Page, errors=common,
        ),
        Route(
            method="GET", path=one, verb=resource.read, scope=ADMIN, summary=f"One {noun}.",
            gives=resource.gives, errors=(*common, 404),
        ),
        Route(
            method="PATCH", path=one, verb=resource.change, scope=ADMIN, summary=f"Change some fields of a {noun}.",
            takes=resource.takes, gives=resource.gives, errors=(400, *common, 404, 409, 413, 422),
        ),
        Route(
            method="DELETE", path=one, verb=resource.delete, scope=ADMIN, summary=f"Delete a {noun}.",
            gives=Deleted, errors=(*common, 404, 409),
        ),
    )  # fmt: skip


ROUTES = (
    *_routes(Workflows(), WorkflowResponse),
    *_routes(StructuredOutputs(), StructuredOutputResponse),
    *_routes(Webhooks(), EndpointCreated),
)
