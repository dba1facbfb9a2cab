"""`riverflow secrets`: makes a key that seals secrets at rest, tells which keys are in use, and seals anew with the
newest."""

from __future__ import annotations

import sys
from collections import Counter

import click

from .._assembly import Opened
from .._sealing import reseal, survey
from .._vault import new_key
from .opening import in_store, where
from .terminal import Screen

__all__ = ["secrets"]


@click.group()
def secrets() -> None:
    """Look after the key that seals secrets at rest (setting secret_key)."""


@secrets.command(name="new-key")
def print_key() -> None:
    """Print a new key for RIVERFLOW_SECRET_KEY. To replace one, put the new key before it, divided by a comma."""
    Screen(sys.stdout).line(new_key())


@secrets.command()
@where
def status(config: str | None, app: str | None) -> None:
    """Tell which keys seal how many documents. A key that seals none may be taken away."""

    async def work(opened: Opened) -> tuple[tuple[str, ...], Counter[str | None]]:
        return opened.vault.key_ids, await survey(opened.store.documents, opened.vault)

    known, found = in_store(config, app, work)
    screen = Screen(sys.stdout)
    for key_id in known:
        newest = " (newest)" if key_id == known[0] else ""
        screen.line(f"key {screen.paint(key_id, bold=True)}{newest}: {_documents(found[key_id])}")
    screen.line(f"unencrypted: {_documents(found[None])}")


@secrets.command()
@where
def rotate(config: str | None, app: str | None) -> None:
    """Seal every secret with the newest key. Every process must know that key (and, until this is done, those before
    it). Stopped half-way, it is begun again; what is sealed with the newest key is left alone."""

    async def work(opened: Opened) -> int:
        return await reseal(opened.store.documents, opened.vault, opened.directory.now())

    Screen(sys.stderr).line(f"sealed anew: {_documents(in_store(config, app, work))}")


def _documents(count: int) -> str:
    return f"{count} document{'' if count == 1 else 's'}"
