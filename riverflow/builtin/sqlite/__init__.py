"""The built-in store: SQLite, in a file or in memory. This package supplies the store and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ...hookspecs import hookimpl
from ...ports import Context, Store

__all__ = ["open_sqlite"]


@hookimpl
def riverflow_stores() -> Mapping[str, Callable[[Context], Store]]:
    return {"sqlite": open_sqlite, "memory": open_sqlite}


def open_sqlite(context: Context) -> Store:
    """The store that `database_url` names: `sqlite:///relative.db`, `sqlite:////absolute/path.db` or `memory://`.

    Raises ConfigError where the URL names no file.
    """
    from .address import Address
    from .store import SqliteStore

    return SqliteStore(Address.parse(context.settings.database_url), context.clock)
