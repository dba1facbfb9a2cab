"""What a person has changed of a document, and whether it may be so.

Pure: JSON in, findings out. Who may change it is decided elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from . import codec
from .errors import Unprocessable
from .models import Json
from .schema import SchemaError, validator

__all__ = ["Change", "changes", "check_edit"]

MAX_CHANGES = 100

_ABSENT: Any = msgspec.UNSET


class Change(msgspec.Struct, frozen=True):
    """One place (a JSON pointer, RFC 6901; empty for the whole document) and what stands there before and after; UNSET
    where there is nothing."""

    pointer: str
    before: Any
    after: Any


def changes(before: Json, after: Json) -> tuple[Change, ...]:
    """Where two documents differ, in the order of the first, a hundred places at most. Lists are compared place by
    place."""
    found = []
    for change in _walked("", codec.decode(before), codec.decode(after)):
        found.append(change)
        if len(found) == MAX_CHANGES:
            break
    return tuple(found)


def check_edit(before: Json, after: Json, schema: Json | None) -> None:
    """Raises Unprocessable that names each place where an edited document may not be so: it stays what it was (an
    object, a list …), and satisfies the schema where it did before. (What a later stage has made of an answer need not
    satisfy the schema of answers.)"""
    was, edited = codec.decode(before), codec.decode(after)
    if _sort(was) != _sort(edited):
        raise _refused([("", f"it was {_sort(was)} and must stay so, not become {_sort(edited)}")])
    if schema is None:
        return
    try:
        wanted = validator(schema)
    except SchemaError as error:
        raise Unprocessable(f"the structured output cannot be checked: {error}", code="invalid_schema") from None
    if not wanted.errors(was) and (wrong := wanted.errors(edited)):
        raise _refused([(each.pointer, each.message) for each in wrong])


def _refused(wrong: list[tuple[str, str]]) -> Unprocessable:
    said = "; ".join(f"{pointer or 'the whole'}: {message}" for pointer, message in wrong)
    violations = [{"pointer": pointer, "message": message} for pointer, message in wrong]
    return Unprocessable(
        f"the edited data will not do: {said}", code="invalid_data", extra={"param": "data", "violations": violations}
    )


def _walked(pointer: str, before: Any, after: Any) -> Iterator[Change]:
    if isinstance(before, dict) and isinstance(after, dict):
        for key in [*before, *(key for key in after if key not in before)]:
            yield from _walked(f"{pointer}/{_escaped(key)}", before.get(key, _ABSENT), after.get(key, _ABSENT))
    elif isinstance(before, list) and isinstance(after, list):
        for place in range(max(len(before), len(after))):
            was = before[place] if place < len(before) else _ABSENT
            yield from _walked(f"{pointer}/{place}", was, after[place] if place < len(after) else _ABSENT)
    elif type(before) is not type(after) or before != after:
        yield Change(pointer, before, after)


def _escaped(key: str) -> str:
    """RFC 6901, section 3."""
    return key.replace("~", "~0").replace("/", "~1")


def _sort(value: Any) -> str:
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return "a list"
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, str):
        return "text"
    return "null" if value is None else "a number"
