"""The nouns of riverflow as frozen structs. Times are Unix seconds (UTC) unless a name says otherwise.

This module holds values and what can be said from them alone; it decides nothing and reads no clock.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal
from uuid import UUID

import msgspec

from .pipeline import Pipeline, Stage

__all__ = [
    "ADMIN",
    "CALLBACK",
    "CHECKPOINTS",
    "DEFAULT_SIGNERS",
    "FINAL_KINDS",
    "READ",
    "SCOPES",
    "SUBMIT",
    "Answer",
    "Append",
    "Claim",
    "Completed",
    "Deferred",
    "Delivery",
    "DeliveryStatus",
    "Document",
    "Endpoint",
    "Entry",
    "Failed",
    "Fallback",
    "Frame",
    "GenerateRequest",
    "Generation",
    "Identity",
    "Json",
    "MaybeJson",
    "Outcome",
    "OutgoingMessage",
    "Output",
    "Phase",
    "Plan",
    "Project",
    "ProviderAttempt",
    "Receipt",
    "Record",
    "Run",
    "Settlement",
    "Status",
    "StructuredOutput",
    "Target",
    "TokenClaims",
    "Usage",
    "Waiting",
    "Workflow",
    "canonical_id",
    "lane_of",
]

Json = msgspec.Raw
"""A JSON value as JS-canonical bytes (see codec.canonical); spliced, never decoded again."""

if TYPE_CHECKING:
    MaybeJson = Json | None
else:
    MaybeJson = Json
    """For a field that may be left out. msgspec (0.22) takes nothing but `null` for a union of Raw and None; a field of
    this type is None by its default, and never read from a `null`."""

Status = Literal["pending", "ai_generated", "completed", "success", "error"]
Phase = Literal["running", "waiting", "done"]
DeliveryStatus = Literal["pending", "delivered", "dead", "expired"]

SUBMIT: Final = "submit"
READ: Final = "read"
CALLBACK: Final = "callback"
ADMIN: Final = "admin"
SCOPES: Final = frozenset({SUBMIT, READ, CALLBACK, ADMIN})

CHECKPOINTS: Final = frozenset({"run.accepted", "stage.completed", "callback.received"})
"""Kinds of entries from which a run is rebuilt: its plan and request, each finished stage's output, and which
callbacks decided it."""

DEFAULT_SIGNERS: Final = ("mr", "x-modelriver", "standard")
"""Signers are additive: each adds its own headers to the same bytes, so every known receiver can verify."""

FINAL_KINDS: Final = frozenset({"run.completed", "run.failed"})
"""Kinds of the one public entry that ends a run."""


# Configuration ------------------------------------------------------------------------------------------


class Fallback(msgspec.Struct, frozen=True, kw_only=True):
    """A provider to try when the ones before it failed; tried in order of `position`."""

    provider: str
    model: str
    position: int = 1


class Workflow(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A named configuration of a pipeline.

    `event_name` puts an `enrich` hand-off between generate and finalise. `pipeline` replaces the default
    stages. `structured_output_id` is the id or the name of a structured output. `cache_fields` are dot
    paths into the request that are echoed as customer data. `callback_timeout` (seconds) is how long a
    hand-off waits for its answer; `provider_timeout` (seconds) bounds one attempt of one provider; where they are
    None the settings of the same names count.
    `template` and `sample_data` are what the `echo` provider answers from.
    """

    name: str
    provider: str = "openai"
    model: str = ""
    description: str | None = None
    event_name: str | None = None
    fallbacks: tuple[Fallback, ...] = ()
    instructions: str | None = None
    structured_output_id: str | None = None
    cache_fields: tuple[str, ...] = ()
    callback_timeout: float | None = None
    provider_timeout: float | None = None
    pipeline: tuple[Stage, ...] | None = None
    template: str | None = None
    sample_data: Any = None

    def stages(self, event_name: str | None = None) -> Pipeline:
        """The pipeline to run; `event_name` is what a request asks for where the workflow names none."""
        if self.pipeline is not None:
            return Pipeline.of(self.pipeline)
        return Pipeline.default(self.event_name or event_name)


