"""What a page answers with: a rendered template, a redirect, a file, or an ASGI stream of its own.

Values only; how they become bytes is the app's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from ..ports import ASGIApp

__all__ = ["Answer", "Download", "Page", "Redirect", "Stream"]


class Page(msgspec.Struct, frozen=True):
    """A template and what it is told. `secret` pages show what is shown once: they are never compressed, so that
    nothing can be guessed from their length. `cookie` is set with the page."""

    template: str
    facts: Mapping[str, Any]
    status: int = 200
    secret: bool = False
    cookie: str | None = None


class Redirect(msgspec.Struct, frozen=True):
    """See other (303): `to` is a path below the console. `cookie` is set on the way."""

    to: str
    cookie: str | None = None


class Download(msgspec.Struct, frozen=True, kw_only=True):
    """A file to keep."""

    body: bytes
    type: str
    name: str


class Stream(msgspec.Struct, frozen=True):
    """The page answers the connection itself."""

    app: ASGIApp


Answer = Page | Redirect | Download | Stream
