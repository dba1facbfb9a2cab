"""Sender case 27: what is kept of a receiver's answer, and how it is shown."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator
from typing import Any

import pytest

from riverflow.builtin.http import build_client
from riverflow.builtin.webhook import KEPT, WebhookSender
from riverflow.cli.terminal import Screen
from riverflow.cli.timeline import Timeline
from riverflow.codec import from_python
from riverflow.config import Settings
from riverflow.models import Answer, Delivery, Entry
from riverflow.testing import FakeClock
from riverflow.testing.suites.receiver import Receiver, answer, receiving

pytestmark = pytest.mark.anyio


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as receiver:
        yield receiver


@pytest.fixture
async def sender() -> AsyncIterator[WebhookSender]:
    http = build_client(Settings(env="development"), FakeClock())
    yield WebhookSender(http)
    await http.aclose()


async def post(sender: WebhookSender, receiver: Receiver, body: bytes) -> Answer:
    receiver.replies(answer(500, body))
    delivery = Delivery(
        id="dl_1",
        run_id="c-1",
        project_id="p",
        stage="finalise",
        type="task.completed",
        url=receiver.url(),
        lane="http",
        body=b"{}",
        created_at=0,
        due_at=0,
    )
    return await sender.send(delivery, {}, 5)


@pytest.mark.parametrize("character", ["é", "€", "😀"])
@pytest.mark.parametrize("shift", [0, 1, 2, 3])
async def test_a_long_answer_is_cut_between_two_characters(
    sender: WebhookSender, receiver: Receiver, character: str, shift: int
) -> None:
    """Sender case 27."""
    text = "x" * shift + character * KEPT
    kept = (await post(sender, receiver, text.encode())).body
    assert KEPT - len(character.encode()) < len(kept) <= KEPT
    assert text.startswith(kept.decode("utf-8", "strict"))


@pytest.mark.parametrize("body", [b"\xff\xfe\x00" * 20, b"\x80" * KEPT * 2, b"\xf0\x9f" + b"a" * KEPT, b"\x00"])
async def test_binary_answers_are_kept_as_they_are(sender: WebhookSender, receiver: Receiver, body: bytes) -> None:
    """Sender case 27: no decoding, and never more than the bound."""
    assert (await post(sender, receiver, body)).body == body[:KEPT]


async def test_a_short_answer_is_not_touched(sender: WebhookSender, receiver: Receiver) -> None:
    """Sender case 27: it may end in half a character of its own."""
    assert (await post(sender, receiver, "é".encode()[:1])).body == b"\xc3"


HOSTILE = "ok\x1b]0;owned\x07\x1b[2J\x9b31m\r\u202etxt.exe\u2028\u0000"


@pytest.mark.parametrize("kind", ["run.failed", "callback.received", "delivery.attempted"])
async def test_no_terminal_obeys_an_answer(kind: str) -> None:
    """Sender case 27: escapes, line ends and changes of direction are shown and not carried out."""
    data: dict[str, Any] = {"message": HOSTILE, "code": HOSTILE, "url": f"https://a.test/{HOSTILE}", "form": "error"}
    terminal = io.StringIO()
    timeline = Timeline(Screen(terminal))
    timeline.riverflow_entry("run-1", Entry(kind=kind, at=1.0, number=1, data=from_python(data | {"error": HOSTILE})))
    shown = terminal.getvalue()
    assert "\\x1b]0;owned\\x07" in shown
    assert not {"\x1b", "\x07", "\x9b", "\r", "\u202e", "\u2028", "\x00"} & set(shown)


async def test_no_terminal_obeys_a_json_value() -> None:
    """Sender case 27."""
    shown = Screen(io.StringIO()).json({HOSTILE: [HOSTILE]})
    assert not {"\x1b", "\x07", "\x9b", "\r", "\u202e", "\u2028", "\x00"} & set(shown)
