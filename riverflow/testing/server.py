"""Any ASGI app on a real socket of 127.0.0.1, served by uvicorn inside the test's own event loop.

It installs no signal handlers and leaves no task behind.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Literal

from ..ports import ASGIApp

if TYPE_CHECKING:
    from uvicorn import Server

__all__ = ["serve"]


@asynccontextmanager
async def serve(
    app: ASGIApp, *, lifespan: Literal["auto", "on", "off"] = "auto", grace: float = 0.5, **options: Any
) -> AsyncIterator[str]:
    """Serve `app`, HTTP and WebSocket, and yield its base URL, such as `http://127.0.0.1:40123`.

    On leaving, no new connection is taken, idle ones are closed, open requests and sockets get `grace` seconds and are
    then cancelled; last the app's lifespan ends. `options` go to `uvicorn.Config`. Raises RuntimeError where the app's
    lifespan refuses to start.
    """
    import uvicorn

    defaults: dict[str, Any] = {"ws": "websockets-sansio", "ws_per_message_deflate": False, "log_config": None}
    config = uvicorn.Config(app, lifespan=lifespan, **(defaults | options))
    listener = socket.create_server(("127.0.0.1", 0), backlog=config.backlog)
    server = await _start(config, listener)
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        await _stop(server, grace)
        listener.close()


async def _start(config: Any, listener: socket.socket) -> Server:
    # uvicorn's own `serve` looks at its exit flag every 0.1 s and takes the process's signals; its parts do neither.
    import uvicorn

    server = uvicorn.Server(config)
    config.load()
    server.lifespan = config.lifespan_class(config)
    try:
        await server.startup(sockets=[listener])
    except SystemExit:
        listener.close()
        raise RuntimeError("the app's lifespan did not start; its error is in the log 'uvicorn.error'") from None
    return server


async def _stop(server: Server, grace: float) -> None:
    state = server.server_state
    for listening in server.servers:
        listening.close()
    for connection in tuple(state.connections):
        connection.shutdown()
    tasks = tuple(state.tasks)
    if tasks:
        _, late = await asyncio.wait(tasks, timeout=grace)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)
    for connection in tuple(state.connections):
        if connection.transport is not None:
            connection.transport.abort()
    await server.lifespan.shutdown()
