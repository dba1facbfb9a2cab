"""The OpenAI-compatible provider: what goes out, what comes in, and what each error means."""

from __future__ import annotations

import json
from typing import Any

import pytest

from riverflow.builtin import openai_compatible
from riverflow.codec import decode, from_python
from riverflow.config import Settings
from riverflow.errors import ConfigError, HttpError, ProviderError
from riverflow.models import GenerateRequest, Generation, Json, Usage
from riverflow.ports import HttpRequest, HttpResponse, Provider
from riverflow.testing import generation, make_context

pytestmark = pytest.mark.anyio

KEY = "sk-secret-0123456789"
HELLO = [{"role": "user", "content": "hello"}]
SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}


class Wire:
    """An HttpClient that answers with one response (or raises one error) and keeps what was sent."""

    def __init__(self, answer: Any = None, *, status: int = 200, truncated: bool = False) -> None:
        body = bytes(generation("hi").body) if answer is None else answer
        self.answer = (
            body
            if isinstance(body, HttpError)
            else HttpResponse(
                status=status,
                headers={},
                body=body if isinstance(body, bytes) else json.dumps(body).encode(),
                truncated=truncated,
            )
        )
        self.sent: list[HttpRequest] = []

    async def send(self, request: HttpRequest) -> HttpResponse:
        self.sent.append(request)
        if isinstance(self.answer, HttpError):
            raise self.answer
        return self.answer

    async def aclose(self) -> None:
        return None


def provider(wire: Wire, options: dict[str, Any] | None = None, **settings: Any) -> Provider:
    context = make_context(settings=Settings(**({"openai_api_key": KEY} | settings)), http=wire, options=options)
    return openai_compatible.riverflow_providers()["openai"](context)


async def ask(wire: Wire, body: Any = None, **members: Any) -> Generation:
    asked = {"messages": HELLO} if body is None else body
    defaults: dict[str, Any] = {"channel_id": "c", "model": "gpt-x", "timeout": 12.5}
    request = asked if isinstance(asked, Json) else from_python(asked)
    return await provider(wire).generate(GenerateRequest(request=request, **(defaults | members)))


async def posted(body: Any = None, **members: Any) -> Any:
    wire = Wire()
    await ask(wire, body, **members)
    return json.loads(wire.sent[0].body)


async def refusal(wire: Wire, body: Any = None) -> ProviderError:
    with pytest.raises(ProviderError) as caught:
        await ask(wire, body)
    return caught.value


# The request --------------------------------------------------------------------------------------------


async def test_the_request_goes_to_chat_completions_with_the_key() -> None:
    wire = Wire()
    await ask(wire)
    (sent,) = wire.sent
    assert (sent.method, sent.url) == ("POST", "https://api.openai.com/v1/chat/completions")
    assert dict(sent.headers) == {
        "content-type": "application/json",
        "accept": "application/json",
        "authorization": f"Bearer {KEY}",
    }
    assert (sent.purpose, sent.timeout) == ("provider", 12.5)
    assert json.loads(sent.body) == {"model": "gpt-x", "messages": HELLO}


async def test_parameters_pass_and_nothing_else_does() -> None:
    tools = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]
    passed = {
        "temperature": 0.7,
        "max_tokens": 5,
        "top_p": 1,
        "tools": tools,
        "tool_choice": "auto",
        "stop": None,
        "seed": 2**60,
        "logit_bias": {"50256": -100},
        "reasoning_effort": "low",
    }
    own = {
        "workflow": "w",
        "provider": "p",
        "delivery_method": "websocket",
        "webhook_url": "https://example.com",
        "events": ["e"],
        "metadata": {"a": 1},
        "context": {},
        "inputs": {},
        "customer_data": {},
        "callback_timeout": 5,
        "format": "wrapped",
        "stream": True,
        "stream_options": {"include_usage": True},
        "structured_output_schema": {},
        "test_mode": False,
        "user_id": 7,
        "task_id": "t",
        "api_key": "k",
    }
    assert await posted({"messages": HELLO, **passed, **own}) == {"model": "gpt-x", "messages": HELLO, **passed}


