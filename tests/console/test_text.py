"""Whatever somebody else has written is text: the AI, customers, receivers, and who configures."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse
from starlette.routing import Route

from riverflow import Event, Workflow, hookimpl
from riverflow.errors import ProviderError
from riverflow.models import GenerateRequest, Generation
from riverflow.ports import Context

from . import test_approvals as approvals
from .clean import assert_clean
from .visitor import KEY, Visitor, open_console, river_of, served, visiting

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
TEXT = ALL.replace("\u0000", "")
CANARY = "x-probe"
EVENT = """<x-probe onclick='alert(1)'>"</script>&lt;"""


def talking(answer: str, status: int = 500) -> Starlette:
    """A receiver that answers with markup, as an error, in its headers too."""

    async def take(request: Request) -> HTMLResponse:
        said = {f"x-said-{number}": text for number, text in enumerate(CORPUS) if text.isascii()}
        odd = {"server": CORPUS[3], "x-request-id": CORPUS[2], "retry-after": CORPUS[4]}
        return HTMLResponse(answer, status_code=status, headers=said | odd)

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


class Refusing:
    """A plugin with the provider `rude`, which refuses with markup."""

    @hookimpl
    def riverflow_providers(self) -> Mapping[str, Callable[[Context], Any]]:
        return {"rude": lambda context: self}

    async def generate(self, request: GenerateRequest) -> Generation:
        raise ProviderError(TEXT, code="rate_limited", upstream_status=429, again=False)


@asynccontextmanager
async def told(path: Path, status: int) -> AsyncIterator[tuple[Visitor, httpx.AsyncClient, str]]:
    """A console, the API, and a receiver's URL that answers every webhook with markup."""
    workflows = [
        Workflow(name="handed", provider="echo", template="hello", event_name="film"),
        Workflow(name="plain", provider="echo", template="hello"),
        Workflow(name="refused", provider="rude"),
    ]
    async with (
        served(talking(TEXT, status)) as receiver,
        open_console(path, workflows=workflows, plugins=[Refusing()]) as (visitor, _),
        httpx.AsyncClient(
            base_url=visitor.base.removesuffix("console/"), trust_env=False, headers={"authorization": f"Bearer {KEY}"}
        ) as api,
    ):
        yield visitor, api, f"{receiver}/hook"


async def accepted(api: httpx.AsyncClient, workflow: str) -> str:
    return str((await api.post("/v1/ai/async", json={"workflow": workflow})).json()["channel_id"])


async def heard(api: httpx.AsyncClient, channel_id: str, kind: str) -> None:
    """Wait until this is in the run's timeline."""
    async with api.stream("GET", f"/v1/ai/{channel_id}/timeline/events") as stream:
        async for line in stream.aiter_lines():
            if line.startswith(f"event: {kind}"):
                return


async def assert_text(visitor: Visitor, *paths: str) -> None:
    """The pages are clean, and each of `paths` says what was written."""
    for path in ("", "requests", "requests?tag=all&status=error", "dead-letters", "webhooks"):
        assert_clean(await visitor.see(path))
    for path in paths:
        page = await visitor.see(path)
        assert page.status == 200, path
        assert_clean(page)
        assert CANARY in page.text, path


async def test_what_a_backend_says_of_its_work_stays_text(tmp_path: Path) -> None:
    async with told(tmp_path, 200) as (visitor, api, url):
        assert (await api.post("/console/webhook", json={"url": url, "events": ["film"]})).status_code == 201
        run = await accepted(api, "handed")
        await heard(api, run, "delivery.attempted")
        for text in CORPUS:
            said = {"message": text, "percent": 5, "data": {text.replace("\u0000", ""): [text.replace("\u0000", "")]}}
            answer = await api.post(f"/v1/callback/{run}/progress", json=said)
            assert answer.status_code == 200 or "\u0000" in text, answer.text
        await assert_text(visitor, f"requests/{run}")
        assert_clean(await visitor.see(f"playground?run={run}"))
        failed = {"error": TEXT, "message": TEXT, "details": {TEXT: TEXT}}
        answer = await api.post(f"/v1/callback/{run}", json=failed)
        assert answer.status_code == 200, answer.text
        await heard(api, run, "run.")
        await assert_text(visitor, f"requests/{run}", f"playground?run={run}")


