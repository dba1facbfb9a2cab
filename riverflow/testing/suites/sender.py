"""The conformance suite of ports.Sender.

It asks only what the port promises: an Answer whatever happens, in time, and no exception but cancellation.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from ...models import Answer, Delivery, lane_of
from ...ports import Sender

__all__ = ["SenderSuite"]


class SenderSuite:
    """Subclass it, override the fixtures `sender` and `url`, and those of the others that apply::

        class TestMine(SenderSuite):
            @pytest.fixture
            def sender(self):
                return MySender()

            @pytest.fixture
            def url(self):
                return "mine:accepts"

    `url` takes every delivery, `broken` never does, `stuck` sets the event `asked` when it is told and then never
    answers; `gone` names a target that does not exist. What is left out is skipped.
    """

    pytestmark = pytest.mark.anyio

    @pytest.fixture
    def anyio_backend(self) -> str:
        return "asyncio"

    @pytest.fixture
    def sender(self) -> Sender:
        """The sender; to be overridden."""
        raise NotImplementedError("override the fixture `sender`")

    @pytest.fixture
    def url(self) -> str:
        """A target that accepts; to be overridden."""
        raise NotImplementedError("override the fixture `url`")

    @pytest.fixture
    def broken(self) -> str:
        pytest.skip("this sender's targets cannot refuse")

    @pytest.fixture
    def gone(self) -> str:
        pytest.skip("this sender's targets always exist")

    @pytest.fixture
    def asked(self) -> asyncio.Event:
        """Set it where `stuck` has begun to wait."""
        return asyncio.Event()

    @pytest.fixture
    def stuck(self) -> str:
        pytest.skip("this sender's targets always answer")

    def delivery(self, url: str, **members: Any) -> Delivery:
        """A hand-off for `url`; `members` are those of Delivery."""
        defaults: dict[str, Any] = {
            "id": "dl_0001",
            "run_id": "018bcfe5-6800-7000-8000-000000000001",
            "project_id": "p",
            "stage": "enrich",
            "type": "task.ai_generated",
            "event_name": "told",
            "lane": lane_of(url),
            "body": b'{"type":"task.ai_generated","event":"told","ai_response":{"data":{"n":1}}}',
            "created_at": 1_700_000_000.0,
            "due_at": 1_700_000_000.0,
        }
        return Delivery(url=url, **(defaults | members))

    async def send(self, sender: Sender, url: str, timeout: float = 10.0) -> Answer:
        signed = {"x-signed": "yes"} if sender.signs else {}
        return await sender.send(self.delivery(url), signed, timeout)

    async def test_it_says_whether_it_signs(self, sender: Sender) -> None:
        assert isinstance(sender.signs, bool)

    async def test_a_delivery_is_taken(self, sender: Sender, url: str) -> None:
        answer = await self.send(sender, url)
        assert answer.ok
        assert answer.error is None
        assert not answer.final

    async def test_deliveries_do_not_wait_for_one_another(self, sender: Sender, url: str) -> None:
        answers = await asyncio.gather(*(self.send(sender, url) for _ in range(8)))
        assert all(answer.ok for answer in answers)

    async def test_a_refusal_is_an_answer(self, sender: Sender, broken: str) -> None:
        answer = await self.send(sender, broken)
        assert not answer.ok
        assert answer.error or answer.status

    async def test_a_missing_target_is_an_answer(self, sender: Sender, gone: str) -> None:
        answer = await self.send(sender, gone)
        assert not answer.ok
        assert answer.error
        assert answer.message

    async def test_a_target_that_never_answers_is_cut(self, sender: Sender, stuck: str) -> None:
        answer = await asyncio.wait_for(self.send(sender, stuck, timeout=0.2), 10)
        assert answer.error == "timeout"
        assert not answer.final

    async def test_a_caller_may_leave(self, sender: Sender, stuck: str, asked: asyncio.Event) -> None:
        sending = asyncio.create_task(self.send(sender, stuck, timeout=2.0))
        await asyncio.wait_for(asked.wait(), 5)
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(sending, 5)
