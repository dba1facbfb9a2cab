"""What is configured: projects, workflows, structured outputs, endpoints, and who may come in."""

from __future__ import annotations

from typing import Any, Final, Literal

import msgspec

from ..pipeline import Pipeline, Stage
from .values import SCOPES

__all__ = [
    "DEFAULT_SIGNERS",
    "Endpoint",
    "Fallback",
    "Identity",
    "Project",
    "StructuredOutput",
    "TokenClaims",
    "Workflow",
]

DEFAULT_SIGNERS: Final = ("mr", "x-modelriver", "standard")
"""Signers are additive: each adds its own headers to the same bytes, so every known receiver can verify."""


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
