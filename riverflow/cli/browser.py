"""A browser's part: joins a run's channel over a real WebSocket and waits for the final message.

It speaks Phoenix Channels, version 2 frames: `[join_ref, ref, topic, event, payload]`.
"""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlencode

from websockets.asyncio.client import connect

from ..errors import RiverflowError

__all__ = ["final_message"]


async def final_message(accepted: dict[str, Any]) -> dict[str, Any]:
    """The last `response` of an accepted request's channel; `accepted` is the answer of `POST ai/async`."""
    query = urlencode({"token": accepted["ws_token"], "vsn": "2.0.0"})
    topic = accepted["websocket_channel"]
    async with connect(f"{accepted['websocket_url']}/websocket?{query}", proxy=None, compression=None) as socket:
        await socket.send(json.dumps(["1", "1", topic, "phx_join", {}]))
        async for text in socket:
            _, _, _, event, payload = json.loads(text)
            if event == "phx_reply" and payload["status"] != "ok":
                raise RiverflowError(f"the channel could not be joined: {payload['response'].get('reason')}")
            if event == "response" and payload["status"] != "ai_generated":
                message: dict[str, Any] = payload
                return message
    raise RiverflowError("the socket was closed before the final message")
