"""The ports that plugins fill, each with its guarantees, and the Context a factory is given.

Only Protocols and small value types live here; nothing is implemented.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, MutableMapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Literal, Protocol, runtime_checkable

import msgspec

from .config import Settings
from .models import (
    Answer,
    Append,
    Claim,
    Delivery,
    Document,
    Entry,
    Frame,
    GenerateRequest,
    Generation,
    Identity,
    Json,
    Outcome,
    OutgoingMessage,
    Record,
    Run,
    Settlement,
    Status,
    TokenClaims,
)
from .pipeline import Stage

__all__ = [
    "ASGIApp",
    "Authenticator",
    "Channels",
    "Clock",
    "Context",
    "Documents",
    "EntryPage",
    "Handler",
    "HttpClient",
    "HttpRequest",
    "HttpResponse",
    "Ids",
    "Notifier",
    "Provider",
    "Queue",
    "RunLog",
    "RunPage",
    "Scope",
    "Sender",
    "Signer",
    "StageContext",
    "StageMiddleware",
    "StageRunner",
    "Store",
    "StoredRun",
    "Subscription",
    "Transport",
    "TransportRoute",
]

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]


# Time and chance ----------------------------------------------------------------------------------------


class Clock(Protocol):
    """Time. `now` is Unix seconds; `monotonic` is for durations; `sleep` may return early only when cancelled."""

    def now(self) -> float: ...
    def monotonic(self) -> float: ...
    async def sleep(self, seconds: float) -> None: ...


class Ids(Protocol):
    """Names nobody else has. `channel_id` is a UUIDv7 in canonical text, `opaque` a sortable id with a prefix
    and without dots (`ep_…`), `secret` is `whsec_` + base64 of 32 random bytes."""

    def channel_id(self) -> str: ...
    def opaque(self, prefix: str) -> str: ...
    def secret(self) -> str: ...


# The outside world --------------------------------------------------------------------------------------


class HttpRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One outbound request. `timeout` bounds it in all (seconds); at most `max_body` bytes of the answer are kept.
    `purpose` chooses the egress rule: `delivery` for URLs that users name, `provider` for URLs that the
    operator configured."""

    method: str
    url: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    purpose: Literal["delivery", "provider"]
    timeout: float
    max_body: int


class HttpResponse(msgspec.Struct, frozen=True, kw_only=True):
    """An answer: header names in lower case; `truncated` where the body was longer than asked for."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    truncated: bool = False


class HttpClient(Protocol):
    """Sends one request and reads the whole (bounded) answer.

    Guarantees: redirects are answers, not followed; no cookies, no environment proxies; every address is vetted
    by the egress guard before a packet is sent, and only vetted addresses are dialled.
    Raises HttpError (`code` tells why) and nothing else.
    """

    async def send(self, request: HttpRequest) -> HttpResponse: ...
    async def aclose(self) -> None: ...


class Provider(Protocol):
    """Answers an AI request. Raises ProviderError; `again` on it says whether trying once more makes sense."""

    async def generate(self, request: GenerateRequest) -> Generation: ...


class Signer(Protocol):
    """Adds its own headers to the bytes that are sent. Pure: no clock, no I/O."""

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


# Stages -------------------------------------------------------------------------------------------------


class StageContext(msgspec.Struct, frozen=True, kw_only=True):
    """What a stage runner sees: the run so far, its own place, and which attempt of the stage this is (from 1)."""

    record: Record
    stage: Stage
    attempt: int

    @property
    def data(self) -> Json:
        """The newest output: what this stage works on."""
        return self.record.data


class StageRunner(Protocol):
    """Runs one kind of stage. Returns an Outcome; an exception is retried, so a runner may be called again
    for the same stage after a crash, with a higher `attempt`."""

    async def run(self, context: StageContext) -> Outcome: ...


StageMiddleware = Callable[[StageContext, Callable[[StageContext], Awaitable[Outcome]]], Awaitable[Outcome]]
"""Wraps every stage run: call the second argument to go on."""


# The store ----------------------------------------------------------------------------------------------


class StoredRun(msgspec.Struct, frozen=True, kw_only=True):
    """A run's row and its checkpoint entries (models.CHECKPOINTS), oldest first."""

    run: Run
    checkpoints: tuple[Entry, ...]


class EntryPage(msgspec.Struct, frozen=True, kw_only=True):
    """Entries in number order; `latest` is the newest number of the run, shown or not."""

    entries: tuple[Entry, ...]
    latest: int


class RunPage(msgspec.Struct, frozen=True, kw_only=True):
    """Runs, newest first; pass `next_before` as `before` for the next page."""

    runs: tuple[Run, ...]
    next_before: str | None


class RunLog(Protocol):
    """The runs and their logs. Every method is atomic; what it returns is durable.

    A project id is given wherever a caller asks, and rows of another project do not exist for him.
    """

    async def append(self, append: Append) -> int:
        """Write a decision; return the number of its first entry (the others follow without a hole; a settlement's
        entry comes first of all). Raises VersionConflict (nothing was written) and StoreUnavailable."""
        ...

    async def load(self, project_id: str | None, run_id: str) -> StoredRun | None:
        """The run as it stands. `project_id` None is for claimed work only."""
        ...

    async def entries_after(
        self, project_id: str, run_id: str, after: int, *, limit: int = 1000, public: bool = False
    ) -> EntryPage | None:
        """Entries numbered above `after`, only public ones where asked. None: no such run."""
        ...

    async def runs(
        self,
        project_id: str,
        *,
        status: Status | None = None,
        workflow: str | None = None,
        event_name: str | None = None,
        before: str | None = None,
        limit: int = 100,
    ) -> RunPage:
        """Runs newest first (ids sort by time), with ids below `before`."""
        ...

    async def prune(self, finished_before: float, *, limit: int = 1000) -> int:
        """Forget up to `limit` runs that ended earlier, with their entries and deliveries; how many went."""
        ...


