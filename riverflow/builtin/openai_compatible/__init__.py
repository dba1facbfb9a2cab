"""The provider `openai`: any server that speaks OpenAI's chat completions (OpenAI, Ollama, vLLM, llama.cpp, …).

It makes one HTTP exchange of one request; it does not retry, validate answers or keep anything.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ...errors import ConfigError, HttpError, ProviderError
from ...hookspecs import hookimpl
from ...models import GenerateRequest, Generation
from ...ports import Context, HttpRequest, HttpResponse, Provider
from .account import Account
from .answer import generation, refused
from .request import encoded

__all__ = ["OpenAICompatible"]

MAX_ANSWER = 32 * 1024 * 1024
"""Bytes of an answer that are read: several images in base64."""


class OpenAICompatible:
    """ports.Provider over `POST {base_url}/chat/completions`.

    `base_url` and `api_key` come from the project's credential, where it has one; else from `[plugins.openai]`, else
    from the settings `openai_base_url` and `openai_api_key`. A base URL of one's own needs no key. A credential's URL
    is not sent the settings' key, and has to pass the egress rules for what users name unless it is the operator's.

    Raises ProviderError with `again` for `timeout`, `connection_error`, `rate_limited`, `upstream_error` and
    `invalid_response`; without it for `missing_credentials`, `authentication_error`, `invalid_request` and `policy`.
    """

    def __init__(self, context: Context) -> None:
        options = context.options
        base_url = _text(options, "base_url") or context.settings.openai_base_url
        self._http = context.http
        self._base_url = base_url
        self._own = Account.at(base_url, _text(options, "api_key") or context.settings.openai_api_key)

    async def generate(self, request: GenerateRequest) -> Generation:
        """One request, one answer. See the class for errors."""
        credential = request.credential
        account = self._own if credential is None else Account.of(credential, self._base_url)
        if account.lacks_key:
            raise ProviderError(
                "no API key for OpenAI: set OPENAI_API_KEY (setting openai_api_key), give the project a credential "
                "(console/credential), or set openai_base_url to a server that needs none",
                code="missing_credentials",
                again=False,
            )
        return generation(await self._post(account, request))

    async def _post(self, account: Account, request: GenerateRequest) -> HttpResponse:
        post = HttpRequest(
            method="POST",
            url=account.url,
            headers=account.headers,
            body=encoded(request),
            purpose=account.purpose,
            timeout=request.timeout,
            max_body=MAX_ANSWER,
            tenant=request.project_id if account.purpose == "delivery" else "",
        )
        try:
            response = await self._http.send(post)
        except HttpError as error:
            raise ProviderError(error.message, code=error.code, again=error.code != "policy") from error
        if not 200 <= response.status < 300:
            raise refused(response, account.key)
        return response


def _text(options: Mapping[str, Any], name: str) -> str | None:
    value = options.get(name)
    if value is not None and not isinstance(value, str):
        raise ConfigError(f"plugins.openai.{name}: expected text")
    return value or None


@hookimpl
def riverflow_providers() -> Mapping[str, Callable[[Context], Provider]]:
    return {"openai": OpenAICompatible}
