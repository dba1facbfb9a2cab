"""The statements of queries.sql by name. This module reads the package's own SQL files and runs none of it."""

from __future__ import annotations

import re
from functools import cache
from importlib import resources

__all__ = ["migrations", "query", "schema"]

_NAME = re.compile(r"^-- (\w+) --$", re.MULTILINE)


def query(name: str) -> str:
    """The statement of that name, without its comment. Raises KeyError."""
    return _queries()[name]


def schema() -> str:
    """The schema as of today."""
    return _read("schema.sql")


@cache
def migrations() -> tuple[str, ...]:
    """The migrations in order: the first brings an empty database to version 1, and so on."""
    folder = resources.files(__package__).joinpath("migrations")
    names = sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(".sql"))
    return tuple(_read(f"migrations/{name}") for name in names)


@cache
def _queries() -> dict[str, str]:
    _, *parts = _NAME.split(_read("queries.sql"))
    found = {name: _statement(block) for name, block in zip(parts[::2], parts[1::2], strict=True)}
    status = found["delivery_status"]
    return {name: text.replace("{delivery_status}", status) for name, text in found.items()}


def _statement(block: str) -> str:
    return "\n".join(line for line in block.strip().splitlines() if not line.startswith("--"))


def _read(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")
