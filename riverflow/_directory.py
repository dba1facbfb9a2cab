"""What is configured: projects, workflows, structured outputs and endpoints, from code and from the store.

Reads are answered from memory; the store's change counter says when memory is old. Definitions in code belong to the
default project and are read-only. This module decides who is told of what, and nothing else.
"""

from __future__ import annotations

import hashlib
import logging
import uuid
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, TypeVar

import msgspec

from . import codec
from .config import Declarations
from .errors import ConfigError, Conflict, NotFound, StoreError, VersionConflict
from .models import Document, Endpoint, Plan, Project, StructuredOutput, Target, Workflow
from .ports import Clock, Documents, Handler, Ids

__all__ = ["ENDPOINT", "STRUCTURED_OUTPUT", "WORKFLOW", "Directory", "Kind", "Stored", "WhoIsTold"]

T = TypeVar("T", bound=msgspec.Struct)

logger = logging.getLogger("riverflow.directory")

_PROJECTS = ""  # projects belong to no project


class Kind(msgspec.Struct, frozen=True):
    """A kind of configuration document: its name in the store and its struct."""

    name: str
    struct: Any


WORKFLOW = Kind("workflow", Workflow)
ENDPOINT = Kind("webhook", Endpoint)
STRUCTURED_OUTPUT = Kind("structured_output", StructuredOutput)


class Stored(msgspec.Struct, frozen=True, kw_only=True):
    """One configured thing: the struct, where it comes from, and its version (0: defined in code)."""

    name: str
    value: Any
    version: int = 0
    updated_at: float | None = None

    @property
    def in_code(self) -> bool:
        return self.version == 0


class WhoIsTold(msgspec.Struct, frozen=True):
    """The routing rules over one project's endpoints and this process's handlers (machine.Routing)."""

    endpoints: tuple[Endpoint, ...]
    handlers: Mapping[str, Handler]

    def targets(self, plan: Plan, type: str, event_name: str | None) -> tuple[Target, ...]:
        """Hand-off: a handler wins, else the request's own URL, else every endpoint whose filter takes the event.
        Completion: the handler for it and the endpoints; event-driven runs tell only endpoints that name it.
        Failure: the handler for it and the endpoints that name it. The request's own URL stands in for all of them."""
        if type == "task.ai_generated":
            if event_name in self.handlers:
                return (Target(url=f"local:{event_name}"),)
            return self._remote(plan, lambda e: _takes(e, type, event_name))
        local = (Target(url=f"local:{type}"),) if type in self.handlers else ()
        if type == "task.completed" and plan.event_name is None:
            return local + self._remote(plan, lambda e: _takes(e, type))
        candidates = [e for e in self.endpoints if plan.webhook_url in (None, e.url)]
        return local + tuple(_target(e) for e in candidates if e.enabled and _names(e, type))

    def _remote(self, plan: Plan, takes: Callable[[Endpoint], bool]) -> tuple[Target, ...]:
        url = plan.webhook_url
        if url is not None:
            registered = [e for e in self.endpoints if e.url == url]
            return tuple(_target(e) for e in registered if e.enabled)[:1] if registered else (Target(url=url),)
        return tuple(_target(e) for e in self.endpoints if e.enabled and takes(e))


def _takes(endpoint: Endpoint, *names: str | None) -> bool:
    return not endpoint.events or _names(endpoint, *names)


def _names(endpoint: Endpoint, *names: str | None) -> bool:
    return "*" in endpoint.events or any(name in endpoint.events for name in names)


def _target(endpoint: Endpoint) -> Target:
    return Target(url=endpoint.url, endpoint_id=endpoint.id, encoding=endpoint.encoding, body=endpoint.body)


