"""The provider `echo`: answers offline, the same for the same request, for demonstrations and tests.

It needs no key and no network; it knows no clock and no chance.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from ...codec import decode, from_python
from ...hookspecs import hookimpl
from ...models import GenerateRequest, Generation, Usage
from ...ports import Context, Provider
from ...schema import formal
from .sample import sample

__all__ = ["Echo"]

_PLACEHOLDER = re.compile(r"\{\{\s*([^{}\s]+)\s*\}\}")


class Echo:
    """ports.Provider that answers from what the workflow gives it, in this order:

    1. `sample_data`, as JSON text (text itself, where no schema asks for JSON);
    2. `template`, with each `{{ messages.0.content }}` replaced by what stands at that dot path of the request, and by
       nothing where there is nothing;
    3. the smallest value that satisfies the `schema`;
    4. the last user message (or the `prompt`) itself.

    The body has OpenAI's shape; tokens are counted as words.
    """

    async def generate(self, request: GenerateRequest) -> Generation:
        """Never fails on a request that is a JSON object."""
        asked = decode(request.request)
        content = _content(request, asked)
        usage = _usage(asked, content)
        model = request.model or "echo"
        return Generation(body=from_python(_body(model, content, usage)), content=content, model=model, usage=usage)


def _content(request: GenerateRequest, asked: Any) -> str:
    if request.sample_data is not None:
        data = decode(request.sample_data)
        return data if isinstance(data, str) and request.schema is None else bytes(request.sample_data).decode()
    if request.template is not None:
        return _PLACEHOLDER.sub(lambda match: _shown(_at(asked, match[1])), request.template)
    if request.schema is not None:
        return _shown_json(sample(decode(formal(request.schema))))
    return next(reversed(_user_texts(asked)), "")


def _at(value: Any, path: str) -> Any:
    for part in path.split("."):
        if isinstance(value, dict):
            value = value.get(part)
        elif isinstance(value, list) and part.isascii() and part.isdigit() and int(part) < len(value):
            value = value[int(part)]
        else:
            return None
    return value


def _shown(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else _shown_json(value)


def _shown_json(value: Any) -> str:
    return bytes(from_python(value)).decode()


def _messages(asked: Any) -> list[dict[str, Any]]:
    messages = asked.get("messages") if isinstance(asked, dict) else None
    return [message for message in messages if isinstance(message, dict)] if isinstance(messages, list) else []


def _user_texts(asked: Any) -> list[str]:
    texts = [_text(message.get("content")) for message in _messages(asked) if message.get("role") == "user"]
    if not texts and isinstance(asked, dict) and isinstance(asked.get("prompt"), str):
        return [asked["prompt"]]
    return texts


def _text(content: Any) -> str:
    """The text of a message: a string, or a list of parts of which some are text (OpenAI, "Content part")."""
    if isinstance(content, list):
        return "\n".join(_shown(part.get("text")) for part in content if isinstance(part, dict) and "text" in part)
    return _shown(content)


def _usage(asked: Any, content: str) -> Usage:
    texts = [_text(message.get("content")) for message in _messages(asked)] or _user_texts(asked)
    prompt, completion = sum(len(text.split()) for text in texts), len(content.split())
    return Usage(prompt_tokens=prompt, completion_tokens=completion, total_tokens=prompt + completion)


def _body(model: str, content: str, usage: Usage) -> dict[str, Any]:
    return {
        "id": "chatcmpl-echo",
        "object": "chat.completion",
        "created": 0,
        "model": model,
        "choices": [{"index": 0, "message": {"role": "assistant", "content": content}, "finish_reason": "stop"}],
        "usage": usage,
    }


@hookimpl
def riverflow_providers() -> Mapping[str, Callable[[Context], Provider]]:
    return {"echo": lambda context: Echo()}
