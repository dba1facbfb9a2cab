"""What a person has changed of a document, and whether it may be so."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from riverflow._edits import changes, check_edit
from riverflow.codec import from_python
from riverflow.errors import Unprocessable

SCHEMA = from_python({"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]})


@pytest.mark.parametrize(
    ("before", "after", "pointers"),
    [
        ({"a": 1}, {"a": 1}, []),
        ({"a": 1}, {"a": 2}, ["/a"]),
        ({"a": 1}, {"b": 1}, ["/a", "/b"]),
        ({"a": {"b": [1, 2]}}, {"a": {"b": [1, 3, 4]}}, ["/a/b/1", "/a/b/2"]),
        ({"a/b": 1, "~": 2}, {"a/b": 0, "~": 0}, ["/a~1b", "/~0"]),
        ({"a": 1}, {"a": True}, ["/a"]),
        ({"a": None}, {}, ["/a"]),
        ({"a": []}, {"a": {}}, ["/a"]),
        ([1], {"a": 1}, [""]),
        ({"": 1}, {"": 2}, ["/"]),
    ],
)
def test_where_two_documents_differ(before: Any, after: Any, pointers: list[str]) -> None:
    assert [change.pointer for change in changes(from_python(before), from_python(after))] == pointers


def test_what_is_not_there_is_not_null() -> None:
    (gone,) = changes(from_python({"a": None}), from_python({}))
    assert (gone.before, gone.after) == (None, msgspec.UNSET)


def test_a_hundred_changes_are_enough() -> None:
    assert len(changes(from_python(list(range(1000))), from_python(["x"] * 1000))) == 100


@pytest.mark.parametrize("after", [[], "text", 1, None, True])
def test_an_object_stays_one(after: Any) -> None:
    with pytest.raises(Unprocessable):
        check_edit(from_python({"n": 1}), from_python(after), None)


@pytest.mark.parametrize(
    ("before", "after", "good"),
    [
        ({"n": 1}, {"n": 2}, True),
        ({"n": 1}, {"n": "2"}, False),
        ({"n": 1}, {}, False),
        ({"enriched": 1}, {"enriched": 2}, True),  # it never was an answer: a later stage made it
        ({"enriched": 1}, {"n": "2"}, True),
    ],
)
def test_the_schema_is_asked_of_what_satisfied_it(before: Any, after: Any, good: bool) -> None:
    if good:
        check_edit(from_python(before), from_python(after), SCHEMA)
        return
    with pytest.raises(Unprocessable) as refused:
        check_edit(from_python(before), from_python(after), SCHEMA)
    assert refused.value.extra["violations"]
