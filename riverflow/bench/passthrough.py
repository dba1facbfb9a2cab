"""What RiverflowMiddleware costs the requests that are not its own, measured in process."""

from __future__ import annotations

import time
from typing import Any

from ..app import Riverflow
from ..middleware import RiverflowMiddleware
from .rig import median

__all__ = ["passthrough_microseconds"]


async def passthrough_microseconds(*, blocks: int = 300, requests: int = 200) -> float:
    """µs that one unrelated request takes longer through the middleware: the median over blocks run in turn with
    blocks of the bare app."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"{}"})

    wrapped = RiverflowMiddleware(app, river=Riverflow(database_url="memory://", environ={}, discover_plugins=False))
    scope = {"type": "http", "method": "GET", "path": "/orders/17", "root_path": "", "headers": []}

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        return None

    async def block(target: Any) -> float:
        began = time.perf_counter()
        for _ in range(requests):
            await target(scope, receive, send)
        return (time.perf_counter() - began) / requests * 1e6

    differences = []
    for _ in range(blocks):
        bare = await block(app)
        differences.append(await block(wrapped) - bare)
    return median(differences)
