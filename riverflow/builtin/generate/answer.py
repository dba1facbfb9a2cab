"""What a provider's answer is worth: the value that the plan's schema describes, or why it is none.

Pure: it asks nobody and remembers nothing.
"""

from __future__ import annotations

from typing import Any

import msgspec

from ...codec import decode, from_python
from ...errors import InvalidRequest, ProviderError
from ...models import Generation, Json
from ...schema import Validator

__all__ = ["answered"]

_SHOWN = 3
"""Violations that an error message lists."""


class _Message(msgspec.Struct):
    tool_calls: list[msgspec.Raw] | None = None


class _Choice(msgspec.Struct):
    message: _Message | None = None


class _ChatCompletion(msgspec.Struct):
    choices: list[_Choice] = []


_chat_completion = msgspec.json.Decoder(_ChatCompletion)


def answered(generation: Generation, validator: Validator | None) -> Json:
    """The provider's own object where there is no schema or the model calls tools; else its text as a valid JSON value.

    Raises ProviderError with code `invalid_output`.
    """
    if validator is None or _calls_tools(generation.body):
        return generation.body
    value = _parsed(generation.content)
    violations = validator.errors(value)
    if violations:
        found = "; ".join(f"{each.pointer or '/'}: {each.message}" for each in violations[:_SHOWN])
        raise ProviderError(f"the answer does not satisfy the schema: {found}", code="invalid_output")
    return from_python(value)


def _calls_tools(body: Json) -> bool:
    try:
        choices = _chat_completion.decode(body).choices
    except msgspec.ValidationError:
        return False
    return bool(choices and choices[0].message is not None and choices[0].message.tool_calls)


def _parsed(content: str | None) -> Any:
    if content is None:
        raise ProviderError("the answer has no text", code="invalid_output")
    try:
        return decode(_unfenced(content).encode())
    except InvalidRequest as error:
        raise ProviderError(f"the answer cannot be read: {error.message}", code="invalid_output") from None


def _unfenced(content: str) -> str:
    """The inside of a code fence, where the whole answer is one: models add it though they are asked for JSON."""
    text = content.strip()
    head, newline, rest = text.partition("\n")
    if newline and head.strip().lower() in ("```", "```json") and rest.endswith("```"):
        return rest[:-3]
    return text
