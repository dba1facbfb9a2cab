"""Sender cases 30 and 31: what stands in the headers of a delivery, from the first try to the last."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest

from riverflow import Endpoint, Riverflow, Workflow, hookimpl
from riverflow.builtin.http import build_client
from riverflow.builtin.webhook import WebhookSender
from riverflow.config import Settings
from riverflow.errors import PipelineError
from riverflow.models import Delivery, Entry
from riverflow.testing import FakeClock
from riverflow.testing.suites.receiver import Received, Receiver, answer, receiving

pytestmark = pytest.mark.anyio

CLIENTS = [name for name in get_args(get_type_hints(Settings)["http_client"]) if name != "auto"]
SECRET = "whsec_c2VudHNlbnRzZW50c2VudHNlbnRzZW50c2VudHNlbnQ="


class Watch:
    """Counts the attempts that have been settled."""

    def __init__(self) -> None:
        self.attempts = 0
        self.news = asyncio.Event()

    @hookimpl
    def riverflow_entry(self, run_id: str, entry: Entry) -> None:
        if entry.kind == "delivery.attempted":
            self.attempts += 1
            self.news.set()

    async def until(self, attempts: int) -> None:
        async with asyncio.timeout(10):
            while self.attempts < attempts:
                self.news.clear()
                await self.news.wait()


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as receiver:
        yield receiver


async def tries(path: Path, receiver: Receiver) -> list[Received]:
    """Three tries of one delivery: the first two are answered 503, with 5 and 30 seconds between."""
    clock, watch = FakeClock(), Watch()
    receiver.replies(answer(503), answer(503), answer(200, b"ok"))
    river = Riverflow(
        env="development",
        database_url=f"sqlite:///{path}/river.db",
        workflows=[Workflow(name="hello", provider="echo", sample_data={"title": "Inception"})],
        endpoints=[Endpoint(url=receiver.url(), secret=SECRET, events=("*",))],
        clock=clock,
        plugins=[watch],
        environ={},
    )
    async with river.lifespan():
        await river.submit(workflow="hello", messages=[{"role": "user", "content": "a film"}])
        for number, seconds in ((1, 5), (2, 30), (3, 0)):
            await watch.until(number)
            await clock.advance(seconds)
    return receiver.received[:3]


async def test_each_try_has_the_same_id_and_a_fresh_time_and_signature(tmp_path: Path, receiver: Receiver) -> None:
    """Sender case 31: an id without dots, whole seconds, and the signature of exactly the bytes that are sent."""
    sent = await tries(tmp_path, receiver)
    ids = {each.headers["webhook-id"] for each in sent}
    assert len(ids) == 1
    assert "." not in ids.pop()
    stamps = [int(each.headers["webhook-timestamp"]) for each in sent]
    assert [stamp - stamps[0] for stamp in stamps] == [0, 5, 35]
    assert len({each.headers["webhook-signature"] for each in sent}) == 3
    assert len({each.body for each in sent}) == 1
    for each in sent:
        signed = f"{each.headers['webhook-id']}.{each.headers['webhook-timestamp']}.".encode() + each.body
        key = base64.b64decode(SECRET.removeprefix("whsec_"))
        expected = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
        assert each.headers["webhook-signature"] == f"v1,{expected}"
        assert each.headers["content-length"] == str(len(each.body))


async def test_each_try_says_that_it_is_a_delivery(tmp_path: Path, receiver: Receiver) -> None:
    """Sender case 6: the hop counter."""
    assert {each.headers["riverflow-hops"] for each in await tries(tmp_path, receiver)} == {"1"}


def test_an_event_has_no_name_that_could_break_a_line() -> None:
    """Sender case 30: neither where a workflow is defined, nor where a request names an event."""
    with pytest.raises(PipelineError, match="printable"):
        Workflow(name="hello", event_name="done\r\nX-Evil: 1").stages()
    with pytest.raises(PipelineError, match="printable"):
        Workflow(name="hello").stages("done\x00")


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize(
    "header",
    [
        ("x-mine", "a\r\nX-Evil: 1"),
        ("x-mine", "a\nb"),
        ("x-mine", "a\r\n b"),
        ("x-mine", "a\x00b"),
        ("x-mine", "ä"),
        ("x-mine\r\nX-Evil", "1"),
        ("Host", "evil.test"),
        ("Content-Length", "1"),
        ("Transfer-Encoding", "chunked"),
        ("Connection", "upgrade"),
        ("Keep-Alive", "1"),
        ("TE", "trailers"),
        ("Trailer", "x"),
        ("Upgrade", "h2c"),
        ("Proxy-Authorization", "Basic x"),
        ("Cookie", "a=b"),
    ],
    ids=repr,
)
async def test_a_header_that_would_change_the_message_is_not_sent(
    receiver: Receiver, client: Any, header: tuple[str, str]
) -> None:
    """Sender case 30: injected lines, and names that frame a message or belong to one hop; no connection is made."""
    http = build_client(Settings(env="development", http_client=client), FakeClock())
    got = await WebhookSender(http).send(_delivery(receiver.url()), dict([header]), 5)
    await http.aclose()
    assert (got.error, receiver.connections) == ("protocol_error", 0)
    assert header[1] not in got.message


def _delivery(url: str) -> Delivery:
    return Delivery(
        id="dl_1",
        run_id="c-1",
        project_id="p",
        stage="finalise",
        type="task.completed",
        url=url,
        lane="http",
        body=b"{}",
        created_at=0,
        due_at=0,
    )
