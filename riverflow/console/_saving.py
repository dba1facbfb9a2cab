"""How a form takes effect: once, and over nothing newer than what it was filled in from; and what a path names.

It knows no page: each gives the routes of its own.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from hashlib import sha256
from typing import Any, Final

from .. import codec
from ..errors import Conflict, NotFound, RequestError, StoreError
from ._visit import Visit

__all__ = ["has_namesake", "is_stale", "named", "once", "save"]

_MARKER: Final = "console_form"
_KEPT: Final = 86_400.0  # seconds that a sent form is known again; a login lasts half as long


@asynccontextmanager
async def once(visit: Visit) -> AsyncIterator[bool]:
    """Whether this very form (each has a token of its own) is sent for the first time, to any process. Where it is
    refused or fails, it may be sent again."""
    documents, now = visit.house.store.documents, visit.house.clock.now()
    key = sha256(codec.encode([visit.path, visit.fields])).hexdigest()
    first = await documents.mark(visit.project_id, _MARKER, key, b"", now=now, expires_at=now + _KEPT) is None
    try:
        yield first
    except Exception:
        if first:
            with suppress(StoreError):
                await documents.unmark(visit.project_id, _MARKER, key)
        raise


async def save(visit: Visit, one: str, members: dict[str, Any], name: str) -> None:
    """Change what the form was filled in from, and nothing newer; `one` is its route. Raises RequestError."""
    version = visit.field("version")
    await visit.house.ask(visit, "PATCH", one, members, {"version": version} if version else {}, name=name)


def is_stale(visit: Visit, found: Mapping[str, Any], error: RequestError) -> bool:
    """Whether it was refused since somebody has changed it meanwhile."""
    version = visit.field("version")
    return isinstance(error, Conflict) and version not in ("", str(found["version"]))


def named(visit: Visit) -> str:
    """The name that the page's path stands for; see `segment`."""
    return visit.params["name"].removeprefix("~")


async def has_namesake(visit: Visit, one: str) -> bool:
    """Whether there is one with the name `new`, whose page is not the page for a new one; `one` is its route."""
    try:
        await visit.house.ask(visit, "GET", one, name="new")
    except NotFound:
        return False
    return True
