"""Riverflow, the object a developer holds: registration of handlers, Python API, ASGI app, lifespan.

It keeps no rule of its own and builds nothing itself: see `_assembly`.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from . import codec
from ._assembly import Assembly, Opened, Running
from ._idempotency import checked_key
from ._plugins import Plugins
from .builtin.system import SystemClock, SystemIds
from .config import Declarations, Settings, read_file
from .errors import ConfigError, Overloaded
from .models import Endpoint, StructuredOutput, Workflow
from .ports import ASGIApp, Authenticator, Clock, Handler, HttpClient, Ids, Receive, Scope, Send
from .routes import problem_app
from .run_handle import RunHandle

__all__ = ["Riverflow"]

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
        self._ids = ids or SystemIds(self._clock.now)
        self._http = http
        self._authenticator = authenticator
        self._handlers: dict[str, Handler] = {}
        self._functions: dict[str, Callable[..., Any]] = {}
        self._wrapped: ASGIApp | None = None
        self._running: Running | None = None
        self._stopping = False
        _check_types(self.declared)
        _check_names(self.declared)

    # Registration

    def on(self, event: str) -> Callable[[F], F]:
        """Register an in-process handler for an event name, `task.completed` or `task.failed`.

        The function takes an Event; plain functions run in a worker thread. For a hand-off it returns the enriched data
        (a JSON object), a Result, or `event.defer()`; or it raises Failure. Raises ConfigError where the event has a
        handler already.
        """

        _named(event, "event", "river.on")

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

        _named(kind, "kind", "river.stage")

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

    async def submit(
        self, *, project_id: str | None = None, idempotency_key: str | None = None, **request: Any
    ) -> RunHandle:
        """Start a run from Python: the keywords are the fields of `POST ai/async` (`workflow`, `messages`, …). With an
        `idempotency_key` the same request starts one run, however often it is made.

        Raises what the API answers: InvalidRequest, NotFound, Conflict, Unprocessable, Overloaded.
        """
        running = self._started()
        project = project_id or running.directory.default_project
        base_url = (self.settings.public_url or "").rstrip("/")
        key = checked_key(idempotency_key) if idempotency_key is not None else None
        accepted = await running.engine.submit(project, codec.encode(request), base_url, key)
        return RunHandle(running.engine, project, accepted)

    async def run(self, channel_id: str, *, project_id: str | None = None) -> RunHandle:
        """A run that was accepted earlier, perhaps by another process. Raises NotFound."""
        running = self._started()
        project = project_id or running.directory.default_project
        return RunHandle(running.engine, project, await running.engine.reconnect(project, channel_id))

    @property
    def guarded(self) -> bool:
        """Whether anybody can come in over HTTP: there is an API key or an authenticator."""
        plugin = self.plugins.first("riverflow_authenticator")
        return bool(self.settings.api_key) or self._authenticator is not None or plugin is not None

    async def project(self, name: str) -> str:
        """The id of the project of that name, made where there is none: what an `authenticator` maps its users to.
        Projects see nothing of one another."""
        return (await self._started().directory.make_project(name)).id

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
            self._running.engine.hub.close("shutting_down")

    # ASGI

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._answer_lifespan(receive, send)
        elif self._running is not None:
            await self._running.router(scope, receive, send)
        elif scope["type"] == "http":
            await problem_app(self._absent())(scope, receive, send)
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
            stack.callback(self._has_stopped)
            self._running = await self._assembly().start(stack)
            try:
                yield
            finally:
                await self.drain()
                self._running, self._stopping = None, True

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[Opened]:
        """The store and what is configured in it, with nothing running: for commands beside a server. Raises
        ConfigError and StoreError."""
        async with AsyncExitStack() as stack:
            yield await self._assembly().open(None, stack)

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

    # Inside

    def _assembly(self) -> Assembly:
        return Assembly(
            settings=self.settings,
            declared=self.declared,
            plugins=self.plugins,
            clock=self._clock,
            ids=self._ids,
            http=self._http,
            authenticator=self._authenticator,
            handlers=self._handlers,
            functions=self._functions,
            wrapped=lambda: self._wrapped,
        )

    def _started(self) -> Running:
        if self._running is None:
            raise self._absent()
        return self._running

    def _has_stopped(self) -> None:
        self._stopping = False

    def _absent(self) -> Overloaded:
        """Why nothing is taken now."""
        if self._stopping:
            return Overloaded("riverflow is shutting down; try again", code="shutting_down")
        return Overloaded(NOT_STARTED, code="not_started")


NOT_STARTED = (
    "riverflow is not started: run it with the app's lifespan (lifespan=river.lifespan), through RiverflowMiddleware, "
    "or by itself (riverflow serve)"
)


def _named(name: object, what: str, decorator: str) -> None:
    """A decorator written without its brackets would register nothing. Raises ConfigError."""
    if not isinstance(name, str) or not name:
        raise ConfigError(f'write @{decorator}("<{what}>"): the decorator takes the name of the {what}')


def _check_types(declared: Declarations) -> None:
    """What was built in code is checked as a configuration file would be. Raises ConfigError."""
    for kind, struct in (("workflows", Workflow), ("endpoints", Endpoint), ("structured_outputs", StructuredOutput)):
        for thing in getattr(declared, kind):
            if not isinstance(thing, struct):
                raise ConfigError(f"{kind}: give {struct.__name__} objects, not {type(thing).__name__}")
            try:
                msgspec.convert(msgspec.to_builtins(thing), struct)
            except (msgspec.ValidationError, TypeError) as error:
                raise ConfigError(f"{kind}: {thing!r}: {error}") from None


def _check_names(declared: Declarations) -> None:
    named = {
        "workflows": [workflow.name for workflow in declared.workflows],
        "structured_outputs": [output.name for output in declared.structured_outputs],
        "endpoints (give each an id where they share a URL)": [e.id or e.url for e in declared.endpoints],
    }
    for kind, names in named.items():
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ConfigError(f"{kind}: defined twice: {', '.join(twice)}")
