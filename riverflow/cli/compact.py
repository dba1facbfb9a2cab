"""`riverflow compact`: writes the database anew without the room that forgotten rows have left, and what was in it.

It forgets nothing by itself: that is the retention's.
"""

from __future__ import annotations

import sys

import click

from .._assembly import Opened
from ..errors import ConfigError
from .opening import in_store, where
from .terminal import Screen

__all__ = ["compact"]


@click.command()
@where
def compact(config: str | None, app: str | None) -> None:
    """Write the database anew: it shrinks to what it holds, and nothing of what was deleted or sealed since can be read
    from the file any more. Beside a running server it holds up writes while it lasts."""

    async def work(opened: Opened) -> None:
        rewrite = getattr(opened.store, "compact", None)
        if rewrite is None:
            raise ConfigError("this store does not need it, or has a tool of its own for it")
        await rewrite()

    in_store(config, app, work)
    Screen(sys.stderr).line("the database is compact")
