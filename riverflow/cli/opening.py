"""Opening the store beside a server, for commands that look after what is kept in it.

It starts no run and serves nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import click

from .._assembly import Opened
from ..app import Riverflow
from ..errors import ConfigError, NotFound
from .serve import CONFIG, load

__all__ = ["in_store", "project_id_of", "where"]

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., object])


def where(command: F) -> F:
    """The options that say which riverflow is meant: those of `serve`."""
    command = click.option("--app", metavar="MODULE:RIVER", help="A Riverflow object in your code.")(command)
    return click.option(
        "--config", type=click.Path(dir_okay=False), help=f"Configuration file [default: {CONFIG}, if there]."
    )(command)


def in_store(config: str | None, app: str | None, work: Callable[[Opened], Awaitable[T]]) -> T:
    """Do some work in the store of a Riverflow object, else of a configuration file and the environment. Raises
    UsageError, ConfigError and StoreError."""
    if config is not None and app is not None:
        raise click.UsageError("give --app or --config, not both: the object has its own configuration")
    present = CONFIG if Path(CONFIG).is_file() else None
    river = load(app) if app is not None else Riverflow(config=config or present)

    async def opened() -> T:
        async with river.opened() as there:
            return await work(there)

    return asyncio.run(opened())


async def project_id_of(opened: Opened, reference: str) -> str:
    """A project's id from its id or name. Raises ConfigError that lists what there is."""
    try:
        return (await opened.directory.known_project(reference)).id
    except NotFound:
        found = await opened.directory.projects.find(reference)
    if found is None:
        names = ", ".join(stored.name for stored in (await opened.directory.projects.all()).values())
        raise ConfigError(f"no project {reference!r}; there are: {names}")
    project_id: str = found.value.id
    return project_id
