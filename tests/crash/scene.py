"""The riverflow that is killed and the one that goes on after it: the same app over the same file.

Its handlers write down in a file what they were told, so that both lives can be read together.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from starlette.applications import Starlette

from riverflow import Endpoint, Event, Riverflow, RiverflowMiddleware, Stage, StageContext, Workflow
from riverflow.codec import decode

__all__ = ["FLOWS", "KEY", "SECRET", "Scene"]

KEY = "mr_live_crash"
SECRET = "whsec_Y3Jhc2hjcmFzaGNyYXNoY3Jhc2hjcmFzaGNyYXNoMTI="

FLOWS = {
    "remote": ("accepted", "done:generate", "settle:enrich", "answer:enrich"),
    "local": ("accepted", "done:generate", "answer:enrich"),
    "stages": (
        "accepted",
        "done:generate",
        "settle:validation",
        "answer:validation",
        "done:score",
        "answer:enrichment",
        "settle:formatting",
        "answer:formatting",
        "settle:finalise",
    ),
}
"""Every durable append of each flow: of a decision by what it decides, of a delivery's settlement by its stage."""

_GENERATE = Stage(name="generate", kind="generate")
_FINALISE = Stage(name="finalise", kind="finalise")


class Scene:
    """Where everything is. `calls` is the file in which the handlers note their calls."""

    def __init__(self, flow: str, folder: str, provider: str, backend: str) -> None:
        self.flow = flow
        self.provider = provider
        self.backend = backend
        self.database = Path(folder) / "river.db"
        self.calls = Path(folder) / "calls"

    def app(self) -> RiverflowMiddleware:
        """The app as both lives serve it."""
        river = Riverflow(
            database_url=f"sqlite:///{self.database}",
            env="development",
            api_key=KEY,
            lease=0.5,
            close_grace=0,
            openai_base_url=self.provider,
            workflows=[_WORKFLOWS[self.flow]],
            endpoints=[Endpoint(id="ep_backend", url=self.backend, secret=SECRET)],
            environ={},
        )
        if self.flow != "remote":
            river.on("local_enrichment")(self._enrich)
        if self.flow == "stages":
            river.on("task.completed")(self._hear)
            river.stage("score")(self._score)
        return RiverflowMiddleware(Starlette(), river=river)

    def noted(self, name: str) -> list[dict[str, Any]]:
        """The calls of a handler, or of the stage, in both lives."""
        lines = self.calls.read_text().splitlines() if self.calls.exists() else []
        return [call for call in map(json.loads, lines) if call["name"] == name]

    def _note(self, **call: Any) -> None:
        file = os.open(self.calls, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.write(file, json.dumps(call).encode() + b"\n")
        os.close(file)

    async def _enrich(self, event: Event) -> dict[str, Any]:
        self._note(name=event.name, key=event.idempotency_key, attempt=event.attempt)
        return {"by": "handler"}

    async def _hear(self, event: Event) -> None:
        self._note(name=event.name, key=event.idempotency_key, attempt=event.attempt)

    async def _score(self, context: StageContext) -> dict[str, Any]:
        self._note(name="score", attempt=context.attempt)
        return {**decode(context.data), "score": 10}


_WORKFLOWS = {
    "remote": Workflow(name="work", model="stub", event_name="remote_enrichment"),
    "local": Workflow(name="work", model="stub", event_name="local_enrichment"),
    "stages": Workflow(
        name="work",
        model="stub",
        pipeline=(
            _GENERATE,
            Stage.hand_off("validation"),
            Stage(name="score", kind="score"),
            Stage.hand_off("enrichment", event_name="local_enrichment"),
            Stage.hand_off("formatting"),
            _FINALISE,
        ),
    ),
}
