"""Sender case 27: what the timeline keeps of a receiver's answer, and who sees it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from riverflow import Stage
from riverflow._kept import headers_of, text_of
from riverflow.testing import serve

from .world import EVENT, SECRET, World, movie_workflow, open_world

pytestmark = pytest.mark.anyio

WORKFLOW = {"name": "movie", "provider": "scripted", "model": "m", "event_name": EVENT}
HOSTILE = "ok\x1b]0;owned\x07\x1b[2J\x9b31m\r\u202etxt.exe\u2028\u0000"


async def echo(request: Request) -> Response:
    """A receiver that says back all that it was sent, and refuses it."""
    sent = {"headers": dict(request.headers), "control": HOSTILE, "body": (await request.body()).decode()}
    text = json.dumps(sent, ensure_ascii=False).replace("/", "\\/")
    return Response(text, 500, {"x-said": request.headers["webhook-signature"]})


async def attempted(world: World, url: str, **headers: str) -> dict[str, Any]:
    asked = {"workflow": "movie", "messages": [], "webhook_url": f"{url}/hook"}
    accepted = (await world.http.post("/v1/ai/async", json=asked, headers=headers)).json()
    return await world.wrote(accepted, "delivery.attempted")


async def test_a_receiver_cannot_say_back_what_it_was_sent_as_a_secret(tmp_path: Path) -> None:
    """Sender case 27: tokens and signatures are taken out, control characters made harmless."""
    app = Starlette(routes=[Route("/hook", echo, methods=["POST"])])
    async with serve(app) as url, open_world(tmp_path, answerer="none", webhook_secret=SECRET) as world:
        said = await attempted(world, url)
    kept = said["response"]
    assert '"riverflow-callback-token": "rcb_***"' in kept
    assert '"mr-signature": "***"' in kept
    assert '"x-modelriver-signature": "***"' in kept
    assert not re.search(r"v1,[A-Za-z0-9]|rcb_[0-9a-f]|[0-9a-f]{64}", kept)
    assert said["response_headers"]["x-said"] == "***"  # all of it
    assert "txt.exe" in kept
    assert not {"\x1b", "\x07", "\x9b", "\r", "\u202e", "\u2028", "\x00"} & set(kept)


async def test_a_receiver_cannot_hand_on_the_link_to_an_approval(tmp_path: Path) -> None:
    """Whoever may read a timeline may not decide for it."""
    app = Starlette(routes=[Route("/hook", echo, methods=["POST"])])
    stages = (
        Stage(name="generate", kind="generate"),
        Stage.approval("review"),
        Stage(name="finalise", kind="finalise"),
    )
    workflow = movie_workflow(event_name=None, pipeline=stages)
    async with serve(app) as url, open_world(tmp_path, answerer="none", workflows=[workflow]) as world:
        endpoint = {"url": f"{url}/hook", "events": ["approval.requested"]}
        assert (await world.http.post("/console/webhook", json=endpoint)).status_code == 201
        kept = (await world.wrote(await world.submit(), "delivery.attempted"))["response"]
    assert "approval_id" in kept
    assert "approve\\/rap_***" in kept
    assert not re.search(r"rap_[A-Za-z0-9]", kept)


async def test_what_a_terminal_could_obey_is_kept_as_something_harmless(tmp_path: Path) -> None:
    """Sender case 27."""
    assert text_of(HOSTILE.encode()) == "ok\ufffd]0;owned\ufffd\ufffd[2J\ufffd31m\ufffd\ufffdtxt.exe\ufffd\ufffd"
    assert text_of(b"two\n\tlines") == "two\n\tlines"
    assert text_of(b"") is None
    assert headers_of({"x": "a\x1bb", "set-cookie": "c"}) == {"x": "a\ufffdb"}


@pytest.mark.parametrize(
    ("keep", "own", "tenants", "good"),
    [
        ("own", True, False, False),
        ("failed", True, True, False),
        ("all", True, True, True),
        ("none", False, False, False),
    ],
)
async def test_tenants_see_no_answer_unless_that_is_set(
    tmp_path: Path, keep: str, own: bool, tenants: bool, good: bool
) -> None:
    """Sender case 27: an answer is kept of a failed attempt, in the operator's own project."""

    async def answering(request: Request) -> Response:
        return Response("inside the walls", 200 if "good" in request.url.path else 500, {"x-inside": "walls"})

    app = Starlette(routes=[Route("/{path:path}", answering, methods=["POST"])])
    async with serve(app) as url, open_world(tmp_path, answerer="none", keep_answers=keep) as world:
        await world.http.post("/console/project", json={"name": "blue"})
        key = (await world.http.post("/console/key", json={"name": "k", "project": "blue"})).json()["key"]
        tenant = {"authorization": f"Bearer {key}"}
        await world.http.post("/console/workflow", headers=tenant, json=WORKFLOW)
        said = await attempted(world, url)
        assert ("response" in said, "response_headers" in said) == (own, own)
        said = await attempted(world, url, **tenant)
        assert ("response" in said, "response_headers" in said) == (tenants, tenants)
        assert ("response" in await attempted(world, f"{url}/good")) is good
        hook = {"url": f"{url}/hook"}
        endpoint = (await world.http.post("/console/webhook", headers=tenant, json=hook)).json()
        tried = await world.http.post(f"/console/webhook/{endpoint['id']}/test", headers=tenant)
        assert (tried.json()["status"], tried.json()["response"]) == (500, "inside the walls" if tenants else None)
