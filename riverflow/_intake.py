"""Turns the bytes of a request into a plan: the only decode of a submission, and of a callback.

It checks what the caller said and resolves what he named; it accepts nothing by itself.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from . import codec
from ._directory import STRUCTURED_OUTPUT, Directory, identifier
from .config import Settings
from .egress import Egress
from .errors import Conflict, HttpError, InvalidRequest, PipelineError, Unprocessable
from .models import Completed, Failed, Json, Plan, StructuredOutput, Tag, Workflow
from .schema import SchemaError, check_schema

__all__ = ["CallbackRequest", "Intake", "Submission", "SubmitRequest", "Timeout", "parse_callback", "remote_url"]

Timeout = Annotated[float, msgspec.Meta(gt=0, le=30 * 86_400)]


class ChatMessage(msgspec.Struct, frozen=True):
    """One message of a conversation: any object. It is passed on as it came, and not looked into."""


class SubmitRequest(msgspec.Struct, frozen=True, kw_only=True):
    """The body of `POST ai/async`. Fields that are not named here are kept and passed on; the provider gets those that
    belong to its API."""

    workflow: str | None = None
    provider: str | None = None
    model: str | None = None
    messages: list[ChatMessage] | None = None
    prompt: str | None = None
    input: Any = None
    inputs: Any = None
    metadata: Any = None
    context: Any = None
    customer_data: dict[str, Json] | None = None
    response_format: Any = None
    structured_output_schema: dict[str, Any] | None = None
    format: str | None = None
    stream: bool | None = None
    tools: list[Any] | None = None
    tool_choice: Any = None
    temperature: float | None = None
    max_tokens: int | None = None
    top_p: float | None = None
    delivery_method: str | None = None
    webhook_url: str | None = None
    events: tuple[str, ...] | None = None
    callback_timeout: Timeout | None = None
    test_mode: bool | None = None


class CallbackRequest(msgspec.Struct, frozen=True, kw_only=True):
    """The body of `POST {callback_url}`: the success form (`data`, `task_id`, `metadata`) or the error form (`error`,
    `message`)."""

    data: dict[str, Json] | None = None
    task_id: str | int | None = None
    metadata: dict[str, Json] | None = None
    error: str | dict[str, Any] | None = None
    message: str | None = None


class Submission(msgspec.Struct, frozen=True, kw_only=True):
    """A request that can be accepted."""

    plan: Plan
    request: Json
    warnings: list[str]

    def in_playground(self, *, simulated: bool) -> Submission:
        """The same, kept out of statistics and of lists that do not ask for it. Where the backend is `simulated`, it
        is answered for and nobody else is told anything."""
        tag: Tag = "pg_test_mode" if self.plan.tag == "test" else "pg"
        plan = msgspec.structs.replace(self.plan, tag=tag, simulated=simulated)
        return msgspec.structs.replace(self, plan=plan)


class _Draft(msgspec.Struct, frozen=True, kw_only=True):
    """A plan as far as the configuration makes it."""

    plan: Plan
    cache_fields: tuple[str, ...]
    warnings: tuple[str, ...]


DRAFTS = 1000  # plans kept

_submit_decoder = msgspec.json.Decoder(SubmitRequest)
_callback_decoder = msgspec.json.Decoder(CallbackRequest)


class Intake:
    """Resolves submissions against what is configured. What follows from the configuration alone is kept as a plan that
    each request completes, for as long as the configuration stands."""

    def __init__(self, directory: Directory, settings: Settings) -> None:
        self._directory = directory
        self._settings = settings
        self._drafts: dict[tuple[str, str, str | None], _Draft] = {}
        self._revision = -1

    async def submission(self, project_id: str, body: bytes, base_url: str) -> Submission:
        """Raises InvalidRequest (400), Unprocessable (422), NotFound (404, unknown workflow) or Conflict (409, disabled
        workflow)."""
        request = codec.canonical(body)
        asked: SubmitRequest = _decoded(_submit_decoder, request, "request")
        draft = await self._draft(project_id, asked)
        plan = draft.plan
        plan = msgspec.structs.replace(
            plan,
            schema=_own_schema(asked) or plan.schema,
            customer_data=_customer_data(asked, draft.cache_fields, request),
            callback_timeout=asked.callback_timeout or plan.callback_timeout,
            base_url=base_url,
            webhook_url=self._webhook_url(asked.webhook_url),
            tag="test" if asked.test_mode else "live",
        )
        return Submission(plan=plan, request=request, warnings=list(draft.warnings))

    async def _draft(self, project_id: str, asked: SubmitRequest) -> _Draft:
        event_name = asked.events[0] if asked.events else None
        if not asked.workflow:
            return await self._drawn_up(project_id, _direct(asked), event_name)
        if self._revision != self._directory.revision:
            self._drafts.clear()
            self._revision = self._directory.revision
        key = (project_id, asked.workflow, event_name)
        draft = self._drafts.get(key)
        if draft is None:
            workflow = await self._directory.workflow(project_id, asked.workflow)
            if workflow.disabled:
                raise _disabled(workflow)
            draft = await self._drawn_up(project_id, workflow, event_name)
            if len(self._drafts) < DRAFTS and self._revision == self._directory.revision:
                self._drafts[key] = draft
        return draft

    async def _drawn_up(self, project_id: str, workflow: Workflow, event_name: str | None) -> _Draft:
        try:
            pipeline = workflow.stages(event_name)
        except PipelineError as error:
            raise Unprocessable(f"events: {error}") from None
        warnings: list[str] = []
        output = await self._structured_output(project_id, workflow, warnings)
        sample = workflow.sample_data if output is None or workflow.sample_data is not None else output.sample_data
        plan = Plan(
            workflow=workflow.name,
            workflow_id=identifier("wf", project_id, workflow.name),
            stages=pipeline.stages,
            provider=workflow.provider,
            model=workflow.model,
            event_name=pipeline.hand_offs[0].event_name if pipeline.hand_offs else None,
            fallbacks=tuple(sorted(workflow.fallbacks, key=lambda fallback: fallback.position)),
            instructions=workflow.instructions,
            schema=codec.from_python(output.schema) if output is not None else None,
            template=workflow.template,
            sample_data=codec.from_python(sample) if sample is not None else None,
            callback_timeout=workflow.callback_timeout or self._settings.callback_timeout,
            callback_limit=self._settings.max_callback_timeout,
            on_timeout=workflow.on_timeout,
            provider_timeout=workflow.provider_timeout or self._settings.provider_timeout,
        )
        return _Draft(plan=plan, cache_fields=workflow.cache_fields, warnings=tuple(warnings))

    async def _structured_output(
        self, project_id: str, workflow: Workflow, warnings: list[str]
    ) -> StructuredOutput | None:
        reference = workflow.structured_output_id
        if reference is None:
            return None
        output = await self._directory.structured_output(project_id, reference)
        if output is None:
            warnings.append(f"the {STRUCTURED_OUTPUT.name} {reference!r} does not exist")
        return output

    def _webhook_url(self, url: str | None) -> str | None:
        if url is None:
            return None
        return remote_url(url, self._settings, "webhook_url")


def remote_url(url: str, settings: Settings, field: str) -> str:
    """A URL that a caller may name as a webhook target: http(s) only, https in production, by the egress guard's rules
    of text; `asgi:` and `local:` would step round the outer app's doors. Raises Unprocessable. (Addresses are vetted
    when it is dialled.)"""
    if url.startswith("http://") and not settings.development:
        raise Unprocessable(
            f"{field}: only https URLs are called in production (RIVERFLOW_ENV=development allows http)",
            code="https_required",
            extra={"param": field},
        )
    try:
        Egress.of(settings).check_url(url, "delivery")
    except HttpError as error:
        raise Unprocessable(
            f"{field}: {error.message}; give an http(s) URL such as https://api.example.com/webhooks/ai",
            code="invalid_url",
            extra={"param": field},
        ) from None
    return url


def parse_callback(body: bytes) -> Completed | Failed:
    """A callback body as the outcome it declares. Raises InvalidRequest (not JSON, wrong types) or Unprocessable
    (neither `data` nor `error`, or both)."""
    text = codec.canonical(body)
    said = _decoded(_callback_decoder, text, "callback")
    if (said.data is None) == (said.error is None):
        raise Unprocessable(
            "a callback carries either `data` (an object) or `error` (a code), with the rest beside it",
            code="data_or_error_required",
        )
    if said.error is not None:
        return _declared_failure(said)
    return Completed(
        data=Json(codec.encode(said.data)),
        task_id=None if said.task_id is None else str(said.task_id),
        metadata=None if said.metadata is None else Json(codec.encode(said.metadata)),
    )


def _declared_failure(said: CallbackRequest) -> Failed:
    error = said.error
    if isinstance(error, dict):  # {"error": {"code", "message"}} is what many HTTP libraries produce
        code, message = str(error.get("code") or "callback_error"), said.message or error.get("message")
        return Failed(code=code, message=str(message or code))
    assert error is not None
    return Failed(code=error or "callback_error", message=said.message or error or "callback_error")


def _decoded(decoder: msgspec.json.Decoder[Any], text: Json, what: str) -> Any:
    try:
        return decoder.decode(text)
    except msgspec.ValidationError as error:
        raise InvalidRequest(f"{what}: {error}", code="invalid_type") from None


def _disabled(workflow: Workflow) -> Conflict:
    return Conflict(
        f"The workflow {workflow.name!r} is disabled and takes no new requests; enable it in the console, or with "
        f'PATCH /console/workflow/{workflow.name} {{"disabled": false}}',
        code="workflow_disabled",
        extra={"param": "workflow"},
    )


def _direct(asked: SubmitRequest) -> Workflow:
    """The old form of a request, without a workflow."""
    if asked.provider and asked.model:
        return Workflow(name="direct", provider=asked.provider, model=asked.model)
    raise InvalidRequest("name a workflow (or a provider and a model)", extra={"param": "workflow"})


def _own_schema(asked: SubmitRequest) -> Json | None:
    """The JSON Schema that a request brings along; it goes before the workflow's."""
    schema = asked.structured_output_schema or _inline_schema(asked.response_format)
    if schema is None:
        return None
    try:
        check_schema(schema)
    except SchemaError as error:
        raise Unprocessable(f"the JSON Schema of the request: {error}", code="invalid_schema") from None
    return codec.from_python(schema)


