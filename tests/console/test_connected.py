"""Who was connected to a request: on its page, and the same over the API."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest

from riverflow import Riverflow, Workflow
from riverflow.testing import FakeClock

from .visitor import KEY, Visitor, open_console

pytestmark = pytest.mark.anyio
HEADERS = {"authorization": f"Bearer {KEY}"}


async def connections(visitor: Visitor, run_id: str) -> list[dict[str, Any]]:
    url = str(httpx.URL(visitor.base).join(f"../v1/requests/{run_id}"))
    answer = await visitor.http.get(url, headers=HEADERS)
    found: list[dict[str, Any]] = answer.json()["connections"]
    return found


async def waiting_run(river: Riverflow) -> str:
    """A run whose backend does not answer."""
    asked = [{"role": "user", "content": "x"}]
    return (await river.submit(workflow="in_code", messages=asked, webhook_url="http://127.0.0.1:49151/x")).channel_id


async def test_a_page_shows_who_is_connected_and_who_was(tmp_path: Path) -> None:
    clock = FakeClock()
    async with open_console(tmp_path, clock=clock) as (visitor, river):
        run_id = await waiting_run(river)
        assert await connections(visitor, run_id) == []
        assert "SSE" not in (await visitor.see(f"requests/{run_id}")).text
        url = str(httpx.URL(visitor.base).join(f"../v1/ai/{run_id}/events"))
        async with visitor.http.stream("GET", url, headers=HEADERS) as stream:
            assert stream.status_code == 200, await stream.aread()
            lines = stream.aiter_lines()
            await anext(lines)
            [here] = await connections(visitor, run_id)
            assert (here["transport"], here["until"]) == ("sse", None)
            assert "1 connected · SSE" in (await visitor.see(f"requests/{run_id}")).text
            await clock.advance(3)
        for _ in range(200):
            [gone] = await connections(visitor, run_id)
            if gone["until"] is not None:
                break
        assert gone["since"] == here["since"] < gone["until"]
        page = await visitor.see(f"requests/{run_id}")
        assert "1 connected" not in page.text
        assert "SSE connected for 3.00 s" in page.html


async def test_who_looks_later_delays_no_delivery(tmp_path: Path) -> None:
    clock = FakeClock()
    plain = [Workflow(name="plain", provider="echo", template="hi")]
    async with open_console(tmp_path, clock=clock, workflows=plain) as (visitor, river):
        run = await river.submit(workflow="plain")
        await run.result()
        await clock.advance(5 * 3600)
        url = str(httpx.URL(visitor.base).join(f"../v1/ai/{run.channel_id}/events"))
        assert (await visitor.http.get(url, headers=HEADERS)).status_code == 200
        assert len(await connections(visitor, run.channel_id)) == 2
        assert "deliveries until" not in (await visitor.see(f"requests/{run.channel_id}")).text
