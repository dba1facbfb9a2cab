"""Text of any size as a page can show it: its beginning, and how much there is."""

from __future__ import annotations

import msgspec

__all__ = ["SHOWN_BYTES", "Excerpt", "excerpt"]

SHOWN_BYTES = 64 * 1024
"""Of one body; what is larger is cut, and said to be."""


class Excerpt(msgspec.Struct, frozen=True):
    """The beginning of a text; `size` counts the bytes of all of it, `whole` says that nothing is left out."""

    text: str
    size: int
    whole: bool = True


def excerpt(body: bytes, limit: int = SHOWN_BYTES) -> Excerpt:
    """The first `limit` bytes, cut on a character's border."""
    if len(body) <= limit:
        return Excerpt(body.decode("utf-8", "replace"), len(body))
    return Excerpt(body[:limit].decode("utf-8", "ignore"), len(body), False)
