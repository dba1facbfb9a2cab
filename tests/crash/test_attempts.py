"""An attempt that dies with its process counts: what kills whoever tries it is not tried for ever."""

from __future__ import annotations

from typing import Any, cast

import pytest

from riverflow._breakers import Breakers
from riverflow._courier import Courier
from riverflow._directory import Directory
from riverflow._kept import Keeper
from riverflow.models import Delivery
from riverflow.retry import MODELRIVER
from riverflow.testing import FakeClock, RecordingSender

pytestmark = pytest.mark.anyio


def _delivery(attempt: int) -> Delivery:
    return Delivery(
        id="msg_1",
        run_id="r",
        project_id="p",
        stage="finalise",
        type="task.completed",
        url="local:task.completed",
        lane="local:task.completed",
        body=b"{}",
        created_at=0,
        due_at=0,
        attempt=attempt,
    )


@pytest.mark.parametrize(("attempt", "tried", "status"), [(8, True, "dead"), (9, False, "dead"), (7, True, "pending")])
async def test_the_ninth_life_does_not_try(attempt: int, tried: bool, status: str) -> None:
    sender = RecordingSender(500, signs=False)
    courier = Courier(
        senders={"local": sender},
        signers={},
        directory=cast("Directory", None),  # a delivery to a handler has no endpoint to look up
        clock=FakeClock(),
        policy=MODELRIVER,
        timeout=30,
        handler_timeout=300,
        breakers=Breakers(FakeClock().monotonic, freed=lambda seconds: None),
        keeper=Keeper("none", lambda: ""),
    )
    attempted = await courier.attempt(_delivery(attempt))
    assert attempted is not None
    answer, settlement = attempted
    assert len(sender.sent) == int(tried)
    assert settlement.status == status
    said: dict[str, Any] = {7: None, 8: None, 9: "attempts_exhausted"}
    assert answer.error == said[attempt]
