"""The generate stage: fallbacks, rounds, structured output, and the account it gives."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from riverflow.builtin import generate
from riverflow.codec import canonical, decode, from_python
from riverflow.errors import ProviderError
from riverflow.models import Completed, Failed, Fallback, GenerateRequest, Outcome, Usage
from riverflow.testing import FakeClock, ScriptedProvider, generation, make_context, stage_context

pytestmark = pytest.mark.anyio

BUSY = ProviderError("slow down", code="rate_limited", upstream_status=429)
DENIED = ProviderError("bad key", code="authentication_error", upstream_status=401, again=False)
SCHEMA = from_python({"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]})
WITH_FALLBACKS = (
    Fallback(provider="third", model="m3", position=2),
    Fallback(provider="second", model="m2", position=1),
)


class Stage:
    """A generate stage over named providers, its clock moved on while it waits."""

    def __init__(self, clock: FakeClock | None = None, **providers: Any) -> None:
        self.clock = clock or FakeClock()
        context = make_context(clock=self.clock, providers=providers)
        self.runner = generate.riverflow_stages()["generate"](context)

    async def run(self, *waits: float, **plan: Any) -> Outcome:
        """The outcome; `waits` are the waits between rounds that must happen, no more and no fewer."""
        running = asyncio.create_task(self.runner.run(stage_context(**plan)))
        for seconds in waits:
            await self.clock.wait_for_sleepers(1)
            assert self.clock.next_due == pytest.approx(seconds)
            await self.clock.advance(seconds)
        return await asyncio.wait_for(running, 5)


def spending(clock: FakeClock, seconds: float, then: Any) -> Callable[[GenerateRequest], Any]:
    async def step(request: GenerateRequest) -> Any:
        await clock.advance(seconds)
        return then

    return step


def completed(outcome: Outcome) -> Any:
    assert isinstance(outcome, Completed), outcome
    return decode(outcome.data)


def failed(outcome: Outcome) -> Failed:
    assert isinstance(outcome, Failed), outcome
    return outcome


def meta(outcome: Outcome) -> dict[str, Any]:
    told = outcome.meta  # type: ignore[union-attr]
    assert bytes(canonical(told)) == bytes(told)
    return decode(told)


# One provider -------------------------------------------------------------------------------------------


async def test_without_a_schema_the_data_is_the_providers_object() -> None:
    outcome = await Stage(scripted=ScriptedProvider("hello")).run()
    assert completed(outcome)["choices"][0]["message"]["content"] == "hello"


async def test_the_account_has_both_spellings() -> None:
    clock = FakeClock()
    answer = generation("hi", model="m-2024", usage=Usage(prompt_tokens=3, completion_tokens=4, total_tokens=7))
    stage = Stage(clock, scripted=ScriptedProvider(spending(clock, 1.42, answer)))
    assert meta(await stage.run(model="m")) == {
        "status": "success",
        "provider": "scripted",
        "model": "m-2024",
        "used_provider": "scripted",
        "used_model": "m-2024",
        "requested_provider": "scripted",
        "requested_model": "m",
        "duration_ms": 1420,
        "tokens": {"prompt": 3, "completion": 4, "total": 7},
        "usage": {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7},
        "structured_output": False,
        "attempts": [
            {"provider": "scripted", "model": "m-2024", "duration_ms": 1420, "success": True, "status": "success"}
        ],
    }


async def test_a_provider_that_counts_nothing_counts_as_zero() -> None:
    answer = msgspec.structs.replace(generation("hi"), usage=None, model=None)
    told = meta(await Stage(scripted=ScriptedProvider(answer)).run(model="asked"))
    assert told["tokens"] == {"prompt": 0, "completion": 0, "total": 0}
    assert told["used_model"] == "asked"


async def test_the_provider_is_asked_what_the_plan_says() -> None:
    provider = ScriptedProvider('{"n":1}')
    plan = {
        "request": {"messages": [], "user_id": 7},
        "instructions": "Be brief.",
        "schema": SCHEMA,
        "template": "t",
        "sample_data": from_python([1]),
        "provider_timeout": 12.0,
        "model": "m1",
    }
    await Stage(scripted=provider).run(**plan)
    (asked,) = provider.requests
    assert decode(asked.request) == plan["request"]
    assert (asked.model, asked.timeout, asked.instructions, asked.template) == ("m1", 12.0, "Be brief.", "t")
    assert (asked.schema, asked.sample_data) == (SCHEMA, plan["sample_data"])


# Failing and trying again -------------------------------------------------------------------------------


async def test_fallbacks_are_asked_by_position() -> None:
    second, third = ScriptedProvider(BUSY), ScriptedProvider("third time lucky")
    stage = Stage(scripted=ScriptedProvider(DENIED), second=second, third=third)
    outcome = await stage.run(fallbacks=WITH_FALLBACKS, model="m1")
    assert completed(outcome)["choices"][0]["message"]["content"] == "third time lucky"
    told = meta(outcome)
    assert [(each["provider"], each["model"], each["status"], each.get("reason")) for each in told["attempts"]] == [
        ("scripted", "m1", "error", "authentication_error"),
        ("second", "m2", "error", "rate_limited"),
        ("third", "scripted", "success", None),
    ]
    assert (told["used_provider"], told["requested_provider"]) == ("third", "scripted")
    assert second.requests[0].model == "m2"


async def test_rounds_are_400_and_800_ms_apart() -> None:
    provider = ScriptedProvider(BUSY, BUSY, "at last")
    outcome = await Stage(scripted=provider).run(0.4, 0.8)
    assert completed(outcome)["choices"]
    assert len(meta(outcome)["attempts"]) == 3


async def test_after_three_rounds_it_has_failed() -> None:
    provider = ScriptedProvider(BUSY)
    outcome = failed(await Stage(scripted=provider).run(0.4, 0.8))
    assert (outcome.code, outcome.message) == ("rate_limited", "slow down")
    assert decode(outcome.details) == {"status": 429, "message": "slow down"}
    told = meta(outcome)
    assert told["status"] == "error"
    assert [each["success"] for each in told["attempts"]] == [False] * 3
    assert told["duration_ms"] == 0  # the waits between rounds do not count


async def test_what_will_not_do_better_is_not_tried_again() -> None:
    denied, busy = ScriptedProvider(DENIED), ScriptedProvider(BUSY)
    outcome = failed(await Stage(scripted=denied, second=busy, third=denied).run(0.4, 0.8, fallbacks=WITH_FALLBACKS))
    assert len(denied.requests) == 2
    assert len(busy.requests) == 3
    assert outcome.code == "rate_limited"


async def test_a_final_error_alone_fails_at_once() -> None:
    outcome = failed(await Stage(scripted=ScriptedProvider(DENIED)).run())
    assert outcome.code == "authentication_error"


async def test_an_unknown_provider_is_final_and_names_the_installed() -> None:
    outcome = failed(await Stage(echo=ScriptedProvider(), openai=ScriptedProvider()).run(provider="opnai"))
    assert outcome.code == "unknown_provider"
    assert outcome.message == "no provider 'opnai' is installed; installed are: echo, openai"


async def test_an_unknown_provider_does_not_keep_a_fallback_from_answering() -> None:
    fallbacks = (Fallback(provider="scripted", model="m"),)
    assert completed(await Stage(scripted=ScriptedProvider("hi")).run(provider="gone", fallbacks=fallbacks))["choices"]


async def test_a_provider_that_hangs_is_cut_and_tried_again() -> None:
    cut: list[bool] = []

    async def hang(request: GenerateRequest) -> str:
        try:
            await asyncio.Event().wait()
        finally:
            cut.append(True)
        raise AssertionError("unreachable")

    stage = Stage(scripted=ScriptedProvider(hang, "awake"))
    outcome = await stage.run(0.4, provider_timeout=0.01)
    assert completed(outcome)["choices"]
    assert cut == [True]
    assert meta(outcome)["attempts"][0]["reason"] == "timeout"


async def test_an_undeclared_exception_is_told_to_the_log_alone_and_final(caplog: pytest.LogCaptureFixture) -> None:
    provider = ScriptedProvider(RuntimeError("no route to 10.0.0.7"))
    with caplog.at_level(logging.ERROR, "riverflow.generate"):
        outcome = failed(await Stage(scripted=provider).run())
    assert outcome.code == "provider_error"
    assert outcome.message == "the provider failed with an undeclared error"
    for public in (outcome.details, outcome.meta):
        assert b"RuntimeError" not in bytes(public)
        assert b"10.0.0.7" not in bytes(public)
    assert "RuntimeError: no route to 10.0.0.7" in caplog.text


async def test_cancelling_reaches_the_provider_and_tries_nobody_else() -> None:
    asked, cut = asyncio.Event(), asyncio.Event()

    async def hang(request: GenerateRequest) -> str:
        asked.set()
        try:
            await asyncio.Event().wait()
        finally:
            cut.set()
        raise AssertionError("unreachable")

    second = ScriptedProvider("never")
    stage = Stage(scripted=ScriptedProvider(hang), second=second)
    context = stage_context(fallbacks=(Fallback(provider="second", model="m"),))
    running = asyncio.create_task(stage.runner.run(context))
    await asked.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert cut.is_set()
    assert second.requests == []


# Structured output --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        '{"n": 1.0e0, "é": [1.50]}',
        ' \n{"n": 1, "é": [1.5]}\n ',
        '```json\n{"n": 1, "é": [1.5]}\n```',
        '  ```\n{"n": 1,\r\n "é": [1.5]}```\n',
        '```JSON\r\n{"n": 1, "é": [1.5]}\r\n```',
    ],
)
async def test_the_data_is_the_value_in_canonical_form(text: str) -> None:
    outcome = await Stage(scripted=ScriptedProvider(text)).run(schema=SCHEMA)
    assert isinstance(outcome, Completed)
    assert bytes(outcome.data).decode() == '{"n":1,"é":[1.5]}'
    assert meta(outcome)["structured_output"] is True


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Sure! Here you are.", "the answer cannot be read: not valid JSON"),
        ('```json\n{"n":1}\n``` and more', "the answer cannot be read: not valid JSON"),
        (generation(None), "the answer has no text"),
        ('{"n":"one"}', 'the answer does not satisfy the schema: /n: "one" is not of type "integer"'),
        ("{}", 'the answer does not satisfy the schema: /: "n" is a required property'),
        ("[" * 100_000, "the answer cannot be read: "),
    ],
)
async def test_an_answer_that_does_not_satisfy_is_tried_again(text: Any, message: str) -> None:
    outcome = failed(await Stage(scripted=ScriptedProvider(text)).run(0.4, 0.8, schema=SCHEMA))
    assert outcome.code == "invalid_output"
    assert outcome.message.startswith(message)


async def test_a_better_answer_is_taken() -> None:
    provider = ScriptedProvider("no", '{"n":2}')
    outcome = await Stage(scripted=provider).run(0.4, schema=SCHEMA)
    assert completed(outcome) == {"n": 2}
    assert meta(outcome)["attempts"][0]["reason"] == "invalid_output"


async def test_at_most_three_violations_are_told() -> None:
    schema = from_python({"type": "array", "items": {"type": "integer"}})
    outcome = failed(await Stage(scripted=ScriptedProvider(["x"] * 9)).run(0.4, 0.8, schema=schema))
    assert outcome.message.count("is not of type") == 3


async def test_tool_calls_pass_though_there_is_a_schema() -> None:
    call = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    outcome = await Stage(scripted=ScriptedProvider(generation(None, tool_calls=[call]))).run(schema=SCHEMA)
    assert completed(outcome)["choices"][0]["message"]["tool_calls"] == [call]


async def test_a_schema_that_cannot_be_checked_asks_nobody() -> None:
    provider = ScriptedProvider()
    outcome = failed(await Stage(scripted=provider).run(schema=from_python({"type": "objekt"})))
    assert outcome.code == "invalid_schema"
    assert provider.requests == []


async def test_without_the_schema_library_nobody_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jsonschema_rs", None)
    provider = ScriptedProvider()
    outcome = failed(await Stage(scripted=provider).run(schema=from_python({"type": "object", "minProperties": 7})))
    assert outcome.code == "invalid_schema"
    assert "riverflow[schema]" in outcome.message
    assert provider.requests == []


async def test_a_huge_fenced_answer_does_not_stall() -> None:
    text = "```json\n" + "\t" * 300_000 + "x"
    failed(await Stage(scripted=ScriptedProvider(text)).run(0.4, 0.8, schema=SCHEMA))
