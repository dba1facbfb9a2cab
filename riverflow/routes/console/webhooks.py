"""`/console/webhook`: webhook endpoints, as documents; a secret is shown once, where it is made."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from ... import _payloads, codec
from ..._directory import ENDPOINT, Stored
from ..._intake import remote_url
from ..._rotation import MAX_OVERLAP, OVERLAP, kept, rotated
from ..._trial import Trial
from ...errors import Unprocessable
from ...models import ADMIN, DEFAULT_SIGNERS, Endpoint, Project
from ...retry import RetryPolicy
from .._door import Call, Reply, Route
from ._resource import Resource, asked, converted, origin, routes, whole

__all__ = ["ROUTES", "Retired", "RotateRequest", "retired_of"]


class EndpointRequest(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A webhook endpoint to register; the secret is made here and shown once, in the answer."""

    url: str
    description: str | None = None
    enabled: bool = True
    events: tuple[str, ...] = ()
    signers: tuple[str, ...] = DEFAULT_SIGNERS
    encoding: str = "json"
    body: str = "flat"
    authorities: str | None = None
    retry: str | tuple[float, ...] | RetryPolicy | None = None
    concurrency: Annotated[int, msgspec.Meta(ge=1)] | None = None


class Retired(msgspec.Struct, kw_only=True):
    """An earlier secret that signs beside the newest `until` then (ISO 8601; null: as long as it is configured)."""

    until: str | None


class EndpointResponse(EndpointRequest, kw_only=True):
    """A webhook endpoint as it stands; `retired` are earlier secrets that still sign, newest first, `disabled_because`
    says why riverflow itself has switched it off."""

    id: str
    disabled_because: str | None = None
    source: str
    version: int
    updated_at: str | None
    retired: tuple[Retired, ...] = ()
    warnings: tuple[str, ...] = ()


class EndpointCreated(EndpointResponse, kw_only=True):
    """A webhook endpoint with its new secret, which is not shown again."""

    secret: str


class RotateRequest(msgspec.Struct, kw_only=True):
    """For how many seconds the old secret goes on signing beside the new one; 0 ends it at once."""

    overlap: Annotated[float, msgspec.Meta(ge=0, le=MAX_OVERLAP)] = OVERLAP


class Webhooks(Resource):
    kind = ENDPOINT
    takes = EndpointRequest
    gives = EndpointResponse
    fixed = ()

    async def build(self, call: Call, members: dict[str, Any], stored: Stored | None) -> tuple[str, Any]:
        converted(
            {key: members[key] for key in members if key in self.takes.__struct_fields__}, EndpointRequest, "webhook"
        )
        if stored is None:
            members |= {"id": call.ids.opaque("ep"), "secret": call.ids.secret()}
        endpoint: Endpoint = converted(members, Endpoint, "webhook")
        remote_url(endpoint.url, call.settings, "url")
        if not endpoint.signers:  # riverflow would send what the backend cannot know to be from here
            raise Unprocessable("signers: an endpoint needs at least one signer", extra={"param": "signers"})
        call.checks.signers(endpoint.signers)
        if stored is not None and endpoint.signers != stored.value.signers:
            endpoint = msgspec.structs.replace(endpoint, signers_since=call.directory.now())
        call.checks.authorities(endpoint.authorities)
        call.checks.retry(endpoint)
        if endpoint.enabled and endpoint.disabled_because is not None:
            endpoint = msgspec.structs.replace(endpoint, disabled_because=None)
        if not call.settings.development and not call.settings.public_url:
            raise Unprocessable(
                "set RIVERFLOW_PUBLIC_URL first: a backend is told to call back there", code="public_url_required"
            )
        return endpoint.id, endpoint

    async def create(self, call: Call) -> Reply:
        members, ignored = self._read(call)
        name, value = await self.build(call, members, None)
        stored = await call.directory.create(call.project_id, self.kind, name, value)
        shown = self.shown(call, stored) | {"secret": value.secret}
        return Reply(codec.encode(shown | ({"warnings": ignored} if ignored else {})), 201)

    async def rotate(self, call: Call) -> Reply:
        """A new secret, shown this once."""
        request: RotateRequest = asked(call, RotateRequest, "rotate")
        stored = await call.directory.find(call.project_id, self.kind, call.param("name"))
        endpoint = rotated(stored.value, call.ids.secret(), call.directory.now(), request.overlap)
        written = await call.directory.replace(call.project_id, self.kind, stored, endpoint)
        return Reply(codec.encode(self.shown(call, written) | {"secret": endpoint.secret}))

    async def test(self, call: Call) -> Reply:
        """A test event, sent now, once."""
        return Reply(codec.encode(await call.engine.trials.send(call.project_id, call.param("name"))))

    async def retire(self, call: Call) -> Reply:
        """The replaced secrets end before their overlap does."""
        stored = await call.directory.find(call.project_id, self.kind, call.param("name"))
        endpoint = msgspec.structs.replace(stored.value, retired=())
        return Reply(
            codec.encode(self.shown(call, await call.directory.replace(call.project_id, self.kind, stored, endpoint)))
        )

    async def enable(self, call: Call) -> Reply:
        """On again, also where riverflow has switched off what is declared in code."""
        stored = await call.directory.switch_on(call.project_id, call.param("name"))
        return Reply(codec.encode(self.shown(call, stored)))

    def shown(self, call: Call, stored: Stored) -> dict[str, Any]:
        members = whole(stored.value)
        del members["secret"], members["signers_since"]
        return {**members, "retired": retired_of(stored.value, call.directory.now()), **origin(stored)}


def retired_of(holder: Endpoint | Project, now: float) -> list[Retired]:
    """The retired secrets that still sign, as the API shows them."""
    untils = [retired.until for retired in kept(holder, now)]
    return [Retired(until=None if until is None else _payloads.iso(until)) for until in untils]


_WEBHOOKS = Webhooks()

ROUTES = (
    *routes(_WEBHOOKS, EndpointCreated),
    Route(
        method="POST",
        path="/console/webhook/{name}/rotate",
        verb=_WEBHOOKS.rotate,
        scope=ADMIN,
        summary="Replace the secret of a webhook; the new one is shown once.",
        takes=RotateRequest,
        gives=EndpointCreated,
        errors=(400, 401, 403, 404, 409, 422),
    ),
    Route(
        method="POST",
        path="/console/webhook/{name}/enable",
        verb=_WEBHOOKS.enable,
        scope=ADMIN,
        summary="Enable a webhook again, also one declared in code that riverflow has switched off.",
        gives=EndpointResponse,
        errors=(401, 403, 404, 409),
    ),
    Route(
        method="POST",
        path="/console/webhook/{name}/test",
        verb=_WEBHOOKS.test,
        scope=ADMIN,
        summary="Send a webhook a test event, once, and say what came back.",
        gives=Trial,
        rationed=True,
        errors=(401, 403, 404, 429, 503),
    ),
    Route(
        method="DELETE",
        path="/console/webhook/{name}/retired",
        verb=_WEBHOOKS.retire,
        scope=ADMIN,
        summary="End the replaced secrets of a webhook before their overlap is over.",
        gives=EndpointResponse,
        errors=(401, 403, 404, 409),
    ),
)
