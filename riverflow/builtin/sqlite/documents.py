"""Small versioned documents and expiring markers. What a document says is nobody's business here."""

from __future__ import annotations

from sqlite3 import Connection

from ...errors import VersionConflict
from ...models import Document
from .queries import query
from .rows import document_from
from .worker import Worker

__all__ = ["SqliteDocuments"]


class SqliteDocuments:
    """ports.Documents on SQLite."""

    def __init__(self, writer: Worker, reader: Worker) -> None:
        self._writer = writer
        self._reader = reader

    async def get(self, project_id: str, kind: str, name: str) -> Document | None:
        key = (project_id, kind, name)
        row = await self._reader.look(lambda db: db.execute(query("document"), key).fetchone())
        return None if row is None else document_from(row)

    async def put(
        self,
        project_id: str,
        kind: str,
        name: str,
        body: bytes,
        *,
        now: float,
        expected_version: int | None = None,
        silent: bool = False,
    ) -> int:
        def change(db: Connection) -> int:
            row = db.execute(query("document_version"), (project_id, kind, name)).fetchone()
            version: int = 0 if row is None else row[0]
            if expected_version is not None and version != expected_version:
                raise VersionConflict(f"{kind} {name!r} is at version {version}, not {expected_version}")
            db.execute(query("write_document"), (project_id, kind, name, version + 1, body, now))
            if not silent:
                db.execute(query("count_change"))
            return version + 1

        return await self._writer.change(change, aside=True)

    async def list(self, project_id: str, kind: str) -> tuple[Document, ...]:
        rows = await self._reader.look(lambda db: db.execute(query("documents"), (project_id, kind)).fetchall())
        return tuple(map(document_from, rows))

    async def delete(self, project_id: str, kind: str, name: str) -> bool:
        def change(db: Connection) -> bool:
            if db.execute(query("delete_document"), (project_id, kind, name)).rowcount == 0:
                return False
            db.execute(query("count_change"))
            return True

        return await self._writer.change(change, aside=True)

    async def changes(self) -> int:
        row = await self._reader.look(lambda db: db.execute(query("changes")).fetchone())
        return int(row[0])

    async def mark(
        self, project_id: str, scope: str, key: str, value: bytes, *, now: float, expires_at: float
    ) -> bytes | None:
        marker = {"project_id": project_id, "scope": scope, "key": key}

        def change(db: Connection) -> bytes | None:
            left = {**marker, "value": value, "now": now, "expires_at": expires_at}
            if db.execute(query("leave_marker"), left).rowcount == 0:
                there: bytes = db.execute(query("marker"), marker).fetchone()[0]
                return there
            db.execute(query("forget_markers"), (now,))
            return None

        return await self._writer.change(change, aside=True)

    async def marked(self, project_id: str, scope: str, key: str, *, now: float) -> bytes | None:
        marker = {"project_id": project_id, "scope": scope, "key": key, "now": now}
        row = await self._reader.look(lambda db: db.execute(query("marker_alive"), marker).fetchone())
        return None if row is None else row[0]

    async def unmark(self, project_id: str, scope: str, key: str) -> bool:
        return await self._writer.change(
            lambda db: db.execute(query("remove_marker"), (project_id, scope, key)).rowcount > 0, aside=True
        )
