"""From the query parameters of a list to the filter they mean: the API's and the console's are the same.

It checks what was said; it looks nothing up.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final, get_args

from ..errors import InvalidRequest
from ..models import RunFilter, Status, Tag

__all__ = ["DEFAULT_TAGS", "moment", "wanted"]

DEFAULT_TAGS: Final[tuple[Tag, ...]] = ("live",)
"""What is meant where no tag is named: tests and playground are kept out."""

_ALL = "all"


def wanted(params: Mapping[str, str]) -> RunFilter:
    """The filter in `status`, `tag` (both may be lists: `a,b`; `tag=all` is every tag), `workflow`, `event_name`,
    `provider`, `model`, `customer` (`key=value`), `since`, `until` (ISO 8601 or Unix seconds) and `channel_id` (the
    beginning of an id). Empty parameters do not choose, others are not looked at. Raises InvalidRequest."""
    said = {name: value.strip() for name, value in params.items() if value.strip()}
    tag = said.get("tag", "")
    return RunFilter(
        statuses=_choices("status", said.get("status", ""), get_args(Status)),
        tags=DEFAULT_TAGS if not tag else () if tag == _ALL else _choices("tag", tag, get_args(Tag)),
        workflow=said.get("workflow"),
        event_name=said.get("event_name"),
        provider=said.get("provider"),
        model=said.get("model"),
        since=moment("since", said["since"]) if "since" in said else None,
        until=moment("until", said["until"]) if "until" in said else None,
        channel_id=_beginning(said["channel_id"]) if "channel_id" in said else None,
        customer=_member(said["customer"]) if "customer" in said else None,
    )


def moment(name: str, text: str) -> float:
    """Unix seconds, or ISO 8601 (UTC where it names no offset). Raises InvalidRequest."""
    try:
        at = float(text)
    except ValueError:
        try:
            read = datetime.fromisoformat(text)
        except ValueError:
            raise _wrong(name, f"{text!r} is no time: give ISO 8601 (2025-01-31T12:00:00Z) or Unix seconds") from None
        at = (read if read.tzinfo is not None else read.replace(tzinfo=UTC)).timestamp()
    if not 0 <= at < 253_402_300_800:  # the end of the year 9999
        raise _wrong(name, f"{text!r} is out of range")
    return at


def _choices(name: str, text: str, known: tuple[Any, ...]) -> tuple[Any, ...]:
    chosen = tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    for choice in chosen:
        if choice not in known:
            raise _wrong(name, f"{choice!r} is none of {', '.join(known)}")
    return chosen


def _beginning(text: str) -> str:
    """The beginning of an id as ids are written. Raises InvalidRequest."""
    lowered = text.lower()
    if len(lowered) > 36 or not set(lowered) <= set("0123456789abcdef-"):
        raise _wrong("channel_id", f"{text!r} is not the beginning of a channel id (a UUID)")
    return lowered


def _member(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise _wrong("customer", f"{text!r}: give key=value, such as user_id=u1")
    return key.strip(), value.strip()


def _wrong(name: str, said: str) -> InvalidRequest:
    return InvalidRequest(f"{name}: {said}", code="invalid_parameter", extra={"param": name})
