"""A provider that answers from a script, and records what it was asked.

It must not decide anything about the answers: what the script says is what the caller gets.
"""

from __future__ import annotations

import inspect
from typing import Any

from ..codec import from_python
from ..models import GenerateRequest, Generation, Usage

__all__ = ["ScriptedProvider", "generation"]


def generation(
    content: str | None,
    *,
    model: str = "scripted",
    usage: Usage | None = None,
    tool_calls: list[dict[str, Any]] | None = None,
) -> Generation:
    """A generation around `content`, with a body of OpenAI's shape (`chat.completion`). Without `usage`: 1 prompt
    token, 2 completion tokens."""
    usage = usage or Usage(prompt_tokens=1, completion_tokens=2, total_tokens=3)
    message: dict[str, Any] = {"role": "assistant", "content": content}
    if tool_calls:
        message["tool_calls"] = tool_calls
    body = {
        "id": "chatcmpl-scripted",
        "object": "chat.completion",
        "created": 0,
        "model": model,
        "choices": [{"index": 0, "message": message, "finish_reason": "tool_calls" if tool_calls else "stop"}],
        "usage": usage,
    }
    return Generation(body=from_python(body), content=content, model=model, usage=usage)


class ScriptedProvider:
    """ports.Provider that takes its answers from `script`, one step a request; the last step is repeated for ever.

    A step is text, a dict or list (answered as its JSON text), a Generation, an exception (raised), or a function of
    the GenerateRequest, plain or async, that gives one of these. An async function can wait for an event of the test::

        release = asyncio.Event()

        async def slowly(request):
            await release.wait()
            return "at last"

        provider = ScriptedProvider(ProviderError("busy", code="rate_limited"), slowly)

    `requests` holds what was asked, in order.
    """

    def __init__(self, *script: Any, model: str = "scripted") -> None:
        self._script: tuple[Any, ...] = script or ("scripted answer",)
        self._model = model
        self.requests: list[GenerateRequest] = []

    async def generate(self, request: GenerateRequest) -> Generation:
        """The next step of the script."""
        step = self._script[min(len(self.requests), len(self._script) - 1)]
        self.requests.append(request)
        return self._answer(await self._play(step, request))

    async def _play(self, step: Any, request: GenerateRequest) -> Any:
        if not callable(step):
            return step
        told = step(request)
        return await told if inspect.isawaitable(told) else told

    def _answer(self, told: Any) -> Generation:
        if isinstance(told, BaseException):
            raise told
        if isinstance(told, Generation):
            return told
        content = told if isinstance(told, str) else bytes(from_python(told)).decode()
        return generation(content, model=self._model)
