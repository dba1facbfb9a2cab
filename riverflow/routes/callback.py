"""`/v1/callback`: a backend answers a waiting stage, asks for more time, or says how far it is."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from .. import _payloads, codec
from .._gate import TOKEN_SUBJECT
from .._intake import CallbackRequest, Timeout
from ..errors import Forbidden, TooLarge, Unprocessable
from ..models import CALLBACK, Run
from ._door import Call, Reply, Route, body_as
from .ai import channel_id_of

__all__ = ["ROUTES"]

MAX_PROGRESS = 16 * 1024  # bytes of one progress message: it goes to every reader of the channel


class CallbackResponse(msgspec.Struct, kw_only=True):
    """The callback was taken. `outcome` is the form it had, `status` the run's state after it; a repetition of the same
    body is answered alike."""

    message: str
    channel_id: str
    stage: str
    outcome: str
    status: str


class HeartbeatRequest(msgspec.Struct, kw_only=True):
    """More time: `extend` seconds from now, by default as long as the hand-off had. A deadline never moves nearer, and
    not beyond `max_callback_timeout` after the run was accepted."""

    extend: Timeout | None = None


class ProgressRequest(msgspec.Struct, kw_only=True):
    """How far the work is; at least one of the three. The channel is told under the event `progress`."""

    message: Annotated[str, msgspec.Meta(max_length=500)] | None = None
    percent: Annotated[float, msgspec.Meta(ge=0, le=100)] | None = None
    data: dict[str, Any] | None = None


class StillWaiting(msgspec.Struct, kw_only=True):
    """The stage waits on, until `deadline_at` (ISO 8601, UTC)."""

    message: str
    channel_id: str
    stage: str
    status: str
    deadline_at: str | None


async def callback(call: Call) -> Reply:
    await _check_way(call)
    resumed = await call.engine.resume(call.project_id, channel_id_of(call), _stage(call), call.body)
    response = CallbackResponse(
        message="success",
        channel_id=resumed.run.id,
        stage=resumed.stage,
        outcome=resumed.form,
        status=resumed.run.status,
    )
    return Reply(codec.encode(response))


async def heartbeat(call: Call) -> Reply:
    await _check_way(call)
    asked: HeartbeatRequest = body_as(call, HeartbeatRequest, "heartbeat", optional=True)
    return _waits(await call.engine.extend(call.project_id, channel_id_of(call), _stage(call), asked.extend))


async def progress(call: Call) -> Reply:
    await _check_way(call)
    if len(call.body) > MAX_PROGRESS:
        raise TooLarge(f"a progress message is over {MAX_PROGRESS} bytes")
    asked: ProgressRequest = body_as(call, ProgressRequest, "progress")
    said = {name: value for name, value in msgspec.structs.asdict(asked).items() if value is not None}
    if not said:
        raise Unprocessable("say a `message`, a `percent` or `data`", code="nothing_said")
    run = await call.engine.progress(call.project_id, channel_id_of(call), _stage(call), codec.from_python(said))
    return _waits(run)


async def _check_way(call: Call) -> None:
    """A project may insist on one of the two ways in."""
    rule = (await call.directory.known_project(call.project_id)).callback_auth
    by_token = call.identity.subject == TOKEN_SUBJECT
    if rule == "token" and not by_token:
        raise Forbidden(
            "this project takes callbacks with their callback_token only: Authorization: Bearer <callback_token>",
            code="callback_token_required",
        )
    if rule == "key" and by_token:
        raise Forbidden("this project takes callbacks with an API key only", code="api_key_required")


def _stage(call: Call) -> str | None:
    stage: str | None = call.scope["path_params"].get("stage")
    return stage


def _waits(run: Run) -> Reply:
    deadline = _payloads.iso(run.deadline_at) if run.deadline_at is not None else None
    response = StillWaiting(
        message="success", channel_id=run.id, stage=run.stage, status=run.status, deadline_at=deadline
    )
    return Reply(codec.encode(response))


_ERRORS = (400, 401, 403, 404, 409, 410, 413, 422)
_PLACES = (
    ("/v1/callback/{channel_id}", "the first hand-off"),
    ("/v1/callback/{channel_id}/{stage}", "a later hand-off"),
)


def _routes(path: str, place: str) -> tuple[Route, ...]:
    return (
        Route(
            method="POST", path=path, verb=callback, scope=CALLBACK, summary=f"Answer {place} of a run.",
            takes=CallbackRequest, gives=CallbackResponse, errors=_ERRORS,
        ),
        Route(
            method="POST", path=f"{path}/heartbeat", verb=heartbeat, scope=CALLBACK,
            summary=f"Ask for more time for {place} of a run.",
            takes=HeartbeatRequest, gives=StillWaiting, errors=_ERRORS,
        ),
        Route(
            method="POST", path=f"{path}/progress", verb=progress, scope=CALLBACK,
            summary=f"Tell the channel how far {place} of a run is.",
            takes=ProgressRequest, gives=StillWaiting, errors=_ERRORS,
        ),
    )  # fmt: skip


ROUTES = tuple(route for path, place in _PLACES for route in _routes(path, place))
