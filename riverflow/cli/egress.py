"""`riverflow ssrf-check`: says whether a URL would be called, which addresses are behind it, and why or why not.

It resolves a name and sends nothing; the rules are those of the settings that a server would run with.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import click
import msgspec

from ..addresses import is_public, parse_address
from ..app import Riverflow
from ..builtin.http.guard import DIALLED
from ..builtin.http.resolver import SystemResolver
from ..egress import Egress
from ..errors import HttpError
from ..urls import Purpose, Url
from .opening import where
from .serve import CONFIG, load
from .terminal import Screen, printable

__all__ = ["ssrf_check"]

WITHIN = 10.0  # seconds for the name to be resolved


class Judged(msgspec.Struct, frozen=True):
    """One address behind the URL, and what is said of it."""

    address: str
    allowed: bool
    why: str


@click.command("ssrf-check")
@click.argument("url")
@click.option("--provider", is_flag=True, help="As a provider's URL, which the operator names [default: a webhook's].")
@click.option("--project", metavar="ID", default="", help="Count what egress_allow opens for this project.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@where
def ssrf_check(url: str, provider: bool, project: str, as_json: bool, config: str | None, app: str | None) -> int:
    """Say whether URL would be called, and why: exit status 0 if it would, 1 if not.

    The name is resolved here and now; nothing is sent.
    """
    if config is not None and app is not None:
        raise click.UsageError("give --app or --config, not both: the object has its own configuration")
    present = CONFIG if Path(CONFIG).is_file() else None
    river = load(app) if app is not None else Riverflow(config=config or present)
    egress = Egress.of(river.settings)
    purpose: Purpose = "provider" if provider else "delivery"
    found = asyncio.run(_examined(url, egress, purpose, project))
    found = {"url": url, "mode": river.settings.env, "purpose": purpose, **found}
    screen = Screen(sys.stdout)
    if as_json:
        screen.line(json.dumps(found, indent=2))
    else:
        _show(screen, found)
    return 0 if found["allowed"] else 1


async def _examined(url: str, egress: Egress, purpose: Purpose, project: str) -> dict[str, Any]:
    """The verdict and what it rests on."""
    try:
        read = egress.check_url(url, purpose, project)
    except HttpError as error:
        return {"allowed": False, "why": error.message, "addresses": []}
    try:
        answers = await _resolved(read)
    except HttpError as error:
        return {"allowed": False, "why": error.message, "host": read.host, "port": read.port, "addresses": []}
    judged = [_judged(answer, read, egress, purpose, project) for answer in answers]
    refused = [each for each in judged if not each.allowed]
    why = refused[0].why if refused else f"{min(len(judged), DIALLED)} of {len(judged)} addresses may be dialled"
    addresses = [msgspec.structs.asdict(each) for each in judged]
    return {"allowed": not refused, "why": why, "host": read.host, "port": read.port, "addresses": addresses}


async def _resolved(url: Url) -> list[str]:
    if url.address is not None:
        return [str(url.address)]
    resolver = SystemResolver()
    try:
        async with asyncio.timeout(WITHIN):
            answers = list(dict.fromkeys(await resolver(url.host, url.port)))
    except (OSError, UnicodeError):  # TimeoutError is one
        raise HttpError("the host name could not be resolved", code="connection_error") from None
    finally:
        resolver.close()
    return answers


def _judged(answer: str, url: Url, egress: Egress, purpose: Purpose, project: str) -> Judged:
    address = parse_address(answer)
    if address is None:
        return Judged(answer, False, "no address")
    try:
        opening = egress.check_address(address, url.host, purpose, project)
    except HttpError as error:
        return Judged(answer, False, error.message)
    if opening is not None:
        return Judged(answer, True, f"opened by egress_allow {opening.text!r}")
    return Judged(answer, True, "public" if is_public(address) else "private, which is allowed here")


def _show(screen: Screen, found: dict[str, Any]) -> None:
    screen.line(screen.paint(printable(found["url"]), bold=True))
    screen.line(f"  for a {found['purpose']}, in {found['mode']}")
    width = max((len(each["address"]) for each in found["addresses"]), default=0)
    for each in found["addresses"]:
        glyph = screen.paint("✔", fg="green") if each["allowed"] else screen.paint("✘", fg="red")
        screen.line(f"  {glyph} {printable(each['address']).ljust(width)}  {each['why']}")
    verdict = screen.paint("would be called", fg="green") if found["allowed"] else screen.paint("refused", fg="red")
    screen.line(f"{verdict}: {found['why'].removeprefix('refused by the egress policy: ')}")
