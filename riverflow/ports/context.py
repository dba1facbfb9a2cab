"""What every factory of a plugin is given."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec

from ..config import Settings
from ..models import Credential
from .asgi import ASGIApp
from .http import HttpClient
from .outside import Handler, Provider
from .time import Clock, Ids

__all__ = ["Context"]


async def _nobodys(project_id: str, provider: str) -> None:
    return None


class Context(msgspec.Struct, frozen=True, kw_only=True):
    """What every factory is given. `handlers` maps event names to in-process handlers, `wrapped` returns the ASGI app
    that riverflow is mounted into (None where there is none), `options` is the plugin's own section of the
    configuration, `providers` maps names to providers (filled before stage runners are built), `credentials` gives the
    account that a project has of its own with a provider."""

    settings: Settings
    http: HttpClient
    clock: Clock
    ids: Ids
    handlers: Mapping[str, Handler]
    wrapped: Callable[[], ASGIApp | None]
    providers: Mapping[str, Provider]
    options: Mapping[str, Any]
    credentials: Callable[[str, str], Awaitable[Credential | None]] = _nobodys
