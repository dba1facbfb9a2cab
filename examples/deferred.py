"""A person approves: the handler defers, and the answer comes later through the callback URL (pattern 3).

    export RIVERFLOW_ENV=development RIVERFLOW_API_KEY=secret RIVERFLOW_PUBLIC_URL=http://localhost:8000/river
    uvicorn examples.deferred:app
    curl -X POST localhost:8000/drafts          # {"channel_id": …}
    curl localhost:8000/waiting                 # {"<channel_id>": {"draft": …, "callback_url": …}}
    curl -X POST <callback_url> -H 'Authorization: Bearer secret' -d '{"data": {"text": "Approved."}}'
    curl localhost:8000/river/v1/ai/<channel_id> -H 'Authorization: Bearer secret'

The run waits a day, across restarts; a real app would keep `waiting` in its database. The public URL is what callback
URLs begin with; a run that is started from Python has no request to take it from.
"""

from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Mount, Route

from riverflow import Event, Riverflow, Workflow
from riverflow.models import Deferred

river = Riverflow(
    workflows=[
        Workflow(
            name="draft",
            event_name="draft_written",
            provider="echo",
            template="{{ messages.0.content }}",
            callback_timeout=24 * 3600,
        )
    ],
)
waiting: dict[str, dict[str, Any]] = {}


@river.on("draft_written")
async def ask_for_approval(event: Event) -> Deferred:
    draft = event.data["choices"][0]["message"]["content"]
    waiting[event.channel_id] = {"draft": draft, "callback_url": event.callback_url}
    return event.defer()


@river.on("task.completed")
async def publish(event: Event) -> None:
    """Durable and retried like the rest: what comes after the approval."""
    waiting.pop(event.channel_id, None)


async def write(request: Request) -> JSONResponse:
    run = await river.submit(
        workflow="draft",
        messages=[{"role": "user", "content": "Dear customer, …"}],
    )
    return JSONResponse({"channel_id": run.channel_id})


async def queue(request: Request) -> JSONResponse:
    return JSONResponse(waiting)


app = Starlette(
    routes=[Route("/drafts", write, methods=["POST"]), Route("/waiting", queue), Mount("/river", river)],
    lifespan=river.lifespan,
)
