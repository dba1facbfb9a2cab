"""riverflow in a FastAPI app by `add_middleware`, which sees the app's lifespan; FastAPI's users count as riverflow's.

    RIVERFLOW_ENV=development RIVERFLOW_API_KEY=secret uvicorn examples.fastapi_app:app
    curl -X POST localhost:8000/suggestions -H 'content-type: application/json' -d '{"mood": "rainy"}'
    curl -N "localhost:8000/river/v1/ai/<channel_id>/events?token=<ws_token>"

The first answer has the channel and its token, the second is what an EventSource in the browser reads.
"""

from fastapi import FastAPI
from pydantic import BaseModel

from riverflow import Event, Riverflow, RiverflowMiddleware, StructuredOutput, Workflow

river = Riverflow(
    structured_outputs=[
        StructuredOutput(
            name="movie",
            schema={
                "type": "object",
                "properties": {"title": {"type": "string"}, "year": {"type": "integer"}},
                "required": ["title", "year"],
            },
            sample_data={"title": "Inception", "year": 2010},
        )
    ],
    workflows=[
        Workflow(
            name="movie_suggestion",
            event_name="new_movie_suggestion",
            provider="echo",
            structured_output_id="movie",
        )
    ],
)


@river.on("new_movie_suggestion")
def enrich(event: Event) -> dict[str, object]:
    """A plain function runs in a worker thread: blocking database calls are welcome here."""
    if event.data["year"] < 1900:
        event.fail("too_old", "there were no movies then")
    return {**event.data, "id": "mov_123", "streaming": {"netflix": True}}


app = FastAPI()
app.add_middleware(RiverflowMiddleware, river=river, prefix="/river")


class Wish(BaseModel):
    mood: str


@app.post("/suggestions")
async def suggest(wish: Wish) -> dict[str, str]:
    run = await river.submit(
        workflow="movie_suggestion",
        messages=[{"role": "user", "content": f"A movie for a {wish.mood} evening"}],
        customer_data={"mood": wish.mood},
    )
    return {"channel_id": run.channel_id, "ws_token": run.ws_token, "websocket_channel": run.websocket_channel}
