"""Between a form's fields and the API's members: texts become lists, numbers and JSON, and back.

What the members mean, and whether they will do, is the API's to say.
"""

from __future__ import annotations

import math
from typing import Any

import msgspec

from .. import codec
from ..errors import InvalidRequest, RequestError
from ._markup import json_text
from ._visit import Visit

__all__ = ["Problem", "json_field", "json_shown", "listed", "number_field", "optional", "problem_of"]


class Problem(msgspec.Struct, frozen=True):
    """What is wrong with a form: which field, where that is known, and how to put it right."""

    message: str
    param: str = ""


def problem_of(error: RequestError) -> Problem:
    return Problem(error.message, str(error.extra.get("param", "")))


def optional(text: str) -> str | None:
    """An empty field is nothing."""
    return text or None


def listed(text: str) -> list[str]:
    """A list, one to a line or with commas between."""
    return [part.strip() for line in text.splitlines() for part in line.split(",") if part.strip()]


def number_field(visit: Visit, name: str, label: str) -> float | None:
    """Raises InvalidRequest that names the field."""
    text = visit.field(name)
    if not text:
        return None
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise InvalidRequest(f"{label}: {text!r} is not a number", extra={"param": name})
    return number


def json_field(visit: Visit, name: str, label: str) -> Any:
    """Raises InvalidRequest that names the field."""
    text = visit.field(name)
    if not text:
        return None
    try:
        return codec.decode(codec.canonical(text.encode()))
    except RequestError as error:
        raise InvalidRequest(f"{label}: {error.message}", extra={"param": name}) from None


def json_shown(value: Any) -> str:
    """A member as its field shows it; nothing where there is none."""
    return "" if value is None else json_text(value)
