"""`riverflow serve`: one Riverflow by itself, with its routes at the root.

It decides what is served and with which key; the serving is `server`'s, several processes are `workers`'.
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import socket
import sys
from collections.abc import Callable
from importlib import import_module, metadata
from pathlib import Path

import click
import msgspec

from ..app import Riverflow
from ..errors import ConfigError
from .server import Server, calm_collector, end_soon, listen, run_loop
from .terminal import Screen
from .workers import supervise

__all__ = ["CONFIG", "load", "serve"]

CONFIG = "riverflow.toml"


@click.command()
@click.argument("target", required=False, metavar="[MODULE:RIVER]")
@click.option("--config", type=click.Path(dir_okay=False), help=f"Configuration file [default: {CONFIG}, if there].")
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=8000, show_default=True, type=click.IntRange(0, 65535), help="0: a free one.")
@click.option("--workers", default=1, show_default=True, type=click.IntRange(1, 64), help="Processes on one port.")
@click.option("--log-level", default="info", type=click.Choice(["debug", "info", "warning", "error"]))
@click.option("--access-log", is_flag=True, help="Log each request.")
@click.option("--fd", type=int, hidden=True, help="A listening socket that the supervisor hands down.")
def serve(
    target: str | None,
    config: str | None,
    host: str,
    port: int,
    workers: int,
    log_level: str,
    access_log: bool,
    fd: int | None,
) -> None:
    """Serve riverflow by itself, routes at the root.

    MODULE:RIVER names a Riverflow object in your code; without it, one is built from the configuration file and the
    environment.
    """
    if target is not None and config is not None:
        raise click.UsageError("give MODULE:RIVER or --config, not both: the object has its own configuration")
    screen = Screen(sys.stderr)
    river = load(target) if target is not None else Riverflow(config=config or _present(CONFIG))
    _need_key(river, screen)
    listener = listen(host, port) if fd is None else socket.socket(fileno=fd)
    news = f"riverflow {metadata.version('riverflow')} serves {_address(listener)} (Ctrl-C to stop)"
    if workers > 1:
        screen.line(news)
        arguments = [*([target] if target else []), *(["--config", config] if config else [])]
        arguments += ["--log-level", log_level, *(["--access-log"] if access_log else [])]
        run_loop(lambda: supervise(listener, ["serve", *arguments], workers))
        return
    _log_to_stderr(log_level)
    run_loop(lambda: _serve(river, listener, access_log, lambda: None if fd is not None else screen.line(news)))


async def _serve(river: Riverflow, listener: socket.socket, access_log: bool, ready: Callable[[], None]) -> None:
    async with river.lifespan():
        ready()
        calm_collector()
        await Server(river, access_log=access_log).serve(sockets=[listener])
    end_soon()


def load(target: str) -> Riverflow:
    """The object that `module:name` names (`module` alone: `module:river`), sought from the working directory too.
    Raises ConfigError."""
    module_name, _, name = target.partition(":")
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        module = import_module(module_name)
    except ModuleNotFoundError as error:
        raise ConfigError(f"cannot import {module_name!r}: {error}") from error
    river = getattr(module, name or "river", None)
    if not isinstance(river, Riverflow):
        what = "nothing of that name" if river is None else f"a {type(river).__name__}; serve an ASGI app with uvicorn"
        raise ConfigError(f"{target!r} names no Riverflow: {what}")
    return river


def _need_key(river: Riverflow, screen: Screen) -> None:
    """Somebody must be able to come in. In development a key is made up and shown, once, on the terminal only."""
    if river.guarded:
        return
    if not river.settings.development:
        if asyncio.run(_has_keys(river)):
            return
        raise ConfigError(
            "nobody could come in: make a key with `riverflow keys create`, or set RIVERFLOW_API_KEY to a long random "
            "text (or RIVERFLOW_ENV=development, which makes one up)"
        )
    key = f"mr_live_{secrets.token_urlsafe(24)}"
    os.environ["RIVERFLOW_API_KEY"] = key  # the workers' as well
    river.settings = msgspec.structs.replace(river.settings, api_key=key)
    screen.line(f"API key for this run: {screen.paint(key, bold=True)}")


async def _has_keys(river: Riverflow) -> bool:
    async with river.opened() as opened:
        return await opened.keys.any()


def _present(path: str) -> str | None:
    return path if Path(path).is_file() else None


def _address(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _log_to_stderr(level: str) -> None:
    logging.basicConfig(
        level=level.upper(), stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    if level == "info":
        logging.getLogger("uvicorn.error").setLevel(logging.WARNING)  # its news are the terminal's own first line
