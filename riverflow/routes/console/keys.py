"""`/console/key`: the API keys of a project. A key is shown once, where it is made; only its digest is kept."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from ... import _payloads, codec
from ..._directory import KEY, Stored
from ...errors import Conflict, Forbidden, NotFound, Unprocessable
from ...models import ADMIN, SCOPES, ApiKey
from .._door import Call, Reply, Route
from ._resource import Deleted, check_version, converted, members_of

__all__ = ["ROUTES", "project_of"]

DAY = 86_400.0
MAX_LIFE = 3650 * DAY  # seconds; who wants longer wants a key that does not expire


class KeyRequest(msgspec.Struct, kw_only=True):
    """A key to make. It expires `expires_in` seconds or `expires_in_days` days from now, or (neither) never. `project`,
    by id or name, is for the root key alone: others make keys for their own project."""

    name: str
    scopes: tuple[str, ...] = tuple(sorted(SCOPES))
    expires_in: Annotated[float, msgspec.Meta(gt=0, le=MAX_LIFE)] | None = None
    expires_in_days: Annotated[int, msgspec.Meta(ge=1, le=3650)] | None = None
    project: str | None = None


class KeyChange(msgspec.Struct, kw_only=True):
    """What may be changed of a key. Both of `expires_in` and `expires_in_days` count from now; null is never."""

    name: str | msgspec.UnsetType = msgspec.UNSET
    scopes: tuple[str, ...] | msgspec.UnsetType = msgspec.UNSET
    expires_in: Annotated[float, msgspec.Meta(gt=0, le=MAX_LIFE)] | msgspec.UnsetType | None = msgspec.UNSET
    expires_in_days: Annotated[int, msgspec.Meta(ge=1, le=3650)] | msgspec.UnsetType | None = msgspec.UNSET


class KeyQuery(msgspec.Struct, kw_only=True):
    """Whose keys (an id or a name): the caller's own project's where nothing is said, another's for the root key."""

    project: str | None = None


class KeyChangeQuery(KeyQuery, kw_only=True):
    """`version` is the one that the change was made to: where the key has another by now, nothing is changed (409)."""

    version: int | None = None


class KeyResponse(msgspec.Struct, kw_only=True):
    """A key as it stands: `hint` is its beginning and its last four characters, `status` one of `active`, `expired`
    and `revoked`, `last_used_at` is up to a minute late."""

    id: str
    name: str
    hint: str
    status: str
    scopes: tuple[str, ...]
    project_id: str
    created_at: str
    expires_at: str | None
    revoked_at: str | None
    last_used_at: str | None
    version: int


class KeyCreated(KeyResponse, kw_only=True):
    """A new key with the key itself, which is not shown again."""

    key: str


class KeyPage(msgspec.Struct, kw_only=True):
    """All keys of a project, newest first."""

    data: list[KeyResponse]
    has_more: bool = False


async def create(call: Call) -> Reply:
    request: KeyRequest = converted(members_of(call), KeyRequest, "key")
    project_id = await project_of(call, request.project)
    call.checks.name(KEY, request.name)
    lasts = _life(request.expires_in, request.expires_in_days)
    expires_at = None if lasts is None else call.directory.now() + lasts
    stored, text = await call.keys.issue(project_id, request.name, _scopes(request.scopes), expires_at)
    shown = msgspec.structs.asdict(_shown(call, project_id, stored, {}))
    return Reply(codec.encode(KeyCreated(**shown, key=text)), 201)


async def read_all(call: Call) -> Reply:
    project_id = await project_of(call, call.query().get("project"))
    every = (await call.directory.all(project_id, KEY)).values()
    used = await call.keys.last_used(project_id)
    newest = sorted(every, key=lambda stored: (stored.value.created_at, stored.name), reverse=True)
    return Reply(codec.encode(KeyPage(data=[_shown(call, project_id, stored, used) for stored in newest])))


async def read(call: Call) -> Reply:
    project_id, stored = await _found(call)
    return await _reply(call, project_id, stored)


async def change(call: Call) -> Reply:
    project_id, stored = await _found(call)
    stored = await check_version(call, project_id, KEY, stored)
    request: KeyChange = converted(members_of(call), KeyChange, "key")
    if stored.value.revoked_at is not None:
        raise Conflict("the key is revoked, which is for good; make a new one", code="key_revoked")
    changes: dict[str, Any] = {}
    if request.name is not msgspec.UNSET:
        call.checks.name(KEY, request.name)
        changes["name"] = request.name
    if request.scopes is not msgspec.UNSET:
        changes["scopes"] = _scopes(request.scopes)
    if request.expires_in is not msgspec.UNSET or request.expires_in_days is not msgspec.UNSET:
        seconds = None if request.expires_in is msgspec.UNSET else request.expires_in
        lasts = _life(seconds, None if request.expires_in_days is msgspec.UNSET else request.expires_in_days)
        changes["expires_at"] = None if lasts is None else call.directory.now() + lasts
    changed = msgspec.structs.replace(stored.value, **changes)
    return await _reply(call, project_id, await call.directory.replace(project_id, KEY, stored, changed))


