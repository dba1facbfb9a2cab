"""Riverflow, the object a developer holds: composition root, registration of handlers, Python API, ASGI app, lifespan.

It puts the parts together and keeps no rule of its own.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from importlib import metadata
from pathlib import Path
from typing import Any, Generic, TypeVar

import msgspec

from . import codec
from ._directory import Directory
from ._engine import Engine, Parts
from ._gate import Gate
from ._plugins import Plugins
from .builtin.functions import FunctionStage
from .builtin.http import build_client
from .builtin.system import SystemClock, SystemIds
from .config import Declarations, Settings, read_file
from .errors import ConfigError, Overloaded
from .models import Endpoint, Identity, StructuredOutput, TokenClaims, Workflow
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
from .routes import ROUTES, Doors, Reply, build_router, document
from .routes._door import base_url_of, problem_app, respond
from .run_handle import RunHandle

__all__ = ["Riverflow"]

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])


class Riverflow:
    """One riverflow, to be mounted into an ASGI app or served by itself.

    `workflows`, `endpoints` and `structured_outputs` are defined in code; `config` names a TOML file that may define
    more; `plugins` are modules or objects with hook implementations; `authenticator` maps the host app's connections to
    identities. Everything else is a setting (see `Settings`), taken from keyword, environment or file, in this order.

    Raises ConfigError that says what cannot work.
    """

    def __init__(
        self,
        *,
        workflows: Iterable[Workflow] = (),
        endpoints: Iterable[Endpoint] = (),
        structured_outputs: Iterable[StructuredOutput] = (),
        config: str | Path | None = None,
        plugins: Iterable[object] = (),
        discover_plugins: bool = True,
        authenticator: Authenticator | None = None,
        environ: Mapping[str, str] | None = None,
        clock: Clock | None = None,
        ids: Ids | None = None,
        http: HttpClient | None = None,
        **settings: Any,
    ) -> None:
        file, declared = read_file(config) if config is not None else ({}, Declarations())
        environ = os.environ if environ is None else environ
        self.settings = Settings.load(settings, environ=environ, file=file)
        self.declared = Declarations(
            workflows=(*workflows, *declared.workflows),
            endpoints=(*endpoints, *declared.endpoints),
            structured_outputs=(*structured_outputs, *declared.structured_outputs),
        )
        self.plugins = Plugins(plugins, discover=discover_plugins)
        self._clock = clock or SystemClock()
        self._ids = ids or SystemIds()
        self._http = http
        self._authenticator = authenticator
        self._handlers: dict[str, Handler] = {}
        self._functions: dict[str, Callable[..., Any]] = {}
        self._wrapped: ASGIApp | None = None
        self._running: _Running | None = None
        _check_names(self.declared)

    # Registration

    def on(self, event: str) -> Callable[[F], F]:
        """Register an in-process handler for an event name, `task.completed` or `task.failed`.

        The function takes an Event; plain functions run in a worker thread. For a hand-off it returns the enriched data
        (a JSON object), a Result, or `event.defer()`; or it raises Failure. Raises ConfigError where the event has a
        handler already.
        """

        def register(function: F) -> F:
            if event in self._handlers:
                raise ConfigError(f"event {event!r} has a handler already: {self._handlers[event]!r}")
            self._handlers[event] = function
            return function

        return register

    def stage(self, kind: str) -> Callable[[F], F]:
        """Register a function as a kind of stage, to be named in pipelines: `Stage(name="check", kind=<kind>)`.

        It takes a StageContext and returns the stage's data (a JSON value) or an Outcome; it may raise Failure.
        """

        def register(function: F) -> F:
            if kind in self._functions:
                raise ConfigError(f"stage kind {kind!r} is registered twice")
            self._functions[kind] = function
            return function

        return register

    def wrap(self, app: ASGIApp) -> None:
        """Name the app that riverflow is mounted into: `asgi:///path` endpoints are delivered there."""
        self._wrapped = app

    # Python API

    async def submit(self, *, project_id: str | None = None, **request: Any) -> RunHandle:
        """Start a run from Python: the keywords are the fields of `POST ai/async` (`workflow`, `messages`, …).

        Raises what the API answers: InvalidRequest, NotFound, Unprocessable, Overloaded.
        """
        running = self._started()
        project = project_id or running.directory.default_project
        base_url = (self.settings.public_url or "").rstrip("/")
        accepted = await running.engine.submit(project, codec.encode(request), base_url)
        return RunHandle(running.engine, project, accepted)

    @property
    def project_id(self) -> str:
        """The default project's id, once started."""
        return self._started().directory.default_project

    async def drain(self) -> None:
        """Tell every reader to come back later: call this when the server is asked to stop, before it waits for open
        connections."""
        if self._running is not None:
            for transport in self._running.transports:
                await transport.drain()

    # ASGI

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._answer_lifespan(receive, send)
        elif self._running is not None:
            await self._running.router(scope, receive, send)
        elif scope["type"] == "http":
            await problem_app(Overloaded(NOT_STARTED, code="not_started"))(scope, receive, send)
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1013, "reason": "riverflow is not started"})

    @asynccontextmanager
    async def lifespan(self, app: Any = None) -> AsyncIterator[None]:
        """Run riverflow: `Starlette(lifespan=river.lifespan)`, or `async with river.lifespan():`. Raises ConfigError
        and StoreError where it cannot start."""
        if self._running is not None:
            yield  # a middleware has started it, or the app inside it
            return
        async with AsyncExitStack() as stack:
            self._running = await self._start(stack)
            try:
                yield
            finally:
                await self.drain()
                self._running = None

    async def _answer_lifespan(self, receive: Receive, send: Send) -> None:
        """The server's lifespan protocol, where nobody else answers it."""
        await receive()
        async with AsyncExitStack() as stack:
            try:
                await stack.enter_async_context(self.lifespan())
            except Exception as error:
                await send({"type": "lifespan.startup.failed", "message": f"{type(error).__name__}: {error}"})
                raise
            await send({"type": "lifespan.startup.complete"})
            await receive()
        await send({"type": "lifespan.shutdown.complete"})

    # Composition

    async def _start(self, stack: AsyncExitStack) -> _Running:
        context = self._context(stack)
        store = await self._open_store(context, stack)
        directory = Directory(
            store.documents,
            clock=self._clock,
            ids=self._ids,
            declared=self.declared,
            handlers=self._handlers,
        )
        await directory.open()
        engine = Engine(self._parts(context, store, directory))
        await engine.check()
        for enter in self.plugins.each("riverflow_lifespan"):
            await stack.enter_async_context(enter())
        await stack.enter_async_context(engine.running())
        return self._serve(context, engine, directory)

    def _context(self, stack: AsyncExitStack) -> Context:
        http = self._http
        if http is None:
            http = build_client(self.settings, self._clock)
            stack.push_async_callback(http.aclose)
        providers: dict[str, Any] = {}
        context = Context(
            settings=self.settings,
            http=http,
            clock=self._clock,
            ids=self._ids,
            handlers=self._handlers,
            wrapped=lambda: self._wrapped,
            providers=_Built(self.plugins.supplied("riverflow_providers"), lambda: context, providers),
            options={},
        )
        return context

    async def _open_store(self, context: Context, stack: AsyncExitStack) -> Store:
        scheme = self.settings.database_url.partition("://")[0]
        store: Store = self.plugins.chosen("riverflow_stores", scheme)(self._for(context, scheme))
        await store.open()
        stack.push_async_callback(store.aclose)
        return store

    def _parts(self, context: Context, store: Store, directory: Directory) -> Parts:
        stages: dict[str, Any] = {kind: FunctionStage(function) for kind, function in self._functions.items()}
        return Parts(
            settings=self.settings,
            store=store,
            notifier=self._notifier(context, store),
            directory=directory,
            clock=self._clock,
            ids=self._ids,
            handlers=self._handlers,
            providers=context.providers,
            senders=_Built(self.plugins.supplied("riverflow_senders"), lambda: context),
            signers=_Built(self.plugins.supplied("riverflow_signers"), lambda: context),
            stages=_Built(self.plugins.supplied("riverflow_stages"), lambda: context, stages),
            middleware=self.plugins.listed("riverflow_stage_middleware"),
            observe=self.plugins.observer(),
            can_call_app=lambda: self._wrapped is not None,
        )

    def _notifier(self, context: Context, store: Store) -> Notifier | None:
        name = self.settings.notifier
        if name == "auto":
            return store.notifier
        notifier: Notifier = self.plugins.chosen("riverflow_notifiers", name)(self._for(context, name))
        return notifier

    def _serve(self, context: Context, engine: Engine, directory: Directory) -> _Running:
        authenticators = [self._authenticator, self.plugins.first("riverflow_authenticator")]
        gate = Gate(directory, self.settings.api_key, [a for a in authenticators if a is not None])
        channels = _Channels(engine, gate)
        transports: list[Transport] = [
            factory(self._for(context, name)) for name, factory in self.plugins.supplied("riverflow_transports").items()
        ]
        doors = Doors(
            engine=engine,
            directory=directory,
            settings=self.settings,
            authenticate=gate.authenticate,
            ids=self._ids,
        )
        served: list[TransportRoute] = [route for transport in transports for route in transport.routes(channels)]
        served += self.plugins.listed("riverflow_routes")
        served.append(TransportRoute(type="http", path="/openapi.json", app=_openapi))
        return _Running(
            engine=engine,
            directory=directory,
            transports=transports,
            router=build_router(doors, ROUTES, served),
        )

    def _for(self, context: Context, plugin: str) -> Context:
        """The context with the plugin's own section of the configuration."""
        return msgspec.structs.replace(context, options=self.settings.plugins.get(plugin, {}))

    def _started(self) -> _Running:
        if self._running is None:
            raise Overloaded(NOT_STARTED, code="not_started")
        return self._running


