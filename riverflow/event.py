"""What an in-process handler receives and may return: Event and Result.

This module reads a delivery's body, on first use; it calls no handler and decides nothing.
"""

from __future__ import annotations

from typing import Any, NoReturn

import msgspec

from .codec import decode
from .errors import Failure
from .models import Deferred, Delivery, HandlerCall, Json

__all__ = ["Event", "Result"]


class Result(msgspec.Struct, frozen=True):
    """What a handler may return where data alone is not enough: the success form of a callback.

    `data` is a JSON object (anything that `codec.from_python` writes as one), `metadata` any JSON value.
    """

    data: Any
    task_id: str | None = None
    metadata: Any = None


class Event:
    """One telling of a handler: the same facts a remote backend finds in its webhook.

    The message is decoded on first use, and of a call in this process no more of it than is asked for. A handler may be
    told more than once of the same thing; `idempotency_key` is then the same and `attempt` (from 1) grows.
    """

    __slots__ = ("_delivery", "_parts", "_payload")

    def __init__(self, delivery: Delivery) -> None:
        self._delivery = delivery
        self._payload: dict[str, Any] | None = None
        self._parts: dict[str, Any] = {}

    def __repr__(self) -> str:
        return f"Event({self.name!r}, channel_id={self.channel_id!r}, attempt={self.attempt})"

    @property
    def payload(self) -> dict[str, Any]:
        """The whole message, as a webhook would carry it."""
        if self._payload is None:
            delivery = self._delivery
            self._payload = payload = decode(delivery.write() if isinstance(delivery, HandlerCall) else delivery.body)
            for name, value in self._parts.items():  # which the handler has, and may have changed
                (payload if name in payload else payload["ai_response"])[name] = value
        return self._payload

    def _part(self, name: str, text: Json) -> Any:
        """A member that is read without the rest of the message."""
        if name not in self._parts:
            self._parts[name] = decode(text)
        return self._parts[name]

    @property
    def name(self) -> str:
        """What the handler was registered for: the event name, or `task.completed`, `task.failed`, `run.failed`, …"""
        return (self._delivery.event_name if self.expects_answer else None) or self._delivery.type

    @property
    def type(self) -> str:
        """`task.ai_generated`, `task.completed`, `task.failed`, or one of an operator's (`run.failed`, …)."""
        return self._delivery.type

    @property
    def expects_answer(self) -> bool:
        """Whether the run waits for what the handler returns (a hand-off), or is over (`task.completed`, …)."""
        return self._delivery.type == "task.ai_generated"

    @property
    def channel_id(self) -> str:
        """The run's public id."""
        return self._delivery.run_id

    @property
    def attempt(self) -> int:
        """Which try this is, from 1."""
        return self._delivery.attempt

    @property
    def idempotency_key(self) -> str:
        """The same on every try of the same delivery."""
        return self._delivery.id

    @property
    def workflow(self) -> str | None:
        """The name of the workflow."""
        return self.payload.get("workflow") or self.meta.get("workflow_name")

    @property
    def ai_response(self) -> dict[str, Any]:
        """The AI's own answer as the payload has it: `{"data": …}`."""
        return self.payload.get("ai_response") or {}

    @property
    def data(self) -> Any:
        """What this stage works on: the payload's `data` where it has one, else the AI's answer."""
        if self._payload is None and isinstance(self._delivery, HandlerCall):
            return self._part("data", self._delivery.data)
        return self.payload["data"] if "data" in self.payload else self.ai_response.get("data")

    @property
    def customer_data(self) -> dict[str, Any]:
        """What the request gave to be echoed."""
        if self._payload is None and isinstance(self._delivery, HandlerCall):
            found: dict[str, Any] = self._part("customer_data", self._delivery.customer_data)
            return found
        return self.payload.get("customer_data") or {}

    @property
    def meta(self) -> dict[str, Any]:
        """How the answer was made: provider, model, tokens, …"""
        return self.payload.get("meta") or {}

    @property
    def status(self) -> str | None:
        """The run's final status, in `task.completed` and `task.failed`."""
        return self.payload.get("status")

    @property
    def error(self) -> Any:
        """What went wrong, in `task.failed`."""
        return self.payload.get("error")

    @property
    def callback_url(self) -> str | None:
        """Where the answer goes that `defer` promises."""
        return self.payload.get("callback_url")

    @property
    def callback_token(self) -> str | None:
        """What whoever answers at `callback_url` may show instead of an API key (as Bearer)."""
        return self.payload.get("callback_token")

    def defer(self) -> Deferred:
        """`return event.defer()`: the answer will come later, through `callback_url`."""
        return Deferred()

    def fail(self, code: str, message: str = "") -> NoReturn:
        """End the run with the callback's error form. Raises Failure; it is final, nothing is retried."""
        raise Failure(code, message)
