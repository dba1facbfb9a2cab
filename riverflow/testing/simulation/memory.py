"""A store that is nothing but dictionaries: ports.Store in pure Python, for simulations and for reading.

It forgets with its last reference, has no threads and never waits; what can go wrong is put around it, not into it.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, cast

from ...codec import decode
from ...errors import StoreUnavailable, VersionConflict
from ...models import CHECKPOINTS, Append, Document, RunFilter, Standing, Total, totals_of
from ...ports import EVERY_RUN, Documents, EntryPage, Notifier, Queue, RunLog, RunPage, StoredRun
from .claims import MemoryQueue
from .tables import Tables

__all__ = ["MemoryDocuments", "MemoryLog", "MemoryStore", "Post"]


class MemoryLog:
    """ports.RunLog over Tables."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    async def append(self, append: Append) -> int:
        return self._tables.append(append)

    async def load(self, project_id: str | None, run_id: str) -> StoredRun | None:
        run = self._tables.runs.get(run_id)
        if run is None or project_id not in (None, run.project_id):
            return None
        checkpoints = tuple(entry for entry in self._tables.entries[run_id] if entry.kind in CHECKPOINTS)
        return StoredRun(run=run, checkpoints=checkpoints)

    async def entries_after(
        self, project_id: str, run_id: str, after: int, *, limit: int = 1000, public: bool = False
    ) -> EntryPage | None:
        run = self._tables.runs.get(run_id)
        if run is None or run.project_id != project_id:
            return None
        entries = self._tables.entries[run_id]
        shown = [entry for entry in entries[max(after, 0) :] if entry.public or not public]
        return EntryPage(entries=tuple(shown[:limit]), latest=len(entries))

    async def runs(
        self,
        project_id: str,
        wanted: RunFilter = EVERY_RUN,
        *,
        before: str | None = None,
        after: str | None = None,
        limit: int = 100,
    ) -> RunPage:
        found = [
            run
            for run in self._tables.runs.values()
            if run.project_id == project_id
            and (before is None or run.id < before)
            and (after is None or run.id > after)
            and wanted.takes(run, decode(run.summary.customer))
        ]
        back = after is not None and before is None
        found.sort(key=lambda run: run.id, reverse=not back)
        page = found[:limit]
        return RunPage(runs=tuple(page[::-1] if back else page), has_more=len(found) > limit)

    async def totals(
        self, project_id: str, since: float, until: float, bucket: int, wanted: RunFilter = EVERY_RUN
    ) -> tuple[Total, ...]:
        ended = (run for run in self._tables.ended if run.project_id == project_id and wanted.counts(run))
        return totals_of((run for run in ended if since <= (run.finished_at or 0.0) < until), bucket)

    async def standing(self, project_id: str) -> Standing:
        own = [run for run in self._tables.runs.values() if run.project_id == project_id]
        phases = Counter(run.phase for run in own)
        held = sum(RunFilter(approval=True).counts(run) for run in own)
        return Standing(running=phases["running"], waiting=phases["waiting"], approvals=held)

    async def prune(self, finished_before: float, *, limit: int = 1000, given_up_after: float | None = None) -> int:
        ended = [
            (run.finished_at, run.id)
            for run in self._tables.runs.values()
            if run.finished_at is not None
            and run.finished_at < finished_before
            and (given_up_after is None or not self._is_spared(run.id, given_up_after))
        ]
        for _, run_id in sorted(ended)[:limit]:
            self._tables.forget_run(run_id)
        return min(len(ended), limit)

    def _is_spared(self, run_id: str, given_up_after: float) -> bool:
        return any(
            each.status == "pending" or (each.status in ("dead", "expired") and each.due_at > given_up_after)
            for each in self._tables.owed_for(run_id)
        )

    async def strip(self, since: float, until: float, *, limit: int = 1000) -> tuple[int, float]:
        ended = sorted(
            (run.finished_at, run.id)
            for run in self._tables.runs.values()
            if run.finished_at is not None and since < run.finished_at <= until
        )
        reached = ended[limit - 1][0] if len(ended) >= limit else until
        batch = [run_id for at, run_id in ended if at <= reached]
        for run_id in batch:
            self._tables.strip_run(run_id)
        return len(batch), reached

    async def erase(self, project_id: str, run_ids: Sequence[str]) -> int:
        found = [
            run_id for run_id in run_ids if (run := self._tables.runs.get(run_id)) and run.project_id == project_id
        ]
        for run_id in found:
            self._tables.forget_run(run_id)
        return len(found)


