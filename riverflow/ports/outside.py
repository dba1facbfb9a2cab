"""What reaches the outside world: providers, signers, senders, handlers, notifiers, authenticators."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

from ..models import Answer, Delivery, GenerateRequest, Generation, Identity, OutgoingMessage
from .asgi import Scope

__all__ = ["Authenticator", "Handler", "Notifier", "Provider", "Sender", "Signer"]


class Provider(Protocol):
    """Answers an AI request. Raises ProviderError; `again` on it says whether trying once more makes sense."""

    async def generate(self, request: GenerateRequest) -> Generation: ...


class Signer(Protocol):
    """Adds its own headers to the bytes that are sent. Pure: no clock, no I/O.

    Where it has an attribute `lists`, the names of those of its headers that may hold several signatures divided by
    spaces (exactly as `sign` spells them), these carry one of each secret while a secret is being replaced. Without it
    the oldest secret that still holds signs alone."""

    def sign(self, message: OutgoingMessage, secret: str) -> Mapping[str, str]: ...


class Sender(Protocol):
    """Carries a delivery to the URL schemes it was registered for.

    Returns what came back, failures included; raises nothing but cancellation. `signed` are the signers' headers
    (empty where a scheme is not signed). Where it has an `async aclose()`, that is called when riverflow stops.
    """

    signs: bool

    async def send(self, delivery: Delivery, signed: Mapping[str, str], timeout: float) -> Answer: ...


Handler = Callable[[Any], Any]
"""An in-process handler: takes an Event; plain or async."""


class Notifier(Protocol):
    """Tells other processes that a run has news. It may lose messages: readers repair by number.

    `listen` calls `wake(run_id)`, or `wake(None)` for "something changed, look", until cancelled.
    """

    def publish(self, run_id: str, number: int) -> None:
        """Say that a run's log has grown to `number`. Called after every append: returns at once, sends by itself."""
        ...

    async def listen(self, wake: Callable[[str | None], None]) -> None: ...
    async def aclose(self) -> None: ...


Authenticator = Callable[[Scope], "Identity | Awaitable[Identity | None] | None"]
"""Maps an ASGI connection of the host app to an identity, or None where it has no say."""
