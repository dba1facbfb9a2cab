"""The one place where an HTTP client is built, each behind the guard: for providers aiohttp, for deliveries pyreqwest,
and httpx for what is not installed.

It reads no environment: settings choose.
"""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

from ...config import Settings
from ...errors import ConfigError
from ...ports import Clock, HttpClient
from ...urls import Purpose
from .by_purpose import ByPurpose
from .guard import Guard, Resolve, system_resolver

__all__ = ["build_client"]

_OLDEST = {"aiohttp": [3, 13, 4]}  # before, an answer could have any number of headers
_PREFERRED: dict[Purpose, str] = {"provider": "aiohttp", "delivery": "pyreqwest"}


def build_client(
    settings: Settings,
    clock: Clock,
    *,
    resolve: Resolve = system_resolver,
    authorities: bytes | None = None,
) -> HttpClient:
    """The client that `settings.http_client` names, for all purposes. `auto` chooses by purpose: to a provider by
    aiohttp, for it closes the connection of a caller who is cancelled (a model that nobody waits for costs money); a
    delivery by pyreqwest, which needs the least CPU. `authorities` are further root certificates (PEM) to trust.

    Raises ConfigError where a client is asked for by name and not installed.
    """
    guard = Guard(clock, development=settings.development, resolve=resolve)
    if settings.http_client != "auto":
        if not _installed(settings.http_client):
            name = settings.http_client
            raise ConfigError(
                f"http_client is {name!r}, which is not installed, or too old: pip install 'riverflow[server]'"
            )
        return _build(settings.http_client, guard, authorities)
    chosen: dict[Purpose, str] = {
        purpose: name if _installed(name) else "httpx" for purpose, name in _PREFERRED.items()
    }
    clients = {name: _build(name, guard, authorities) for name in {*chosen.values()}}
    if len(clients) == 1:
        return clients.popitem()[1]
    return ByPurpose({purpose: clients[name] for purpose, name in chosen.items()})


def _installed(name: str) -> bool:
    """Whether a client is there, in a version that keeps the port's promises: others install aiohttp too."""
    if find_spec(name) is None:
        return False
    release = re.findall(r"[0-9]+", version(name))[:3]
    return [int(number) for number in release] >= _OLDEST.get(name, [])


def _build(name: str, guard: Guard, authorities: bytes | None) -> HttpClient:
    if name == "aiohttp":
        from .aiohttp_client import AiohttpClient

        return AiohttpClient(guard, user_agent=_user_agent(), authorities=authorities)
    if name == "pyreqwest":
        from .pyreqwest_client import PyreqwestClient

        return PyreqwestClient(guard, user_agent=_user_agent(), authorities=authorities)
    from .httpx_client import HttpxClient

    return HttpxClient(guard, user_agent=_user_agent(), authorities=authorities)


def _user_agent() -> str:
    try:
        return f"riverflow/{version('riverflow')}"
    except PackageNotFoundError:
        return "riverflow"
