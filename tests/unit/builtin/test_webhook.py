"""What a webhook carries, and what its answers and failures become."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from riverflow.builtin.http import build_client
from riverflow.builtin.webhook import KEPT, WebhookSender, riverflow_senders
from riverflow.config import Settings
from riverflow.models import Answer, Delivery
from riverflow.ports import HttpClient
from riverflow.testing import FakeClock, make_context
from riverflow.testing.suites.receiver import Receiver, answer, receiving

pytestmark = pytest.mark.anyio

BODY = '{"type":"task.completed","data":{"name":"Zoë"}}'.encode()


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as receiver:
        yield receiver


@pytest.fixture
async def http() -> AsyncIterator[HttpClient]:
    http = build_client(Settings(env="development"), FakeClock())
    yield http
    await http.aclose()


def delivery(url: str) -> Delivery:
    return Delivery(
        id="dl_1",
        run_id="c-1",
        project_id="p",
        stage="finalise",
        type="task.completed",
        url=url,
        lane="http",
        body=BODY,
        created_at=0,
        due_at=0,
    )


async def post(http: HttpClient, url: str, signed: dict[str, str] | None = None) -> Answer:
    return await WebhookSender(http).send(delivery(url), signed or {}, 5)


async def test_the_signed_bytes_are_the_sent_bytes(http: HttpClient, receiver: Receiver) -> None:
    await post(http, receiver.url(path="/hook?x=1"), {"mr-signature": "abc", "X-ModelRiver-Timestamp": "1"})
    (got,) = receiver.received
    assert got.line == "POST /hook?x=1 HTTP/1.1"
    assert got.body == BODY
    assert got.headers["content-type"] == "application/json"
    assert got.headers["user-agent"].startswith("riverflow")
    assert (got.headers["mr-signature"], got.headers["x-modelriver-timestamp"]) == ("abc", "1")


@pytest.mark.parametrize(
    ("status", "ok"), [(200, True), (201, True), (299, True), (302, False), (404, False), (500, False)]
)
async def test_only_2xx_is_ok(http: HttpClient, receiver: Receiver, status: int, ok: bool) -> None:
    receiver.replies(answer(status, b"text", "Location: /other"))
    headers = {"content-length": "4", "location": "/other"}
    assert await post(http, receiver.url()) == Answer(status=status, body=b"text", headers=headers)
    assert Answer(status=status).ok is ok
    assert len(receiver.received) == 1


async def test_a_long_answer_is_cut(http: HttpClient, receiver: Receiver) -> None:
    receiver.replies(answer(500, b"x" * (KEPT + 1)))
    assert len((await post(http, receiver.url())).body) == KEPT


async def test_no_answer_is_tried_again(http: HttpClient) -> None:
    async with receiving() as gone:
        url = gone.url()
    got = await post(http, url)
    assert (got.status, got.error, got.final) == (None, "connection_error", False)


async def test_what_the_policy_refuses_is_final(receiver: Receiver) -> None:
    http = build_client(Settings(), FakeClock())
    got = await post(http, receiver.url())
    await http.aclose()
    assert (got.status, got.error, got.final) == (None, "policy", True)
    assert receiver.connections == 0


async def test_it_serves_http_and_https() -> None:
    senders = riverflow_senders()
    assert set(senders) == {"http", "https"}
    assert all(factory(make_context()).signs for factory in senders.values())
