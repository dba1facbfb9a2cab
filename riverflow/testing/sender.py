"""A sender that delivers nowhere: it records what it was given and answers from a script.

It must not judge what it carries.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, NamedTuple

from ..models import Answer, Delivery

__all__ = ["RecordingSender", "Sent"]


class Sent(NamedTuple):
    """One call of a sender."""

    delivery: Delivery
    signed: Mapping[str, str]
    timeout: float


class RecordingSender:
    """ports.Sender that takes its answers from `script`, one a delivery; the last one is repeated for ever.

    A step is an Answer, an HTTP status, or a function of the Delivery, plain or async, that gives one of these. Without
    a script every delivery is answered by 200. `sent` holds the calls in order.
    """

    def __init__(self, *script: Any, signs: bool = True) -> None:
        self._script: tuple[Any, ...] = script or (200,)
        self.signs = signs
        self.sent: list[Sent] = []

    async def send(self, delivery: Delivery, signed: Mapping[str, str], timeout: float) -> Answer:
        """Record the delivery; the next step of the script."""
        step = self._script[min(len(self.sent), len(self._script) - 1)]
        self.sent.append(Sent(delivery, dict(signed), timeout))
        if callable(step):
            step = step(delivery)
            step = await step if inspect.isawaitable(step) else step
        return Answer(status=step) if isinstance(step, int) else step
