"""Where the riverflow that is killed under load is born again: a process that has everything imported, and forks.

Run as `python -m crash.nursery <listener's fd> <database> <provider> <backend>`. For each line on stdin it forks a life
that serves on the listener, prints that life's pid, and prints how it ended once it has. The listener stays open from
one life to the next, so clients are not refused, they wait.
"""

from __future__ import annotations

import logging
import os
import socket
import sys
import threading

import uvicorn
from starlette.applications import Starlette

from riverflow import Endpoint, Event, Riverflow, RiverflowMiddleware, Stage, StageContext, Workflow
from riverflow.codec import decode

__all__ = ["KEY", "SECRET", "WORKFLOWS", "app"]

KEY = "mr_live_torture"
SECRET = "whsec_dG9ydHVyZXRvcnR1cmV0b3J0dXJldG9ydHVyZXRvcnQ="

WORKFLOWS = (
    Workflow(name="standard", model="stub"),
    Workflow(name="remote", model="stub", event_name="remote_enrichment"),
    Workflow(name="local", model="stub", event_name="local_enrichment"),
    Workflow(
        name="stages",
        model="stub",
        pipeline=(
            Stage(name="generate", kind="generate"),
            Stage(name="score", kind="score"),
            Stage.hand_off("validation"),
            Stage.hand_off("enrichment", event_name="local_enrichment"),
            Stage(name="finalise", kind="finalise"),
        ),
    ),
)

RETRIES = (0, 0.3, 0.6, 1, 2, 4, 8, 16)  # a schedule that comes to its end while somebody is waiting for the test


def app(database: str, provider: str, backend: str) -> RiverflowMiddleware:
    """The app that every life serves."""
    river = Riverflow(
        database_url=f"sqlite:///{database}",
        env="development",
        api_key=KEY,
        lease=0.5,
        close_grace=0,
        retry=RETRIES,
        callback_timeout=120,
        openai_base_url=f"{provider}/v1",
        workflows=WORKFLOWS,
        endpoints=[Endpoint(id="ep_backend", url=f"{backend}/hook", secret=SECRET)],
        environ={},
    )
    river.on("local_enrichment")(_enrich)
    river.stage("score")(_score)
    return RiverflowMiddleware(Starlette(), river=river)


async def _enrich(event: Event) -> dict[str, object]:
    return {**event.data, "by": "handler"}


async def _score(context: StageContext) -> dict[str, object]:
    return {**decode(context.data), "score": 10}


def _end_with_the_test() -> None:
    """Nothing is said on stdin during a life; when it ends, so has whoever would have killed this process."""
    os.read(0, 1)
    os._exit(1)


def main(listener_fd: int, database: str, provider: str, backend: str) -> None:
    logging.getLogger("riverflow.vault").setLevel(logging.ERROR)  # each life would say that it has no secret key
    for _ in sys.stdin:
        pid = os.fork()
        if pid == 0:
            threading.Thread(target=_end_with_the_test, daemon=True).start()
            listener = socket.socket(fileno=listener_fd)
            config = uvicorn.Config(app(database, provider, backend), log_level="critical", lifespan="on")
            uvicorn.Server(config).run(sockets=[listener])
            os._exit(0)
        print(pid, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), *sys.argv[2:])