class MemoryDocuments:
    """ports.Documents over Tables."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    async def get(self, project_id: str, kind: str, name: str) -> Document | None:
        return self._tables.documents.get((project_id, kind, name))

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
        known = self._tables.documents.get((project_id, kind, name))
        version = 0 if known is None else known.version
        if expected_version not in (None, version):
            raise VersionConflict(f"{kind} {name!r} is at version {version}, not {expected_version}")
        self._tables.documents[project_id, kind, name] = Document(
            kind=kind, name=name, project_id=project_id, version=version + 1, body=body, updated_at=now
        )
        self._tables.changes += not silent
        return version + 1

    async def list(self, project_id: str, kind: str) -> tuple[Document, ...]:
        return tuple(
            document
            for key, document in sorted(self._tables.documents.items(), key=lambda item: item[0])
            if key[:2] == (project_id, kind)
        )

    async def delete(self, project_id: str, kind: str, name: str) -> bool:
        if self._tables.documents.pop((project_id, kind, name), None) is None:
            return False
        self._tables.changes += 1
        return True

    async def changes(self) -> int:
        return self._tables.changes

    async def mark(
        self, project_id: str, scope: str, key: str, value: bytes, *, now: float, expires_at: float
    ) -> bytes | None:
        markers = self._tables.markers
        there, until = markers.get((project_id, scope, key), (b"", now))
        if until > now:
            return there
        markers[project_id, scope, key] = (value, expires_at)
        return None

    async def marked(self, project_id: str, scope: str, key: str, *, now: float) -> bytes | None:
        there, until = self._tables.markers.get((project_id, scope, key), (b"", now))
        return there if until > now else None

    async def unmark(self, project_id: str, scope: str, key: str) -> bool:
        return self._tables.markers.pop((project_id, scope, key), None) is not None


class Post:
    """How the stores over one set of tables tell each other of news. `carry` takes each message on its way (by default
    it is there on the loop's next turn) and may delay or lose it."""

    def __init__(self, carry: Callable[[Callable[[], None]], None] = lambda deliver: deliver()) -> None:
        self._carry = carry
        self._listeners: dict[_Listener, object] = {}

    def listen(self, listener: _Listener, by: object) -> None:
        self._listeners[listener] = by

    def leave(self, listener: _Listener) -> None:
        self._listeners.pop(listener, None)

    def send(self, run_id: str, by: object) -> None:
        """To every listener but the sender's own."""
        for listener, owner in list(self._listeners.items()):
            if owner is not by:
                self._carry(lambda listener=listener: listener.hear(run_id))  # type: ignore[misc]


class _Listener:
    """One call of `listen`; it hears in the context in which it was made."""

    def __init__(self, wake: Callable[[str | None], None]) -> None:
        self._wake = wake
        self._loop = asyncio.get_running_loop()
        self._context = contextvars.copy_context()

    def hear(self, run_id: str) -> None:
        self._loop.call_soon(self._wake, run_id, context=self._context)


class _MemoryNotifier:
    """ports.Notifier over a Post."""

    def __init__(self, post: Post) -> None:
        self._post = post

    def publish(self, run_id: str, number: int) -> None:
        self._post.send(run_id, self)

    async def listen(self, wake: Callable[[str | None], None]) -> None:
        listener = _Listener(wake)
        self._post.listen(listener, self)
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            self._post.leave(listener)

    async def aclose(self) -> None:
        return None


class MemoryStore:
    """ports.Store over Tables, which other stores may share: then give all of them one `post` as well."""

    def __init__(self, tables: Tables | None = None, post: Post | None = None) -> None:
        self._tables = tables or Tables()
        self._notifier = _MemoryNotifier(post or Post())
        self.is_open = False
        self._log = MemoryLog(self._tables)
        self._queue = MemoryQueue(self._tables)
        self._documents = MemoryDocuments(self._tables)

    @property
    def log(self) -> RunLog:
        return cast("RunLog", _Face(self._log, self))

    @property
    def queue(self) -> Queue:
        return cast("Queue", _Face(self._queue, self))

    @property
    def documents(self) -> Documents:
        return cast("Documents", _Face(self._documents, self))

    @property
    def notifier(self) -> Notifier:
        return self._notifier

    async def open(self) -> None:
        self.is_open = True

    async def aclose(self) -> None:
        self.is_open = False


class _Face:
    """The methods of one port, for as long as the store is open."""

    def __init__(self, port: object, store: MemoryStore) -> None:
        self._port = port
        self._store = store

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._port, name)

        async def call(*args: Any, **options: Any) -> Any:
            if not self._store.is_open:
                raise StoreUnavailable("the store is not open")
            return await method(*args, **options)

        return call
