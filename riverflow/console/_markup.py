"""Text that is markup already, made from values that are not: JSON in colours.

Every character of a value goes through one escape here; nothing else in the console may claim to be markup.
"""

from __future__ import annotations

import re
from html import escape
from typing import Any, Final

import msgspec

from .. import codec

__all__ = ["SHOWN", "Html", "json_text", "json_view"]

SHOWN: Final = 60_000
"""Characters of one document that a page shows; the rest is in the file that it offers."""


class Html(str):
    """A text that templates take as it is (the `__html__` protocol of MarkupSafe)."""

    __slots__ = ()

    def __html__(self) -> str:
        return self


_STRING: Final = r'"[^"\\]*+(?:\\(?s:.)[^"\\]*+)*+'
_TOKEN: Final = re.compile(  # possessive, and a string may end where the text is cut: each character is read once
    rf'(?P<key>{_STRING}"(?=\s*+:))|(?P<text>{_STRING}(?:"|\\?\Z))|(?P<number>-?\d[\d.eE+-]*+)|(?P<word>true|false|null)'
)


def json_text(value: Any) -> str:
    """A value (JSON bytes, or what was decoded) as indented JSON; what is no JSON stays the text that it is."""
    if isinstance(value, bytes | msgspec.Raw):
        raw = bytes(value)
    elif isinstance(value, str):
        raw = value.encode()
    else:
        raw = codec.encode(value)
    try:
        return msgspec.json.format(raw, indent=2).decode("utf-8", "replace")
    except (msgspec.DecodeError, RecursionError):
        return raw.decode("utf-8", "replace")


def json_view(value: Any) -> Html:
    """The same in colours, cut at `SHOWN` characters."""
    text = json_text(value)
    cut = len(text) > SHOWN
    text = text[:SHOWN]
    parts: list[str] = []
    at = 0
    for found in _TOKEN.finditer(text):
        parts.append(escape(text[at : found.start()]))
        parts.append(f'<span class="j-{found.lastgroup}">{escape(found.group())}</span>')
        at = found.end()
    parts.append(escape(text[at:]))
    if cut:
        parts.append('<span class="j-cut">\n… cut here; copy or download the rest</span>')
    return Html("".join(parts))
