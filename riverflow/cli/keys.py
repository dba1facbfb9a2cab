"""`riverflow keys`: makes, lists and revokes API keys in the store, beside a running server or before there is one."""

from __future__ import annotations

import json
import sys
from typing import Any

import click

from .. import _payloads
from .._assembly import Opened
from .._directory import KEY, Stored
from ..errors import ConfigError, NotFound
from ..models import SCOPES
from .opening import in_store, project_id_of, where
from .terminal import Screen

__all__ = ["keys"]

DAY = 86_400

_project = click.option("--project", default="default", show_default=True, help="The project's name or id.")
_as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group()
def keys() -> None:
    """Make, list and revoke API keys."""


@keys.command()
@click.argument("name")
@click.option(
    "--scope", "scopes", multiple=True, type=click.Choice(sorted(SCOPES)), help="May be repeated [default: all]."
)
@click.option("--days", type=click.IntRange(1, 3650), help="Until it expires [default: it does not].")
@_project
@_as_json
@where
def create(
    name: str,
    scopes: tuple[str, ...],
    days: int | None,
    project: str,
    as_json: bool,
    config: str | None,
    app: str | None,
) -> None:
    """Make a key and print it, once: nobody can show it again."""

    async def work(opened: Opened) -> tuple[Stored, str]:
        expires_at = None if days is None else opened.directory.now() + days * DAY
        project_id = await project_id_of(opened, project)
        return await opened.keys.issue(project_id, name, scopes or SCOPES, expires_at)

    stored, text = in_store(config, app, work)
    if as_json:
        Screen(sys.stdout).line(json.dumps({**_members(stored, 0.0, {}), "key": text}))
        return
    Screen(sys.stderr).line(f"{stored.name} ({', '.join(stored.value.scopes)}); it is shown this once:")
    Screen(sys.stdout).line(text)


@keys.command(name="list")
@_project
@_as_json
@where
def list_keys(project: str, as_json: bool, config: str | None, app: str | None) -> None:
    """List the keys of a project."""

    async def work(opened: Opened) -> list[dict[str, Any]]:
        project_id = await project_id_of(opened, project)
        used = await opened.keys.last_used(project_id)
        every = (await opened.directory.all(project_id, KEY)).values()
        return [_members(stored, opened.directory.now(), used) for stored in every]

    found = in_store(config, app, work)
    screen = Screen(sys.stdout)
    if as_json:
        screen.line(json.dumps(found))
        return
    for key in found:
        until = f"until {key['expires_at']}" if key["expires_at"] else "does not expire"
        used = f"last used {key['last_used_at']}" if key["last_used_at"] else "never used"
        about = f"{key['hint']}  {key['status']}, {until}, {used}, {'+'.join(key['scopes'])}"
        screen.line(f"{screen.paint(key['id'], bold=True)}  {key['name']}  {about}")


@keys.command()
@click.argument("key_id")
@_project
@where
def revoke(key_id: str, project: str, config: str | None, app: str | None) -> None:
    """Revoke a key by its id: from now on (within a second, in a running server) it lets nobody in."""

    async def work(opened: Opened) -> None:
        try:
            await opened.keys.revoke(await project_id_of(opened, project), key_id)
        except NotFound as error:
            raise ConfigError(error.message) from None

    in_store(config, app, work)
    Screen(sys.stderr).line(f"{key_id} is revoked")


def _members(stored: Stored, now: float, used: dict[str, float]) -> dict[str, Any]:
    key = stored.value
    dates = {"expires_at": key.expires_at, "revoked_at": key.revoked_at, "last_used_at": used.get(key.id)}
    return {
        "id": key.id,
        "name": key.name,
        "hint": key.hint,
        "status": key.status(now),
        "scopes": list(key.scopes),
        "created_at": _payloads.iso(key.created_at),
        **{name: None if at is None else _payloads.iso(at) for name, at in dates.items()},
    }
