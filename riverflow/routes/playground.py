"""`/v1/playground`: a request to try a workflow with, kept out of statistics, its backend simulated or real."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from .. import codec
from .._intake import SubmitRequest
from ..errors import InvalidRequest
from ..hops import check_hops
from ..models import ADMIN
from ._door import Call, Reply, Route
from .ai import AsyncResponse, accepted_reply

__all__ = ["ROUTES"]

Way = Annotated[
    Literal["simulated", "real"],
    msgspec.Meta(
        description="`simulated`: hand-offs are answered here about 1.5 s later, and no webhook and no handler is told "
        "anything; `real`: everything as for any other request."
    ),
]


class PlaygroundRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A request as `POST /v1/ai/async` takes it, and who answers its hand-offs."""

    request: SubmitRequest
    backend: Way = "simulated"


class _Asked(msgspec.Struct, frozen=True, kw_only=True):
    request: msgspec.Raw
    backend: Way = "simulated"


_shape = msgspec.json.Decoder(PlaygroundRequest)
_asked = msgspec.json.Decoder(_Asked)


async def start(call: Call) -> Reply:
    check_hops(call.scope["headers"])
    body = codec.canonical(call.body)
    try:
        _shape.decode(body)
        asked = _asked.decode(body)
    except msgspec.ValidationError as error:
        raise InvalidRequest(f"playground: {error}", code="invalid_type") from None
    accepted = await call.engine.submit(
        call.project_id,
        bytes(asked.request),
        call.public_url,
        playground=True,
        simulated=asked.backend == "simulated",
    )
    return accepted_reply(call, accepted, call.base_url)


ROUTES = (
    Route(
        method="POST",
        path="/v1/playground",
        verb=start,
        scope=ADMIN,
        summary="Try a workflow: the run is kept out of statistics, and its backend may be simulated.",
        takes=PlaygroundRequest,
        gives=AsyncResponse,
        errors=(400, 401, 403, 404, 409, 413, 422, 503),
        rationed=True,
    ),
)