class StructuredOutput(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A JSON Schema that an answer must satisfy, with sample data for tests and the echo provider."""

    name: str
    schema: Any
    description: str | None = None
    sample_data: Any = None


class Endpoint(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A registered webhook target.

    `events` filters what it is told: event names, `task.ai_generated`, `task.completed`, `task.failed` or
    `*`; empty means hand-offs and the completion of workflows without an event name. `encoding` is how the
    body is written (`json`: as JSON.stringify writes it; `python-json`: as Python's json.dumps does),
    `body` whether the event object is repeated under `data` (`wrapped`). `url` may be `asgi:///path` only
    where the endpoint is declared in code or in the configuration file.
    """

    url: str
    secret: str
    id: str = ""
    description: str | None = None
    enabled: bool = True
    events: tuple[str, ...] = ()
    signers: tuple[str, ...] = DEFAULT_SIGNERS
    encoding: Literal["json", "python-json"] = "json"
    body: Literal["flat", "wrapped"] = "flat"

    def __repr__(self) -> str:
        return f"Endpoint(id={self.id!r}, url={self.url!r}, enabled={self.enabled}, secret=…)"


class Project(msgspec.Struct, frozen=True, kw_only=True):
    """The owner of everything else. `secret` signs deliveries to a request's own `webhook_url`,
    `token_secret` signs socket tokens."""

    id: str
    name: str
    secret: str
    token_secret: str

    def __repr__(self) -> str:
        return f"Project(id={self.id!r}, name={self.name!r}, secrets=…)"


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """Who is asking: a project, what he may do there, and a name for the log."""

    project_id: str
    scopes: frozenset[str] = SCOPES
    subject: str = "api_key"


class TokenClaims(msgspec.Struct, frozen=True, kw_only=True):
    """What a socket token says: one channel of one project until `exp` (Unix seconds)."""

    project_id: str
    channel_id: str
    topic: str
    exp: int
    jti: str


# A run and its log --------------------------------------------------------------------------------------


class Plan(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a run was accepted with: a snapshot that later edits of the workflow do not change."""

    workflow: str
    workflow_id: str
    stages: tuple[Stage, ...]
    provider: str
    model: str
    event_name: str | None = None
    fallbacks: tuple[Fallback, ...] = ()
    instructions: str | None = None
    schema: MaybeJson = None
    template: str | None = None
    sample_data: MaybeJson = None
    customer_data: Json = Json(b"{}")
    callback_timeout: float = 300.0
    provider_timeout: float = 300.0
    base_url: str = ""
    webhook_url: str | None = None

    @property
    def pipeline(self) -> Pipeline:
        return Pipeline.of(self.stages)


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """The small, changing part of a run: where it is. Everything else is in its log.

    `id` is the public channel id (UUIDv7). `version` grows with each decision, `generation` with each claim
    by another worker. `deadline_at` is set while `phase` is `waiting`.
    """

    id: str
    project_id: str
    workflow: str
    event_name: str | None
    status: Status
    stage: str
    phase: Phase
    version: int
    generation: int
    created_at: float
    deadline_at: float | None = None
    finished_at: float | None = None


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One immutable fact in a run's log. The store gives the number (from 1, without holes per run).

    Public entries are what the browser may see: their `data` is the message, ready to send. The others are
    the operator's.
    """

    kind: str
    at: float
    number: int = 0
    stage: str | None = None
    attempt: int | None = None
    public: bool = False
    data: Json = Json(b"{}")


class Output(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a finished stage produced; `meta` is there where a provider made it, `task_id` and `metadata`
    where a backend did."""

    stage: str
    data: Json
    meta: MaybeJson = None
    task_id: str | None = None
    metadata: MaybeJson = None


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """The callback that decided a stage: its form and the SHA-256 of its canonical body, to know a repetition."""

    stage: str
    form: Literal["success", "error"]
    digest: str


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """A run together with what its log says: the plan, the request, the outputs and receipts so far, and the
    generation in which its present stage began."""

    run: Run
    plan: Plan
    request: Json
    outputs: tuple[Output, ...] = ()
    receipts: tuple[Receipt, ...] = ()
    begun: int = 1

    @property
    def attempt(self) -> int:
        """Which attempt of its stage this is, from 1: each claim by another worker begins one."""
        return self.run.generation - self.begun + 1

    @property
    def generated(self) -> Output | None:
        """The AI's own answer: the first output that carries a provider's meta."""
        for output in self.outputs:
            if output.meta is not None:
                return output
        return None

    @property
    def data(self) -> Json:
        """What the next stage works on: the newest output."""
        return self.outputs[-1].data if self.outputs else Json(b"null")


# Outcomes of a stage (values, not exceptions) -----------------------------------------------------------


class Completed(msgspec.Struct, frozen=True, kw_only=True):
    """The stage is done. `data` is any JSON value; `meta` is a provider's account of how it was made."""

    data: Json
    meta: MaybeJson = None
    task_id: str | None = None
    metadata: MaybeJson = None


class Failed(msgspec.Struct, frozen=True, kw_only=True):
    """The stage, and with it the run, has failed for good."""

    code: str
    message: str
    details: MaybeJson = None
    meta: MaybeJson = None


class Waiting(msgspec.Struct, frozen=True, kw_only=True):
    """The stage now waits for a callback, for `timeout` seconds, having told `event_name`."""

    event_name: str
    timeout: float | None = None


class Deferred(msgspec.Struct, frozen=True):
    """A handler will answer later, through the callback URL."""


Outcome = Completed | Failed | Waiting


# Deliveries ---------------------------------------------------------------------------------------------


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """Where one delivery goes and how its body is written. `endpoint_id` is None for a request's own URL
    and for in-process handlers."""

    url: str
    endpoint_id: str | None = None
    encoding: str = "json"
    body: str = "flat"


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """One body owed to one target.

    `id` is also the idempotency key (`webhook-id`): the same on each try. `lane` is what a process must be
    able to do to try it (`http`, `asgi`, or `local:<event>`). `attempt` is the number of the attempt that is
    due or running, from 1. After `expires_at` nobody waits for it any more.
    """

    id: str
    run_id: str
    project_id: str
    stage: str
    type: str
    url: str
    lane: str
    body: bytes
    created_at: float
    due_at: float
    event_name: str | None = None
    endpoint_id: str | None = None
    attempt: int = 1
    expires_at: float | None = None
    status: DeliveryStatus = "pending"


class Settlement(msgspec.Struct, frozen=True, kw_only=True):
    """How attempt number `attempt` of a delivery ended, with the entry that tells it.

    `pending` with `due_at` means: try again then (the next attempt has number `attempt + 1`).
    """

    delivery_id: str
    run_id: str
    attempt: int
    status: DeliveryStatus
    entry: Entry
    due_at: float | None = None


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What a sender got back. `outcome` is set by senders whose target decides the stage at once
    (in-process handlers); `error` names the failure where there was no answer at all; `final` says that
    trying again is pointless."""

    status: int | None = None
    body: bytes = b""
    error: str | None = None
    message: str = ""
    outcome: Completed | Failed | Deferred | None = None
    final: bool = False

    @property
    def ok(self) -> bool:
        return self.error is None and self.status is not None and 200 <= self.status < 300


class OutgoingMessage(msgspec.Struct, frozen=True, kw_only=True):
    """What a signer signs: exactly the bytes that are sent. `timestamp` is in whole Unix seconds."""

    id: str
    timestamp: int
    body: bytes
    channel_id: str
    callback_url: str | None = None


def canonical_id(text: str) -> str | None:
    """A UUID in the one spelling that runs and projects are known by; None where it is none. Upper case is read alike
    (RFC 9562, section 4)."""
    try:
        return str(UUID(text))
    except ValueError:
        return None


def lane_of(url: str) -> str:
    """The lane that a URL belongs to: its scheme (`https` counts as `http`), or the whole `local:` name."""
    scheme, _, _ = url.partition(":")
    if scheme == "local":
        return url
    return "http" if scheme == "https" else scheme


# Store traffic ------------------------------------------------------------------------------------------


class Append(msgspec.Struct, frozen=True, kw_only=True):
    """One decision, written whole or not at all.

    `run` is the new state. `expected_version` is None for a new run; else the stored run must have this
    version and `run.generation`, or the append is refused with VersionConflict. `settled` ends a delivery
    attempt in the same breath. `closes` names a stage whose pending deliveries expire, because the stage
    is decided. `owner` is the process that keeps the run and the new deliveries on lease; a run that waits
    or is done is on nobody's lease.
    """

    run: Run
    owner: str
    entries: tuple[Entry, ...]
    expected_version: int | None = None
    deliveries: tuple[Delivery, ...] = ()
    settled: Settlement | None = None
    closes: str | None = None


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """Work taken over: a delivery to try, or (where `delivery` is None) a run to advance or time out."""

    run_id: str
    project_id: str
    delivery: Delivery | None = None


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """A small versioned JSON document. `version` counts from 1."""

    kind: str
    name: str
    project_id: str
    version: int
    body: bytes
    updated_at: float


# Provider traffic ---------------------------------------------------------------------------------------


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """Tokens as the provider counted them."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    total_tokens: int = 0


class GenerateRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What a provider is asked. `request` is the caller's whole body (canonical JSON: `messages`,
    `temperature`, `tools`, …); `schema` the JSON Schema the answer must satisfy; `template` and `sample_data`
    what an offline provider may answer from; `timeout` in seconds bounds the attempt."""

    channel_id: str
    model: str
    request: Json
    timeout: float
    instructions: str | None = None
    schema: MaybeJson = None
    template: str | None = None
    sample_data: MaybeJson = None


class Generation(msgspec.Struct, frozen=True, kw_only=True):
    """What a provider answered. `body` is its own object (OpenAI shape, with `choices`); `content` the text of
    the first choice, where there is one; `model` the model that really answered."""

    body: Json
    content: str | None = None
    model: str | None = None
    usage: Usage | None = None


class ProviderAttempt(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One try of one provider, as it stands in `meta.attempts` (both published spellings)."""

    provider: str
    model: str
    duration_ms: int
    success: bool
    status: str
    reason: str | None = None


# Channels -----------------------------------------------------------------------------------------------


class Frame(msgspec.Struct, frozen=True, kw_only=True):
    """One message of a channel: the log number, the event name (`response`, `chunk`, …), the JSON payload as
    bytes, and whether the run ends with it."""

    number: int
    event: str
    data: bytes
    final: bool = False
