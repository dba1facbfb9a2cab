"""What an engine is made of, and what of its making needs nothing else: who carries deliveries, who looks at what
becomes of them, who lets requests in.

Nothing is started here, and nothing decided.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec

from ._admission import Admission
from ._aftermath import Aftermath
from ._attendance import Connection
from ._breakers import Breakers
from ._courier import Courier
from ._deliveries import Deliveries, Told
from ._directory import Directory
from ._health import Health
from ._idempotency import Idempotency
from ._kept import Keeper
from ._queries import Queries
from ._sent import Sent
from .config import Settings
from .models import Entry
from .ports import Clock, Handler, Ids, Notifier, Provider, Sender, Signer, StageMiddleware, StageRunner, Store
from .retry import policy_of

__all__ = ["Parts"]


class Parts(msgspec.Struct, frozen=True, kw_only=True):
    """What an engine is made of."""

    settings: Settings
    store: Store
    notifier: Notifier | None
    directory: Directory
    clock: Clock
    ids: Ids
    handlers: Mapping[str, Handler]
    providers: Mapping[str, Provider]
    senders: Mapping[str, Sender]
    signers: Mapping[str, Signer]
    stages: Mapping[str, StageRunner]
    middleware: Sequence[StageMiddleware]
    observe: Callable[[str, Sequence[Entry]], None] | None
    can_call_app: Callable[[], bool]

    def courier(self, breakers: Breakers) -> Courier:
        settings = self.settings
        return Courier(
            senders=self.senders,
            signers=self.signers,
            directory=self.directory,
            clock=self.clock,
            policy=policy_of(settings.retry),
            breakers=breakers,
            concurrency=settings.endpoint_concurrency,
            timeout=settings.delivery_timeout,
            handler_timeout=settings.callback_timeout,
            secret=settings.webhook_secret,
            keeper=Keeper(settings.keep_answers, lambda: self.directory.default_project),
        )

    def aftermath(self) -> Aftermath:
        limit = self.settings.endpoint_disable_after
        health = Health(self.store.documents, self.store.queue, self.clock, limit=limit)
        return Aftermath(self.directory, health, self.clock, policy=policy_of(self.settings.retry))

    def admission(self, breakers: Breakers, *, room: Callable[[], int], running: Callable[[], int]) -> Admission:
        queue, clock = self.store.queue, self.clock
        return Admission(
            max_backlog=self.settings.max_backlog,
            max_running=self.settings.max_running,
            room=room,
            running=running,
            backlog=lambda: queue.backlog(clock.now(), skip=breakers.closed()),
            monotonic=clock.monotonic,
        )

    def idempotency(self, owner: str) -> Idempotency:
        ttl = self.settings.idempotency_ttl
        return Idempotency(self.store.documents, self.clock, owner=owner, ttl=ttl)

    def queries(
        self, *, lanes: Callable[[], Iterable[str]], connections: Callable[[str], Sequence[Connection]]
    ) -> Queries:
        sent = Sent(self.directory, self.signers)
        return Queries(self.store, self.clock, lanes=lanes, connections=connections, sent=sent.headers)

    def deliveries(self, *, told: Told, notice: Callable[[float], None]) -> Deliveries:
        return Deliveries(self.store, self.directory, self.settings, self.clock, told=told, notice=notice)
