"""The one place where an HTTP client is built: pyreqwest where it is installed, else httpx, both behind the guard.

It reads no environment: settings choose.
"""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

from ...config import Settings
from ...errors import ConfigError
from ...ports import Clock, HttpClient
from .guard import Guard, Resolve, system_resolver

__all__ = ["build_client"]


def build_client(
    settings: Settings,
    clock: Clock,
    *,
    resolve: Resolve = system_resolver,
    authorities: bytes | None = None,
) -> HttpClient:
    """The client that `settings.http_client` names. `authorities` are further root certificates (PEM) to trust.

    Raises ConfigError where pyreqwest is asked for by name and not installed.
    """
    guard = Guard(clock, development=settings.development, resolve=resolve)
    installed = find_spec("pyreqwest") is not None
    if settings.http_client == "pyreqwest" and not installed:
        raise ConfigError("http_client is 'pyreqwest', which is not installed: pip install 'riverflow[server]'")
    if settings.http_client == "httpx" or not installed:
        from .httpx_client import HttpxClient

        return HttpxClient(guard, user_agent=_user_agent(), authorities=authorities)
    from .pyreqwest_client import PyreqwestClient

    return PyreqwestClient(guard, user_agent=_user_agent(), authorities=authorities)


def _user_agent() -> str:
    try:
        return f"riverflow/{version('riverflow')}"
    except PackageNotFoundError:
        return "riverflow"
