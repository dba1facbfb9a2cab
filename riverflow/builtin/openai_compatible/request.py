"""The request body of a chat completion, from a caller's whole request.

Pure: it decodes as little as it can and encodes once.
"""

from __future__ import annotations

import msgspec
from msgspec import UNSET, Raw, UnsetType

from ...codec import encode
from ...errors import ProviderError
from ...models import GenerateRequest, Json
from ...schema import SchemaError, formal

__all__ = ["encoded"]

Parameter = Raw | UnsetType


class _Body(msgspec.Struct, kw_only=True):
    """What is passed on: the parameters of OpenAI's "Create chat completion". Anything else in a request is riverflow's
    own (`workflow`, `metadata`, `webhook_url`, …) or the caller's (`user_id`, …). Never `stream`: the answer is read
    whole."""

    model: str | UnsetType = UNSET
    messages: Parameter = UNSET
    audio: Parameter = UNSET
    frequency_penalty: Parameter = UNSET
    function_call: Parameter = UNSET
    functions: Parameter = UNSET
    logit_bias: Parameter = UNSET
    logprobs: Parameter = UNSET
    max_completion_tokens: Parameter = UNSET
    max_tokens: Parameter = UNSET
    modalities: Parameter = UNSET
    n: Parameter = UNSET
    parallel_tool_calls: Parameter = UNSET
    prediction: Parameter = UNSET
    presence_penalty: Parameter = UNSET
    prompt_cache_key: Parameter = UNSET
    reasoning_effort: Parameter = UNSET
    response_format: Parameter = UNSET
    safety_identifier: Parameter = UNSET
    seed: Parameter = UNSET
    service_tier: Parameter = UNSET
    stop: Parameter = UNSET
    temperature: Parameter = UNSET
    tool_choice: Parameter = UNSET
    tools: Parameter = UNSET
    top_logprobs: Parameter = UNSET
    top_p: Parameter = UNSET
    user: Parameter = UNSET
    verbosity: Parameter = UNSET
    web_search_options: Parameter = UNSET


class _Prompt(msgspec.Struct):
    prompt: str | UnsetType = UNSET


class _Format(msgspec.Struct):
    type: str


_FORMATS = frozenset({"text", "json_object", "json_schema"})

_body = msgspec.json.Decoder(_Body)
_prompt = msgspec.json.Decoder(_Prompt)
_format = msgspec.json.Decoder(_Format)


def encoded(request: GenerateRequest) -> bytes:
    """The body to post. Raises ProviderError (`invalid_request`) where the request is not a chat."""
    try:
        body = _body.decode(request.request)
        body.model = request.model or body.model
        body.messages = _messages(body.messages, request)
        body.response_format = _response_format(body.response_format, request.schema)
    except (msgspec.ValidationError, SchemaError) as error:
        raise ProviderError(f"the request is not a chat: {error}", code="invalid_request", again=False) from None
    return encode(body)


def _messages(messages: Parameter, request: GenerateRequest) -> Raw:
    if isinstance(messages, UnsetType):
        prompt = _prompt.decode(request.request).prompt
        if isinstance(prompt, UnsetType):
            raise msgspec.ValidationError("it has neither `messages` nor `prompt`")
        messages = Raw(encode([{"role": "user", "content": prompt}]))
    if request.instructions is None:
        return messages
    # Spliced: the conversation may be long, and its bytes are checked already.
    rest = bytes(messages)
    if rest[:1] != b"[":
        raise msgspec.ValidationError("Expected `array` - at `$.messages`")
    system = encode({"role": "system", "content": request.instructions})
    return Raw(b"[" + system + (b"]" if rest == b"[]" else b"," + rest[1:]))


def _response_format(given: Parameter, schema: Json | None) -> Parameter:
    if schema is None or _is_openais(given):
        return given
    # Not `strict`: OpenAI's strict mode takes only a subset of JSON Schema, and the answer is checked here anyway.
    wanted = {"name": "response", "schema": Raw(formal(schema))}
    return Raw(encode({"type": "json_schema", "json_schema": wanted}))


def _is_openais(given: Parameter) -> bool:
    """Whether the caller's `response_format` is OpenAI's: it may also be a bare JSON Schema."""
    if isinstance(given, UnsetType):
        return False
    try:
        return _format.decode(given).type in _FORMATS
    except msgspec.ValidationError:
        return False
