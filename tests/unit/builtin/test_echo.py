"""The offline provider: what it answers from, and that it never differs."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from riverflow.builtin import echo
from riverflow.builtin.echo.sample import sample
from riverflow.codec import canonical, decode, from_python
from riverflow.models import GenerateRequest, Generation, Usage
from riverflow.schema import validator
from riverflow.testing import make_context

pytestmark = pytest.mark.anyio

CHAT = {
    "messages": [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "first words"},
        {"role": "assistant", "content": "an answer"},
        {"role": "user", "content": "the last words"},
    ],
    "metadata": {"tags": ["a", {"b": 2.0}], "none": None},
}
SCHEMA = {"type": "object", "properties": {"n": {"type": "integer", "minimum": 3}}, "required": ["n"]}


async def answer(body: Any = CHAT, **members: Any) -> Generation:
    for name in ("schema", "sample_data"):
        if name in members:
            members[name] = from_python(members[name])
    request = GenerateRequest(
        channel_id="c", model=members.pop("model", ""), request=from_python(body), timeout=1, **members
    )
    return await echo.riverflow_providers()["echo"](make_context()).generate(request)


async def test_it_says_the_last_user_message() -> None:
    assert (await answer()).content == "the last words"


async def test_it_reads_content_parts() -> None:
    parts = [
        {"type": "text", "text": "look at"},
        {"type": "image_url", "image_url": {}},
        {"type": "text", "text": "it"},
    ]
    assert (await answer({"messages": [{"role": "user", "content": parts}]})).content == "look at\nit"


@pytest.mark.parametrize(
    ("body", "content"),
    [
        ({"prompt": "p q"}, "p q"),
        ({}, ""),
        ({"messages": "no list"}, ""),
        ({"messages": [1, {"role": "user"}]}, ""),
        ([], ""),
    ],
)
async def test_it_answers_whatever_it_is_asked(body: Any, content: str) -> None:
    assert (await answer(body)).content == content


async def test_the_schema_comes_before_the_message() -> None:
    assert (await answer(schema=SCHEMA)).content == '{"n":3}'


async def test_an_example_valued_schema_is_understood() -> None:
    assert (await answer(schema={"title": "a headline", "score": 0.5})).content == '{"title":"","score":0.5}'


async def test_the_template_comes_before_the_schema() -> None:
    template = "{{ messages.3.content }}/{{metadata.tags.1}}/{{ metadata.none }}{{ metadata.tags.9 }}{{ a.b }}/{{}}"
    assert (await answer(schema=SCHEMA, template=template)).content == 'the last words/{"b":2}//{{}}'


async def test_the_sample_data_comes_first() -> None:
    generation = await answer(schema=SCHEMA, template="t", sample_data={"n": 8.0})
    assert generation.content == '{"n":8}'


async def test_sample_text_is_text_unless_json_is_wanted() -> None:
    assert (await answer(sample_data="hello")).content == "hello"
    assert (await answer(sample_data="hello", schema={"type": "string"})).content == '"hello"'


async def test_tokens_are_words_and_the_body_never_differs() -> None:
    generation = await answer()
    assert generation.usage == Usage(prompt_tokens=9, completion_tokens=3, total_tokens=12)
    assert decode(generation.body) == {
        "id": "chatcmpl-echo",
        "object": "chat.completion",
        "created": 0,
        "model": "echo",
        "choices": [
            {"index": 0, "message": {"role": "assistant", "content": "the last words"}, "finish_reason": "stop"}
        ],
        "usage": {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12},
    }
    assert bytes((await answer()).body) == bytes(generation.body) == bytes(canonical(generation.body))


async def test_it_answers_as_the_model_that_was_asked_for() -> None:
    assert (await answer(model="mine")).model == "mine"


# The sampler --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"const": 4, "default": 5}, 4),
        ({"default": 5, "enum": [6, 5]}, 5),
        ({"enum": [6, 7]}, 6),
        ({"type": "string", "examples": ["e"]}, "e"),
        ({"type": ["null", "boolean"]}, False),
        ({"type": "null"}, None),
        (True, None),
        ({"minLength": 3}, "xxx"),
        ({"type": "string", "format": "date"}, "2024-01-01"),
        ({"type": "integer", "minimum": 1.5}, 2),
        ({"type": "integer", "exclusiveMinimum": 2}, 3),
        ({"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1}, 0.5),
        ({"type": "integer", "maximum": -3}, -3),
        ({"type": "integer", "multipleOf": 7, "minimum": 8}, 14),
        ({"type": "array", "items": {"type": "integer"}, "minItems": 2}, [0, 0]),
        ({"prefixItems": [{"const": 1}], "items": {"const": 2}, "minItems": 3}, [1, 2, 2]),
        ({"contains": {"const": 9}}, [9]),
        ({"required": ["a"]}, {"a": ""}),
        ({"$ref": "#/$defs/x~1y", "$defs": {"x/y": {"const": "found"}}}, "found"),
        ({"allOf": [{"required": ["a"]}, {"properties": {"a": {"const": 1}}}]}, {"a": 1}),
        ({"anyOf": [{"type": "integer"}, {"type": "null"}], "minimum": 4}, 4),
    ],
)
def test_a_sample_is_the_smallest_value(schema: Any, expected: Any) -> None:
    assert sample(schema) == expected
    assert validator(from_python(schema)).errors(expected) == []


def test_a_schema_that_requires_itself_ends() -> None:
    assert sample({"type": "object", "properties": {"n": {"$ref": "#"}}, "required": ["n"]})
    assert sample({"$ref": "#"}) == ""


def test_a_schema_nested_beyond_measure_ends() -> None:
    nested: dict[str, Any] = {"type": "integer"}
    for _ in range(2_000):
        nested = {"type": "array", "items": nested, "minItems": 1}
    assert sample(nested)


numbers = st.integers(-50, 50)
scalars = st.one_of(
    st.builds(lambda low, size: {"type": "integer", "minimum": low, "maximum": low + size}, numbers, st.integers(0, 9)),
    st.builds(lambda low: {"type": "number", "exclusiveMinimum": low, "exclusiveMaximum": low + 1}, numbers),
    st.builds(lambda high, of: {"type": "integer", "maximum": high, "multipleOf": of}, numbers, st.integers(1, 9)),
    st.builds(lambda size: {"type": "string", "minLength": size, "maxLength": size + 2}, st.integers(0, 9)),
    st.sampled_from([{"type": "boolean"}, {"type": "null"}, {"enum": ["a", "b"]}, {"const": {"k": []}}]),
)
names = st.text(st.characters(exclude_categories=["Cs"]), max_size=3).filter(lambda name: not re.match(r"^\d+$", name))


def nested(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    objects = st.dictionaries(names, inner, max_size=3).map(
        lambda members: {"type": "object", "properties": members, "required": list(members), "minProperties": 0}
    )
    lists = st.builds(lambda item, size: {"type": "array", "items": item, "minItems": size}, inner, st.integers(0, 3))
    choices = st.lists(inner, min_size=1, max_size=2).map(lambda options: {"anyOf": options})
    return st.one_of(objects, lists, choices)


@given(st.recursive(scalars, nested, max_leaves=8))
def test_a_sample_satisfies_its_schema(schema: Any) -> None:
    value = sample(schema)
    assert validator(from_python(schema)).errors(value) == []
    assert sample(schema) == value
