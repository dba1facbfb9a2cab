"""JSON Schema: what counts as one, what is reported, and that a hostile one does no harm."""

from __future__ import annotations

import asyncio
import sys
import time
from typing import Any

import pytest

from riverflow.codec import decode, from_python
from riverflow.models import Json
from riverflow.schema import SchemaError, check_schema, formal, validator
from riverflow.testing import serve

TICKET = {
    "type": "object",
    "properties": {"title": {"type": "string"}, "a/b~c": {"type": "array", "items": {"type": "integer"}}},
    "required": ["title"],
}


def errors(schema: Any, value: Any) -> list[tuple[str, str]]:
    return [(each.pointer, each.message) for each in validator(from_python(schema)).errors(value)]


def test_a_value_that_satisfies_has_no_errors() -> None:
    assert errors(TICKET, {"title": "t", "a/b~c": [1, 2]}) == []


def test_an_error_names_the_place_by_json_pointer() -> None:
    assert errors(TICKET, {"title": "t", "a/b~c": [1, "x"]}) == [("/a~1b~0c/1", '"x" is not of type "integer"')]
    assert errors(TICKET, {}) == [("", '"title" is a required property')]


def test_at_most_ten_errors_are_reported() -> None:
    assert len(errors({"items": {"type": "integer"}}, ["x"] * 50)) == 10


def test_a_message_is_bounded() -> None:
    ((_, message),) = errors({"type": "integer"}, "x" * 100_000)
    assert len(message) == 300
    assert message.endswith("…")


@pytest.mark.parametrize("schema", [True, {}, {"type": "string"}, {"$ref": "#"}, TICKET, {"a": "an example value"}])
def test_these_are_schemas(schema: Any) -> None:
    check_schema(schema)


@pytest.mark.parametrize(
    ("schema", "pointer"),
    [
        ([1], ""),
        ("text", ""),
        (None, ""),
        ({"properties": {"a": {"type": "objekt"}}}, "/properties/a/type"),
        ({"$ref": "#/$defs/missing"}, ""),
        ({"$schema": "https://example.com/unknown", "type": "string"}, ""),
    ],
)
def test_these_are_not_and_the_error_says_where(schema: Any, pointer: str) -> None:
    with pytest.raises(SchemaError) as caught:
        check_schema(schema)
    assert caught.value.pointer == pointer
    assert caught.value.message


def test_the_draft_is_the_one_the_schema_names() -> None:
    tuples = {"items": [{"type": "integer"}]}
    assert errors({"$schema": "http://json-schema.org/draft-07/schema#", **tuples}, ["x"])
    with pytest.raises(SchemaError):  # 2020-12: `items` is one schema
        check_schema(tuples)


@pytest.mark.anyio
async def test_a_remote_reference_is_never_fetched() -> None:
    asked: list[str] = []

    async def app(scope, receive, send) -> None:
        asked.append(scope["path"])
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"true"})

    async with serve(app, lifespan="off") as base_url:
        for reference in (f"{base_url}/schema.json", "file:///etc/hostname", "other.json"):
            with pytest.raises(SchemaError):
                await asyncio.to_thread(check_schema, {"$ref": reference})
    assert asked == []


def test_a_pattern_takes_linear_time() -> None:
    begun = time.perf_counter()
    assert errors({"pattern": "^(a+)+$"}, "a" * 50_000 + "b")
    assert time.perf_counter() - begun < 2


@pytest.mark.parametrize("pattern", ["(?=a)b", r"(a)\1", "(a{1000}){1000}", "("])
def test_a_pattern_that_needs_backtracking_or_much_memory_is_refused(pattern: str) -> None:
    with pytest.raises(SchemaError) as caught:
        check_schema({"type": "string", "pattern": pattern})
    assert caught.value.pointer == "/pattern"


def test_a_schema_nested_beyond_measure_is_refused() -> None:
    nested: dict[str, Any] = {"type": "integer"}
    for _ in range(5_000):
        nested = {"properties": {"n": nested}}
    with pytest.raises(SchemaError):
        check_schema(nested)
    described: dict[str, Any] = {"leaf": "text"}
    for _ in range(5_000):
        described = {"n": described}
    with pytest.raises(SchemaError, match="deep"):
        check_schema(described)


def test_a_schema_that_refers_to_itself_ends() -> None:
    loop = {"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"}
    assert errors(loop, 1) == []


def test_format_is_an_annotation() -> None:
    assert errors({"type": "string", "format": "email"}, "nobody") == []


def test_the_compiled_form_is_kept() -> None:
    assert validator(from_python(TICKET)) is validator(from_python(dict(TICKET)))


def test_an_example_valued_object_requires_its_fields() -> None:
    described = {"summary": "two sentences", "score": 0.5, "tags": ["a topic"], "author": {"name": "", "more": {}}}
    expected = {
        "type": "object",
        "properties": {
            "summary": {"description": "two sentences"},
            "score": {"examples": [0.5]},
            "tags": {"type": "array", "items": {"description": "a topic"}},
            "author": {
                "type": "object",
                "properties": {"name": {}, "more": {"type": "object"}},
                "required": ["name", "more"],
            },
        },
        "required": ["summary", "score", "tags", "author"],
    }
    assert decode(formal(from_python(described))) == expected
    good = {"summary": 1, "score": "high", "tags": [], "author": {"name": None, "more": {"x": 1}}}
    assert errors(described, good) == []
    bad = {**good, "tags": "x", "author": {}}
    assert sorted(pointer for pointer, _ in errors(described, bad)) == ["/author", "/author", "/tags"]


@pytest.mark.parametrize("schema", [b"true", b"{}", b'{"type":"string"}', b'{"$ref":"#"}', b'{"enum":[1]}'])
def test_a_formal_schema_stays_as_it_is(schema: bytes) -> None:
    assert formal(Json(schema)) == schema


@pytest.mark.parametrize("text", [b"{", b"\xff", b"[" * 100_000])
def test_what_is_not_json_is_no_schema(text: bytes) -> None:
    with pytest.raises(SchemaError, match="cannot be read"):
        validator(Json(text))


def test_titles_and_descriptions_are_fields_where_nothing_makes_it_a_schema() -> None:
    assert errors({"title": "a headline", "description": "a paragraph"}, {"title": "t"})


def test_without_the_library_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jsonschema_rs", None)
    with pytest.raises(SchemaError, match=r"pip install 'riverflow\[schema\]'"):
        check_schema({"type": "string"})
