"""riverflow around a Django project of one file. Django's ASGI app knows no lifespan; the middleware answers it.

    RIVERFLOW_ENV=development RIVERFLOW_API_KEY=secret uvicorn examples.django_app:app
    curl localhost:8000/suggest/

In a project of your own, only `asgi.py` changes: `application = RiverflowMiddleware(application, river=river)`.
"""

from typing import Any

import django
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.http import HttpRequest, JsonResponse
from django.urls import path

from riverflow import Event, Result, Riverflow, RiverflowMiddleware, Workflow

settings.configure(ROOT_URLCONF=__name__, SECRET_KEY="example-only", ALLOWED_HOSTS=["*"], DEBUG=False)
django.setup()

river = Riverflow(
    workflows=[
        Workflow(
            name="movie_suggestion",
            event_name="new_movie_suggestion",
            provider="echo",
            template="{{ messages.0.content }}",
        )
    ],
)


@river.on("new_movie_suggestion")
def enrich(event: Event) -> Result:
    """A plain function: Django's ORM may be used as in any view, since it runs in a worker thread."""
    movie = {"title": "Inception", "asked": event.data["choices"][0]["message"]["content"]}
    return Result({**movie, "id": "mov_123"}, task_id="movie_mov_123", metadata={"sources_checked": 3})


async def suggest(request: HttpRequest) -> JsonResponse:
    messages = [{"role": "user", "content": request.GET.get("q", "A movie for tonight?")}]
    run = await river.submit(workflow="movie_suggestion", messages=messages)
    return JsonResponse(await run.result())


urlpatterns: list[Any] = [path("suggest/", suggest)]

app = RiverflowMiddleware(get_asgi_application(), river=river, prefix="/river")