NOT_STARTED = (
    "riverflow is not started: run it with the app's lifespan (lifespan=river.lifespan), through RiverflowMiddleware, "
    "or by itself (riverflow serve)"
)


class _Running(msgspec.Struct, frozen=True, kw_only=True):
    """What exists between start and stop."""

    engine: Engine
    directory: Directory
    transports: list[Any]
    router: Any


class _Built(Mapping[str, T], Generic[T]):
    """Objects by name, each made by its plugin's factory when it is first asked for: an unused plugin costs nothing."""

    def __init__(
        self,
        factories: Mapping[str, Callable[[Context], T]],
        context: Callable[[], Context],
        made: dict[str, T] | None = None,
    ) -> None:
        self._made: dict[str, T] = made if made is not None else {}
        self._factories = factories
        self._context = context

    def __getitem__(self, name: str) -> T:
        if name not in self._made:
            context = self._context()
            options = context.settings.plugins.get(name, {})
            self._made[name] = self._factories[name](msgspec.structs.replace(context, options=options))
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter({**self._made, **self._factories})

    def __len__(self) -> int:
        return len({**self._made, **self._factories})


class _Channels:
    """ports.Channels for transports: the engine's channels and the gate."""

    def __init__(self, engine: Engine, gate: Gate) -> None:
        self._engine = engine
        self._gate = gate

    async def subscribe(
        self, project_id: str, channel_id: str, *, after: int | None = None, everything: bool = False
    ) -> Subscription:
        return await self._engine.subscribe(project_id, channel_id, after=after, everything=everything)

    async def read_token(self, token: str) -> TokenClaims:
        return await self._engine.read_token(token)

    async def use_token(self, claims: TokenClaims) -> None:
        await self._engine.use_token(claims)

    async def authenticate(self, scope: Scope) -> Identity:
        return await self._gate.authenticate(scope)


async def _openapi(scope: Scope, receive: Receive, send: Send) -> None:
    described = document(ROUTES, version=metadata.version("riverflow"), server=base_url_of(scope) or "/")
    await respond(send, Reply(codec.encode(described)))


def _check_names(declared: Declarations) -> None:
    for kind in ("workflows", "structured_outputs"):
        names = [thing.name for thing in getattr(declared, kind)]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ConfigError(f"{kind}: defined twice: {', '.join(twice)}")