async def test_the_plans_model_wins_over_the_requests() -> None:
    assert (await posted({"messages": HELLO, "model": "theirs"}))["model"] == "gpt-x"
    assert (await posted({"messages": HELLO, "model": "theirs"}, model=""))["model"] == "theirs"


async def test_a_prompt_becomes_a_message() -> None:
    assert (await posted({"prompt": 'say "é"'}))["messages"] == [{"role": "user", "content": 'say "é"'}]
    assert (await posted({"prompt": "no", "messages": HELLO}))["messages"] == HELLO


async def test_instructions_lead() -> None:
    system = {"role": "system", "content": 'Be "brief".'}
    assert (await posted(instructions='Be "brief".'))["messages"] == [system, *HELLO]
    assert (await posted({"messages": []}, instructions='Be "brief".'))["messages"] == [system]


async def test_a_schema_asks_for_json() -> None:
    wanted = {"type": "json_schema", "json_schema": {"name": "response", "schema": SCHEMA}}
    assert (await posted(schema=from_python(SCHEMA)))["response_format"] == wanted


async def test_an_example_valued_schema_is_sent_as_a_schema() -> None:
    sent = (await posted(schema=from_python({"summary": "two sentences"})))["response_format"]
    assert sent["json_schema"]["schema"]["required"] == ["summary"]


@pytest.mark.parametrize("given", [{"type": "json_object"}, {"type": "json_schema", "json_schema": {"name": "mine"}}])
async def test_the_callers_own_format_stays(given: Any) -> None:
    sent = await posted({"messages": HELLO, "response_format": given}, schema=from_python(SCHEMA))
    assert sent["response_format"] == given


@pytest.mark.parametrize("bare", [SCHEMA, {"summary": "text"}, "json"])
async def test_a_bare_schema_as_format_is_put_into_openais_form(bare: Any) -> None:
    sent = await posted({"messages": HELLO, "response_format": bare}, schema=from_python(SCHEMA))
    assert sent["response_format"]["json_schema"]["schema"] == SCHEMA


@pytest.mark.parametrize(
    ("body", "members", "words"),
    [
        ({}, {}, "neither `messages` nor `prompt`"),
        ({"prompt": ["a"]}, {}, "prompt"),
        ({"messages": "text"}, {"instructions": "i"}, "messages"),
        ([], {}, "object"),
    ],
)
async def test_what_is_no_chat_is_not_sent(body: Any, members: Any, words: str) -> None:
    wire = Wire()
    with pytest.raises(ProviderError, match=words) as caught:
        await ask(wire, body, **members)
    assert (caught.value.code, caught.value.again, wire.sent) == ("invalid_request", False, [])


# Where to, and with which key ---------------------------------------------------------------------------


async def test_without_a_key_the_error_says_what_to_set() -> None:
    wire = Wire()
    with pytest.raises(ProviderError, match="OPENAI_API_KEY") as caught:
        await provider(wire, openai_api_key=None).generate(
            GenerateRequest(channel_id="c", model="m", request=from_python({"messages": HELLO}), timeout=1)
        )
    assert (caught.value.code, caught.value.again, wire.sent) == ("missing_credentials", False, [])


async def test_a_server_of_ones_own_needs_no_key() -> None:
    wire = Wire()
    request = GenerateRequest(channel_id="c", model="m", request=from_python({"messages": HELLO}), timeout=1)
    await provider(wire, openai_api_key=None, openai_base_url="http://127.0.0.1:11434/v1/").generate(request)
    assert wire.sent[0].url == "http://127.0.0.1:11434/v1/chat/completions"
    assert "authorization" not in dict(wire.sent[0].headers)


async def test_the_plugins_own_section_wins() -> None:
    wire = Wire()
    request = GenerateRequest(channel_id="c", model="m", request=from_python({"messages": HELLO}), timeout=1)
    await provider(wire, {"base_url": "https://llm.example/v1", "api_key": "other"}).generate(request)
    assert wire.sent[0].url == "https://llm.example/v1/chat/completions"
    assert dict(wire.sent[0].headers)["authorization"] == "Bearer other"


def test_a_setting_of_the_wrong_type_is_the_operators() -> None:
    with pytest.raises(ConfigError, match=r"plugins\.openai\.base_url"):
        provider(Wire(), {"base_url": 5})


