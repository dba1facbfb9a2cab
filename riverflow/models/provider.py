"""What a provider is asked and answers."""

from __future__ import annotations

import msgspec

from .configuration import Credential
from .values import Json, MaybeJson

__all__ = ["GenerateRequest", "Generation", "ProviderAttempt", "Usage"]


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """Tokens as the provider counted them."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    total_tokens: int = 0


class GenerateRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What a provider is asked. `request` is the caller's whole body (canonical JSON: `messages`,
    `temperature`, `tools`, …); `schema` the JSON Schema the answer must satisfy; `template` and `sample_data`
    what an offline provider may answer from; `timeout` in seconds bounds the attempt; `credential` is the account of
    the run's project (`project_id`), which goes before the settings (None: it has none with this provider)."""

    channel_id: str
    model: str
    request: Json
    timeout: float
    instructions: str | None = None
    schema: MaybeJson = None
    template: str | None = None
    sample_data: MaybeJson = None
    credential: Credential | None = None
    project_id: str = ""


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