async def revoke(call: Call) -> Reply:
    project_id, stored = await _found(call)
    return await _reply(call, project_id, await call.keys.revoke(project_id, stored.name))


async def delete(call: Call) -> Reply:
    project_id, stored = await _found(call)
    await call.keys.remove(project_id, stored.name)
    return Reply(codec.encode(Deleted(name=stored.name)))


async def project_of(call: Call, reference: str | None) -> str:
    """The id of the project that is meant: the caller's own, or for the root key any. Raises Forbidden, NotFound."""
    if reference is None or reference == call.project_id:
        return call.project_id
    own = call.directory.projects.get(call.project_id)
    if own is not None and reference == own.name:
        return own.id
    if not call.identity.root:
        raise Forbidden("only the root key (setting api_key) may look after another project", code="root_key_required")
    found = await call.directory.projects.find(reference)
    if found is None:
        await call.directory.refresh()
        found = await call.directory.projects.find(reference)
    if found is None:
        raise NotFound(f"no project {reference!r}", code="project_not_found", extra={"param": "project"})
    project_id: str = found.value.id
    return project_id


async def _found(call: Call) -> tuple[str, Stored]:
    project_id = await project_of(call, call.query().get("project"))
    return project_id, await call.directory.find(project_id, KEY, call.param("name"))


async def _reply(call: Call, project_id: str, stored: Stored) -> Reply:
    used = await call.keys.last_used(project_id)
    return Reply(codec.encode(_shown(call, project_id, stored, used)))


def _scopes(given: tuple[str, ...]) -> tuple[str, ...]:
    unknown = sorted(set(given) - SCOPES)
    if unknown or not given:
        wrong = f"no scope {unknown[0]!r}" if unknown else "a key without a scope opens nothing"
        raise Unprocessable(
            f"scopes: {wrong}; give some of {', '.join(sorted(SCOPES))}",
            code="invalid_scope",
            extra={"param": "scopes"},
        )
    return tuple(sorted(set(given)))


def _life(seconds: float | None, days: int | None) -> float | None:
    if seconds is not None and days is not None:
        raise Unprocessable("give expires_in (seconds) or expires_in_days, not both", extra={"param": "expires_in"})
    return days * DAY if days is not None else seconds


def _shown(call: Call, project_id: str, stored: Stored, used: dict[str, float]) -> KeyResponse:
    key: ApiKey = stored.value
    return KeyResponse(
        id=key.id,
        name=key.name,
        hint=key.hint,
        status=key.status(call.directory.now()),
        scopes=key.scopes,
        project_id=project_id,
        created_at=_payloads.iso(key.created_at),
        expires_at=_date(key.expires_at),
        revoked_at=_date(key.revoked_at),
        last_used_at=_date(used.get(key.id)),
        version=stored.version,
    )


def _date(at: float | None) -> str | None:
    return None if at is None else _payloads.iso(at)


def _route(method: str, path: str, verb: Any, summary: str, **members: Any) -> Route:
    return Route(method=method, path=f"/console/key{path}", verb=verb, scope=ADMIN, summary=summary, **members)


ROUTES = (
    _route(
        "POST", "", create, "Make an API key; it is shown once.",
        takes=KeyRequest, gives=KeyCreated, status=201, errors=(400, 401, 403, 404, 413, 422),
    ),
    _route("GET", "", read_all, "All API keys of a project.", query=KeyQuery, gives=KeyPage, errors=(401, 403, 404)),
    _route("GET", "/{name}", read, "One API key.", query=KeyQuery, gives=KeyResponse, errors=(401, 403, 404)),
    _route(
        "PATCH", "/{name}", change, "Change the name, scopes or expiry of an API key.",
        query=KeyChangeQuery, takes=KeyChange, gives=KeyResponse, errors=(400, 401, 403, 404, 409, 413, 422),
    ),
    _route(
        "POST", "/{name}/revoke", revoke, "From now on the API key lets nobody in.",
        query=KeyQuery, gives=KeyResponse, errors=(401, 403, 404),
    ),
    _route("DELETE", "/{name}", delete, "Delete an API key.", query=KeyQuery, gives=Deleted, errors=(401, 403, 404)),
)  # fmt: skip
