"""A delivery: one body owed to one target, its attempts and their answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from .configuration import Trust
from .run import Completed, Deferred, Entry, Failed
from .values import DeliveryStatus, Json

__all__ = [
    "OPERATIONS",
    "Answer",
    "Delivery",
    "HandlerCall",
    "OutgoingMessage",
    "Settlement",
    "Target",
    "is_local",
    "lane_of",
    "local_url",
]

OPERATIONS: Final = frozenset(
    {"approval.requested", "callback.overdue", "delivery.exhausted", "endpoint.disabled", "run.failed"}
)
"""Types of deliveries that tell an operator how riverflow itself fares. Only who names one is told of it, and nothing
that becomes of such a delivery is told in its turn."""


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """Where one delivery goes and how its body is written. `endpoint_id` is None for a request's own URL
    and for in-process handlers."""

    url: str
    endpoint_id: str | None = None
    encoding: str = "json"
    body: str = "flat"


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """One body owed to one target.

    `id` is also the idempotency key (`webhook-id`): the same on each try. `lane` is what a process must be
    able to do to try it (`http`, `asgi`, or `local:<event>`). `attempt` is the number of the attempt that is
    due or running, from 1. After `expires_at` nobody waits for it any more. `trust` is the endpoint's, known while an
    attempt is made; it is not stored.
    """

    id: str
    run_id: str
    project_id: str
    stage: str
    type: str
    url: str
    lane: str
    body: bytes
    created_at: float
    due_at: float
    event_name: str | None = None
    endpoint_id: str | None = None
    attempt: int = 1
    expires_at: float | None = None
    status: DeliveryStatus = "pending"
    trust: Trust | None = None

    @property
    def target(self) -> str:
        """Whose turn it takes among what is due: the endpoint's, else that of the receiver's host (within the project),
        else that of the whole URL."""
        if self.endpoint_id is not None:
            return self.endpoint_id
        scheme, separator, rest = self.url.partition("://")
        if not separator:
            return self.url
        return f"{self.project_id} {scheme}://{rest.partition('/')[0].partition('?')[0].lower()}"


class HandlerCall(Delivery, frozen=True, kw_only=True):
    """The call of an in-process handler by the process that carries its run: a delivery that is owed to nobody.

    Most handlers read `data` and `customer_data` only, so its body is not there: `write()` makes it, and `owed` the
    delivery that it becomes.
    """

    body: bytes = b""
    data: Json
    customer_data: Json
    write: Callable[[], bytes]

    @property
    def owed(self) -> Delivery:
        """The same as a delivery, with its body."""
        values = {name: getattr(self, name) for name in Delivery.__struct_fields__}
        return Delivery(**{**values, "body": self.write()})


class Settlement(msgspec.Struct, frozen=True, kw_only=True):
    """How attempt number `attempt` of a delivery ended, with the entry that tells it.

    `pending` with `due_at` means: try again then (the next attempt has number `attempt + 1`). `also` are further
    entries of the same run and `deliveries` what is owed in consequence, each due at its time and on nobody's lease;
    one that has ended already is only kept.
    """

    delivery_id: str
    run_id: str
    attempt: int
    status: DeliveryStatus
    entry: Entry
    due_at: float | None = None
    also: tuple[Entry, ...] = ()
    deliveries: tuple[Delivery, ...] = ()

    @property
    def entries(self) -> tuple[Entry, ...]:
        """All that it adds to the run's log, in order."""
        return (self.entry, *self.also)


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What a sender got back. `outcome` is set by senders whose target decides the stage at once
    (in-process handlers); `error` names the failure where there was no answer at all; `final` says that
    trying again is pointless. `headers` has lower-case names; repeated ones are joined by a comma."""

    status: int | None = None
    body: bytes = b""
    error: str | None = None
    message: str = ""
    outcome: Completed | Failed | Deferred | None = None
    final: bool = False
    headers: Mapping[str, str] = {}

    @property
    def ok(self) -> bool:
        return self.error is None and self.status is not None and 200 <= self.status < 300


class OutgoingMessage(msgspec.Struct, frozen=True, kw_only=True):
    """What a signer signs: exactly the bytes that are sent. `timestamp` is in whole Unix seconds."""

    id: str
    timestamp: int
    body: bytes
    channel_id: str
    callback_url: str | None = None


def local_url(name: str) -> str:
    """The URL of an in-process handler: of an event, or of a type (`task.completed`, …)."""
    return f"local:{name}"


def is_local(url: str) -> bool:
    """Whether a URL names a handler in the process."""
    return url.startswith("local:")


def lane_of(url: str) -> str:
    """The lane that a URL belongs to: its scheme (`https` counts as `http`), or the whole `local:` name."""
    if is_local(url):
        return url
    scheme, _, _ = url.partition(":")
    return "http" if scheme == "https" else scheme