class Queue(Protocol):
    """What is due: runs to advance or time out, deliveries to try.

    Work is on the lease of the process that wrote or claimed it for as long as that process's heartbeat lives.
    """

    async def heartbeat(self, owner: str, now: float, expires_at: float) -> None:
        """Keep (or take) the lease of a process."""
        ...

    async def claim_due(self, owner: str, now: float, *, lanes: Iterable[str], limit: int) -> tuple[Claim, ...]:
        """Take due work that is on no living process's lease: runs, and deliveries on one of `lanes`.

        The attempt is counted here: a claimed delivery whose last owner died has `attempt` raised by one. A claimed
        run's `generation` is raised by one. Fair: one endpoint's backlog does not keep another's from its turn.
        """
        ...

    async def settle(self, settlement: Settlement) -> int:
        """End a delivery attempt: the number of its entry. An attempt that is not the delivery's newest changes
        nothing but still leaves its entry. Does not touch the run's version."""
        ...

    async def reschedule(self, run_id: str, delivery_id: str | None, due_at: float) -> None:
        """Give work back, to be due at `due_at`, on nobody's lease."""
        ...

    async def release(self, owner: str) -> None:
        """Give back all that `owner` holds and end his lease (a graceful stop)."""
        ...

    async def next_due(self, now: float, lanes: Iterable[str]) -> float | None:
        """When the next work can be claimed: the earliest due time of unleased work, or end of a lease that holds
        some. None: nothing is waiting."""
        ...

    async def backlog(self, now: float) -> int:
        """How many pieces of work are due now and on nobody's lease."""
        ...

    async def deliveries(self, project_id: str, run_id: str) -> tuple[Delivery, ...]:
        """A run's deliveries, oldest first, dead and delivered ones included."""
        ...

    async def requeue(self, project_id: str, delivery_id: str, due_at: float) -> bool:
        """Make a dead, expired or delivered delivery due again from its first attempt; False: no such delivery."""
        ...


class Documents(Protocol):
    """Small versioned documents, and markers that expire."""

    async def get(self, project_id: str, kind: str, name: str) -> Document | None: ...

    async def put(
        self,
        project_id: str,
        kind: str,
        name: str,
        body: bytes,
        *,
        now: float,
        expected_version: int | None = None,
    ) -> int:
        """Write and return the new version. `expected_version` 0 means "must not exist", n "must be n", None
        "whatever is there". Raises VersionConflict."""
        ...

    async def list(self, project_id: str, kind: str) -> tuple[Document, ...]:
        """All of a kind, by name."""
        ...

    async def delete(self, project_id: str, kind: str, name: str) -> bool: ...

    async def changes(self) -> int:
        """A counter that grows with every put and delete, in any process."""
        ...

    async def mark(
        self, project_id: str, scope: str, key: str, value: bytes, *, now: float, expires_at: float
    ) -> bytes | None:
        """Leave a marker where there is none alive and return None; else return the value that is there."""
        ...


@runtime_checkable
class Store(Protocol):
    """One place for all that must survive. `notifier` is its own way to wake other processes, or None."""

    @property
    def log(self) -> RunLog: ...
    @property
    def queue(self) -> Queue: ...
    @property
    def documents(self) -> Documents: ...
    @property
    def notifier(self) -> Notifier | None: ...

    async def open(self) -> None:
        """Connect and bring the schema up to date. Raises StoreUnavailable, SchemaMismatch."""
        ...

    async def aclose(self) -> None:
        """Finish what was begun, then let go. Appends after this raise StoreUnavailable."""
        ...


# Channels and transports --------------------------------------------------------------------------------


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
        self, project_id: str, channel_id: str, *, after: int | None = None, everything: bool = False
    ) -> Subscription:
        """Read a run: everything after number `after`, or (None) the latest state and what follows. Raises NotFound.

        `everything` is for the operator: private entries too, from the start where `after` is None, each frame's event
        being the entry's kind and its data the whole entry; it does not end with the run, since the log does not.
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
    `methods` that it answers, and a `summary` where the OpenAPI document shall name it (as a stream of events). Path
    parameters are in `scope["path_params"]`."""

    type: Literal["http", "websocket"]
    path: str
    app: ASGIApp
    methods: tuple[str, ...] = ("GET",)
    summary: str | None = None


class Transport(Protocol):
    """Brings frames to browsers. Bound to the channels when the app starts."""

    def routes(self, channels: Channels) -> Sequence[TransportRoute]: ...

    async def drain(self) -> None:
        """Tell every reader to come back later and let go of him."""
        ...


class Context(msgspec.Struct, frozen=True, kw_only=True):
    """What every factory is given. `handlers` maps event names to in-process handlers, `wrapped` returns the ASGI app
    that riverflow is mounted into (None where there is none), `options` is the plugin's own section of the
    configuration, `providers` maps names to providers (filled before stage runners are built)."""

    settings: Settings
    http: HttpClient
    clock: Clock
    ids: Ids
    handlers: Mapping[str, Handler]
    wrapped: Callable[[], ASGIApp | None]
    providers: Mapping[str, Provider]
    options: Mapping[str, Any]


Lifespan = Callable[[Any], AbstractAsyncContextManager[None]]
