"""The conformance suite of ports.Provider.

It asks only what the port promises; what a provider does with its own service, its own tests say.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from ...codec import canonical, decode, from_python
from ...errors import ProviderError
from ...models import GenerateRequest
from ...ports import Provider

__all__ = ["ProviderSuite"]


class ProviderSuite:
    """Subclass it in a test module, and give it providers through its fixtures::

        class TestMine(ProviderSuite):
            @pytest.fixture
            async def provider(self):
                async with serve(MyStub("hello")) as base_url:
                    yield MyProvider(base_url)

    `provider` answers every chat. `broken` is one whose service always fails. `stuck` is one whose service sets the
    event `asked` (a fixture too) when it is asked, and never answers. What is left out is skipped.
    `model` is asked for; `secret` must not show in errors.
    """

    pytestmark = pytest.mark.anyio
    model: str = "test-model"
    secret: str | None = None

    @pytest.fixture
    def anyio_backend(self) -> str:
        return "asyncio"

    @pytest.fixture
    def provider(self) -> Provider:
        """A provider that answers; to be overridden."""
        raise NotImplementedError("override the fixture `provider`")

    @pytest.fixture
    def broken(self) -> Provider:
        """A provider whose service always fails."""
        pytest.skip("this provider cannot fail")

    @pytest.fixture
    def asked(self) -> asyncio.Event:
        """Set it where `stuck` has begun to wait."""
        return asyncio.Event()

    @pytest.fixture
    def stuck(self) -> Provider:
        """A provider whose service never answers."""
        pytest.skip("this provider always answers at once")

    def ask(self, body: Any = None, **members: Any) -> GenerateRequest:
        """A request with the caller's `body`; `members` are those of GenerateRequest."""
        chat = {"messages": [{"role": "user", "content": "Say hello"}]} if body is None else body
        defaults: dict[str, Any] = {
            "channel_id": "018bcfe5-6800-7000-8000-000000000001",
            "model": self.model,
            "timeout": 30.0,
        }
        return GenerateRequest(request=from_python(chat), **(defaults | members))

    async def test_the_body_has_choices_and_the_content_is_theirs(self, provider: Provider) -> None:
        generation = await provider.generate(self.ask())
        choices = decode(generation.body)["choices"]
        assert generation.content == choices[0]["message"]["content"]
        assert isinstance(generation.content, str)

    async def test_the_body_is_js_canonical(self, provider: Provider) -> None:
        generation = await provider.generate(self.ask())
        assert bytes(canonical(generation.body)) == bytes(generation.body)

    async def test_the_model_that_answered_is_a_name(self, provider: Provider) -> None:
        generation = await provider.generate(self.ask())
        assert generation.model is None or generation.model

    async def test_usage_counts_tokens(self, provider: Provider) -> None:
        usage = (await provider.generate(self.ask())).usage
        if usage is None:
            pytest.skip("this provider does not count")
        assert min(usage.prompt_tokens, usage.completion_tokens) >= 0
        assert usage.total_tokens >= max(usage.prompt_tokens, usage.completion_tokens)

    @pytest.mark.parametrize(
        "extra",
        [
            {
                "workflow": "w",
                "stream": True,
                "metadata": {"a": 1},
                "events": ["e"],
                "webhook_url": "https://example.com/",
            },
            {"user_id": "u", "context": {}, "inputs": [], "customer_data": {}, "format": "wrapped", "test_mode": False},
            {"temperature": 0.5, "max_tokens": 10},
        ],
        ids=["envelope", "own", "parameters"],
    )
    async def test_members_it_does_not_know_do_no_harm(self, provider: Provider, extra: dict[str, Any]) -> None:
        chat = {"messages": [{"role": "user", "content": "Say hello"}]}
        generation = await provider.generate(self.ask(chat | extra))
        assert decode(generation.body)["choices"]

    async def test_a_prompt_stands_for_a_message(self, provider: Provider) -> None:
        generation = await provider.generate(self.ask({"prompt": "Say hello"}))
        assert decode(generation.body)["choices"]

    async def test_instructions_and_a_schema_are_taken(self, provider: Provider) -> None:
        schema = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}
        request = self.ask(instructions="Be brief.", schema=from_python(schema))
        assert decode((await provider.generate(request)).body)["choices"]

    async def test_requests_do_not_wait_for_one_another(self, provider: Provider) -> None:
        answers = await asyncio.gather(*(provider.generate(self.ask()) for _ in range(8)))
        assert all(decode(answer.body)["choices"] for answer in answers)

    async def test_a_failure_is_a_provider_error(self, broken: Provider) -> None:
        with pytest.raises(ProviderError) as caught:
            await broken.generate(self.ask())
        error = caught.value
        assert error.code
        assert error.message
        assert isinstance(error.again, bool)
        assert error.upstream_status is None or 100 <= error.upstream_status <= 599

    async def test_a_failure_tells_no_secret(self, broken: Provider) -> None:
        if self.secret is None:
            pytest.skip("this provider has no secret")
        with pytest.raises(ProviderError) as caught:
            await broken.generate(self.ask())
        assert self.secret not in f"{caught.value!r} {caught.value} {caught.value.message} {broken!r}"

    async def test_a_caller_may_leave(self, stuck: Provider, asked: asyncio.Event) -> None:
        asking = asyncio.ensure_future(stuck.generate(self.ask()))
        await asyncio.wait_for(asked.wait(), 5)
        assert not asking.done()
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(asking, 5)
