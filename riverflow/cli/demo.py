"""`riverflow demo`: the seed page's movie request, all the way: two processes, real sockets, a fresh database.

It sets up through the HTTP API what a user would, and shows what happens; it serves and decides nothing by itself.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from typing import Any

import click

from .._vault import new_key
from ..app import Riverflow
from ..builtin.http import build_client
from ..builtin.system import SystemClock
from .browser import final_message
from .companion import Companion, companion
from .console import Console
from .movie import REQUEST, STRUCTURED_OUTPUT, WEBHOOK, workflow
from .server import listen, run_loop, serving
from .terminal import INTERRUPTED, Screen
from .timeline import Timeline

__all__ = ["demo"]


@click.command()
@click.option("--once", is_flag=True, help="Print only the final JSON to stdout (the rest to stderr), and end.")
@click.option("--port", default=0, type=click.IntRange(0, 65535), help="Where riverflow listens. [default: a free one]")
def demo(once: bool, port: int) -> int:
    """See the whole flow: AI, your backend, the browser.

    Starts riverflow on a fresh database and a backend process that verifies the webhook and calls back, sends one
    request, and keeps serving. Answers come from OpenAI where OPENAI_API_KEY is set, else from the offline provider.
    """
    screen = Screen(sys.stderr if once else sys.stdout)
    try:
        return run_loop(lambda: _play(screen, once=once, port=port))
    except (asyncio.CancelledError, KeyboardInterrupt):
        return INTERRUPTED


async def _play(screen: Screen, *, once: bool, port: int) -> int:
    with _ended_by_signals():
        async with AsyncExitStack() as stack:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="riverflow-demo-"))
            stage = await _Stage.build(stack, screen, folder, port)
            final = await stage.perform()
            stage.show(final, plain=Screen(sys.stdout) if once else None)
            if not once:
                await stage.stay(final["channel_id"])
            return 0 if final["status"] == "completed" else 1


class _Stage:
    """Where the demo plays: a served riverflow, its backend, and a client of its API."""

    def __init__(self, screen: Screen, backend: Companion, console: Console, provider: str) -> None:
        self._screen = screen
        self._backend = backend
        self._console = console
        self._provider = provider

    @classmethod
    async def build(cls, stack: AsyncExitStack, screen: Screen, folder: str, port: int) -> _Stage:
        """Raises ConfigError where the port is taken."""
        timeline = Timeline(screen)
        key = f"mr_live_{secrets.token_urlsafe(18)}"
        river = Riverflow(
            database_url=f"sqlite:///{folder}/demo.db",
            env="development",
            api_key=key,
            secret_key=new_key(),
            drain_timeout=2.0,
            plugins=[timeline],
            discover_plugins=False,
            environ={name: value for name, value in os.environ.items() if name.startswith("OPENAI_")},
        )
        listener = listen("127.0.0.1", port)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        provider = "openai" if river.settings.openai_api_key else "echo"
        backend = await stack.enter_async_context(companion(key, lambda line: timeline.aside("backend", line)))
        await stack.enter_async_context(serving(river, listener))
        http = build_client(river.settings, SystemClock())
        stack.push_async_callback(http.aclose)
        return cls(screen, backend, Console(http, url, key), provider)

    async def perform(self) -> dict[str, Any]:
        """Set everything up, send the request, and wait as the browser does. Returns the final message."""
        paint = self._screen.paint
        answers = "OpenAI answers" if self._provider == "openai" else "the offline provider answers (no OPENAI_API_KEY)"
        self._screen.line(
            f"\n  {paint('riverflow', bold=True)}  {self._console.url}  {paint(answers, fg='bright_black')}\n"
        )
        await self._create("structured_output", STRUCTURED_OUTPUT, STRUCTURED_OUTPUT["name"])
        await self._create("workflow", workflow(self._provider), "movie_suggestion")
        url = await self._backend.url()
        endpoint = await self._create("webhook", WEBHOOK | {"url": url}, url)
        await self._backend.trust(endpoint["secret"])
        return await final_message(await self._console.post("/v1/ai/async", REQUEST))

    def show(self, final: dict[str, Any], plain: Screen | None) -> None:
        """The final message: what the browser got."""
        if plain is not None:
            plain.line(plain.json(final))
            return
        paint = self._screen.paint
        self._screen.line(
            f"\n  {paint('What the browser got', bold=True)} {paint('over its WebSocket', fg='bright_black')}\n"
        )
        self._screen.line(f"  {self._screen.json(final, '  ')}")

    async def stay(self, channel_id: str) -> None:
        """Say how to go on, and serve until cancelled; further runs show their timelines too."""
        paint, url = self._screen.paint, self._console.url
        self._screen.line(f"\n  {paint('Still serving.', bold=True)} In another terminal:\n")
        for line in _invitation(url, self._console.key, channel_id):
            self._screen.line(f"    {line}")
        self._screen.line(f"\n  {paint('Ctrl-C stops everything and deletes the database.', fg='bright_black')}")
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self._screen.line()
            return

    async def _create(self, kind: str, body: dict[str, Any], name: str) -> dict[str, Any]:
        created = await self._console.post(f"/console/{kind}", body)
        paint = self._screen.paint
        self._screen.line(
            f"  {paint('✔', fg='green', bold=True)} {kind.replace('_', ' '):<18}{name:<46}"
            f"{paint(f'POST /console/{kind}', fg='bright_black')}"
        )
        return created


def _invitation(url: str, key: str, channel_id: str) -> Iterator[str]:
    yield f"""export RIVER={url} KEY={key} ID={channel_id}"""
    yield ""
    yield """curl -s $RIVER/v1/ai/async -H "Authorization: Bearer $KEY" \\"""
    yield """     -d '{"workflow": "movie_suggestion", "messages": [{"role": "user", "content": "Another one?"}]}'"""
    yield """curl -s $RIVER/v1/ai/$ID          -H "Authorization: Bearer $KEY"   # the result"""
    yield """curl -N $RIVER/v1/ai/$ID/events   -H "Authorization: Bearer $KEY"   # as a browser reads it"""
    yield """curl -s $RIVER/v1/ai/$ID/timeline -H "Authorization: Bearer $KEY"   # what happened"""
    yield """curl -s $RIVER/openapi.json                                         # the whole API"""


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """SIGTERM, and SIGHUP of a terminal that is closed, cancel this task as Ctrl-C does: nothing is left behind."""
    task, loop = asyncio.current_task(), asyncio.get_running_loop()
    assert task is not None
    numbers = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    before = {number: signal.signal(number, lambda *_: loop.call_soon_threadsafe(task.cancel)) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
