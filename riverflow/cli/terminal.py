"""Writing to a terminal: colour where it is wanted, JSON that reads well.

It knows what a line looks like and nothing of what it says.
"""

from __future__ import annotations

import json
import os
from typing import Any, Final, TextIO

import click

__all__ = ["INTERRUPTED", "Screen", "printable"]

INTERRUPTED: Final = 130
"""The exit status of a command that Ctrl-C ended before it was done (128 + SIGINT, as shells have it)."""

_WIDTH = 110
_INDENT = "  "


class Screen:
    """A stream to write lines to. Coloured only where it is a terminal and NO_COLOR (no-color.org) is not set."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        environ = os.environ
        self.coloured = stream.isatty() and not environ.get("NO_COLOR") and environ.get("TERM") != "dumb"

    def line(self, text: str = "") -> None:
        """Write a line and flush: what is shown live must not wait in a buffer."""
        self._stream.write(f"{text}\n")
        self._stream.flush()

    def paint(self, text: str, **style: Any) -> str:
        """`text` in a style of `click.style`, or as it is."""
        return click.style(text, **style) if self.coloured and text else text

    def json(self, value: Any, indent: str = "", *, name: str = "") -> str:
        """A JSON value over several lines, each member on its own; a member that fits is kept on one line."""
        if not isinstance(value, dict | list) or (name and len(indent) + len(name) + _length(value) < _WIDTH):
            return self._inline(value)
        inner = indent + _INDENT
        opening, closing = "{}" if isinstance(value, dict) else "[]"
        lines = [f"{inner}{shown}{self.json(item, inner, name=shown or '-')}" for shown, item in self._members(value)]
        return "\n".join([opening, ",\n".join(lines), f"{indent}{closing}"]) if lines else opening + closing

    def _inline(self, value: Any) -> str:
        if isinstance(value, dict | list):
            opening, closing = "{}" if isinstance(value, dict) else "[]"
            parts = [f"{name}{self._inline(item)}" for name, item in self._members(value)]
            return f"{opening}{', '.join(parts)}{closing}"
        text = printable(json.dumps(value, ensure_ascii=False))
        if isinstance(value, str):
            return self.paint(text, fg="green")
        return self.paint(text, fg="magenta" if value is None or isinstance(value, bool) else "yellow")

    def _members(self, value: Any) -> list[tuple[str, Any]]:
        if isinstance(value, list):
            return [("", item) for item in value]
        return [
            (f"{self.paint(printable(json.dumps(name, ensure_ascii=False)), fg='cyan')}: ", item)
            for name, item in value.items()
        ]


def printable(text: str) -> str:
    """A text of somebody else's as it may be written to a terminal: what could move the cursor, change a setting or
    the direction of writing stands as its escape (`\\x1b`)."""
    return text if text.isprintable() else "".join(map(_shown, text))


def _shown(character: str) -> str:
    """Separators other than the space, controls and formats (Unicode categories Z and C) are not printable."""
    return character if character.isprintable() else character.encode("unicode_escape").decode("ascii")


def _length(value: Any) -> int:
    return len(json.dumps(value, ensure_ascii=False))
