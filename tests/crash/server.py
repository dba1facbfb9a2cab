"""The server process of the crash test: it serves a scene and kills itself at one durable append.

Run as `python -m crash.server <flow> <folder> <provider> <backend> <label> <before|after>`; it prints its address,
then each label.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import uvicorn

from riverflow.builtin.sqlite.log import SqliteLog
from riverflow.builtin.sqlite.queue import SqliteQueue
from riverflow.models import Append, Settlement

from .scene import Scene


def label_of(written: Append | Settlement) -> str:
    """What a durable append is called in scene.FLOWS."""
    if isinstance(written, Settlement):
        return f"settle:{written.entry.stage}"
    entries = {entry.kind: entry for entry in written.entries}
    if "callback.received" in entries:
        return f"answer:{entries['callback.received'].stage}"
    if "stage.completed" in entries:
        return f"done:{entries['stage.completed'].stage}"
    return "accepted" if "run.accepted" in entries else "other:" + ",".join(entries)


def rig(target: Any, name: str, fatal: str, side: str) -> None:
    """Print each write's label when it is durable. Die at the fatal one, `before` it is written or `after` it is."""
    original: Callable[..., Awaitable[int]] = getattr(target, name)

    async def rigged(self: Any, written: Append | Settlement) -> int:
        label = label_of(written)
        if label == fatal and side == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        number = await original(self, written)
        if label == fatal:
            os.kill(os.getpid(), signal.SIGKILL)
        print(label, flush=True)
        return number

    setattr(target, name, rigged)


def main(flow: str, folder: str, provider: str, backend: str, fatal: str, side: str) -> None:
    rig(SqliteLog, "append", fatal, side)
    rig(SqliteQueue, "settle", fatal, side)
    listener = socket.create_server(("127.0.0.1", 0))
    print(f"http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
    config = uvicorn.Config(Scene(flow, folder, provider, backend).app(), log_level="warning", lifespan="on")
    uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main(*sys.argv[1:])
