"""A webhook receiver in FastAPI: verified, taken once, answered before it is acknowledged.

    MODELRIVER_WEBHOOK_SECRET=whsec_… MODELRIVER_API_KEY=secret uvicorn examples.receiver_fastapi:app --port 3000
    curl localhost:8000/console/webhook -H 'Authorization: Bearer secret' \
         -d '{"url": "http://localhost:3000/webhooks/ai"}'          # answers the secret, once

The work is done within the request: should the process die over it, nothing was acknowledged, and riverflow sends the
message again. For work of more than some seconds, store the message first: see receiver_flask.py.
"""

import os
from typing import Annotated

import httpx
from fastapi import Depends, FastAPI

from riverflow.webhooks import CallbackRequest, Message, Receiver, SQLiteReplays
from riverflow.webhooks.starlette import WebhookDependency

receiver = Receiver(os.environ["MODELRIVER_WEBHOOK_SECRET"], replays=SQLiteReplays("replays.db"))
verified = Depends(WebhookDependency(receiver), scope="function")
app = FastAPI()


def enrich(message: Message) -> CallbackRequest:
    """Your own work: the database, the other services, …"""
    key = os.environ["MODELRIVER_API_KEY"]
    if not isinstance(message.data, dict):
        return message.failure("processing_failed", "there is no movie in it", api_key=key)
    movie = {**message.data, "id": "mov_123", "streaming": {"netflix": True, "prime": False}}
    return message.answer(movie, task_id="movie_mov_123", metadata={"sources_checked": 3}, api_key=key)


@app.post("/webhooks/ai")
async def webhook(message: Annotated[Message, verified]) -> dict[str, bool]:
    """Reached by what is verified and new, and by nothing else. An error here makes the sender try again."""
    if message.callback_required:
        callback = enrich(message)
        async with httpx.AsyncClient(timeout=10) as client:
            answer = await client.post(callback.url, headers=callback.headers, content=callback.body)
        answer.raise_for_status()
    else:
        print("done", message.type, message.channel_id, flush=True)
    return {"received": True}
