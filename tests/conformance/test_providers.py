"""The built-in providers and the generate stage under the shipped suites, over real sockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import httpx
import pytest

from riverflow.builtin import echo, generate, openai_compatible
from riverflow.config import Settings
from riverflow.errors import HttpError, ProviderError
from riverflow.models import GenerateRequest
from riverflow.ports import HttpRequest, HttpResponse, Provider, StageRunner
from riverflow.testing import Reply, ScriptedProvider, StubOpenAI, make_context, serve
from riverflow.testing.suites.provider import ProviderSuite
from riverflow.testing.suites.stage import StageRunnerSuite

KEY = "sk-conformance-0123456789"


class LoopbackHttp:
    """The HttpClient port over a plain httpx client: the real ones have their own suite."""

    def __init__(self) -> None:
        self._client = httpx.AsyncClient(trust_env=False)

    async def send(self, request: HttpRequest) -> HttpResponse:
        try:
            response = await self._client.request(
                request.method,
                request.url,
                headers=list(request.headers),
                content=request.body,
                timeout=request.timeout,
            )
        except httpx.HTTPError as error:
            raise HttpError(str(error), code="connection_error") from error
        return HttpResponse(status=response.status_code, headers=response.headers, body=response.content)

    async def aclose(self) -> None:
        await self._client.aclose()


async def openai_against(stub: StubOpenAI) -> AsyncIterator[Provider]:
    http = LoopbackHttp()
    async with serve(stub) as base_url:
        settings = Settings(openai_base_url=f"{base_url}/v1", openai_api_key=KEY)
        yield openai_compatible.riverflow_providers()["openai"](make_context(settings=settings, http=http))
        await http.aclose()


class TestOpenAICompatible(ProviderSuite):
    secret = KEY

    @pytest.fixture
    async def provider(self) -> AsyncIterator[Provider]:
        async for provider in openai_against(StubOpenAI("hello")):
            yield provider

    @pytest.fixture(params=[401, 400, 404, 429, 500, 503])
    async def broken(self, request: pytest.FixtureRequest) -> AsyncIterator[Provider]:
        quoting = Reply.error(request.param, f"refused: Bearer {KEY}")
        async for provider in openai_against(StubOpenAI(quoting)):
            yield provider

    @pytest.fixture
    async def stuck(self, asked: asyncio.Event) -> AsyncIterator[Provider]:
        async for provider in openai_against(StubOpenAI(Reply(after=asyncio.Event()), asked=asked)):
            yield provider


class TestEcho(ProviderSuite):
    @pytest.fixture
    def provider(self) -> Provider:
        return echo.riverflow_providers()["echo"](make_context())


class TestScripted(ProviderSuite):
    @pytest.fixture
    def provider(self) -> Provider:
        return ScriptedProvider("hello")

    @pytest.fixture
    def broken(self) -> Provider:
        return ScriptedProvider(ProviderError("it is down", code="upstream_error", upstream_status=503))

    @pytest.fixture
    def stuck(self, asked: asyncio.Event) -> Provider:
        return ScriptedProvider(waiting(asked))


class TestGenerate(StageRunnerSuite):
    def runner_over(self, provider: Provider) -> StageRunner:
        context = make_context(providers={"scripted": provider})
        return generate.riverflow_stages()["generate"](context)

    @pytest.fixture
    def runner(self) -> StageRunner:
        return self.runner_over(ScriptedProvider("hello"))

    @pytest.fixture
    def failing(self) -> StageRunner:
        return self.runner_over(ScriptedProvider(ProviderError("no", code="invalid_request", again=False)))

    @pytest.fixture
    def stuck(self, asked: asyncio.Event) -> StageRunner:
        return self.runner_over(ScriptedProvider(waiting(asked)))


def waiting(asked: asyncio.Event) -> Callable[[GenerateRequest], object]:
    async def forever(request: GenerateRequest) -> str:
        asked.set()
        await asyncio.Event().wait()
        raise AssertionError("unreachable")

    return forever
