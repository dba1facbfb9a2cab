"""The composition root: from settings, declarations and plugins to a running engine with its routes.

Everything is built here, once, at start; nothing here runs afterwards.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AsyncExitStack
from functools import cache
from importlib import metadata
from typing import Any, Generic, TypeVar

import msgspec

from . import codec
from ._checks import Checks
from ._directory import Directory
from ._engine import Engine
from ._gate import Gate
from ._keys import KeyRing
from ._limits import Limits
from ._origins import Origins
from ._parts import Parts
from ._plugins import Plugins
from ._retention import Retention
from ._upkeep import Upkeep
from ._vault import Vault
from .builtin.functions import FunctionStage
from .builtin.http import build_client
from .config import Declarations, Settings
from .console import Console, Ground, build_console
from .errors import Unauthenticated
from .models import Identity, TokenClaims
from .ports import (
    ASGIApp,
    Authenticator,
    Clock,
    Context,
    Handler,
    HttpClient,
    Ids,
    Notifier,
    Receive,
    Scope,
    Send,
    Store,
    Subscription,
    Transport,
    TransportRoute,
)
from .routes import ROUTES, Doors, Front, Health, Reply, base_url_of, build_router, document, respond

__all__ = ["Assembly", "Opened", "Running"]

T = TypeVar("T")


class Opened(msgspec.Struct, frozen=True, kw_only=True):
    """What is kept: the store and what is read from it, with nothing running."""

    settings: Settings
    clock: Clock
    store: Store
    vault: Vault
    directory: Directory
    keys: KeyRing


class Running(msgspec.Struct, frozen=True, kw_only=True):
    """What exists between start and stop."""

    engine: Engine
    directory: Directory
    transports: list[Any]
    router: Any


class _Built(Mapping[str, T], Generic[T]):
    """Objects by name, each made by its plugin's factory when it is first asked for: an unused plugin costs nothing.
    `made` are there from the start."""

    def __init__(
        self,
        factories: Mapping[str, Callable[[Context], T]],
        context: Callable[[str], Context],
        made: Mapping[str, T] | None = None,
    ) -> None:
        self._factories = factories
        self._context = context
        self._made: dict[str, T] = dict(made or {})

    def __getitem__(self, name: str) -> T:
        if name not in self._made:
            self._made[name] = self._factories[name](self._context(name))
        return self._made[name]

    @property
    def made(self) -> tuple[T, ...]:
        """What has been asked for so far."""
        return tuple(self._made.values())

    def __contains__(self, name: object) -> bool:
        return name in self._made or name in self._factories

    def __iter__(self) -> Iterator[str]:
        return iter({**self._factories, **self._made})

    def __len__(self) -> int:
        return len({**self._factories, **self._made})


class _GuardedChannels:
    """ports.Channels for transports: the engine's channels and the gate."""

    def __init__(self, engine: Engine, gate: Gate, limits: Limits) -> None:
        self._engine = engine
        self._gate = gate
        self._limits = limits

    async def subscribe(
        self,
        project_id: str,
        channel_id: str,
        *,
        after: int | None = None,
        everything: bool = False,
        transport: str = "",
    ) -> Subscription:
        return await self._engine.subscribe(
            project_id, channel_id, after=after, everything=everything, transport=transport
        )

    async def read_token(self, token: str) -> TokenClaims:
        return await self._engine.read_token(token)

    async def use_token(self, claims: TokenClaims) -> None:
        await self._engine.use_token(claims)

    async def authenticate(self, scope: Scope) -> Identity:
        try:
            identity = await self._gate.authenticate(scope)
        except Unauthenticated:
            self._limits.stranger(scope)
            raise
        if self._limits.by_key:
            self._limits.admit(identity, scope)
        return identity


def _described(served: list[TransportRoute]) -> ASGIApp:
    """`GET /openapi.json`. It is made once, when it is first asked for, but for where it is served: anybody may ask."""

    @cache
    def made() -> dict[str, Any]:
        return document(ROUTES, served, version=metadata.version("riverflow"), server="/")

    async def openapi(scope: Scope, receive: Receive, send: Send) -> None:
        server = base_url_of(scope) or "/"
        await respond(send, Reply(codec.encode({**made(), "servers": [{"url": server}]})))

    return openapi


