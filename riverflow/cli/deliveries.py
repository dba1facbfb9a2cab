"""`riverflow deliveries` and `riverflow replay`: look at what was owed to whom, and send it again, beside a running
server or while there is none.

What is sent again waits in the store for the server; nothing is sent from here.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import click

from .. import _payloads
from .._assembly import Opened
from .._deliveries import Deliveries, Replayed
from ..codec import decode
from ..errors import RiverflowError
from ..models import Delivery, Entry
from ..ports import DeliveryPage
from ..routes.deliveries import STATUSES, filter_of
from .opening import in_store, project_id_of, where
from .terminal import Screen

__all__ = ["deliveries", "replay"]

_COLOURS = {"pending": "yellow", "delivered": "green", "dead": "red", "expired": "bright_black"}

_project = click.option("--project", default="default", show_default=True, help="The project's name or id.")
_as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def _filters(command: Any) -> Any:
    """The options that choose deliveries."""
    for option in (
        click.option("--until", help="Made before then."),
        click.option("--since", help="Made from then on: ISO 8601 or Unix seconds."),
        click.option("--event", help="An event name, or a type such as task.completed."),
        click.option("--endpoint", help="An endpoint's id."),
        click.option("--run", help="A channel id."),
        click.option("--status", multiple=True, type=click.Choice(STATUSES), help="May be repeated."),
    ):
        command = option(command)
    return command


@click.command()
@click.argument("delivery", required=False)
@_filters
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 1000))
@_project
@_as_json
@where
def deliveries(
    delivery: str | None,
    limit: int,
    project: str,
    as_json: bool,
    config: str | None,
    app: str | None,
    status: tuple[str, ...],
    **filters: str | None,
) -> None:
    """List deliveries, newest first; or show one DELIVERY with all that happened to it."""
    wanted = filter_of(_said(status, filters))

    async def look(opened: Opened) -> tuple[Delivery, tuple[Entry, ...]] | DeliveryPage:
        project_id, found = await project_id_of(opened, project), _deliveries(opened)
        if delivery is not None:
            return await found.one(project_id, delivery)
        return await found.find(project_id, wanted, limit=limit)

    answer = in_store(config, app, look)
    screen = Screen(sys.stdout)
    if isinstance(answer, DeliveryPage):
        rows = answer.deliveries
        if as_json:
            screen.line(json.dumps({"data": [_members(row) for row in rows], "has_more": answer.has_more}))
        for row in rows if not as_json else ():
            screen.line(_row(screen, row))
        return
    one, entries = answer
    shown = {**_members(one), "body": decode(one.body), "entries": [_entry(entry) for entry in entries]}
    screen.line(json.dumps(shown) if as_json else screen.json(_plain(shown)))


@click.command()
@click.argument("delivery", required=False)
@click.option("--to", metavar="URL", help="Send it there, and not where it was to go.")
@click.option("--all", "everything", is_flag=True, help="Send again all that the filters take (the dead ones).")
@_filters
@_project
@_as_json
@where
def replay(
    delivery: str | None,
    to: str | None,
    everything: bool,
    project: str,
    as_json: bool,
    config: str | None,
    app: str | None,
    status: tuple[str, ...],
    **filters: str | None,
) -> None:
    """Send a DELIVERY that has ended again, with the same idempotency key; with --all, those that the filters take."""
    if (delivery is None) != everything:
        raise click.UsageError("name a delivery, or give --all (with filters); not both")
    wanted = filter_of(_said(status, filters))

    async def send(opened: Opened) -> Replayed:
        project_id, found = await project_id_of(opened, project), _deliveries(opened)
        if delivery is None:
            return await found.replay_all(project_id, wanted, to)
        again = await found.replay(project_id, delivery, to)
        return Replayed(ids=(again.id,), skipped={}, has_more=False)

    done = in_store(config, app, send)
    if as_json:
        said = {"replayed": list(done.ids), "skipped": done.skipped, "has_more": done.has_more}
        Screen(sys.stdout).line(json.dumps(said))
        return
    for name in done.ids:
        Screen(sys.stdout).line(name)
    for name, reason in done.skipped.items():
        Screen(sys.stderr).line(f"{name}: not sent: {reason}")
    if done.has_more:
        Screen(sys.stderr).line("there are more: call it again for the older ones")
    if done.skipped and not done.ids:
        raise RiverflowError("nothing was sent again")


def _deliveries(opened: Opened) -> Deliveries:
    return Deliveries(opened.store, opened.directory, opened.settings, opened.clock)


def _said(status: tuple[str, ...], filters: dict[str, str | None]) -> dict[str, str]:
    return {"status": ",".join(status), **{name: value for name, value in filters.items() if value is not None}}


def _members(delivery: Delivery) -> dict[str, Any]:
    return {
        "id": delivery.id,
        "channel_id": delivery.run_id,
        "type": delivery.type,
        "event": delivery.event_name,
        "endpoint_id": delivery.endpoint_id,
        "url": delivery.url,
        "status": delivery.status,
        "attempt": delivery.attempt,
        "created_at": _payloads.iso(delivery.created_at),
        "due_at": _payloads.iso(delivery.due_at),
    }


def _entry(entry: Entry) -> dict[str, Any]:
    return {"number": entry.number, "at": _payloads.iso(entry.at), "kind": entry.kind, "data": decode(entry.data)}


def _row(screen: Screen, delivery: Delivery) -> str:
    status = screen.paint(f"{delivery.status:<9}", fg=_COLOURS[delivery.status])
    made, what = _payloads.iso(delivery.created_at), _plain(delivery.event_name or delivery.type)
    return f"{made}  {status} {delivery.attempt:>2}  {delivery.id}  {what}  {delivery.url}"


def _plain(value: Any) -> Any:
    """Without control characters: what a receiver or a model wrote must not move the cursor."""
    if isinstance(value, dict):
        return {_plain(name): _plain(member) for name, member in value.items()}
    if isinstance(value, list):
        return [_plain(member) for member in value]
    if isinstance(value, str) and not value.isprintable():
        return "".join(character if character.isprintable() else "\ufffd" for character in value)
    return value
