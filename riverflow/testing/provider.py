"""A provider that answers from a script, and records what it was asked.

It must not decide anything about the answers: what the script says is what the caller gets.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import msgspec

from ..codec import from_python
from ..errors import ProviderError
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

    @classmethod
    def of(cls, fixture: Mapping[str, Any]) -> ScriptedProvider:
        """Answers as a run was answered that has been exported (`GET /v1/requests/{channel_id}/fixture`, decoded): its
        failed attempts first, then its answer. Raises ValueError for a run that no provider has answered or failed."""
        script: list[Any] = [
            ProviderError(f"as it was: {each['reason']}", code=each["reason"])
            for each in fixture.get("tries", ())
            if not each["success"]
        ]
        if "answer" in fixture:
            script.append(_told(fixture))
        if not script:
            raise ValueError(f"the fixture of {fixture.get('channel_id')} has neither an answer nor a failed attempt")
        return cls(*script)

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


def _told(fixture: Mapping[str, Any]) -> Any:
    """The answer of a fixture as a step: the value itself, or the provider's own object where the run kept that."""
    answer = fixture["answer"]
    if "schema" in fixture or not isinstance(answer, dict) or "choices" not in answer:
        return answer
    usage = msgspec.convert(answer.get("usage") or {}, Usage)
    content = fixture.get("sample_data")
    return Generation(body=from_python(answer), content=content, model=answer.get("model"), usage=usage)
