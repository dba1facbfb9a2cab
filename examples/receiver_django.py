"""A webhook receiver in a Django project of one file: the view gets what is verified and new, without a CSRF token.

    MODELRIVER_WEBHOOK_SECRET=whsec_… MODELRIVER_API_KEY=secret uvicorn examples.receiver_django:app --port 3000
    curl localhost:8000/console/webhook -H 'Authorization: Bearer secret' \
         -d '{"url": "http://localhost:3000/webhooks/ai"}'          # answers the secret, once

The work is done within the request: should the process die over it, nothing was acknowledged, and riverflow sends the
message again. In a project of your own, decorate your view; where it only queues a task, return after that.
"""

import os
import urllib.request
from typing import Any

import django
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.http import HttpRequest, JsonResponse
from django.urls import path

from riverflow.webhooks import Message, Receiver, SQLiteReplays
from riverflow.webhooks.django import webhook_view

settings.configure(ROOT_URLCONF=__name__, SECRET_KEY="example-only", ALLOWED_HOSTS=["*"], DEBUG=False)
django.setup()

receiver = Receiver(os.environ["MODELRIVER_WEBHOOK_SECRET"], replays=SQLiteReplays("replays.db"))


def enrich(message: Message) -> None:
    """Your own work, then the answer."""
    movie = {**message.data, "id": "mov_123", "streaming": {"netflix": True, "prime": False}}
    metadata = {"sources_checked": 3}
    key = os.environ["MODELRIVER_API_KEY"]
    callback = message.answer(movie, task_id="movie_mov_123", metadata=metadata, api_key=key)
    request = urllib.request.Request(callback.url, callback.body, callback.headers)
    with urllib.request.urlopen(request, timeout=10) as response:
        print("callback", response.status, flush=True)


@webhook_view(receiver)
def webhook(request: HttpRequest, message: Message) -> JsonResponse:
    """An error here makes the sender try again."""
    if message.callback_required:
        enrich(message)
    return JsonResponse({"received": True})


urlpatterns: list[Any] = [path("webhooks/ai", webhook)]

app = get_asgi_application()
