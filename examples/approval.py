"""A person approves, edits or rejects what the AI wrote, days later if need be (pattern 3, with nothing to build).

    export RIVERFLOW_ENV=development RIVERFLOW_API_KEY=secret RIVERFLOW_PUBLIC_URL=http://localhost:8000/river
    uvicorn examples.approval:app
    curl -X POST localhost:8000/announcements   # {"channel_id": …}
    curl localhost:8000/asked                   # {"<channel_id>": "http://localhost:8000/river/approve/rap_…"}

Open that address in a browser: whoever has it decides there once, without a login. The same item waits in the console
(http://localhost:8000/river/console/approvals) and in the API:

    curl localhost:8000/river/v1/approvals -H 'Authorization: Bearer secret'
    curl -X POST localhost:8000/river/v1/approvals/<id> -H 'Authorization: Bearer secret' -d '{"decision": "approve"}'
"""

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Mount, Route

from riverflow import Event, Riverflow, Stage, StructuredOutput, Workflow

river = Riverflow(
    workflows=[
        Workflow(
            name="announcement",
            provider="echo",  # offline, answers from sample data; "openai" for the real thing
            structured_output_id="announcement",
            pipeline=(
                Stage(name="generate", kind="generate"),
                Stage.approval("review", timeout=3 * 24 * 3600, on_timeout="reject"),
                Stage.hand_off("publish"),
                Stage(name="finalise", kind="finalise"),
            ),
        )
    ],
    structured_outputs=[
        StructuredOutput(
            name="announcement",
            schema={
                "type": "object",
                "properties": {"title": {"type": "string", "maxLength": 80}, "text": {"type": "string"}},
                "required": ["title", "text"],
            },
            sample_data={"title": "We have moved", "text": "From Monday on you find us by the river."},
        )
    ],
)
asked: dict[str, str] = {}


@river.on("approval.requested")
async def ask(event: Event) -> None:
    """Durable and retried: here a chat would be told."""
    asked[event.channel_id] = event.payload["data"]["url"]


@river.on("publish")
async def publish(event: Event) -> dict[str, str]:
    """Only what was approved comes here, as it was approved."""
    return {**event.data, "url": "https://example.com/news/1"}


async def write(request: Request) -> JSONResponse:
    run = await river.submit(workflow="announcement", messages=[{"role": "user", "content": "We have moved."}])
    return JSONResponse({"channel_id": run.channel_id})


async def show(request: Request) -> JSONResponse:
    return JSONResponse(asked)


app = Starlette(
    routes=[Route("/announcements", write, methods=["POST"]), Route("/asked", show), Mount("/river", river)],
    lifespan=river.lifespan,
)
