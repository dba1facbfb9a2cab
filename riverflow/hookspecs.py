"""The hooks of riverflow: markers for plugins and the specification of each hook.

Hooks are called while an app is built (to supply objects) and, `riverflow_entry` only, after a durable append (to
observe). They are plain functions: never `async def`, no default values. Supply hooks return a mapping *name →
factory*; a factory takes one `Context` and may import its driver then, so an unused plugin costs nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any

import pluggy

from .ports import (
    Authenticator,
    Context,
    Notifier,
    Provider,
    Sender,
    Signer,
    StageMiddleware,
    StageRunner,
    Store,
    Transport,
    TransportRoute,
)

if TYPE_CHECKING:
    from .models import Entry

__all__ = ["hookimpl", "hookspec"]

hookspec = pluggy.HookspecMarker("riverflow")
hookimpl = pluggy.HookimplMarker("riverflow")


@hookspec
def riverflow_stores() -> Mapping[str, Callable[[Context], Store]]:
    """Stores by URL scheme of `database_url`, such as `sqlite` or `postgresql`."""
    raise NotImplementedError


@hookspec
def riverflow_notifiers() -> Mapping[str, Callable[[Context], Notifier]]:
    """Notifiers by name; the setting `notifier` chooses one (`auto`: the store's own)."""
    raise NotImplementedError


@hookspec
def riverflow_providers() -> Mapping[str, Callable[[Context], Provider]]:
    """Providers by the name a workflow uses."""
    raise NotImplementedError


@hookspec
def riverflow_signers() -> Mapping[str, Callable[[Context], Signer]]:
    """Signers by the name an endpoint lists."""
    raise NotImplementedError


@hookspec
def riverflow_senders() -> Mapping[str, Callable[[Context], Sender]]:
    """Senders by URL scheme, such as `https`, `local` or `asgi`."""
    raise NotImplementedError


@hookspec
def riverflow_transports() -> Mapping[str, Callable[[Context], Transport]]:
    """Transports by name; all that are installed are served."""
    raise NotImplementedError


@hookspec
def riverflow_stages() -> Mapping[str, Callable[[Context], StageRunner]]:
    """Stage runners by the `kind` a pipeline names."""
    raise NotImplementedError


@hookspec
def riverflow_stage_middleware() -> Sequence[StageMiddleware]:
    """Wrappers of every stage run (a span, a cache, a guardrail); the first is outermost."""
    raise NotImplementedError


@hookspec
def riverflow_routes() -> Sequence[TransportRoute]:
    """More HTTP or WebSocket routes below the prefix."""
    raise NotImplementedError


@hookspec(firstresult=True)
def riverflow_authenticator() -> Authenticator | None:
    """How the host app's own login counts: a callable from connection to identity. The first answer is used."""
    raise NotImplementedError


@hookspec
def riverflow_lifespan() -> Callable[[], AbstractAsyncContextManager[None]]:
    """A context manager entered when riverflow starts and left when it has stopped."""
    raise NotImplementedError


@hookspec
def riverflow_entry(run_id: str, entry: Entry) -> None:
    """Told of each log entry after it is durable. An exception is logged with the plugin's name and goes no further."""
    raise NotImplementedError


@hookspec
def riverflow_commands() -> Sequence[Any]:
    """click commands to add to the `riverflow` command line."""
    raise NotImplementedError
