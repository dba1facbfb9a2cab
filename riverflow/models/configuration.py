"""What is configured: projects, workflows, structured outputs, endpoints, and who may come in."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

import msgspec

from ..pipeline import Pipeline, Stage
from ..retry import RetryPolicy
from .values import ADMIN, APPROVE, SCOPES

__all__ = [
    "DEFAULT_SIGNERS",
    "ApiKey",
    "Credential",
    "Endpoint",
    "Fallback",
    "Identity",
    "Project",
    "RetiredSecret",
    "StructuredOutput",
    "TokenClaims",
    "Trust",
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
    `template` and `sample_data` are what the `echo` provider answers from. A `disabled` one takes no new requests; runs
    that it has accepted go on.
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
    on_timeout: Literal["fail", "finish"] = "fail"
    provider_timeout: float | None = None
    pipeline: tuple[Stage, ...] | None = None
    template: str | None = None
    sample_data: Any = None
    disabled: bool = False

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


class Trust(msgspec.Struct, frozen=True, kw_only=True):
    """What TLS needs to know of one peer, in PEM: `authorities` are root certificates that are trusted beside the
    public ones, `certificate` is the client's own with its private key, shown to that peer only."""

    authorities: str | None = None
    certificate: str | None = None

    def __repr__(self) -> str:
        return "Trust(…)"


class RetiredSecret(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A secret that a newer one has replaced, and that signs beside it `until` then (Unix seconds; None: for as long as
    it is listed)."""

    secret: str
    until: float | None = None

    def holds(self, now: float) -> bool:
        """Whether its overlap with the newer one goes on."""
        return self.until is None or now < self.until

    def __repr__(self) -> str:
        return f"RetiredSecret(secret=…, until={self.until!r})"


class Endpoint(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A registered webhook target.

    `events` filters what it is told: event names, `task.ai_generated`, `task.completed`, `task.failed` or
    `*`; empty means hand-offs and the completion of workflows without an event name. `encoding` is how the
    body is written (`json`: as JSON.stringify writes it; `python-json`: as Python's json.dumps does),
    `body` whether the event object is repeated under `data` (`wrapped`). `url` may be `asgi:///path` only
    where the endpoint is declared in code or in the configuration file. `retired` are earlier secrets, newest first,
    that sign beside `secret` until their overlap is over. `authorities` are root certificates (PEM) that are trusted
    for this endpoint beside the public ones. `retry` is how failed deliveries are tried again (a preset's name, a list
    of delays, or a RetryPolicy), `concurrency` how many are under way at once; where they are None the settings `retry`
    and `endpoint_concurrency` count. `disabled_because` says why riverflow itself has switched it off, `signers_since`
    (Unix seconds) since when it has these signers, where it had others before.
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
    retired: tuple[RetiredSecret, ...] = ()
    authorities: str | None = None
    retry: str | tuple[float, ...] | RetryPolicy | None = None
    concurrency: Annotated[int, msgspec.Meta(ge=1)] | None = None
    disabled_because: str | None = None
    signers_since: float | None = None

    def __repr__(self) -> str:
        return f"Endpoint(id={self.id!r}, url={self.url!r}, enabled={self.enabled}, secret=…)"


class Project(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The owner of everything else. `token_secret` signs socket tokens; `secret` signs deliveries to a request's own
    `webhook_url` once it was issued (`issued_at`: shown to somebody who can verify with it), `retired` beside it.
    `callback_auth` is what a callback must bring: its own token, an API key, or `either` of them.
    """

    id: str
    name: str
    secret: str = ""
    token_secret: str = ""
    callback_auth: Literal["either", "token", "key"] = "either"
    retired: tuple[RetiredSecret, ...] = ()
    issued_at: float | None = None
    created_at: float | None = None

    def __repr__(self) -> str:
        return f"Project(id={self.id!r}, name={self.name!r}, secrets=…)"


class ApiKey(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An API key of a project, as it is kept: never the key itself, but its SHA-256 (`digest`, hex) and a `hint` to
    tell it from others (`mr_live_…` and its last four characters)."""

    id: str
    name: str
    digest: str
    hint: str
    scopes: tuple[str, ...]
    created_at: float
    expires_at: float | None = None
    revoked_at: float | None = None

    def opens(self, now: float) -> bool:
        """Whether it lets anybody in now."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)

    def status(self, now: float) -> Literal["active", "expired", "revoked"]:
        """How it stands now, in a word."""
        if self.revoked_at is not None:
            return "revoked"
        return "active" if self.opens(now) else "expired"


class Credential(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A project's own account with a provider; where there is one it goes before the settings. `by_operator` says that
    who runs this riverflow named the `base_url` himself, so that it may be a private address."""

    provider: str
    api_key: str | None = None
    base_url: str | None = None
    by_operator: bool = False

    def __repr__(self) -> str:
        return f"Credential(provider={self.provider!r}, base_url={self.base_url!r}, api_key=…)"


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """Who is asking: a project, what he may do there, and a name for the log. `root` is the operator himself: he makes
    projects, and keys for any of them. `key_id` names the API key he came with; None where the host app's own
    authentication knows him, then `subject` tells him from others."""

    project_id: str
    scopes: frozenset[str] = SCOPES
    subject: str = "api_key"
    root: bool = False
    key_id: str | None = None

    def may(self, scope: str) -> bool:
        """Whether he may do what needs a scope: an `admin` may also approve."""
        return scope in self.scopes or (scope == APPROVE and ADMIN in self.scopes)


class TokenClaims(msgspec.Struct, frozen=True, kw_only=True):
    """What a socket token says: one channel of one project until `exp` (Unix seconds)."""

    project_id: str
    channel_id: str
    topic: str
    exp: int
    jti: str