class Assembly(msgspec.Struct, frozen=True, kw_only=True):
    """What an app was given, ready to be built."""

    settings: Settings
    declared: Declarations
    plugins: Plugins
    clock: Clock
    ids: Ids
    http: HttpClient | None
    authenticator: Authenticator | None
    handlers: Mapping[str, Handler]
    functions: Mapping[str, Callable[..., Any]]
    wrapped: Callable[[], ASGIApp | None]

    async def start(self, stack: AsyncExitStack) -> Running:
        """Build and start; `stack` takes it all down again. Raises ConfigError and StoreError."""
        context = self._context(stack)
        opened = await self.open(context, stack)
        store, directory, keys = opened.store, opened.directory, opened.keys
        context = msgspec.structs.replace(context, credentials=directory.credential)
        notifier = self._notifier(context, store, stack)
        parts = self._parts(context, store, notifier, directory)
        checks = Checks(providers=parts.providers, stages=parts.stages, signers=parts.signers)
        await checks.definitions(directory, self.settings)
        for enter in self.plugins.each("riverflow_lifespan"):
            await stack.enter_async_context(enter())
        stack.push_async_callback(_close, parts.senders)
        await stack.enter_async_context(Upkeep(directory, keys, self.clock).going_on())
        await stack.enter_async_context(Retention(store, self.settings, self.clock).going_on())
        engine = Engine(parts)
        await stack.enter_async_context(engine.running())
        return self._serve(context, engine, directory, checks, keys, parts)

    async def open(self, context: Context | None, stack: AsyncExitStack) -> Opened:
        """Open the store alone. Raises ConfigError and StoreError."""
        vault = Vault.of(self.settings)
        store = await self._open_store(context or self._context(stack), stack)
        directory = self._directory(store, vault)
        await directory.open()
        keys = KeyRing(directory, store.documents, clock=self.clock, ids=self.ids)
        return Opened(
            settings=self.settings, clock=self.clock, store=store, vault=vault, directory=directory, keys=keys
        )

    def _context(self, stack: AsyncExitStack) -> Context:
        http = self.http
        if http is None:
            http = build_client(self.settings, self.clock)
            stack.push_async_callback(http.aclose)
        providers = self.plugins.supplied("riverflow_providers")
        context = Context(
            settings=self.settings,
            http=http,
            clock=self.clock,
            ids=self.ids,
            handlers=self.handlers,
            wrapped=self.wrapped,
            providers=_Built(providers, lambda name: _for(context, name)),
            options={},
        )
        return context

    def _directory(self, store: Store, vault: Vault) -> Directory:
        return Directory(
            store.documents,
            vault=vault,
            clock=self.clock,
            ids=self.ids,
            declared=self.declared,
            handlers=self.handlers,
        )

    async def _open_store(self, context: Context, stack: AsyncExitStack) -> Store:
        scheme = self.settings.database_url.partition("://")[0]
        store: Store = self.plugins.chosen("riverflow_stores", scheme)(_for(context, scheme))
        await store.open()
        stack.push_async_callback(store.aclose)
        return store

    def _parts(self, context: Context, store: Store, notifier: Notifier | None, directory: Directory) -> Parts:
        def built(hook: str, own: Mapping[str, Any] | None = None) -> Mapping[str, Any]:
            return _Built(self.plugins.supplied(hook), lambda name: _for(context, name), own)

        functions = {kind: FunctionStage(function) for kind, function in self.functions.items()}
        return Parts(
            settings=self.settings,
            store=store,
            notifier=notifier,
            directory=directory,
            clock=self.clock,
            ids=self.ids,
            handlers=self.handlers,
            providers=context.providers,
            senders=built("riverflow_senders"),
            signers=built("riverflow_signers"),
            stages=built("riverflow_stages", functions),
            middleware=self.plugins.listed("riverflow_stage_middleware"),
            observe=self.plugins.observer(),
            can_call_app=lambda: self.wrapped() is not None,
        )

    def _notifier(self, context: Context, store: Store, stack: AsyncExitStack) -> Notifier | None:
        name = self.settings.notifier
        if name == "auto":
            return store.notifier
        notifier: Notifier = self.plugins.chosen("riverflow_notifiers", name)(_for(context, name))
        stack.push_async_callback(notifier.aclose)
        return notifier

    def _serve(
        self, context: Context, engine: Engine, directory: Directory, checks: Checks, keys: KeyRing, parts: Parts
    ) -> Running:
        authenticators = (self.authenticator, self.plugins.first("riverflow_authenticator"))
        root = Identity(project_id=directory.default_project, root=True, key_id="root")
        limits = Limits(self.settings, self.clock.monotonic)
        known = [each for each in authenticators if each is not None]
        gate = Gate(keys, self.settings.api_key, root, known, directory.known_project)
        channels = _GuardedChannels(engine, gate, limits)
        factories = self.plugins.supplied("riverflow_transports")
        transports: list[Transport] = [factory(_for(context, name)) for name, factory in factories.items()]
        served = [route for transport in transports for route in transport.routes(channels)]
        served += self.plugins.listed("riverflow_routes")
        served.append(TransportRoute(type="http", path="/openapi.json", app=_described(list(served))))
        health = Health(engine, parts.store.documents, self.clock)
        served.append(TransportRoute(type="http", path="/health", app=health, methods=("GET", "HEAD")))
        doors = Doors(
            engine=engine,
            directory=directory,
            keys=keys,
            settings=self.settings,
            checks=checks,
            ids=self.ids,
            limits=limits,
            authenticate=gate.authenticate,
        )
        console = self._console(parts, doors, gate, hosted=any(authenticators))
        served += [
            TransportRoute(type="http", path=path, app=console, methods=("GET", "HEAD", "POST"))
            for path in ("/console", "/console/{rest:path}")
        ]
        served.append(
            TransportRoute(type="http", path="/approve/{link}", app=console.links, methods=("GET", "HEAD", "POST"))
        )
        router = Front(build_router(doors, ROUTES, served), Origins(self.settings))
        return Running(engine=engine, directory=directory, transports=[*transports, console], router=router)

    def _console(self, parts: Parts, doors: Doors, gate: Gate, *, hosted: bool) -> Console:
        names = {
            "providers": parts.providers,
            "stages": parts.stages,
            "signers": parts.signers,
            "senders": parts.senders,
            "transports": self.plugins.supplied("riverflow_transports"),
            "stores": self.plugins.supplied("riverflow_stores"),
        }
        ground = Ground(
            doors=doors,
            routes=ROUTES,
            gate=gate,
            store=parts.store,
            plugins=self.plugins,
            names=names,
            handlers=self.handlers,
            clock=self.clock,
            hosted=hosted,
        )
        return build_console(ground)


async def _close(made: Mapping[str, Any]) -> None:
    """Close what can be closed and was made."""
    for thing in made.made if isinstance(made, _Built) else ():
        if hasattr(thing, "aclose"):
            await thing.aclose()


def _for(context: Context, plugin: str) -> Context:
    """The context with the plugin's own section of the configuration."""
    return msgspec.structs.replace(context, options=context.settings.plugins.get(plugin, {}))
