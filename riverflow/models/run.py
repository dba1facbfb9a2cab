"""A run: its plan, its state, its log, and how a stage of it may end."""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from ..pipeline import APPROVAL_TIMEOUT, Pipeline, Stage
from .configuration import Fallback
from .summary import Summary
from .values import Json, MaybeJson, Phase, Status, Tag

__all__ = [
    "CHECKPOINTS",
    "FINAL_KINDS",
    "RECEIPTS",
    "SIDE_KINDS",
    "Completed",
    "Deferred",
    "Entry",
    "Failed",
    "Frame",
    "Outcome",
    "Output",
    "Plan",
    "Receipt",
    "Record",
    "Ruling",
    "Run",
    "Waiting",
]

RECEIPTS: Final = frozenset({"callback.received", "approval.decided"})
"""Kinds of entries that say who has answered a waiting stage."""

CHECKPOINTS: Final = RECEIPTS | {"run.accepted", "stage.completed", "stage.interrupted"}
"""Kinds of entries from which a run is rebuilt: its plan and request, each finished stage's output, which beginnings
count as no attempt, and which callbacks and persons decided it."""

SIDE_KINDS: Final = frozenset({"stage.chunk", "stage.progress"})
"""Kinds of public entries that are no state of the run: `stage.` and the channel event they travel under. The official
client passes over events it does not know."""

FINAL_KINDS: Final = frozenset({"run.completed", "run.failed"})
"""Kinds of the one public entry that ends a run."""


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
    callback_limit: float = 86_400.0
    on_timeout: Literal["fail", "finish"] = "fail"
    provider_timeout: float = 300.0
    base_url: str = ""
    webhook_url: str | None = None
    tag: Tag = "live"
    replay_of: str | None = None
    simulated: bool = False  # the playground stands in for the backend: nobody else is told anything

    @property
    def pipeline(self) -> Pipeline:
        return Pipeline.of(self.stages)

    @property
    def longest(self) -> float:
        """Seconds that the run takes at the most, if nothing is tried again and nobody is given more time."""
        pipeline, seconds = self.pipeline, self.provider_timeout
        for stage in pipeline.hand_offs:
            seconds += stage.timeout or self.callback_timeout
        for stage in pipeline.approvals:
            seconds += stage.timeout or APPROVAL_TIMEOUT
        return seconds


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """The small, changing part of a run: where it is. Everything else is in its log.

    `id` is the public channel id (UUIDv7). `version` grows with each decision, `generation` with each claim
    by another worker. `deadline_at` is set while somebody is to answer: another one than this program (`phase` is
    `waiting`), or an in-process handler (`running`). `summary` is what a list shows beside it.
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
    summary: Summary = Summary()

    @property
    def is_called(self) -> bool:
        """Whether an in-process handler is being called for it: a process is at work, and there is a deadline."""
        return self.phase == "running" and self.deadline_at is not None


class Entry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
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


class Ruling(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a person has decided about an approval: who he is (an identity's subject, or the name that his link was made
    for), by which way he came, when (Unix seconds), on what (the SHA-256, hex, of what was held), what of it he changed
    (JSON pointers, RFC 6901), and his reason."""

    decision: Literal["approve", "reject"]
    by: str
    way: Literal["api", "console", "link"]
    at: float
    sha256: str
    changed: tuple[str, ...] = ()
    reason: str | None = None


class Receipt(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The callback that decided a stage: its form and the SHA-256 of its canonical body, to know a repetition. `ruling`
    is there where a person has decided."""

    stage: str
    form: Literal["success", "error"]
    digest: str
    ruling: Ruling | None = None


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """A run together with what its log says: the plan, the request, the outputs and receipts so far, and the
    generation in which its present stage began, later by one for each beginning that does not count."""

    run: Run
    plan: Plan
    request: Json
    outputs: tuple[Output, ...] = ()
    receipts: tuple[Receipt, ...] = ()
    begun: int = 1

    @property
    def attempt(self) -> int:
        """Which attempt of its stage this is, from 1: each claim by another worker begins one, except after a stop."""
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


class Frame(msgspec.Struct, frozen=True, kw_only=True):
    """One message of a channel: the log number, the event name (`response`, `chunk`, …), the JSON payload as
    bytes, and whether the run ends with it."""

    number: int
    event: str
    data: bytes
    final: bool = False
