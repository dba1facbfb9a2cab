"""The console's pictures: strokes on a grid of 16, drawn in the colour of the text beside them.

Each is decoration: what it means stands beside it in words.
"""

from __future__ import annotations

from typing import Final

from ._markup import Html

__all__ = ["icon"]

_PATHS: Final = {
    "overview": "M1.5 8h3l2-5 3 10 2-5h3",
    "requests": "M5.5 4h8M5.5 8h8M5.5 12h8M2.5 4h.01M2.5 8h.01M2.5 12h.01",
    "dead": "M2 9.5h3l1 2h4l1-2h3M2 9.5 3.7 3h8.6L14 9.5V13H2zM6.6 5l2.8 2.8M9.4 5 6.6 7.8",
    "approvals": "M8 1.8 13 3.6v4c0 3.2-2.1 5.4-5 6.6-2.9-1.2-5-3.4-5-6.6v-4zM5.8 8l1.6 1.6 2.9-3",
    "playground": "M4.5 2.8v10.4L13 8z",
    "workflows": "M3.5 5v6M5 3.5a1.5 1.5 0 1 1-3 0 1.5 1.5 0 0 1 3 0zM5 12.5a1.5 1.5 0 1 1-3 0 1.5 1.5 0 0 1 3 0z"
    "M14 5a1.5 1.5 0 1 1-3 0 1.5 1.5 0 0 1 3 0zM12.5 6.5c0 3-4 1.5-7.5 4.8",
    "outputs": "M6 2.5H5A1.5 1.5 0 0 0 3.5 4v2.2L2 8l1.5 1.8V12A1.5 1.5 0 0 0 5 13.5h1"
    "M10 2.5h1A1.5 1.5 0 0 1 12.5 4v2.2L14 8l-1.5 1.8V12a1.5 1.5 0 0 1-1.5 1.5h-1",
    "webhooks": "M14 2 7 9M14 2 9.6 14 7 9 2 6.4z",
    "keys": "M8.9 7.1a3.3 3.3 0 1 0-2.3 2.2L8 10.7h1.6v1.5h1.5v1.3h2.4v-2.3zM5 5h.01",
    "settings": "M2 4.5h7.2M12.4 4.5H14M2 11.5h1.6M6.8 11.5H14M12.4 4.5a1.6 1.6 0 1 1-3.2 0 1.6 1.6 0 0 1 3.2 0z"
    "M6.8 11.5a1.6 1.6 0 1 1-3.2 0 1.6 1.6 0 0 1 3.2 0z",
    "ok": "M14.2 8A6.2 6.2 0 1 1 1.8 8a6.2 6.2 0 0 1 12.4 0zM5.3 8.2l1.9 1.9 3.6-4",
    "bad": "M5.4 1.8h5.2l3.6 3.6v5.2l-3.6 3.6H5.4l-3.6-3.6V5.4zM6 6l4 4M10 6l-4 4",
    "wait": "M14.2 8A6.2 6.2 0 1 1 1.8 8a6.2 6.2 0 0 1 12.4 0zM8 4.8V8l2.2 1.6",
    "run": "M8 1.8A6.2 6.2 0 0 1 14.2 8M8 14.2A6.2 6.2 0 0 1 1.8 8M4 3.3l.01.01M12 12.7l.01.01",
    "again": "M13.5 6.5A5.8 5.8 0 0 0 3.2 5M2.5 2.5V6H6M2.5 9.5A5.8 5.8 0 0 0 12.8 11M13.5 13.5V10H10",
    "gone": "M14.2 8A6.2 6.2 0 1 1 1.8 8a6.2 6.2 0 0 1 12.4 0zM3.7 3.7l8.6 8.6",
    "idle": "M14.2 8A6.2 6.2 0 1 1 1.8 8a6.2 6.2 0 0 1 12.4 0zM5 8h6",
    "warn": "M8 2 14.5 13.5h-13zM8 6.5v3M8 11.6h.01",
    "copy": "M5.5 5.5v-3h8v8h-3M2.5 5.5h8v8h-8z",
    "check": "M3 8.5 6.5 12 13 4.5",
    "plus": "M8 3v10M3 8h10",
    "trash": "M2.5 4.5h11M6 4.5v-2h4v2M4 4.5l.6 9h6.8l.6-9M6.6 7v4M9.4 7v4",
    "edit": "M10.5 3 13 5.5 5.5 13H3v-2.5z",
    "download": "M8 2.5v8M4.5 7.5 8 11l3.5-3.5M2.5 13.5h11",
    "search": "M11.5 7a4.5 4.5 0 1 1-9 0 4.5 4.5 0 0 1 9 0zM10.3 10.3l3.4 3.4",
    "menu": "M2.5 4.5h11M2.5 8h11M2.5 11.5h11",
    "more": "M3.5 8h.01M8 8h.01M12.5 8h.01",
    "next": "M6 3.5 10.5 8 6 12.5",
    "back": "M10 3.5 5.5 8l4.5 4.5",
    "down": "M3.5 6 8 10.5 12.5 6",
    "sun": "M11 8a3 3 0 1 1-6 0 3 3 0 0 1 6 0zM8 1.2v1.3M8 13.5v1.3M1.2 8h1.3M13.5 8h1.3M3.2 3.2l.9.9M11.9 11.9l.9.9"
    "M3.2 12.8l.9-.9M11.9 4.1l.9-.9",
    "out": "M6 2.5H2.5v11H6M6.5 8h7.5M11 4.8 14.2 8 11 11.2",
    "help": "M14.2 8A6.2 6.2 0 1 1 1.8 8a6.2 6.2 0 0 1 12.4 0z"
    "M6.2 6.3a1.8 1.8 0 1 1 2.6 1.6c-.6.3-.8.6-.8 1.2M8 11.3h.01",
    "broadcast": "M8 8h.01M5.5 5.5a3.5 3.5 0 0 0 0 5M10.5 5.5a3.5 3.5 0 0 1 0 5M3.3 3.3a6.6 6.6 0 0 0 0 9.4"
    "M12.7 3.3a6.6 6.6 0 0 1 0 9.4",
    "spark": "M8 1.8 9.6 6.4 14.2 8 9.6 9.6 8 14.2 6.4 9.6 1.8 8 6.4 6.4z",
    "inbound": "M14 2.5 7.5 9M7.5 4.5V9H12M2.5 6v7.5H10",
    "filter": "M2 3.5h12M4.5 8h7M6.8 12.5h2.4",
    "file": "M4 1.8h5.2L12.5 5v9.2H4zM9 2v3.2h3.2",
    "lock": "M3.5 7.2h9v6.3h-9zM5.5 7V5a2.5 2.5 0 0 1 5 0v2",
    "plug": "M6 2v3M10 2v3M4 5h8v2.5a4 4 0 0 1-8 0zM8 11.5V14",
}


def icon(name: str, extra: str = "") -> Html:
    """One picture; `extra` are classes of the console's own (never a user's text)."""
    return Html(
        f'<svg class="icon {extra}" viewBox="0 0 16 16" aria-hidden="true" focusable="false">'
        f'<path d="{_PATHS[name]}"/></svg>'
    )
