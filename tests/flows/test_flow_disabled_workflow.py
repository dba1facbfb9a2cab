"""A disabled workflow takes no new requests, says so, and lets what it has accepted go on."""

from __future__ import annotations

from pathlib import Path

import pytest

from riverflow import Workflow

from .world import MOVIE, movie_workflow, open_world

pytestmark = pytest.mark.anyio

PATH = "/console/workflow/mine"
ASKED = {"workflow": "mine", "messages": [{"role": "user", "content": "a film"}]}


async def test_new_requests_are_refused_and_accepted_ones_go_on(tmp_path: Path) -> None:
    async with open_world(tmp_path, answerer="none") as world:
        made = {"name": "mine", "provider": "scripted", "model": "m", "event_name": "film"}
        assert (await world.http.post("/console/workflow", json=made)).json()["disabled"] is False
        keyed = {"idempotency-key": "k1"}
        accepted = (await world.http.post("/v1/ai/async", json=ASKED, headers=keyed)).json()
        await world.wrote(accepted, "run.ai_generated")
        changed = await world.http.patch(PATH, json={"disabled": True})
        assert (changed.status_code, changed.json()["disabled"]) == (200, True)
        for way in ("/v1/ai/async", "/v1/playground"):
            refused = await world.http.post(way, json=ASKED if way.endswith("async") else {"request": ASKED})
            assert (refused.status_code, refused.json()["error"]["code"]) == (409, "workflow_disabled")
            assert "PATCH /console/workflow/mine" in refused.json()["message"]
        again = await world.http.post("/v1/ai/async", json=ASKED, headers=keyed)
        assert again.json()["channel_id"] == accepted["channel_id"], "a repetition is answered as before"
        assert (await world.call_back(accepted, {"data": dict(MOVIE)})).status_code == 200
        assert await world.ended(accepted) == "run.completed"
        await world.http.patch(PATH, json={"disabled": False})
        assert (await world.http.post("/v1/ai/async", json=ASKED)).status_code == 200


async def test_one_that_is_disabled_in_code_stays_so(tmp_path: Path) -> None:
    workflows = [movie_workflow(), Workflow(name="mine", provider="scripted", disabled=True)]
    async with open_world(tmp_path, answerer="none", workflows=workflows) as world:
        assert (await world.http.post("/v1/ai/async", json=ASKED)).status_code == 409
        assert (await world.http.patch(PATH, json={"disabled": False})).status_code == 409
        assert (await world.http.post("/v1/ai/async", json={**ASKED, "workflow": "movie"})).status_code == 200
