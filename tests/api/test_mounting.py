"""Every way to mount riverflow into an app, with the lifespans of both."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from litestar import Litestar, get
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route
from websockets.asyncio.client import connect

from riverflow import Riverflow, RiverflowMiddleware, Workflow, hookimpl
from riverflow.testing import serve

from .desk import KEY, client_of, problem

pytestmark = pytest.mark.anyio

Build = Callable[[Riverflow, list[str]], Any]


@pytest.fixture
def river(tmp_path: Path) -> Riverflow:
    return built(tmp_path)


def built(tmp_path: Path, **options: Any) -> Riverflow:
    river = Riverflow(
        **{
            "database_url": f"sqlite:///{tmp_path}/mounted.db",
            "api_key": KEY,
            "env": "development",
            "workflows": [Workflow(name="movie", provider="echo", template="hi", event_name="new_movie")],
            "environ": {},
            "discover_plugins": False,
            "close_grace": 0.01,
            **options,
        }
    )

    @river.on("new_movie")
    async def enrich(event: Any) -> dict[str, Any]:
        return {"title": "Inception"}

    return river


# The ways ---------------------------------------------------------------------------------------------------


def host_lifespan(story: list[str]) -> Any:
    @asynccontextmanager
    async def lifespan(app: Any) -> AsyncIterator[None]:
        story.append("app starts")
        yield
        story.append("app stops")

    return lifespan


async def home(request: Any) -> PlainTextResponse:
    return PlainTextResponse("home")


def starlette_mount(river: Riverflow, story: list[str]) -> Any:
    @asynccontextmanager
    async def both(app: Any) -> AsyncIterator[None]:
        async with river.lifespan(app), host_lifespan(story)(app):
            yield

    return Starlette(routes=[Route("/", home), Mount("/river", river)], lifespan=both)


def starlette_add_middleware(river: Riverflow, story: list[str]) -> Any:
    app = Starlette(routes=[Route("/", home)], lifespan=host_lifespan(story))
    app.add_middleware(RiverflowMiddleware, river=river)
    return app


def starlette_middleware_list(river: Riverflow, story: list[str]) -> Any:
    middleware = [Middleware(RiverflowMiddleware, river=river, prefix="/river")]
    return Starlette(routes=[Route("/", home)], lifespan=host_lifespan(story), middleware=middleware)


def starlette_wrapped(river: Riverflow, story: list[str]) -> Any:
    return RiverflowMiddleware(Starlette(routes=[Route("/", home)], lifespan=host_lifespan(story)), river=river)


def fastapi_mount(river: Riverflow, story: list[str]) -> Any:
    @asynccontextmanager
    async def both(app: Any) -> AsyncIterator[None]:
        async with river.lifespan(app), host_lifespan(story)(app):
            yield

    app = FastAPI(lifespan=both)
    app.add_route("/", home)
    app.mount("/river", river)
    return app


def fastapi_add_middleware(river: Riverflow, story: list[str]) -> Any:
    app = FastAPI(lifespan=host_lifespan(story))
    app.add_route("/", home)
    app.add_middleware(RiverflowMiddleware, river=river, prefix="/river")
    return app


def litestar_wrapped(river: Riverflow, story: list[str]) -> Any:
    @get("/", media_type="text/plain", sync_to_thread=False)
    def litestar_home() -> str:
        return "home"

    return RiverflowMiddleware(
        Litestar([litestar_home], lifespan=[host_lifespan(story)], logging_config=None), river=river
    )


WAYS: list[Build] = [
    starlette_mount,
    starlette_add_middleware,
    starlette_middleware_list,
    starlette_wrapped,
    fastapi_mount,
    fastapi_add_middleware,
    litestar_wrapped,
]


@pytest.mark.parametrize("build", WAYS, ids=lambda build: build.__name__)
async def test_a_request_goes_all_the_way_in_a_mounted_riverflow(river: Riverflow, build: Build) -> None:
    story: list[str] = []
    async with serve(build(river, story), lifespan="on") as origin:
        assert story == ["app starts"]
        async with client_of(f"{origin}/river") as client:
            assert (await client.get(origin)).text == "home"
            run = (await client.post("/v1/ai/async", json={"workflow": "movie"})).json()
            assert run["websocket_url"] == f"{origin.replace('http', 'ws')}/river/socket"
            assert await final_over_websocket(run) == {"title": "Inception"}
            state = (await client.get(f"/v1/ai/{run['channel_id']}")).json()
            assert state["status"] == "completed"
            problem(await client.get("/nowhere"), 404, "route_not_found")
            assert (await client.get("/openapi.json")).json()["servers"] == [{"url": f"{origin}/river"}]
    assert story == ["app starts", "app stops"]


async def final_over_websocket(run: dict[str, Any]) -> Any:
    async with connect(f"{run['websocket_url']}/websocket?token={run['ws_token']}&vsn=2.0.0", proxy=None) as socket:
        await socket.send(json.dumps(["1", "1", run["websocket_channel"], "phx_join", {}]))
        async for text in socket:
            payload = json.loads(text)[4]
            if payload.get("status") == "completed":
                return payload["data"]
    raise AssertionError("closed without a final message")


@pytest.mark.parametrize("prefix", ["", "/ai", "/a/b"])
async def test_the_prefix_is_free(river: Riverflow, prefix: str) -> None:
    app = RiverflowMiddleware(Starlette(routes=[Route("/", home)]), river=river, prefix=prefix)
    async with serve(app, lifespan="on") as origin, client_of(f"{origin}{prefix}") as client:
        run = (await client.post("/v1/ai/async", json={"workflow": "movie"})).json()
        assert await final_over_websocket(run) == {"title": "Inception"}


async def test_riverflow_serves_by_itself(river: Riverflow) -> None:
    async with serve(river, lifespan="on") as origin, client_of(origin) as client:
        run = (await client.post("/v1/ai/async", json={"workflow": "movie"})).json()
        assert await final_over_websocket(run) == {"title": "Inception"}


async def test_below_a_proxys_root_path_both_find_their_own(river: Riverflow) -> None:
    app = RiverflowMiddleware(Starlette(routes=[Route("/", home)]), river=river)
    async with serve(app, lifespan="on", root_path="/outer") as origin, client_of(f"{origin}/river") as client:
        assert (await client.get(f"{origin}/")).text == "home"
        run = (await client.post("/v1/ai/async", json={"workflow": "movie"})).json()
        assert run["websocket_url"].endswith("/outer/river/socket")


@pytest.mark.parametrize("prefix", ["river", "/river/", "/"])
def test_a_prefix_that_cannot_match_is_refused(river: Riverflow, prefix: str) -> None:
    with pytest.raises(ValueError, match="prefix"):
        RiverflowMiddleware(Starlette(), river=river, prefix=prefix)


# Lifespans --------------------------------------------------------------------------------------------------


async def raises_on_lifespan(scope: Any, receive: Any, send: Any) -> None:
    """An app that knows no lifespan: it raises, as the ASGI specification has it."""
    assert scope["type"] == "http"
    await PlainTextResponse("home")(scope, receive, send)


async def returns_on_lifespan(scope: Any, receive: Any, send: Any) -> None:
    """An app that ignores the lifespan."""
    if scope["type"] == "http":
        await PlainTextResponse("home")(scope, receive, send)


@pytest.mark.parametrize("app", [raises_on_lifespan, returns_on_lifespan])
async def test_an_app_without_a_lifespan_is_given_one(river: Riverflow, app: Any) -> None:
    mounted = RiverflowMiddleware(app, river=river)
    async with serve(mounted, lifespan="on") as origin, client_of(f"{origin}/river") as client:
        assert (await client.get(f"{origin}/")).text == "home"
        assert (await client.post("/v1/ai/async", json={"workflow": "movie"})).status_code == 200


async def test_an_app_that_fails_to_start_fails_as_a_whole(river: Riverflow, caplog: pytest.LogCaptureFixture) -> None:
    @asynccontextmanager
    async def broken(app: Any) -> AsyncIterator[None]:
        raise RuntimeError("the app has no database")
        yield

    app = RiverflowMiddleware(Starlette(lifespan=broken), river=river)
    with pytest.raises(RuntimeError, match="did not start"):
        async with serve(app, lifespan="on"):
            pass
    assert "the app has no database" in caplog.text
    async with river.lifespan():  # it was left stopped, and can start again
        assert river.project_id


async def test_a_riverflow_that_fails_to_start_says_why(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    river = built(tmp_path, database_url="nosuch://x")
    story: list[str] = []
    app = RiverflowMiddleware(Starlette(lifespan=host_lifespan(story)), river=river)
    with pytest.raises(RuntimeError, match="did not start"):
        async with serve(app, lifespan="on"):
            pass
    assert "nosuch" in caplog.text
    assert "sqlite" in caplog.text
    assert story == []


class FailsToStop:
    @hookimpl
    def riverflow_lifespan(self) -> Any:
        @asynccontextmanager
        async def enter() -> AsyncIterator[None]:
            yield
            raise OSError("the span exporter is gone")

        return enter


async def shut_down(app: Any) -> tuple[list[dict[str, Any]], BaseException | None]:
    """Speak the lifespan protocol: what the app said, and what it raised."""
    said: list[dict[str, Any]] = []
    asked = iter([{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}])

    async def receive() -> Any:
        return next(asked)

    async def send(message: Any) -> None:
        said.append(message)

    try:
        await app({"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}, receive, send)
    except Exception as error:
        return said, error
    return said, None


async def test_a_riverflow_that_fails_to_stop_does_not_claim_that_it_failed_to_start(tmp_path: Path) -> None:
    river = built(tmp_path, plugins=[FailsToStop()])
    said, error = await shut_down(RiverflowMiddleware(Starlette(), river=river))
    assert [message["type"] for message in said] == ["lifespan.startup.complete", "lifespan.shutdown.failed"]
    assert "span exporter" in said[1]["message"]
    assert isinstance(error, OSError)


async def test_an_app_that_fails_to_stop_is_heard(river: Riverflow) -> None:
    @asynccontextmanager
    async def broken(app: Any) -> AsyncIterator[None]:
        yield
        raise OSError("the app lost its queue")

    said, _ = await shut_down(RiverflowMiddleware(Starlette(lifespan=broken), river=river))
    assert [message["type"] for message in said] == ["lifespan.startup.complete", "lifespan.shutdown.failed"]
    assert "the app lost its queue" in said[1]["message"]


async def test_the_lifespan_state_of_the_app_reaches_its_requests(river: Riverflow) -> None:
    @asynccontextmanager
    async def lifespan(app: Any) -> AsyncIterator[dict[str, str]]:
        yield {"greeting": "hello from the lifespan"}

    async def greet(request: Any) -> PlainTextResponse:
        return PlainTextResponse(request.state.greeting)

    app = RiverflowMiddleware(Starlette(routes=[Route("/", greet)], lifespan=lifespan), river=river)
    async with serve(app, lifespan="on") as origin, httpx.AsyncClient(trust_env=False) as client:
        assert (await client.get(origin)).text == "hello from the lifespan"


async def test_both_the_middleware_and_the_app_may_start_it(river: Riverflow) -> None:
    app = RiverflowMiddleware(Starlette(routes=[Route("/", home)], lifespan=river.lifespan), river=river)
    async with serve(app, lifespan="on") as origin, client_of(f"{origin}/river") as client:
        assert (await client.post("/v1/ai/async", json={"workflow": "movie"})).status_code == 200


# Not started ------------------------------------------------------------------------------------------------


async def test_without_its_lifespan_it_answers_503_with_the_cure(river: Riverflow) -> None:
    app = Starlette(routes=[Mount("/river", river)])
    async with serve(app, lifespan="on") as origin, client_of(f"{origin}/river") as client:
        for path in ("/v1/ai/async", "/console/workflow", "/nowhere"):
            message = problem(await client.post(path, json={}), 503, "not_started")["message"]
            assert "lifespan=river.lifespan" in message
            assert "RiverflowMiddleware" in message
        with pytest.raises(Exception, match="403"):
            await connect(f"{origin.replace('http', 'ws')}/river/socket/websocket", proxy=None)


async def test_python_callers_are_told_alike(river: Riverflow) -> None:
    from riverflow.errors import Overloaded

    with pytest.raises(Overloaded, match="not started"):
        await river.submit(workflow="movie")
    with pytest.raises(Overloaded, match="not started"):
        _ = river.project_id
    await river.drain()
