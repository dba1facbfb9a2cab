"""The provider `parrot`: answers with the last thing it was told. A plugin to begin from.

The factory is the place to import a driver and to read `context.options`, which is `[plugins.parrot]` of riverflow's
configuration file. A real service is asked through `context.http`, whose requests pass riverflow's egress guard.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from riverflow import hookimpl
from riverflow.codec import decode, from_python
from riverflow.models import GenerateRequest, Generation
from riverflow.ports import Context, Provider


class Parrot:
    """ports.Provider. Raise errors.ProviderError where your service fails; `again` says whether to try once more."""

    def __init__(self, *, prefix: str = "") -> None:
        self._prefix = prefix

    async def generate(self, request: GenerateRequest) -> Generation:
        """The body has OpenAI's shape, whatever the service speaks."""
        asked = decode(request.request)
        messages = asked.get("messages") or [{"content": asked.get("prompt", "")}]
        content = f"{self._prefix}{messages[-1]['content']}"
        message = {"role": "assistant", "content": content}
        body = {
            "object": "chat.completion",
            "model": "parrot-1",
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        }
        return Generation(body=from_python(body), content=content, model="parrot-1", usage=None)


@hookimpl
def riverflow_providers() -> Mapping[str, Callable[[Context], Provider]]:
    return {"parrot": lambda context: Parrot(prefix=context.options.get("prefix", ""))}