def _inline_schema(response_format: Any) -> dict[str, Any] | None:
    """The JSON Schema in `response_format`: OpenAI's `json_schema` form, or a bare schema."""
    if not isinstance(response_format, dict):
        return None
    if response_format.get("type") == "json_schema":
        wrapper = response_format.get("json_schema")
        schema = wrapper.get("schema") if isinstance(wrapper, dict) else None
        return schema if isinstance(schema, dict) else None
    if response_format.get("type") in ("json_object", "text"):
        return None
    return response_format or None


def _customer_data(asked: SubmitRequest, cache_fields: tuple[str, ...], request: Json) -> Json:
    """Cache fields echo under their full path; a `customer_data` object is echoed as it is, and its keys win."""
    if not cache_fields:
        return Json(codec.encode(asked.customer_data)) if asked.customer_data else codec.EMPTY_OBJECT
    whole = codec.decode(request)
    found = {path: _at(whole, path) for path in cache_fields}
    echoed = {path: value for path, value in found.items() if value is not _MISSING}
    return codec.from_python(echoed | (asked.customer_data or {}))


_MISSING: Any = object()


def _at(value: Any, path: str) -> Any:
    for key in path.split("."):
        if isinstance(value, dict) and key in value:
            value = value[key]
        elif isinstance(value, list) and key.isdigit() and int(key) < len(value):
            value = value[int(key)]
        else:
            return _MISSING
    return value