# The answer ---------------------------------------------------------------------------------------------


async def test_an_answer_is_a_generation() -> None:
    body = {
        "id": "chatcmpl-1",
        "model": "gpt-x-2024",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "hi", "logprobs": 8.0}}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 9, "details": {}},
    }
    found = await ask(Wire(body))
    assert (found.content, found.model) == ("hi", "gpt-x-2024")
    assert found.usage == Usage(prompt_tokens=3, completion_tokens=4, total_tokens=9)
    assert b'"logprobs":8}' in bytes(found.body)
    assert decode(found.body) == body


async def test_tool_calls_have_no_content() -> None:
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    found = await ask(Wire({"choices": [{"message": {"content": None, "tool_calls": [call]}}]}))
    assert (found.content, found.model, found.usage) == (None, None, None)
    assert decode(found.body)["choices"][0]["message"]["tool_calls"] == [call]


@pytest.mark.parametrize(
    ("body", "content"),
    [({"choices": []}, None), ({"choices": [{}]}, None), ({"choices": [{"message": {"content": [{"a": 1}]}}]}, None)],
)
async def test_unusual_answers_are_answers(body: Any, content: str | None) -> None:
    assert (await ask(Wire(body))).content == content


async def test_a_total_that_is_missing_is_added_up() -> None:
    usage = {"prompt_tokens": 3, "completion_tokens": None}
    found = await ask(Wire({"choices": [], "usage": usage}))
    assert found.usage == Usage(prompt_tokens=3, completion_tokens=0, total_tokens=3)


@pytest.mark.parametrize("body", [b"<html>", b"", b"[]", b'{"choices":5}', b'{"object":"list"}', b"\xff\xfe"])
async def test_what_is_no_chat_completion_is_tried_again(body: bytes) -> None:
    error = await refusal(Wire(body))
    assert (error.code, error.again, error.upstream_status) == ("invalid_response", True, 200)


async def test_an_answer_beyond_measure_is_refused() -> None:
    error = await refusal(Wire(bytes(generation("hi").body), truncated=True))
    assert error.code == "invalid_response"


@pytest.mark.parametrize(
    ("status", "code", "again"),
    [
        (400, "invalid_request", False),
        (401, "authentication_error", False),
        (403, "authentication_error", False),
        (404, "invalid_request", False),
        (422, "invalid_request", False),
        (302, "invalid_request", False),
        (408, "upstream_error", True),
        (409, "upstream_error", True),
        (425, "upstream_error", True),
        (429, "rate_limited", True),
        (500, "upstream_error", True),
        (503, "upstream_error", True),
    ],
)
async def test_each_status_means_something(status: int, code: str, again: bool) -> None:
    error = await refusal(Wire({"error": {"message": "because"}}, status=status))
    assert (error.code, error.again, error.upstream_status) == (code, again, status)
    assert error.message == f"HTTP {status}: because"


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({"error": "model not found"}, "HTTP 500: model not found"),
        ({"message": "out of memory"}, "HTTP 500: out of memory"),
        ({"error": {"message": 5}}, "HTTP 500"),
        ({"error": {"message": "x" * 900}}, "HTTP 500: " + "x" * 500),
        (b"<html>", "HTTP 500"),
        (b"\xff", "HTTP 500"),
        ([], "HTTP 500"),
    ],
)
async def test_the_upstreams_own_words_are_passed_on(body: Any, told: str) -> None:
    assert (await refusal(Wire(body, status=500))).message == told


async def test_the_key_is_kept_out_of_messages() -> None:
    error = await refusal(Wire({"error": {"message": f"Incorrect API key provided: {KEY}"}}, status=401))
    assert error.message == "HTTP 401: Incorrect API key provided: …"


@pytest.mark.parametrize(
    ("code", "again"), [("timeout", True), ("connection_error", True), ("tls_error", True), ("policy", False)]
)
async def test_no_answer_is_the_clients_error(code: str, again: bool) -> None:
    error = await refusal(Wire(HttpError("no answer", code=code)))
    assert (error.code, error.again, error.upstream_status, error.message) == (code, again, None, "no answer")
