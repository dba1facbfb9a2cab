"""`/v1/callback`: a backend answers a waiting stage."""

from __future__ import annotations

import msgspec

from .. import codec
from .._intake import CallbackRequest
from ..models import CALLBACK
from ._door import Call, Reply, Route
from .ai import channel_id_of

__all__ = ["ROUTES"]


class CallbackResponse(msgspec.Struct, kw_only=True):
    """The callback was taken. `outcome` is the form it had, `status` the run's state after it; a repetition of the same
    body is answered alike."""

    message: str
    channel_id: str
    stage: str
    outcome: str
    status: str


async def callback(call: Call) -> Reply:
    stage = call.scope["path_params"].get("stage")
    resumed = await call.engine.resume(call.project_id, channel_id_of(call), stage, call.body)
    response = CallbackResponse(
        message="success",
        channel_id=resumed.run.id,
        stage=resumed.stage,
        outcome=resumed.form,
        status=resumed.run.status,
    )
    return Reply(codec.encode(response))


_ERRORS = (400, 401, 403, 404, 409, 410, 413, 422)

ROUTES = (
    Route(
        method="POST",
        path="/v1/callback/{channel_id}",
        verb=callback,
        scope=CALLBACK,
        summary="Answer the first hand-off of a run.",
        takes=CallbackRequest,
        gives=CallbackResponse,
        errors=_ERRORS,
    ),
    Route(
        method="POST",
        path="/v1/callback/{channel_id}/{stage}",
        verb=callback,
        scope=CALLBACK,
        summary="Answer a later hand-off of a run.",
        takes=CallbackRequest,
        gives=CallbackResponse,
        errors=_ERRORS,
    ),
)
