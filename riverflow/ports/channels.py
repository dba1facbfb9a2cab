"""Channels and the transports that bring them to browsers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any, Literal, Protocol

import msgspec

from ..models import READ, Frame, Identity, TokenClaims
from .asgi import ASGIApp, Scope

__all__ = ["Channels", "Subscription", "Transport", "TransportRoute"]


class Subscription(Protocol):
    """One reader of one run, used as `async with`. Ends after the final frame; leaving while `next` waits ends that
    wait with SubscriptionClosed. `latest` is the log number up to which the reader has been told."""

    latest: int

    async def next(self, timeout: float | None = None) -> Frame | None:
        """The next frame; None when `timeout` seconds passed without one (the log was then checked for anything
        missed; with 0 only what is at hand counts). Raises StopAsyncIteration after the final frame,
        SubscriptionClosed where the reader was cut."""
        ...

    def __aiter__(self) -> AsyncIterator[Frame]: ...
    async def __aenter__(self) -> Subscription: ...
    async def __aexit__(self, *exc: object) -> None: ...


class Channels(Protocol):
    """What a transport may ask for."""

    async def subscribe(
        self,
        project_id: str,
        channel_id: str,
        *,
        after: int | None = None,
        everything: bool = False,
        transport: str = "",
    ) -> Subscription:
        """Read a run: everything after number `after`, or (None) the latest state and what follows. Raises NotFound.

        `everything` is for the operator: private entries too, from the start where `after` is None, each frame's event
        being the entry's kind and its data the whole entry; it does not end with the run, since the log does not.
        `transport` is how the reader is connected (`sse`, `websocket`): it is shown to people who look at the run.
        """
        ...

    async def read_token(self, token: str) -> TokenClaims:
        """Check a socket token: signature and age. Raises Unauthenticated with a code: `token_invalid`,
        `token_expired`."""
        ...

    async def use_token(self, claims: TokenClaims) -> None:
        """Note a token's use on a socket; under the `strict` rule the second use raises Unauthenticated
        (`token_used`)."""
        ...

    async def authenticate(self, scope: Scope) -> Identity:
        """Who this connection is, by Bearer key or the host app's own authentication. Raises Unauthenticated."""
        ...


class TransportRoute(msgspec.Struct, frozen=True, kw_only=True):
    """A path (Starlette pattern, below the prefix) of one scope type, and the ASGI callable behind it; of HTTP, the
    `methods` that it answers, and a `summary` where the OpenAPI document shall name it (as a stream of events), with
    what it reads (`query`, `headers`: structs), the `scope` a key needs, and whether a socket token will do
    (`by_token`). A `keyed` one asks who calls (`Channels.authenticate`): a request that brings a key does not count
    towards `rate_limit_unkeyed`. Path parameters are in `scope["path_params"]`."""

    type: Literal["http", "websocket"]
    path: str
    app: ASGIApp
    methods: tuple[str, ...] = ("GET",)
    summary: str | None = None
    query: Any = None
    headers: Any = None
    scope: str = READ
    by_token: bool = False
    keyed: bool = False


class Transport(Protocol):
    """Brings frames to browsers. Bound to the channels when the app starts."""

    def routes(self, channels: Channels) -> Sequence[TransportRoute]: ...

    async def drain(self) -> None:
        """Tell every reader to come back later and let go of him."""
        ...
