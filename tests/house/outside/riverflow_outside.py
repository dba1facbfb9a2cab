"""A plugin as somebody else would write it: it knows riverflow's public modules and nothing of this repository."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import click
import msgspec

from riverflow import Identity, hookimpl
from riverflow.builtin.sqlite import open_sqlite
from riverflow.codec import from_python
from riverflow.models import READ, Answer, Completed, Delivery, Entry, GenerateRequest, Generation, OutgoingMessage
from riverflow.ports import Channels, Context, Scope, StageContext, TransportRoute

told: list[str] = []
"""What the plugin saw, for the driver to look at."""

delivered = asyncio.Event()


class Parrot:
    """A provider that repeats the last message."""

    async def generate(self, request: GenerateRequest) -> Generation:
        said = json.loads(bytes(request.request))["messages"][-1]["content"]
        body = {"choices": [{"index": 0, "message": {"role": "assistant", "content": said}, "finish_reason": "stop"}]}
        return Generation(body=from_python(body), content=said, model="parrot-1")


def open_walled(context: Context) -> Any:
    """A store under a scheme of its own: SQLite in a file whose name is salted."""
    path = context.settings.database_url.removeprefix("walled://")
    settings = msgspec.structs.replace(context.settings, database_url=f"sqlite://{path}.walled")
    told.append(f"store:{context.options['salt']}")
    return open_sqlite(msgspec.structs.replace(context, settings=settings))


class Notifier:
    """A notifier that has nobody to tell."""

    def publish(self, run_id: str, number: int) -> None:
        told.append(f"publish:{number}")

    async def listen(self, wake: Callable[[str | None], None]) -> None:
        told.append("listen")

    async def aclose(self) -> None:
        return None


class Shout:
    """A signer."""

    def sign(self, message: OutgoingMessage, secret: str) -> Mapping[str, str]:
        return {"x-shout": hashlib.sha256(secret.encode() + message.body).hexdigest().upper()}


class Pigeon:
    """A sender for `pigeon:` URLs."""

    signs = True

    async def send(self, delivery: Delivery, signed: Mapping[str, str], timeout: float) -> Answer:
        shout = signed.get("x-shout", "")
        good = shout == hashlib.sha256(b"whsec_pigeon" + delivery.body).hexdigest().upper()
        told.append(f"pigeon:{delivery.url}:{delivery.type}:{good}:{sorted(signed)}")
        delivered.set()
        return Answer(status=204)


class Long:
    """A transport: one long poll for the final message."""

    def routes(self, channels: Channels) -> Sequence[TransportRoute]:
        async def poll(scope: Scope, receive: Any, send: Any) -> None:
            identity = await channels.authenticate(scope)
            channel_id = scope["path_params"]["channel_id"]
            async with await channels.subscribe(identity.project_id, channel_id) as subscription:
                frames = [frame async for frame in subscription]
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": frames[-1].data})

        return [TransportRoute(type="http", path="/poll/{channel_id}", app=poll)]

    async def drain(self) -> None:
        told.append("drain")


class Stamp:
    """A stage runner: adds a stamp to an object."""

    async def run(self, context: StageContext) -> Completed:
        return Completed(data=from_python({"stamped": json.loads(bytes(context.data))}))


async def spy(context: StageContext, go_on: Callable[[StageContext], Awaitable[Any]]) -> Any:
    outcome = await go_on(context)
    told.append(f"stage:{context.stage.name}")
    return outcome


async def hello(scope: Scope, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"hello"})


def visitor(scope: Scope) -> Identity | None:
    headers = dict(scope["headers"])
    if b"x-visitor" not in headers:
        return None
    return Identity(project_id=headers[b"x-visitor"].decode(), scopes=frozenset({READ}), subject="visitor")


@click.command("outside")
def outside() -> None:
    """Say where this command is from."""
    click.echo("from outside")


@hookimpl
def riverflow_providers() -> Mapping[str, Any]:
    return {"parrot": lambda context: Parrot()}


@hookimpl
def riverflow_stores() -> Mapping[str, Any]:
    return {"walled": open_walled}


@hookimpl
def riverflow_notifiers() -> Mapping[str, Any]:
    return {"nobody": lambda context: Notifier()}


@hookimpl
def riverflow_signers() -> Mapping[str, Any]:
    return {"shout": lambda context: Shout()}


@hookimpl
def riverflow_senders() -> Mapping[str, Any]:
    return {"pigeon": lambda context: Pigeon()}


@hookimpl
def riverflow_transports() -> Mapping[str, Any]:
    return {"long": lambda context: Long()}


@hookimpl
def riverflow_stages() -> Mapping[str, Any]:
    return {"stamp": lambda context: Stamp()}


@hookimpl
def riverflow_stage_middleware() -> Sequence[Any]:
    return [spy]


@hookimpl
def riverflow_routes() -> Sequence[TransportRoute]:
    return [TransportRoute(type="http", path="/hello", app=hello)]


@hookimpl
def riverflow_authenticator() -> Any:
    return visitor


@hookimpl
def riverflow_lifespan() -> Any:
    @asynccontextmanager
    async def around() -> AsyncIterator[None]:
        told.append("enter")
        yield
        told.append("leave")

    return around


@hookimpl
def riverflow_entry(entry: Entry) -> None:
    told.append(f"entry:{entry.number}:{entry.kind}")


@hookimpl
def riverflow_commands() -> Sequence[Any]:
    return [outside]
