"""How entries look to readers: a browser's frame, an operator's line of the timeline.

This module must not know who reads nor how it travels.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from .codec import encode
from .models import FINAL_KINDS, SIDE_KINDS, Entry, Frame

__all__ = ["News", "entry_json", "frame_of", "news_of", "timeline_frame"]

News = Sequence[tuple[int, Frame | None]]
"""Numbers in order, each with its frame, or None where the number is only to be passed on."""


def frame_of(entry: Entry) -> Frame | None:
    """What the browser sees of a numbered entry: its data as stored; None where it is not the browser's."""
    if not entry.public:
        return None
    event = entry.kind.removeprefix("stage.") if entry.kind in SIDE_KINDS else "response"
    return Frame(number=entry.number, event=event, data=bytes(entry.data), final=entry.kind in FINAL_KINDS)


def entry_json(entry: Entry) -> bytes:
    """The whole entry as the operator sees it: `{number, at, kind, stage, attempt, public, data}`, the time as
    ISO-8601 UTC in milliseconds."""
    at = datetime.fromtimestamp(entry.at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return encode(
        {
            "number": entry.number,
            "at": at,
            "kind": entry.kind,
            "stage": entry.stage,
            "attempt": entry.attempt,
            "public": entry.public,
            "data": entry.data,
        }
    )


def timeline_frame(entry: Entry) -> Frame:
    """What the operator is told of a numbered entry: its kind as the event, the whole of it as the data."""
    return Frame(number=entry.number, event=entry.kind, data=entry_json(entry))


def news_of(entries: Sequence[Entry], everything: bool) -> News:
    """Entries that were just appended, as the public or (everything) the operator is told of them."""
    frame = timeline_frame if everything else frame_of
    return [(entry.number, frame(entry)) for entry in entries]
