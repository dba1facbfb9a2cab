"""Two processes' worth of riverflow on one file: what one does, the other knows."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from riverflow.testing import FakeClock, ScriptedProvider

from .world import open_world

pytestmark = pytest.mark.anyio


async def test_a_workflow_that_one_creates_is_known_to_the_other_at_once(tmp_path: Path) -> None:
    async with open_world(tmp_path, answerer="none") as one, open_world(tmp_path, answerer="none") as two:
        await two.submit()  # its memory is warm
        created = await one.http.post("/console/workflow", json={"name": "fresh", "provider": "scripted", "model": "m"})
        assert created.status_code == 201, created.text
        accepted = await two.submit("fresh")
        assert await two.ended(accepted) == "run.completed"
        assert (await one.state(accepted))["status"] == "success"


async def test_a_cancel_through_one_reaches_the_provider_call_of_the_other(tmp_path: Path) -> None:
    begun, cancelled = asyncio.Event(), asyncio.Event()

    async def never(request: Any) -> Any:
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    shared: dict[str, Any] = {"answerer": "none", "clock": FakeClock(), "notifier": "auto", "drain_timeout": 5}
    async with (
        open_world(tmp_path, provider=ScriptedProvider(never), **shared) as one,
        open_world(tmp_path, **shared) as two,
    ):
        accepted = await one.submit()
        await begun.wait()
        answer = await two.http.post(f"/v1/ai/{accepted['channel_id']}/cancel")
        assert (answer.status_code, answer.json()["status"]) == (200, "error")
        async with asyncio.timeout(10):
            while not cancelled.is_set():
                await one.clock.advance(0.25)
        assert (await one.state(accepted))["error"]["code"] == "cancelled"
