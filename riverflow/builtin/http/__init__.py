"""The one place where an HTTP client is built, behind the guard: riverflow's own on httptools, else httpx.

It reads no environment: settings choose.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

from ...config import Settings
from ...egress import Egress
from ...errors import ConfigError
from ...ports import Clock, HttpClient
from .guard import Guard
from .limits import Limits
from .resolver import Resolve

__all__ = ["build_client"]


def build_client(
    settings: Settings,
    clock: Clock,
    *,
    resolve: Resolve | None = None,
    authorities: bytes | None = None,
    limits: Limits | None = None,
) -> HttpClient:
    """The client that `settings.http_client` names; `auto` is httptools, else httpx. `authorities` are further root
    certificates (PEM) to trust.

    Raises ConfigError where a client is asked for by name and not installed.
    """
    guard = Guard(clock, Egress.of(settings), resolve)
    return _class(settings.http_client)(
        guard, user_agent=_user_agent(), limits=limits or Limits(), authorities=authorities
    )


def _class(name: str) -> Callable[..., HttpClient]:
    if name != "httpx" and find_spec("httptools") is not None:
        from .httptools_client import HttptoolsClient

        return HttptoolsClient
    if name == "httptools":
        raise ConfigError("http_client is 'httptools', which is not installed: pip install 'riverflow[server]'")
    from .httpx_client import HttpxClient

    return HttpxClient


def _user_agent() -> str:
    try:
        return f"riverflow/{version('riverflow')}"
    except PackageNotFoundError:
        return "riverflow"
