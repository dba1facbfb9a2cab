"""What is configured: workflows, structured outputs, endpoints, keys and credentials, from code and from the store.

Reads are answered from memory; the store's change counter says when memory is old. Definitions in code belong to the
default project and are read-only. What a document means is not this module's concern.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from secrets import token_urlsafe

import msgspec

from ._kinds import (
    CREDENTIAL,
    ENDPOINT,
    KEY,
    PROJECT,
    STRUCTURED_OUTPUT,
    WORKFLOW,
    Kind,
    Stored,
    identifier,
)
from ._projects import DEFAULT, Projects
from ._shelf import Shelf, check_writable
from ._switches import Switches
from ._told import WhoIsTold
from ._vault import Vault
from .config import Declarations
from .errors import Conflict, NotFound, StoreError
from .models import Credential, Endpoint, Project, StructuredOutput, Workflow
from .ports import Clock, Documents, Handler, Ids

__all__ = [
    "CREDENTIAL",
    "ENDPOINT",
    "KEY",
    "PROJECT",
    "STRUCTURED_OUTPUT",
    "WORKFLOW",
    "Directory",
    "Kind",
    "Stored",
    "WhoIsTold",
    "identifier",
]

logger = logging.getLogger("riverflow.directory")


class Directory:
    """The configured things of every project, by kind and name."""

    def __init__(
        self,
        documents: Documents,
        *,
        vault: Vault,
        clock: Clock,
        ids: Ids,
        declared: Declarations,
        handlers: Mapping[str, Handler],
    ) -> None:
        self._documents = documents
        self._clock = clock
        self._handlers = handlers
        self._shelf = Shelf(documents, vault, clock, declared)
        self._cache: dict[tuple[str, str], dict[str, Stored]] = {}
        self._routing: dict[str, WhoIsTold] = {}
        self._seen_changes = -1
        self._switches = Switches(documents, clock)
        self.projects = Projects(documents, vault, clock=clock, ids=ids, changed=self.forget)
        self.default_project = ""
        self.rotating: set[tuple[str, str]] = set()  # endpoints (project, id) that were seen with retired secrets
        self.revision = 0  # grows whenever what is known here may have become another

    def now(self) -> float:
        """Unix seconds, by the clock that documents are dated with."""
        return self._clock.now()

    # Projects

    async def open(self) -> None:
        """Find the default project, or make it on the first start."""
        await self.refresh()
        self.default_project = (await self.make_project(DEFAULT)).id

    async def make_project(self, name: str) -> Project:
        """The project of that name; made where there is none."""
        return await self.projects.make(name)

    async def known_project(self, project_id: str) -> Project:
        """A project by its id, made here or in another process. Raises NotFound."""
        known = self.projects.known(project_id)
        if known is not None:
            return known
        if project_id not in await self.projects.all():
            await self.refresh()
            await self.projects.all()
        return self.project(project_id)

    def project(self, project_id: str) -> Project:
        """A project that is known here. Raises NotFound."""
        project = self.projects.get(project_id)
        if project is None:
            raise NotFound(f"no project {project_id!r}", code="project_not_found")
        return project

    # Reading

    async def refresh(self) -> None:
        """Forget what another process has changed."""
        changes = await self._documents.changes()
        if changes != self._seen_changes:
            self.forget()
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

    async def credential(self, project_id: str, provider: str) -> Credential | None:
        """A project's own account with a provider; None where it has none."""
        known = self._cache.get((project_id, CREDENTIAL.name))
        stored = (known if known is not None else await self._load(project_id, CREDENTIAL)).get(provider)
        return stored.value if stored else None

    async def routing(self, project_id: str) -> WhoIsTold:
        """The routing rules as configured now."""
        known = self._routing.get(project_id)
        if known is None:
            before = self.revision
            endpoints = tuple(s.value for s in (await self.all(project_id, ENDPOINT)).values())
            known = WhoIsTold(endpoints, self._handlers, await self._owner(project_id))
            if before == self.revision:
                self._routing[project_id] = known
        return known

    async def _owner(self, project_id: str) -> Project:
        """The project, or one that nobody's token is good for: deleted while its last runs end."""
        try:
            return await self.known_project(project_id)
        except NotFound:
            return Project(id=project_id, name="", token_secret=token_urlsafe(32))

    # Writing

    async def create(self, project_id: str, kind: Kind, name: str, value: msgspec.Struct) -> Stored:
        """Raises Conflict where the name is taken."""
        if name in await self.all(project_id, kind):
            raise Conflict(f"a {kind.name} {name!r} exists already; use PATCH to change it", code="already_exists")
        return await self._write(project_id, kind, name, value, expected_version=0)

    async def replace(self, project_id: str, kind: Kind, stored: Stored, value: msgspec.Struct) -> Stored:
        """Raises Conflict where it is defined in code or was changed meanwhile."""
        check_writable(kind, stored)
        return await self._write(project_id, kind, stored.name, value, expected_version=stored.version)

    async def remove(self, project_id: str, kind: Kind, name: str) -> None:
        """Raises NotFound, or Conflict where it is defined in code."""
        check_writable(kind, await self.find(project_id, kind, name))
        await self._shelf.remove(project_id, kind, name)
        self.forget()

    async def switch_off(self, project_id: str, endpoint_id: str, because: str) -> bool:
        """Disable an endpoint on riverflow's own account; False where it is off or gone already, or somebody else was
        first."""
        stored = (await self.all(project_id, ENDPOINT)).get(endpoint_id)
        if stored is None or not stored.value.enabled:
            return False
        if stored.in_code:
            done = await self._switches.off(project_id, stored.value, because)
            self.forget()
            return done
        off = msgspec.structs.replace(stored.value, enabled=False, disabled_because=because)
        try:
            await self.replace(project_id, ENDPOINT, stored, off)
        except Conflict:
            return False
        return True

    async def switch_on(self, project_id: str, endpoint_id: str) -> Stored:
        """Enable an endpoint again, whoever has disabled it. Raises NotFound, and Conflict where it is disabled in
        code."""
        stored = await self.find(project_id, ENDPOINT, endpoint_id)
        if stored.value.enabled:
            return stored
        if not stored.in_code:
            on = msgspec.structs.replace(stored.value, enabled=True, disabled_because=None)
            return await self.replace(project_id, ENDPOINT, stored, on)
        if stored.value.disabled_because is None:
            check_writable(ENDPOINT, stored)
        await self._switches.on(project_id, endpoint_id)
        self.forget()
        return await self.find(project_id, ENDPOINT, endpoint_id)

    # Inside

    async def _write(
        self, project_id: str, kind: Kind, name: str, value: msgspec.Struct, *, expected_version: int
    ) -> Stored:
        try:
            return await self._shelf.write(project_id, kind, name, value, expected_version=expected_version)
        finally:
            self.forget()

    async def _load(self, project_id: str, kind: Kind) -> dict[str, Stored]:
        before = self.revision
        stored = await self._shelf.read(project_id, kind)
        known = self._shelf.declared(kind) if project_id == self.default_project else {}
        if kind is ENDPOINT:
            self.rotating.update((project_id, each.name) for each in stored if each.value.retired)
            known = await self._switches.applied(project_id, known)
        for each in stored:
            known.setdefault(each.name, each)
        if before == self.revision:
            self._cache[project_id, kind.name] = known
        return known

    def forget(self) -> None:
        """What is known may have changed: read it anew."""
        self.projects.forget()
        self._cache.clear()
        self._routing.clear()
        self.revision += 1
        self._seen_changes = -1
