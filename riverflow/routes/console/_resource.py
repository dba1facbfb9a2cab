"""One kind of document under `/console/<kind>`: created, listed, read, changed, deleted, alike for every kind.

What a kind's members mean is said where the kind is; nothing secret leaves through here.
"""

from __future__ import annotations

from typing import Any

import msgspec

from ... import _payloads, codec
from ..._directory import Kind, Stored
from ...errors import Conflict, InvalidRequest, Unprocessable
from ...models import ADMIN
from .._door import Call, Reply, Route

__all__ = [
    "Deleted",
    "Page",
    "Resource",
    "VersionQuery",
    "asked",
    "check_version",
    "converted",
    "members_of",
    "origin",
    "routes",
    "whole",
]


class Page(msgspec.Struct, kw_only=True):
    """A list of documents; everything is on one page."""

    data: list[dict[str, Any]]
    has_more: bool = False


class Deleted(msgspec.Struct, kw_only=True):
    """It is gone."""

    name: str
    deleted: bool = True


class VersionQuery(msgspec.Struct, kw_only=True):
    """The version that the change was made to: where the document has another by now, nothing is changed (409)."""

    version: int | None = None


class Resource:
    """One kind of document under `/console/<kind>`: how it is checked, named and shown."""

    kind: Kind
    takes: Any
    gives: Any
    fixed: tuple[str, ...] = ("name",)  # members that PATCH cannot change

    def members(self, stored: Stored) -> dict[str, Any]:
        """The members that PATCH starts from."""
        members: dict[str, Any] = msgspec.to_builtins(stored.value)
        return members

    async def build(self, call: Call, members: dict[str, Any], stored: Stored | None) -> tuple[str, Any]:
        """The name and the checked struct. Raises Unprocessable or InvalidRequest."""
        raise NotImplementedError

    async def warnings(self, call: Call, value: Any) -> list[str]:
        return []

    def shown(self, call: Call, stored: Stored) -> dict[str, Any]:
        """As the API answers it: no secret, where it comes from, when it changed."""
        raise NotImplementedError

    async def create(self, call: Call) -> Reply:
        members, ignored = self._read(call)
        name, value = await self.build(call, members, None)
        stored = await call.directory.create(call.project_id, self.kind, name, value)
        return await self._reply(call, stored, ignored, 201)

    async def read_all(self, call: Call) -> Reply:
        everything = await call.directory.all(call.project_id, self.kind)
        return Reply(codec.encode(Page(data=[self.shown(call, stored) for stored in everything.values()])))

    async def read(self, call: Call) -> Reply:
        stored = await call.directory.find(call.project_id, self.kind, call.param("name"))
        return Reply(codec.encode(self.shown(call, stored)))

    async def change(self, call: Call) -> Reply:
        stored = await check_version(
            call, call.project_id, self.kind, await call.directory.find(call.project_id, self.kind, call.param("name"))
        )
        changes, ignored = self._read(call)
        for member in self.fixed:
            if member in changes and changes[member] != stored.name:
                raise Unprocessable(f"{member} cannot be changed; create a new one", extra={"param": member})
        _, value = await self.build(call, self.members(stored) | changes, stored)
        return await self._reply(call, await call.directory.replace(call.project_id, self.kind, stored, value), ignored)

    async def delete(self, call: Call) -> Reply:
        await call.directory.remove(call.project_id, self.kind, call.param("name"))
        return Reply(codec.encode(Deleted(name=call.param("name"))))

    async def _reply(self, call: Call, stored: Stored, ignored: list[str], status: int = 200) -> Reply:
        shown = self.shown(call, stored)
        warnings = [*ignored, *await self.warnings(call, stored.value)]
        return Reply(codec.encode(shown | ({"warnings": warnings} if warnings else {})), status)

    def _read(self, call: Call) -> tuple[dict[str, Any], list[str]]:
        """The body's members, and a warning for each that is not known (the hosted service takes more of them)."""
        members = members_of(call)
        known = self.takes.__struct_fields__
        ignored = [
            f"{name!r} is not a field of a {self.kind.name}; it was ignored" for name in members if name not in known
        ]
        return {name: value for name, value in members.items() if name in known}, ignored


async def check_version(call: Call, project_id: str, kind: Kind, stored: Stored) -> Stored:
    """The document, where it has the version that the query names, if it names one; what is remembered here may be
    older than what the caller has seen. Raises Conflict, InvalidRequest."""
    text = call.query().get("version")
    if text is None:
        return stored
    if not (text.isascii() and text.isdigit()):
        raise InvalidRequest(f"version: {text!r} is not a version", code="invalid_type", extra={"param": "version"})
    if text != str(stored.version):
        await call.directory.refresh()
        stored = await call.directory.find(project_id, kind, stored.name)
    if text != str(stored.version):
        raise Conflict(f"{kind.name} {stored.name!r} was changed by somebody else; read it again")
    return stored


def members_of(call: Call) -> dict[str, Any]:
    """The members of the body. Raises InvalidRequest where it is no JSON object."""
    members = codec.decode(codec.canonical(call.body))
    if not isinstance(members, dict):
        raise InvalidRequest("give a JSON object", code="invalid_type")
    return members


def asked(call: Call, struct: Any, what: str) -> Any:
    """The body as a struct; an empty body is as good as an empty object."""
    return converted(members_of(call) if call.body.strip() else {}, struct, what)


def converted(members: dict[str, Any], struct: Any, what: str) -> Any:
    try:
        return msgspec.convert(members, struct)
    except msgspec.ValidationError as error:
        raise InvalidRequest(f"{what}: {error}", code="invalid_type") from None


def whole(value: msgspec.Struct) -> dict[str, Any]:
    """Every member, defaults included: a reader should not have to know them."""
    return {name: msgspec.to_builtins(getattr(value, name)) for name in value.__struct_fields__}


def origin(stored: Stored) -> dict[str, Any]:
    updated = _payloads.iso(stored.updated_at) if stored.updated_at is not None else None
    return {"source": "code" if stored.in_code else "api", "version": stored.version, "updated_at": updated}


def routes(resource: Resource, creates: Any) -> tuple[Route, ...]:
    path, noun = f"/console/{resource.kind.name}", resource.kind.name.replace("_", " ")
    one = f"{path}/{{name}}"
    common = (401, 403)
    return (
        Route(
            method="POST", path=path, verb=resource.create, scope=ADMIN, summary=f"Create a {noun}.",
            takes=resource.takes, gives=creates, status=201, errors=(400, *common, 409, 413, 422),
        ),
        Route(
            method="GET", path=path, verb=resource.read_all, scope=ADMIN, summary=f"All {noun}s.",
            gives=Page, errors=common,
        ),
        Route(
            method="GET", path=one, verb=resource.read, scope=ADMIN, summary=f"One {noun}.",
            gives=resource.gives, errors=(*common, 404),
        ),
        Route(
            method="PATCH", path=one, verb=resource.change, scope=ADMIN, summary=f"Change some fields of a {noun}.",
            query=VersionQuery, takes=resource.takes, gives=resource.gives, errors=(400, *common, 404, 409, 413, 422),
        ),
        Route(
            method="DELETE", path=one, verb=resource.delete, scope=ADMIN, summary=f"Delete a {noun}.",
            gives=Deleted, errors=(*common, 404, 409),
        ),
    )  # fmt: skip
