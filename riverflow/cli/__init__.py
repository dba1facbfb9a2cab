"""The command line: its commands, those of plugins, and how errors leave it.

What a command does is in its own module; nothing here serves or prints results.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import cached_property
from importlib import metadata

import click

from .._plugins import Plugins
from ..errors import PluginError, RiverflowError
from .bench import bench
from .compact import compact
from .deliveries import deliveries, replay
from .demo import demo
from .egress import ssrf_check
from .keys import keys
from .plugins import plugins
from .secrets import secrets
from .serve import serve
from .terminal import INTERRUPTED, Screen

__all__ = ["run"]


class Commands(click.Group):
    """riverflow's own commands, and what plugins give through `riverflow_commands`. Plugins are loaded only when they
    may matter: for help and for a name that is not riverflow's own."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*self.commands, *self._guests})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return self.commands.get(cmd_name) or self._guests.get(cmd_name)

    @cached_property
    def _guests(self) -> dict[str, click.Command]:
        guests: dict[str, click.Command] = {}
        for command in Plugins().listed("riverflow_commands"):
            if not isinstance(command, click.Command) or not command.name:
                raise PluginError(f"riverflow_commands: {command!r} is not a named click command")
            if command.name in self.commands or command.name in guests:
                raise PluginError(f"riverflow_commands: there is a command {command.name!r} already")
            guests[command.name] = command
        return guests


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(metadata.version("riverflow"), prog_name="riverflow", message="%(prog)s %(version)s")
def commands() -> None:
    """Event-driven AI workflows: generate, enrich, finalise."""


for command in (serve, demo, plugins, bench, keys, secrets, deliveries, replay, ssrf_check, compact):
    commands.add_command(command)


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return the exit status: 1 for what riverflow itself refuses, 2 for wrong usage."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a terminal that lacks a glyph must not end the command
    try:
        status = commands.main(arguments, prog_name="riverflow", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except RiverflowError as error:
        screen = Screen(sys.stderr)
        screen.line(f"{screen.paint('error:', fg='red', bold=True)} {' '.join(str(error).split())}")
        return 1
    except (click.Abort, KeyboardInterrupt):
        return INTERRUPTED
    return status if isinstance(status, int) else 0
