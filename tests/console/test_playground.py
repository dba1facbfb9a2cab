"""The playground as a browser without script sees it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from riverflow import Workflow
from riverflow.testing import FakeClock

from .clean import assert_clean
from .visitor import KEY, Visitor, open_console

pytestmark = pytest.mark.anyio


def api_of(visitor: Visitor) -> httpx.AsyncClient:
    base = visitor.base.removesuffix("console/")
    return httpx.AsyncClient(base_url=base, trust_env=False, headers={"authorization": f"Bearer {KEY}"})


async def ended(api: httpx.AsyncClient, run: str) -> dict[str, Any]:
    """Wait for the final message."""
    async with api.stream("GET", f"/v1/ai/{run}/events") as stream:
        async for line in stream.aiter_lines():
            if line.startswith("data:") and json.loads(line[5:]).get("status") in ("success", "completed", "error"):
                break
    answer: dict[str, Any] = (await api.get(f"/v1/requests/{run}")).json()
    return answer


async def waits(api: httpx.AsyncClient, run: str) -> None:
    """Wait until the simulated backend is at it."""
    async with api.stream("GET", f"/v1/ai/{run}/timeline/events") as stream:
        async for line in stream.aiter_lines():
            if line.startswith("event: stage.progress"):
                return


def run_of(page: Any) -> str:
    return str(httpx.URL(page.url).params["run"])


async def test_a_try_is_shown_from_the_words_to_the_final_response(tmp_path: Path) -> None:
    clock = FakeClock()
    async with open_console(tmp_path, clock=clock) as (visitor, _), api_of(visitor) as api:
        blank = await visitor.see("playground?workflow=in_code")
        assert "Run it to see what happens" in blank.text
        page = await visitor.send(blank, "playground", message="a film")
        run = run_of(page)
        await waits(api, run)
        page = await visitor.see(f"playground?run={run}")
        assert_clean(page)
        assert "Simulating backend callback" in page.text
        assert "Final response not yet" in page.text
        refresh = [given for tag, given in page.tags if tag == "meta" and given.get("http-equiv") == "refresh"]
        assert refresh == [{"http-equiv": "refresh", "content": "2"}]
        await clock.advance(1.5)
        body = await ended(api, run)
        page = await visitor.see(f"playground?run={run}")
        assert "http-equiv" not in page.html
        assert "Simulating backend callback film, answered after 1.50 s" in page.text
        assert "With the simulated enrichment" in page.text
        assert '"simulated_enrichment"' in page.text
        assert body["why"].replace("'", "’") in page.text.replace("'", "’")
        assert (body["tag"], body["simulated"], body["status"]) == ("pg", True, "completed")
        form = page.form("playground")
        assert (form.fields["workflow"], form.fields["message"]) == (["in_code"], ["a film"])
        assert form.fields["backend"] == ["simulated"]


async def test_a_payload_is_sent_as_it_is_with_the_message_after_its_own(tmp_path: Path) -> None:
    async with open_console(tmp_path) as (visitor, _), api_of(visitor) as api:
        payload = {"customer_data": {"user_id": "u1"}, "messages": [{"role": "system", "content": "Be kind."}]}
        blank = await visitor.see("playground")
        page = await visitor.send(
            blank, "playground", workflow="in_code", message="a film", payload=json.dumps(payload), test_mode="yes"
        )
        body = (await api.get(f"/v1/requests/{run_of(page)}")).json()
        assert body["request"] == {
            "workflow": "in_code",
            "customer_data": {"user_id": "u1"},
            "messages": [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "a film"}],
            "test_mode": True,
        }
        assert body["tag"] == "pg_test_mode"
        form = page.form("playground")
        assert form.fields["test_mode"] == ["yes"]
        assert json.loads(form.fields["payload"][0])["messages"] == body["request"]["messages"]


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"message": "", "payload": ""}, "type one, or give a JSON payload"),
        ({"payload": "{"}, "JSON payload:"),
        ({"payload": "[1]"}, "give an object"),
        ({"workflow": "nowhere", "message": "x"}, "does not exist"),
        ({"backend": "none", "message": "x"}, "backend"),
        ({"payload": '{"webhook_url": "ftp://x"}', "backend": "real"}, "webhook_url"),
    ],
)
async def test_what_cannot_be_run_is_said_beside_what_was_typed(
    tmp_path: Path, fields: dict[str, str], said: str
) -> None:
    async with open_console(tmp_path) as (visitor, _), api_of(visitor) as api:
        page = await visitor.send(await visitor.see("playground"), "playground", **fields)
        assert page.status in (400, 404, 422)
        assert said in page.text
        assert page.form("playground").fields["payload"] == [fields.get("payload", "")]
        assert (await api.get("/v1/requests?tag=all")).json()["data"] == []


async def test_the_preview_says_it_as_code_and_runs_nothing(tmp_path: Path) -> None:
    async with open_console(tmp_path) as (visitor, _), api_of(visitor) as api:
        page = await visitor.see("playground")
        form = page.form("playground")
        url = f"{visitor.base}playground/preview"
        shown = await visitor.post(url, form.filled(message="it's a film", workflow="in_code"))
        assert shown.status == 200
        assert "it'\\''s a film" in shown.text
        assert "$RIVERFLOW_API_KEY" in shown.text
        assert KEY not in shown.html
        broken = await visitor.post(url, form.filled(payload="{", workflow="in_code"))
        assert "no JSON object yet" in broken.text
        assert (await api.get("/v1/requests?tag=all")).json()["data"] == []


async def test_tries_are_found_where_they_are_asked_for(tmp_path: Path) -> None:
    async with open_console(tmp_path) as (visitor, _):
        page = await visitor.send(await visitor.see("playground"), "playground", message="x", workflow="in_code")
        run = run_of(page)
        assert run not in (await visitor.see("requests")).html
        for tag, there in (("pg", True), ("pg_test_mode", False), ("all", True)):
            listed = await visitor.see(f"requests?tag={tag}")
            assert listed.status == 200
            assert (run in listed.html) is there
        options = [given.get("value") for tag, given in (await visitor.see("requests")).tags if tag == "option"]
        for tag in ("pg", "pg_test_mode"):
            assert tag in options


async def test_there_is_a_way_from_and_without_workflows(tmp_path: Path) -> None:
    workflows = [Workflow(name="one", provider="echo", template="x"), Workflow(name="two", provider="echo")]
    async with open_console(tmp_path, workflows=workflows) as (visitor, _):
        page = await visitor.see("workflows/two")
        assert any(link.endswith("playground?workflow=two") for link in page.links)
        page = await visitor.see("playground?workflow=two")
        assert page.form("playground").fields["workflow"] == ["two"]
        assert "nobody is asked to enrich" in page.text
        assert (await visitor.see("playground?run=x")).status == 404
        assert (await visitor.see("playground?run=00000000-0000-7000-8000-000000000000")).status == 404
    empty = tmp_path / "empty"
    empty.mkdir()
    async with open_console(empty, workflows=[]) as (visitor, _):
        assert "There has to be one before it can be tried" in (await visitor.see("playground")).text


async def test_tries_are_rationed(tmp_path: Path) -> None:
    async with open_console(tmp_path, rate_limit_rationed=1) as (visitor, _):
        page = await visitor.see("playground")
        assert (await visitor.send(page, "playground", message="x", workflow="in_code")).status == 200
        refused = await visitor.send(page, "playground", message="x", workflow="in_code")
        assert refused.status == 429
        assert "rationed" in refused.text