async def test_what_a_provider_says_when_it_refuses_stays_text(tmp_path: Path) -> None:
    async with told(tmp_path, 200) as (visitor, api, _):
        run = await accepted(api, "refused")
        await heard(api, run, "run.failed")
        await assert_text(visitor, f"requests/{run}", f"playground?run={run}")


async def test_what_a_receiver_says_in_its_headers_stays_text(tmp_path: Path) -> None:
    async with told(tmp_path, 500) as (visitor, api, url):
        hook = {"url": url, "events": ["task.completed"], "description": TEXT}
        endpoint = (await api.post("/console/webhook", json=hook)).json()["id"]
        run = await accepted(api, "plain")
        await heard(api, run, "delivery.attempted")
        (letter,) = (await api.get("/v1/deliveries")).json()["data"]
        shown = (await api.get(f"/v1/deliveries/{letter['id']}")).json()["attempts"][0]["data"]["response_headers"]
        assert sum(CANARY in text for text in shown.values()) >= 2
        await assert_text(visitor, f"dead-letters/{letter['id']}", f"requests/{run}")
        assert_clean(await visitor.see(f"webhooks/{endpoint}"))
        letters = await visitor.see("dead-letters")
        form = next(form for form in letters.forms if form.method == "POST" and "dead-letters" in form.action)
        for fields in ({"act": "selected", "id": [*CORPUS, letter["id"]]}, {"act": "all", "url": TEXT}):
            answer = await visitor.post(str(httpx.URL(letters.url).join(form.action)), form.filled(**fields))
            assert_clean(answer)
            assert CANARY in answer.text
        for query in ("endpoint", "event", "since", "status", "q", "starting_after", "ending_before"):
            assert_clean(await visitor.see(f"dead-letters?{httpx.QueryParams({query: ALL})}"))
            assert_clean(await visitor.see(f"approvals?{httpx.QueryParams({query: ALL})}"))


async def test_who_decides_and_why_stays_text(tmp_path: Path) -> None:
    async with approvals.opened(tmp_path) as desk:
        for text in CORPUS:
            approval_id = await desk.hold()
            run = (await desk.one(approval_id))["channel_id"]
            page = await desk.visitor.see(f"approvals/{approval_id}")
            made = await desk.visitor.send(page, "/link", name=text)
            assert_clean(made)
            if made.status != 200:
                assert "\u0000" in text
                made = await desk.visitor.send(page, "/link", name="Anna")
            (url,) = {word for word in made.text.split() if "/approve/rap_" in word}
            seen = await desk.visitor.see(url)
            wrong = await approvals.send(desk.visitor, seen, "approve", data=text)
            done = await approvals.send(desk.visitor, seen, "reject", reason=f"because {text}")
            assert (done.status, "because" in done.text) == (200, True)
            paths = (f"approvals/{approval_id}", f"requests/{run}", "approvals", "requests", "")
            for each in (seen, wrong, done, *[await desk.visitor.see(path) for path in paths]):
                assert_clean(each)
            ruling = (await desk.one(approval_id))["ruling"]
            assert ruling["reason"] in (await desk.visitor.see(f"approvals/{approval_id}")).html.replace(
                "&lt;", "<"
            ).replace("&gt;", ">").replace("&#34;", '"').replace("&#39;", "'").replace("&amp;", "&")


@pytest.mark.parametrize("text", CORPUS)
async def test_names_with_markup_are_refused(tmp_path: Path, text: str) -> None:
    async with told(tmp_path, 200) as (visitor, api, _):
        workflow = {"name": text, "provider": "echo", "template": "hello"}
        output = {"name": text, "schema": {"type": "object"}}
        for kind, body in (("workflow", workflow), ("structured_output", output), ("key", {"name": text})):
            answer = await api.post(f"/console/{kind}", json=body)
            assert answer.status_code in (400, 422), (kind, answer.text)
            assert text not in (await api.get(f"/console/{kind}")).text
        for form in ("workflows/new", "structured-outputs/new", "keys/new"):
            answer2 = await visitor.send(await visitor.see(form), form, name=text)
            assert answer2.status in (400, 422), form
            assert_clean(answer2)


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