class Directory:
    """The configured things of every project, by kind and name."""

    def __init__(
        self,
        documents: Documents,
        *,
        clock: Clock,
        ids: Ids,
        declared: Declarations,
        handlers: Mapping[str, Handler],
    ) -> None:
        self._documents = documents
        self._clock = clock
        self._ids = ids
        self._handlers = handlers
        self._declared = declared
        self._cache: dict[tuple[str, str], dict[str, Stored]] = {}
        self._routing: dict[str, WhoIsTold] = {}
        self._projects: dict[str, Project] = {}
        self._seen_changes = -1
        self.default_project = ""
        self.revision = 0  # grows whenever what is known here may have become another

    # Projects

    async def open(self) -> None:
        """Find the default project, or make it on the first start."""
        await self.refresh()
        self.default_project = (await self.make_project("default")).id

    async def make_project(self, name: str) -> Project:
        """The project of that name; made where there is none."""
        for _ in range(2):
            found = await self._documents.get(_PROJECTS, "project", name)
            if found is not None:
                project = msgspec.json.decode(found.body, type=Project)
                self._projects[project.id] = project
                return project
            project = Project(
                id=self._ids.channel_id(), name=name, secret=self._ids.secret(), token_secret=self._ids.secret()
            )
            try:
                await self._put(_PROJECTS, "project", name, codec.encode(project), expected_version=0)
            except VersionConflict:
                continue  # another process was first: read its project
        raise ConfigError(f"the store does not keep the project {name!r}")

    async def known_project(self, project_id: str) -> Project:
        """A project by its id, made here or in another process. Raises NotFound."""
        if project_id not in self._projects:
            for document in await self._documents.list(_PROJECTS, "project"):
                project = msgspec.json.decode(document.body, type=Project)
                self._projects[project.id] = project
        return self.project(project_id)

    def project(self, project_id: str) -> Project:
        """A project that is known here. Raises NotFound."""
        try:
            return self._projects[project_id]
        except KeyError:
            raise NotFound(f"no project {project_id!r}") from None

    # Reading

    async def refresh(self) -> None:
        """Forget what another process has changed."""
        changes = await self._documents.changes()
        if changes != self._seen_changes:
            self._forget()
            self._seen_changes = changes

    async def watch(self, every: float) -> None:
        """Refresh every so many seconds until cancelled."""
        while True:
            await self._clock.sleep(every)
            try:
                await self.refresh()
            except StoreError:
                logger.warning("the store does not answer; configuration is as old as this", exc_info=True)

    async def all(self, project_id: str, kind: Kind) -> Mapping[str, Stored]:
        """Everything of a kind by name, code first."""
        known = self._cache.get((project_id, kind.name))
        return known if known is not None else await self._load(project_id, kind)

    async def find(self, project_id: str, kind: Kind, name: str) -> Stored:
        """One by name (endpoints: by id). Raises NotFound that lists what there is."""
        known = await self._all_with(project_id, kind, name)
        if name in known:
            return known[name]
        some = ", ".join(sorted(known)[:10]) or "none yet"
        raise NotFound(f"no {kind.name} {name!r} in this project (there are: {some})", code=f"{kind.name}_not_found")

    async def workflow(self, project_id: str, name: str) -> Workflow:
        """A workflow by name. Raises NotFound (`model_not_found`, as the contract names it)."""
        known = await self._all_with(project_id, WORKFLOW, name)
        if name in known:
            workflow: Workflow = known[name].value
            return workflow
        some = ", ".join(sorted(known)[:10]) or "none yet"
        raise NotFound(
            f"The workflow {name!r} does not exist in this project (there are: {some})",
            code="model_not_found",
            extra={"param": "workflow"},
        )

    async def _all_with(self, project_id: str, kind: Kind, name: str) -> Mapping[str, Stored]:
        """Everything of a kind, read anew where the name is missing: another process may just have made it."""
        known = await self.all(project_id, kind)
        if name not in known:
            await self.refresh()
            known = await self.all(project_id, kind)
        return known

    async def structured_output(self, project_id: str, reference: str) -> StructuredOutput | None:
        """By name or id; None where there is none (yet)."""
        for stored in (await self.all(project_id, STRUCTURED_OUTPUT)).values():
            value: StructuredOutput = stored.value
            if reference in (value.name, identifier("schema", project_id, value.name)):
                return value
        return None

    async def endpoint(self, project_id: str, endpoint_id: str) -> Endpoint | None:
        stored = (await self.all(project_id, ENDPOINT)).get(endpoint_id)
        return stored.value if stored else None

    async def routing(self, project_id: str) -> WhoIsTold:
        """The routing rules as configured now."""
        known = self._routing.get(project_id)
        if known is None:
            endpoints = tuple(s.value for s in (await self.all(project_id, ENDPOINT)).values())
            known = self._routing[project_id] = WhoIsTold(endpoints, self._handlers)
        return known

    # Writing

    async def create(self, project_id: str, kind: Kind, name: str, value: msgspec.Struct) -> Stored:
        """Raises Conflict where the name is taken."""
        if name in await self.all(project_id, kind):
            raise Conflict(f"a {kind.name} {name!r} exists already; use PATCH to change it", code="already_exists")
        return await self._write(project_id, kind, name, value, expected_version=0)

    async def replace(self, project_id: str, kind: Kind, stored: Stored, value: msgspec.Struct) -> Stored:
        """Raises Conflict where it is defined in code or was changed meanwhile."""
        _writable(kind, stored)
        return await self._write(project_id, kind, stored.name, value, expected_version=stored.version)

    async def remove(self, project_id: str, kind: Kind, name: str) -> None:
        """Raises NotFound, or Conflict where it is defined in code."""
        _writable(kind, await self.find(project_id, kind, name))
        await self._documents.delete(project_id, kind.name, name)
        self._forget()

    # Inside

    async def _write(
        self, project_id: str, kind: Kind, name: str, value: msgspec.Struct, *, expected_version: int
    ) -> Stored:
        try:
            version = await self._put(
                project_id, kind.name, name, codec.encode(value), expected_version=expected_version
            )
        except VersionConflict:
            self._forget()
            raise Conflict(f"{kind.name} {name!r} was changed by somebody else; read it again") from None
        return Stored(name=name, value=value, version=version, updated_at=self._clock.now())

    async def _put(self, project_id: str, kind: str, name: str, body: bytes, *, expected_version: int) -> int:
        version = await self._documents.put(
            project_id, kind, name, body, now=self._clock.now(), expected_version=expected_version
        )
        self._forget()
        return version

    async def _load(self, project_id: str, kind: Kind) -> dict[str, Stored]:
        before = self._seen_changes
        documents = await self._documents.list(project_id, kind.name)
        known = {stored.name: stored for stored in self._declared_of(project_id, kind)}
        for document in documents:
            known.setdefault(document.name, _stored(document, kind))
        if before == self._seen_changes:
            self._cache[project_id, kind.name] = known
        return known

    def _declared_of(self, project_id: str, kind: Kind) -> list[Stored]:
        if project_id != self.default_project:
            return []
        if kind is WORKFLOW:
            return [Stored(name=w.name, value=w) for w in self._declared.workflows]
        if kind is STRUCTURED_OUTPUT:
            return [Stored(name=s.name, value=s) for s in self._declared.structured_outputs]
        return [Stored(name=e.id, value=e) for e in map(_with_id, self._declared.endpoints)]

    def _forget(self) -> None:
        self._cache.clear()
        self._routing.clear()
        self.revision += 1
        self._seen_changes = -1


@lru_cache(maxsize=4096)  # 5 µs each, and every submission says its workflow's
def identifier(prefix: str, project_id: str, name: str) -> str:
    """A stable id for a named thing (`wf_…`, `schema_…`), the same in every process."""
    return f"{prefix}_{uuid.uuid5(uuid.NAMESPACE_URL, f'riverflow:{project_id}:{prefix}:{name}').hex[:20]}"


def _with_id(endpoint: Endpoint) -> Endpoint:
    if endpoint.id:
        return endpoint
    digest = hashlib.sha256(endpoint.url.encode()).hexdigest()[:20]
    return msgspec.structs.replace(endpoint, id=f"ep_{digest}")


def _stored(document: Document, kind: Kind) -> Stored:
    return Stored(
        name=document.name,
        value=msgspec.json.decode(document.body, type=kind.struct),
        version=document.version,
        updated_at=document.updated_at,
    )


def _writable(kind: Kind, stored: Stored) -> None:
    if stored.in_code:
        raise Conflict(
            f"{kind.name} {stored.name!r} is defined in code or in the configuration file; change it there",
            code="defined_in_code",
        )
