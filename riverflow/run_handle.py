"""What `river.submit` returns: a run as a Python developer holds it. It speaks to the engine and keeps nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import msgspec

from ._engine import Accepted, Engine
from .models import Entry, Frame

__all__ = ["RunHandle"]


class RunHandle:
    """One accepted run.

    `channel_id` is its public id; `ws_token` lets one browser into its channel; `websocket_channel` is the topic to
    join; `warnings` say what may keep it from succeeding.
    """

    def __init__(self, engine: Engine, project_id: str, accepted: Accepted) -> None:
        self._engine = engine
        self.project_id = project_id
        self.channel_id = accepted.run.id
        self.ws_token = accepted.token
        self.websocket_channel = accepted.topic
        self.warnings = tuple(accepted.warnings)

    def __repr__(self) -> str:
        return f"RunHandle(channel_id={self.channel_id!r})"

    async def result(self) -> dict[str, Any]:
        """Wait for the end and return the final message, the same that the browser gets: `status` is `success`,
        `completed` or `error`."""
        frame = await self._engine.result(self.project_id, self.channel_id)
        message: dict[str, Any] = msgspec.json.decode(frame.data)
        return message

    async def subscribe(self, *, after: int = 0) -> AsyncIterator[Frame]:
        """The run's messages numbered above `after`, those still to come included, until the final one."""
        async with await self._engine.subscribe(self.project_id, self.channel_id, after=after) as subscription:
            async for frame in subscription:
                yield frame

    async def timeline(self, *, after: int = 0) -> tuple[Entry, ...]:
        """The log entries numbered above `after` that are there now, the operator's included."""
        return (await self._engine.entries(self.project_id, self.channel_id, after)).entries

    async def cancel(self) -> None:
        """End the run as `error` with code `cancelled`. Raises NotWaiting where it has ended already."""
        await self._engine.cancel(self.project_id, self.channel_id)
