"""riverflow below `/river` of a Starlette app; the enriching is a function of this app.

    RIVERFLOW_ENV=development RIVERFLOW_API_KEY=secret uvicorn examples.starlette_app:app
    curl localhost:8000/suggest

The page waits for the result here. A browser would take `ws_token` and read its channel instead.
"""

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Mount, Route

from riverflow import Event, Riverflow, Workflow

MOVIE = {"title": "Inception", "year": 2010, "genre": ["Sci-Fi", "Thriller"], "rating": 8.8}

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
async def enrich(event: Event) -> dict[str, object]:
    """The AI's answer in, what the user gets out."""
    question = event.data["choices"][0]["message"]["content"]
    return {**MOVIE, "asked": question, "id": "mov_123", "for": event.customer_data["user_id"]}


async def suggest(request: Request) -> JSONResponse:
    run = await river.submit(
        workflow="movie_suggestion",
        messages=[{"role": "user", "content": request.query_params.get("q", "A movie for tonight?")}],
        customer_data={"user_id": "user_456"},
    )
    return JSONResponse(await run.result())


app = Starlette(
    routes=[Route("/suggest", suggest), Mount("/river", river)],
    lifespan=river.lifespan,  # Starlette passes no lifespan on to what is mounted
)
