"""Whatever somebody else has written is text: the AI, customers, receivers, and who configures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse
from starlette.routing import Route

from riverflow import Event, Workflow

from .clean import assert_clean
from .visitor import open_console, river_of, served, visiting

pytestmark = pytest.mark.anyio

CORPUS = [
    "<script>alert(1)</script>",
    "</script><script>alert(1)</script>",
    "<x-probe onclick=alert(1)>",
    '"><x-probe onmouseover="alert(1)">',
    "' onfocus='alert(1)' autofocus='",
    '" style="position:fixed" x="',
    "</pre></textarea></title></select><x-probe>",
    "<!--<x-probe>-->",
    "<svg/onload=alert(1)>",
    "<img src=x onerror=alert(1)>",
    "javascript:alert(1)",
    "{{ 7 * 7 }}{% for x in y %}",
    "<![CDATA[<x-probe>]]>",
    "&lt;x-probe&gt;&amp;",
    "\u202e\u2028<x-probe>\u0000",
    "<a href='https://evil.example'>x</a>",
    "<base href=//evil.example>",
    "<math><mi//xlink:href='javascript:alert(1)'>",
]
ALL = " ".join(CORPUS)
CANARY = "x-probe"
EVENT = """<x-probe onclick='alert(1)'>"</script>&lt;"""


def talking(answer: str) -> Starlette:
    """A receiver that answers with markup, as an error."""

    async def take(request: Request) -> HTMLResponse:
        return HTMLResponse(answer, status_code=500, headers={"x-said": "<x-probe onclick=1>"})

    return Starlette(routes=[Route("/hook", take, methods=["POST"])])


async def test_everything_that_others_write_stays_text(tmp_path: Path) -> None:
    said, event = ALL.replace("\u0000", ""), EVENT
    workflow = Workflow(
        name="in_code",
        provider="echo",
        model=said,
        template=said,
        event_name=event,
        description=said,
        instructions=said,
        sample_data={said: said},
    )
    river = river_of(tmp_path, workflows=[workflow, Workflow(name="told", provider="echo", event_name="told")])

    @river.on(event)
    async def handler(happened: Event) -> Any:
        if happened.customer_data.get("fail"):
            happened.fail(said, said)
        return {said: said}

    async with (
        served(talking(said)) as receiver,
        served(river) as origin,
        visiting(origin) as visitor,
        httpx.AsyncClient(base_url=origin, trust_env=False, headers={"authorization": "Bearer mr_live_visitor"}) as api,
    ):
        await visitor.log_in()
        hook = {"url": f"{receiver}/hook", "description": said, "events": [event, "told", "task.failed"]}
        endpoint = (await api.post("/console/webhook", json=hook)).json()["id"]
        schema = {"description": said, "properties": {said: {"const": said}}}
        output = {"name": "odd", "description": said, "schema": schema, "sample_data": {said: said}}
        assert (await api.post("/console/structured_output", json=output)).status_code == 201
        runs = []
        for more in ({}, {"fail": said}):
            message = {"role": "user", "content": said}
            run = await river.submit(
                workflow="in_code", messages=[message], customer_data={said: said, "nested": {said: [said]}, **more}
            )
            await run.result()
            runs.append(run.channel_id)
        run = await river.submit(workflow="told", messages=[{"role": said, "content": [said]}])
        await _told(api, run.channel_id)
        runs.append(run.channel_id)

        deliveries = [each["id"] for each in (await api.get("/v1/deliveries")).json()["data"]]
        assert deliveries
        paths = ["", "requests", "workflows", "workflows/in_code", "structured-outputs", "structured-outputs/odd",
                 "webhooks", f"webhooks/{endpoint}", f"webhooks/{endpoint}/delete", "settings",
                 "playground", "dead-letters", *(f"dead-letters/{each}" for each in deliveries),
                 *(f"requests/{run}" for run in runs), *(f"playground?run={run}" for run in runs)]  # fmt: skip
        probed = 0
        for path in paths:
            page = await visitor.see(path)
            assert page.status == 200, path
            assert_clean(page)
            probed += CANARY in page.html
        assert probed >= 8
        tested = await visitor.send(await visitor.see(f"webhooks/{endpoint}"), "/test")
        assert_clean(tested)
        assert CANARY in tested.text


async def _told(api: httpx.AsyncClient, channel_id: str) -> None:
    """Wait until the receiver has answered."""
    async with api.stream("GET", f"/v1/ai/{channel_id}/timeline/events") as stream:
        async for line in stream.aiter_lines():
            if line.startswith("event: delivery.attempted"):
                return


@pytest.mark.parametrize("text", CORPUS)
async def test_what_a_visitor_types_comes_back_as_text(tmp_path: Path, text: str) -> None:
    async with open_console(tmp_path) as (visitor, _):
        new = await visitor.see("workflows/new")
        fields = ("name", "provider", "model", "description", "event_name", "instructions", "pipeline", "sample_data")
        answer = await visitor.send(new, "workflows/new", **dict.fromkeys(fields, text))
        assert answer.status == 400
        assert_clean(answer)
        assert answer.form("workflows/new").fields["description"] == [text.strip()]
        for query in ("q", "status", "event_name", "workflow", "period", "done", "next", "starting_after"):
            page = await visitor.see(f"requests?{httpx.QueryParams({query: text})}")
            assert_clean(page)
        assert_clean(await visitor.see(f"workflows/{quote(text, safe='')}"))
        assert_clean(await visitor.see(f"login?{httpx.QueryParams({'next': text, 'done': text})}"))


def test_json_in_colours_is_the_same_text() -> None:
    from html.parser import HTMLParser

    from riverflow.console._markup import json_text, json_view

    class Words(HTMLParser):
        text = ""

        def handle_data(self, data: str) -> None:
            self.text += data

    values: list[Any] = [{"a": [1, -2.5e3, True, None], 'q"uo\\te': 'x: "y"'}, ALL, {ALL: ALL}, [], "", 0]
    for value in values:
        words = Words()
        words.feed(json_view(value))
        words.close()
        assert words.text == json_text(value)
    assert json_text(json.dumps(values[0])) == json.dumps(values[0], indent=2)
    assert json_text("not JSON <b>") == "not JSON <b>"
