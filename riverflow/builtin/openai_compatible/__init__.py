"""The provider `openai`: any server that speaks OpenAI's chat completions (OpenAI, Ollama, vLLM, llama.cpp, …).

It makes one HTTP exchange of one request; it does not retry, validate answers or keep anything.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ...config import Settings
from ...errors import ConfigError, HttpError, ProviderError
from ...hookspecs import hookimpl
from ...models import GenerateRequest, Generation
from ...ports import Context, HttpRequest, HttpResponse, Provider
from .answer import generation, refused
from .request import encoded

__all__ = ["OpenAICompatible"]

MAX_ANSWER = 32 * 1024 * 1024
"""Bytes of an answer that are read: several images in base64."""

_DEFAULT_URL = Settings().openai_base_url


class OpenAICompatible:
    """ports.Provider over `POST {base_url}/chat/completions`.

    `base_url` and `api_key` come from `[plugins.openai]`, else from the settings `openai_base_url` and
    `openai_api_key`. A base URL of one's own needs no key.

    Raises ProviderError with `again` for `timeout`, `connection_error`, `rate_limited`, `upstream_error` and
    `invalid_response`; without it for `missing_credentials`, `authentication_error`, `invalid_request` and `policy`.
    """

    def __init__(self, context: Context) -> None:
        options = context.options
        base_url = _text(options, "base_url") or context.settings.openai_base_url
        self._http = context.http
        self._url = base_url.rstrip("/") + "/chat/completions"
        self._key = key = _text(options, "api_key") or context.settings.openai_api_key
        self._without_key = not key and base_url.rstrip("/") == _DEFAULT_URL
        headers = [("content-type", "application/json"), ("accept", "application/json")]
        self._headers = tuple([*headers, ("authorization", f"Bearer {key}")] if key else headers)

    async def generate(self, request: GenerateRequest) -> Generation:
        """One request, one answer. See the class for errors."""
        if self._without_key:
            raise ProviderError(
                "no API key for OpenAI: set OPENAI_API_KEY (setting openai_api_key), or openai_base_url to a server "
                "that needs none",
                code="missing_credentials",
                again=False,
            )
        return generation(await self._post(encoded(request), request.timeout))

    async def _post(self, body: bytes, timeout: float) -> HttpResponse:
        post = HttpRequest(
            method="POST",
            url=self._url,
            headers=self._headers,
            body=body,
            purpose="provider",
            timeout=timeout,
            max_body=MAX_ANSWER,
        )
        try:
            response = await self._http.send(post)
        except HttpError as error:
            raise ProviderError(error.message, code=error.code, again=error.code != "policy") from error
        if not 200 <= response.status < 300:
            raise refused(response, self._key)
        return response


def _text(options: Mapping[str, Any], name: str) -> str | None:
    value = options.get(name)
    if value is not None and not isinstance(value, str):
        raise ConfigError(f"plugins.openai.{name}: expected text")
    return value or None


@hookimpl
def riverflow_providers() -> Mapping[str, Callable[[Context], Provider]]:
    return {"openai": OpenAICompatible}
