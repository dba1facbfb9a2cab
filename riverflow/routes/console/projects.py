"""`/console/project`: the projects, which see nothing of one another.

The root key makes, renames and deletes them; any other key sees its own project alone.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from ... import _payloads, codec
from ..._directory import CREDENTIAL, ENDPOINT, KEY, PROJECT, STRUCTURED_OUTPUT, WORKFLOW, Stored
from ..._projects import DEFAULT
from ..._rotation import rotated
from ...errors import ConfigError, Conflict, Forbidden, Unprocessable
from ...models import ADMIN, Project
from .._door import Call, Reply, Route
from ._resource import Deleted, asked, converted, members_of
from .keys import project_of
from .webhooks import Retired, RotateRequest, retired_of

__all__ = ["ROUTES"]


class ProjectRequest(msgspec.Struct, kw_only=True):
    """A project to make, or what of it is to be another. `callback_auth` is what a callback must bring: its own
    `token`, an API `key`, or `either`."""

    name: str
    callback_auth: Literal["either", "token", "key"] = "either"


class ProjectChange(msgspec.Struct, kw_only=True):
    """What of a project is to be another; the rest stays as it is."""

    name: str | None = None
    callback_auth: Literal["either", "token", "key"] | None = None


class ProjectResponse(msgspec.Struct, kw_only=True):
    """A project as it stands. `has_secret`: it was issued a secret that signs deliveries to the requests' own
    `webhook_url`; `retired` are earlier ones that still hold."""

    id: str
    name: str
    default: bool
    callback_auth: Literal["either", "token", "key"]
    has_secret: bool
    retired: list[Retired]
    created_at: str | None
    updated_at: str | None


class ProjectSecret(ProjectResponse, kw_only=True):
    """A project with its new secret, which is not shown again."""

    secret: str


class ProjectPage(msgspec.Struct, kw_only=True):
    """The projects that the caller may see, oldest first."""

    data: list[ProjectResponse]
    has_more: bool = False


async def create(call: Call) -> Reply:
    _root_only(call)
    request: ProjectRequest = converted(members_of(call), ProjectRequest, "project")
    call.checks.name(PROJECT, request.name)
    secret = call.ids.secret()
    try:
        stored = await call.directory.projects.create(request.name, secret=secret, callback_auth=request.callback_auth)
    except ConfigError as error:
        raise _unsealed(error) from None
    return Reply(codec.encode(_with_secret(call, stored, secret)), 201)


async def read_all(call: Call) -> Reply:
    every = (await call.directory.projects.all()).values()
    seen = [stored for stored in every if call.identity.root or stored.value.id == call.project_id]
    return Reply(codec.encode(ProjectPage(data=[_shown(call, stored) for stored in seen])))


async def read(call: Call) -> Reply:
    return Reply(codec.encode(_shown(call, await _found(call))))


async def change(call: Call) -> Reply:
    _root_only(call)
    stored = await _found(call)
    request: ProjectChange = converted(members_of(call), ProjectChange, "project")
    if request.name is not None:
        call.checks.name(PROJECT, request.name)
    changes = {name: value for name, value in msgspec.structs.asdict(request).items() if value is not None}
    return Reply(codec.encode(_shown(call, await _written(call, stored, **changes))))


async def rotate(call: Call) -> Reply:
    request: RotateRequest = asked(call, RotateRequest, "rotate")
    stored = await _found(call)
    now, secret = call.directory.now(), call.ids.secret()
    project = rotated(stored.value, secret, now, request.overlap)
    written = await _written(call, stored, secret=secret, retired=project.retired, issued_at=now)
    return Reply(codec.encode(_with_secret(call, written, secret)))


async def delete(call: Call) -> Reply:
    _root_only(call)
    stored = await _found(call)
    project: Project = stored.value
    if project.name == DEFAULT:
        raise Conflict("the default project stays: riverflow itself lives in it", code="default_project")
    if await call.engine.unfinished(project.id):
        raise Conflict(
            f"project {project.name!r} has runs that have not ended; wait for them or cancel them",
            code="project_busy",
        )
    await call.directory.refresh()  # what another process has just made goes as well
    for key_id in [*await call.directory.all(project.id, KEY)]:  # first, so that nobody comes in any more
        await call.keys.remove(project.id, key_id)
    for kind in (ENDPOINT, CREDENTIAL, WORKFLOW, STRUCTURED_OUTPUT):
        for name in [*await call.directory.all(project.id, kind)]:
            await call.directory.remove(project.id, kind, name)
    await call.directory.projects.remove(project.id)
    return Reply(codec.encode(Deleted(name=project.name)))


async def _found(call: Call) -> Stored:
    project_id = await project_of(call, call.param("name"))
    await call.directory.known_project(project_id)  # raises NotFound
    return (await call.directory.projects.all())[project_id]


async def _written(call: Call, stored: Stored, **changes: Any) -> Stored:
    try:
        return await call.directory.projects.replace(stored, msgspec.structs.replace(stored.value, **changes))
    except ConfigError as error:
        raise _unsealed(error) from None


def _root_only(call: Call) -> None:
    if not call.identity.root:
        raise Forbidden("only the root key (setting api_key) may make or change projects", code="root_key_required")


def _unsealed(error: ConfigError) -> Unprocessable:
    return Unprocessable(str(error), code="secret_key_required")


def _shown(call: Call, stored: Stored) -> ProjectResponse:
    project: Project = stored.value
    return ProjectResponse(
        id=project.id,
        name=project.name,
        default=project.id == call.directory.default_project,
        callback_auth=project.callback_auth,
        has_secret=project.issued_at is not None,
        retired=retired_of(project, call.directory.now()),
        created_at=None if project.created_at is None else _payloads.iso(project.created_at),
        updated_at=None if stored.updated_at is None else _payloads.iso(stored.updated_at),
    )


def _with_secret(call: Call, stored: Stored, secret: str) -> ProjectSecret:
    return ProjectSecret(**msgspec.structs.asdict(_shown(call, stored)), secret=secret)


def _route(method: str, path: str, verb: Any, summary: str, **members: Any) -> Route:
    return Route(method=method, path=f"/console/project{path}", verb=verb, scope=ADMIN, summary=summary, **members)


ROUTES = (
    _route(
        "POST", "", create, "Make a project; its webhook secret is shown once. For the root key.",
        takes=ProjectRequest, gives=ProjectSecret, status=201, errors=(400, 401, 403, 409, 413, 422),
    ),
    _route("GET", "", read_all, "All projects, or the caller's own.", gives=ProjectPage, errors=(401, 403)),
    _route("GET", "/{name}", read, "One project, by id or name.", gives=ProjectResponse, errors=(401, 403, 404)),
    _route(
        "PATCH", "/{name}", change, "Rename a project. For the root key.",
        takes=ProjectChange, gives=ProjectResponse, errors=(400, 401, 403, 404, 409, 413, 422),
    ),
    _route(
        "POST", "/{name}/rotate", rotate, "Replace the webhook secret of a project; the new one is shown once.",
        takes=RotateRequest, gives=ProjectSecret, errors=(400, 401, 403, 404, 409, 413, 422),
    ),
    _route(
        "DELETE", "/{name}", delete, "Delete a project with its keys and all that is configured. For the root key.",
        gives=Deleted, errors=(401, 403, 404, 409),
    ),
)  # fmt: skip
