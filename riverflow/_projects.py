"""The projects: found by id or name, made, renamed, removed; the first start makes the default one.

Reads are answered from memory until it is told that memory is old. What belongs to a project is not its concern.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import msgspec

from ._kinds import PROJECT, Stored
from ._vault import Vault
from .errors import ConfigError, Conflict, VersionConflict
from .models import Document, Project
from .ports import Clock, Documents, Ids

__all__ = ["DEFAULT", "GONE", "NOWHERE", "Projects"]

NOWHERE = ""  # the project of what belongs to none, projects themselves above all
DEFAULT = "default"
GONE = "deleted_project"  # documents: deleted projects, by id, of which runs are left


class Projects:
    """Projects by id. `changed()` is called after each write."""

    def __init__(
        self, documents: Documents, vault: Vault, *, clock: Clock, ids: Ids, changed: Callable[[], None]
    ) -> None:
        self._documents = documents
        self._vault = vault
        self._clock = clock
        self._ids = ids
        self._changed = changed
        self._read: dict[str, tuple[Document, Stored]] = {}  # by name
        self._by_id: dict[str, Stored] = {}
        self._changes = 0
        self._read_at = -1  # of the changes

    def forget(self) -> None:
        """What is known may have changed. It is still given to those who do not wait."""
        self._changes += 1

    def get(self, project_id: str) -> Project | None:
        """A project as it was known last."""
        stored = self._by_id.get(project_id)
        return None if stored is None else stored.value

    def known(self, project_id: str) -> Project | None:
        """A project, by a memory that is not old."""
        return self.get(project_id) if self._read_at == self._changes else None

    async def find(self, reference: str) -> Stored | None:
        """A project by its id, else by its name."""
        known = await self.all()
        return known.get(reference) or next((s for s in known.values() if s.name == reference), None)

    async def all(self) -> dict[str, Stored]:
        """Every project by id, oldest first."""
        if self._read_at != self._changes:
            before = self._changes
            await self._read_all()
            self._read_at = before
        return self._by_id

    async def make(self, name: str) -> Project:
        """The project of that name; made where there is none."""
        for _ in range(2):
            found = await self._documents.get(NOWHERE, PROJECT.name, name)
            if found is not None:
                stored = self._stored(found)
                self._by_id[stored.value.id] = stored
                project: Project = stored.value
                return project
            try:
                await self.create(name)
            except Conflict:
                continue  # another process was first: read its project
        raise ConfigError(f"the store does not keep the project {name!r}")

    async def create(
        self, name: str, *, secret: str = "", callback_auth: Literal["either", "token", "key"] = "either"
    ) -> Stored:
        """A new project, with a webhook secret where one is to be shown. Raises Conflict, ConfigError."""
        now = self._clock.now()
        project = Project(
            id=self._ids.channel_id(),
            name=name,
            secret=secret,
            token_secret=self._ids.secret(),
            callback_auth=callback_auth,
            issued_at=now if secret else None,
            created_at=now,
        )
        return await self._put(project, expected_version=0)

    async def replace(self, stored: Stored, project: Project) -> Stored:
        """Write a changed project. A new name is a new place: it is written there first, then removed from the old one;
        a crash in between leaves one project under two names. Raises Conflict, ConfigError."""
        if project.name == stored.name:
            return await self._put(project, expected_version=stored.version)
        if stored.name == DEFAULT:
            raise Conflict(
                "the default project keeps its name: it is found by it at each start", code="default_project"
            )
        written = await self._put(project, expected_version=0)
        await self._documents.delete(NOWHERE, PROJECT.name, stored.name)
        self._changed()
        return written

    async def remove(self, project_id: str) -> None:
        """Remove a project under every name it has. Its runs are left to the retention."""
        await self._documents.put(NOWHERE, GONE, project_id, b"{}", now=self._clock.now(), silent=True)
        for document in await self._documents.list(NOWHERE, PROJECT.name):
            if self._stored(document).value.id == project_id:
                await self._documents.delete(NOWHERE, PROJECT.name, document.name)
        self._changed()

    async def _put(self, project: Project, *, expected_version: int) -> Stored:
        body = self._vault.pack(PROJECT, NOWHERE, project.name, project)
        now = self._clock.now()
        try:
            version = await self._documents.put(
                NOWHERE, PROJECT.name, project.name, body, now=now, expected_version=expected_version
            )
        except VersionConflict:
            self._changed()
            if expected_version == 0:
                raise Conflict(f"there is a project {project.name!r} already", code="already_exists") from None
            raise Conflict(f"project {project.name!r} was changed by somebody else; read it again") from None
        self._changed()
        return Stored(name=project.name, value=project, version=version, updated_at=now)

    async def _read_all(self) -> None:
        documents = await self._documents.list(NOWHERE, PROJECT.name)
        read: dict[str, tuple[Document, Stored]] = {}
        for document in documents:  # most are as they were, and need not be opened again
            before = self._read.get(document.name)
            same = before is not None and before[0] == document
            read[document.name] = before if before is not None and same else (document, self._stored(document))
        self._read = read
        every = sorted((stored for _, stored in read.values()), key=lambda s: (s.value.created_at or 0.0, s.value.id))
        self._by_id = {stored.value.id: stored for stored in every}

    def _stored(self, document: Document) -> Stored:
        project = self._vault.unpack(PROJECT, NOWHERE, document.name, document.body)
        return Stored(
            name=document.name,
            value=msgspec.structs.replace(project, name=document.name),
            version=document.version,
            updated_at=document.updated_at,
        )
