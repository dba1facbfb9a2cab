"""riverflow as it is measured: production's defaults, a workflow for the mode, and a counter of commits.

It changes nothing that is measured, but where it is asked to: `synchronous=NORMAL` for one row of the table.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from sqlite3 import Connection
from typing import Any

from ..app import Riverflow
from ..builtin.http import build_client
from ..builtin.sqlite import store as sqlite_store
from ..builtin.sqlite.worker import Look, Operation
from ..builtin.system import SystemClock
from ..config import Settings
from ..event import Event
from ..hookspecs import hookimpl
from ..models import Endpoint, StructuredOutput, Workflow
from ..ports import Channels, Context, HttpClient, Receive, Scope, Send, Transport, TransportRoute
from .payloads import API_KEY, EVENT, SCHEMA, SECRET

__all__ = ["Commits", "river_app"]


_ROUND, _CONNECT = "write_round", "connect"  # what the store calls by these names is wrapped here


class Commits:
    """Counts the writer's rounds that wrote: each is one transaction and, with `synchronous=FULL`, one fsync."""

    def __init__(self) -> None:
        self.count = 0

    def install(self) -> None:
        """Count in this process's stores from now on."""
        made: Callable[..., Any] = getattr(sqlite_store, _ROUND)

        def counted(address: Any) -> Callable[[Connection, Sequence[Operation]], Sequence[object]]:
            do: Callable[..., Sequence[object]] = made(address)

            def round(db: Connection, operations: Sequence[Operation]) -> Sequence[object]:
                if any(type(operation) is not Look for operation in operations):
                    self.count += 1
                return do(db, operations)

            return round

        setattr(sqlite_store, _ROUND, counted)


def relax() -> None:
    """Open this process's stores with `synchronous=NORMAL`: what FULL is compared with."""
    connect: Callable[..., Connection] = getattr(sqlite_store, _CONNECT)

    def relaxed(address: Any) -> Connection:
        db = connect(address)
        db.execute("PRAGMA synchronous = NORMAL")
        return db

    setattr(sqlite_store, _CONNECT, relaxed)


class _PersistentSockets:
    """`/bench/socket`: one WebSocket follows one run after the other, so that pushing is measured, not connecting."""

    def routes(self, channels: Channels) -> Sequence[TransportRoute]:
        async def websocket(scope: Scope, receive: Receive, send: Send) -> None:
            await receive()
            await send({"type": "websocket.accept"})
            project = (
                await channels.authenticate({**scope, "headers": [(b"authorization", b"Bearer " + _KEY)]})
            ).project_id
            while (event := await receive())["type"] == "websocket.receive":
                async with await channels.subscribe(project, event["text"], after=0) as subscription:
                    async for frame in subscription:
                        await send({"type": "websocket.send", "text": frame.data.decode()})

        return [TransportRoute(type="websocket", path="/bench/socket", app=websocket)]

    async def drain(self) -> None:
        return None

    @hookimpl
    def riverflow_transports(self) -> Mapping[str, Callable[[Context], Transport]]:
        return {"bench": lambda context: self}


_KEY = API_KEY.encode()


async def enrich(event: Event) -> dict[str, Any]:
    """The handler of mode I: it reads the AI's answer and gives it back with a little more."""
    return {**event.data, "id": "mov_12345", "saved": True}


def river_app(
    mode: str,
    stub: str,
    database: str,
    *,
    structured: bool,
    settings: Mapping[str, Any],
    neighbours: Iterable[str] = (),
    certificate: str = "",
) -> Riverflow:
    """A Riverflow for one mode. It is `development` only because everything here speaks plain HTTP over loopback.
    `neighbours` are paths of the stub that are told of everything too, `certificate` is the file of the stub's own."""
    http: HttpClient | None = None
    if certificate:
        authorities = Path(certificate).read_bytes().partition(b"-----BEGIN PRIVATE")[0]
        http = build_client(Settings(env="development"), SystemClock(), authorities=authorities)
    workflow = Workflow(
        name="bench",
        provider="openai",
        model="gpt-4o-mini",
        event_name=None if mode == "S" else EVENT,
        structured_output_id="film" if structured else None,
    )
    paths = () if mode == "I" else ("/hook",)
    river = Riverflow(
        workflows=[workflow],
        structured_outputs=[StructuredOutput(name="film", schema=SCHEMA)],
        endpoints=[Endpoint(url=f"{stub}{path}", secret=SECRET) for path in (*paths, *neighbours)],
        plugins=[_PersistentSockets()],
        discover_plugins=False,
        environ={},
        database_url=database,
        api_key=API_KEY,
        env="development",
        openai_base_url=f"{stub}/v1",
        openai_api_key="sk-bench",
        http=http,
        **settings,
    )
    if mode == "I":
        river.on(EVENT)(enrich)
    return river
