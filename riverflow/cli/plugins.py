"""`riverflow plugins`: who is loaded, and which hooks each one implements."""

from __future__ import annotations

import sys

import click

from .._plugins import Plugins
from .terminal import Screen

__all__ = ["plugins"]


@click.command()
def plugins() -> None:
    """List the plugins: built-in and installed."""
    screen = Screen(sys.stdout)
    loaded = Plugins()
    width = max(len(name) for name in loaded.names)
    for name in loaded.names:
        hooks = ", ".join(hook.removeprefix("riverflow_") for hook in loaded.hooks_of(name))
        screen.line(f"{screen.paint(name.ljust(width), bold=True)}  {hooks}")
