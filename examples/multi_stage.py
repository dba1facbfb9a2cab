"""Several stages in a row: AI → validation → enrichment → formatting, each checkpointed, so none is repeated.

    RIVERFLOW_ENV=development RIVERFLOW_API_KEY=secret uvicorn examples.multi_stage:app
    curl localhost:8000/article

`check` is a stage of our own kind, run right in the pipeline. `enrich` and `format` are hand-offs: handlers here, and
webhooks as soon as their event has an endpoint instead of a handler. Nothing else changes then.
"""

from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Mount, Route

from riverflow import Event, Failure, Riverflow, Stage, StageContext, Workflow
from riverflow.codec import decode

river = Riverflow(
    workflows=[
        Workflow(
            name="article",
            provider="echo",
            template="{{ messages.0.content }}",
            pipeline=(
                Stage(name="generate", kind="generate"),
                Stage(name="validate", kind="check"),
                Stage.hand_off("enrich", event_name="article_checked"),
                Stage.hand_off("format", event_name="article_enriched", timeout=60),
                Stage(name="finalise", kind="finalise"),
            ),
        )
    ],
)


@river.stage("check")
async def check(context: StageContext) -> dict[str, Any]:
    """What it returns is what the next stage works on; a Failure ends the run."""
    text = decode(context.data)["choices"][0]["message"]["content"]
    if "rubbish" in text:
        raise Failure("rejected", "the text did not pass")
    return {"text": text, "words": len(text.split())}


@river.on("article_checked")
async def enrich(event: Event) -> dict[str, Any]:
    return {**event.data, "sources": ["https://example.com/a", "https://example.com/b"]}


@river.on("article_enriched")
async def lay_out(event: Event) -> dict[str, Any]:
    links = "".join(f'<li><a href="{url}">{url}</a></li>' for url in event.data["sources"])
    return {"html": f"<p>{event.data['text']}</p><ul>{links}</ul>", "words": event.data["words"]}


async def article(request: Request) -> JSONResponse:
    topic = request.query_params.get("topic", "Rivers flow to the sea.")
    run = await river.submit(workflow="article", messages=[{"role": "user", "content": topic}])
    result = await run.result()
    stages = [entry.stage for entry in await run.timeline() if entry.kind == "stage.completed"]
    return JSONResponse({"status": result["status"], "data": result.get("data"), "stages": stages})


app = Starlette(routes=[Route("/article", article), Mount("/river", river)], lifespan=river.lifespan)
