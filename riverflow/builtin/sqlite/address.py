"""Where a database is: reads `database_url`. This module touches no file."""

from __future__ import annotations

from urllib.parse import unquote

import msgspec

from ...errors import ConfigError

__all__ = ["Address"]

_WAYS = "write sqlite:///relative.db, sqlite:////absolute/path.db or memory://"


class Address(msgspec.Struct, frozen=True):
    """A database file, or (`path` None) a private database in memory."""

    path: str | None

    @classmethod
    def parse(cls, url: str) -> Address:
        """Read a URL; what follows the third slash is the path. Raises ConfigError that shows the accepted forms."""
        scheme, _, rest = url.partition("://")
        if scheme == "memory":
            if rest.strip("/"):
                raise ConfigError(f"database_url {url!r}: a database in memory has no name; {_WAYS}")
            return cls(None)
        if not rest.startswith("/"):
            raise ConfigError(f"database_url {url!r}: no host belongs here; {_WAYS}")
        if "?" in rest or "#" in rest:
            raise ConfigError(f"database_url {url!r}: no options belong here; {_WAYS}")
        path = unquote(rest[1:])
        if path in ("", ":memory:"):
            raise ConfigError(f"database_url {url!r} names no file; {_WAYS}")
        return cls(path)

    def __str__(self) -> str:
        return "the database in memory" if self.path is None else f"the database {self.path}"
