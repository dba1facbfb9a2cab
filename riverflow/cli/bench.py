"""`riverflow bench`: measures this machine and prints a table. What is measured is the bench package's business."""

from __future__ import annotations

import asyncio
import sys
from importlib.util import find_spec
from pathlib import Path

import click
import msgspec

from ..errors import ConfigError

__all__ = ["bench"]

_MODES = ("R", "I", "W", "S", "R-tls", "R-25kB")
_PARTS = (*_MODES, "durability", "idle", "history", "recovery", "neighbours", "console", "passthrough")
_NEEDED = ("aiohttp", "uvicorn", "uvloop", "httptools", "websockets")


@click.command()
@click.argument("parts", nargs=-1, type=click.Choice(_PARTS))
@click.option("--rounds", default=15, show_default=True, type=click.IntRange(1, 99), help="Rounds of each.")
@click.option("--flows", default=1000, show_default=True, type=click.IntRange(64), help="Flows of a round.")
@click.option("--payload", default=1000, show_default=True, type=click.IntRange(400, 200_000), help="Bytes, about.")
@click.option("--structured", is_flag=True, help="Validate the AI's answer against a JSON Schema.")
@click.option("--subscribers", default=5000, show_default=True, type=click.IntRange(256, 20_000))
@click.option(
    "--history", default=100_000, show_default=True, type=click.IntRange(1), help="Finished runs in the store."
)
@click.option(
    "--waiting", default=100_000, show_default=True, type=click.IntRange(1), help="Waiting runs in the store."
)
@click.option(
    "--listed", default=1_000_000, show_default=True, type=click.IntRange(1000), help="Runs under the console."
)
@click.option("--profile", multiple=True, type=click.Choice(_MODES[:4]), help="Show where a mode's time goes.")
@click.option("--json", "json_file", type=click.Path(dir_okay=False, path_type=Path), help="Write the results here.")
@click.option("--folder", type=click.Path(exists=True, file_okay=False, path_type=Path), help="The disk to measure.")
def bench(
    parts: tuple[str, ...],
    rounds: int,
    flows: int,
    payload: int,
    structured: bool,
    subscribers: int,
    history: int,
    waiting: int,
    listed: int,
    profile: tuple[str, ...],
    json_file: Path | None,
    folder: Path | None,
) -> None:
    """Measure what a durable run costs on this machine, in ratios to the same exchanges without durability.

    PARTS choose what is measured: all of it takes some minutes. The machine should have nothing else to do.
    """
    missing = [name for name in _NEEDED if find_spec(name) is None]
    if missing:
        raise ConfigError(f"{', '.join(missing)} is not installed: pip install 'riverflow[bench]'")
    from .. import bench as measuring

    plan = measuring.Plan(
        parts=parts or (() if profile else _PARTS),
        rounds=rounds,
        flows=flows,
        payload=payload,
        structured=structured,
        subscribers=subscribers,
        history=history,
        waiting=waiting,
        listed=listed,
        profile=profile,
        folder=folder,
    )
    report = asyncio.run(measuring.run(plan, lambda text: click.echo(text, file=sys.stderr)))
    click.echo(measuring.table(report), nl=False)
    if json_file is not None:
        json_file.write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n")
    if slow := measuring.too_slow(report.console):
        pages = ", ".join(f"{each.page} ({each.median_ms:.0f} ms)" for each in slow)
        raise click.ClickException(f"console: over {measuring.LIMIT_MS:.0f} ms in the median: {pages}")
