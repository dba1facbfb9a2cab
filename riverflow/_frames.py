"""How entries look to readers: a browser's frame, an operator's line of the timeline.

This module must not know who reads nor how it travels.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec

from .codec import encode
from .models import FINAL_KINDS, SIDE_KINDS, Entry, Frame

__all__ = ["News", "frame_of", "news_of", "numbered", "timeline_frame"]


class News(msgspec.Struct, frozen=True):
    """A stretch of a run's log as somebody sees it: of the entries `first` to `last`, `frames` are for him, in order,
    and the others are only to be passed over."""

    first: int
    last: int
    frames: Sequence[Frame]


def news_of(entries: Sequence[Entry], first: int, everything: bool) -> News:
    """Entries that were just appended, the first of them under that number, as the public or (everything) the operator
    is told of them."""
    frames: list[Frame] = []
    number = first
    for entry in entries:
        if everything:
            frames.append(timeline_frame(entry, number))
        elif entry.public:
            frames.append(frame_of(entry, number))
        number += 1
    return News(first, number - 1, frames)


def numbered(entries: Sequence[Entry], first: int) -> list[Entry]:
    """Entries that were just appended, with the numbers that the store has given them."""
    return [msgspec.structs.replace(entry, number=number) for number, entry in enumerate(entries, start=first)]


def frame_of(entry: Entry, number: int) -> Frame:
    """What the browser sees of a public entry: its data as stored."""
    event = entry.kind.removeprefix("stage.") if entry.kind in SIDE_KINDS else "response"
    return Frame(number=number, event=event, data=bytes(entry.data), final=entry.kind in FINAL_KINDS)


def timeline_frame(entry: Entry, number: int) -> Frame:
    """What the operator is told of an entry: its kind as the event; as the data the whole of it, `{number, at, kind,
    stage, attempt, public, data}`, the time as ISO 8601 in UTC with milliseconds."""
    at = datetime.fromtimestamp(entry.at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    told = {
        "number": number,
        "at": at,
        "kind": entry.kind,
        "stage": entry.stage,
        "attempt": entry.attempt,
        "public": entry.public,
        "data": entry.data,
    }
    return Frame(number=number, event=entry.kind, data=encode(told))
