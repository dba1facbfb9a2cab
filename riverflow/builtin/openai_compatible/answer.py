"""What came back from a chat completions API: a generation, or the error it stands for.

Pure: it knows statuses and bodies, not connections.
"""

from __future__ import annotations

from typing import Any

import msgspec

from ...codec import canonical
from ...errors import InvalidRequest, ProviderError
from ...models import Generation, Usage
from ...ports import HttpResponse

__all__ = ["generation", "refused"]

MAX_MESSAGE = 500
"""Characters of the upstream's own error message that are passed on."""


class _Message(msgspec.Struct):
    content: Any = None


class _Choice(msgspec.Struct):
    message: _Message | None = None


class _Tokens(msgspec.Struct):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    total_tokens: int | None = None


class _Answer(msgspec.Struct):
    choices: list[_Choice]
    model: str | None = None
    usage: _Tokens | None = None


class _Problem(msgspec.Struct):
    error: Any = None
    message: Any = None


_answer = msgspec.json.Decoder(_Answer)
_problem = msgspec.json.Decoder(_Problem)


def generation(response: HttpResponse) -> Generation:
    """The generation in a 2xx answer. Raises ProviderError (`invalid_response`)."""
    try:
        if response.truncated:
            raise InvalidRequest(f"it is longer than {len(response.body)} bytes")
        body = canonical(response.body)
        answer = _answer.decode(body)
    except (InvalidRequest, msgspec.ValidationError) as error:
        raise ProviderError(
            f"the answer is not a chat completion: {error}",
            code="invalid_response",
            upstream_status=response.status,
        ) from None
    message = answer.choices[0].message if answer.choices else None
    content = message.content if message is not None else None
    return Generation(
        body=body,
        content=content if isinstance(content, str) else None,
        model=answer.model,
        usage=_usage(answer.usage),
    )


def _usage(tokens: _Tokens | None) -> Usage | None:
    if tokens is None:
        return None
    prompt, completion = tokens.prompt_tokens or 0, tokens.completion_tokens or 0
    total = prompt + completion if tokens.total_tokens is None else tokens.total_tokens
    return Usage(prompt_tokens=prompt, completion_tokens=completion, total_tokens=total)


def refused(response: HttpResponse, key: str | None) -> ProviderError:
    """The error that any other answer stands for; `key` is kept out of its message."""
    status = response.status
    if status in (401, 403):
        code, again = "authentication_error", False
    elif status == 429:
        code, again = "rate_limited", True
    elif status in (408, 409, 425) or status >= 500:
        code, again = "upstream_error", True
    else:
        code, again = "invalid_request", False
    told = _told(response.body)
    if key:  # some servers quote the header they refuse
        told = told.replace(key, "…")
    told = told[:MAX_MESSAGE]
    message = f"HTTP {status}: {told}" if told else f"HTTP {status}"
    return ProviderError(message, code=code, upstream_status=status, again=again)


def _told(body: bytes) -> str:
    """What an error body says: `{"error": {"message"}}` (OpenAI), `{"error": "…"}` (Ollama), `{"message"}` (vLLM)."""
    try:
        problem = _problem.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return ""
    error = problem.error
    told = error.get("message") if isinstance(error, dict) else error or problem.message
    return told if isinstance(told, str) else ""
