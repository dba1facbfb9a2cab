"""Server-sent events on a real socket: what an EventSource would see."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from riverflow.builtin.sse import SseTransport
from riverflow.builtin.timeline import TimelineTransport
from riverflow.testing import FakeClock, serve
from riverflow.testing.channels import ScriptedChannels, app_of

pytestmark = pytest.mark.anyio


class Site:
    """A served transport and a client for it."""

    def __init__(self, channels: ScriptedChannels, transport: Any, client: httpx.AsyncClient, path: str) -> None:
        self.channels = channels
        self.transport = transport
        self.client = client
        self._path = path

    def url(self, run: str) -> str:
        return self._path.format(run)

    @asynccontextmanager
    async def open(self, run: str, **options: Any) -> AsyncIterator[tuple[httpx.Response, AsyncIterator[str]]]:
        options = {"headers": {"authorization": f"Bearer {self.channels.key}"}} | options
        async with asyncio.timeout(10), self.client.stream("GET", self.url(run), **options) as response:
            yield response, response.aiter_lines()

    async def text(self, run: str, **options: Any) -> str:
        async with self.open(run, **options) as (response, _):
            await response.aread()
            return response.text

    async def gone(self) -> None:
        """Until nobody reads any more."""
        async with asyncio.timeout(5):
            while self.channels.hub.readers:  # noqa: ASYNC110 - a condition of the server, not of this test
                await asyncio.sleep(0.001)


@asynccontextmanager
async def site(transport: Any, path: str, **options: Any) -> AsyncIterator[Site]:
    channels = ScriptedChannels(FakeClock(), **options)
    async with serve(app_of(transport, channels)) as base_url, httpx.AsyncClient(base_url=base_url) as client:
        yield Site(channels, transport, client, path)


@pytest.fixture
async def sse() -> AsyncIterator[Site]:
    async with site(SseTransport(heartbeat=30), "/v1/ai/{}/events") as it:
        yield it


def finished(channels: ScriptedChannels) -> str:
    """A run with entries 2 (response), 3 (private), 4 (chunk), 5 (final)."""
    run = channels.start()
    channels.tell(run, "run.ai_generated", {"status": "ai_generated"})
    channels.tell(run, "delivery.delivered", {}, public=False)
    channels.tell(run, "stage.chunk", {"text": "é\n"})
    channels.tell(run, "run.completed", {"status": "completed"})
    return run


WHOLE = (
    "retry: 2000\n\n"
    'id: 2\nevent: response\ndata: {"status":"ai_generated"}\n\n'
    'id: 4\nevent: chunk\ndata: {"text":"é\\n"}\n\n'
    'id: 5\nevent: response\ndata: {"status":"completed"}\n\n'
)


async def test_a_finished_run_is_told_from_the_start_and_the_stream_ends(sse: Site) -> None:
    run = finished(sse.channels)
    async with sse.open(run) as (response, _):
        await response.aread()
        assert response.text == WHOLE
        assert response.status_code == 200
        assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert response.headers["cache-control"] == "no-cache, no-transform"
        assert response.headers["x-accel-buffering"] == "no"
    await sse.gone()


@pytest.mark.parametrize(
    "options",
    [{"headers": {"last-event-id": "4"}}, {"params": {"after": "4"}}, {"params": {"lastEventId": "4"}}],
)
async def test_a_reader_resumes_after_the_number_he_names(sse: Site, options: dict[str, Any]) -> None:
    run = finished(sse.channels)
    options.setdefault("headers", {})["authorization"] = f"Bearer {sse.channels.key}"
    assert await sse.text(run, **options) == 'retry: 2000\n\nid: 5\nevent: response\ndata: {"status":"completed"}\n\n'


async def test_the_header_wins_over_the_query_and_garbage_in_it_means_the_start(sse: Site) -> None:
    run = finished(sse.channels)
    key = {"authorization": f"Bearer {sse.channels.key}"}
    assert "id: 4" not in await sse.text(run, params={"after": "0"}, headers=key | {"last-event-id": "4"})
    assert await sse.text(run, headers=key | {"last-event-id": "what"}) == WHOLE


async def test_garbage_in_the_query_is_told(sse: Site) -> None:
    run = finished(sse.channels)
    for value in ("x", "-1", "", "1.5", "9" * 30):
        async with sse.open(run, params={"after": value}) as (response, _):
            assert response.status_code == 400
            await response.aread()
            assert response.json()["error"]["code"] == "invalid_after"


async def test_who_comes_back_after_the_end_is_told_204(sse: Site) -> None:
    run = finished(sse.channels)
    sse.channels.tell(run, "delivery.delivered", {}, public=False)
    for number in ("5", "6"):
        headers = {"authorization": f"Bearer {sse.channels.key}", "last-event-id": number}
        async with sse.open(run, headers=headers) as (response, _):
            assert response.status_code == 204
    await sse.gone()


async def test_live_events_arrive_as_they_happen(sse: Site) -> None:
    run = sse.channels.start()
    async with sse.open(run) as (_, lines):
        assert [await anext(lines) for _ in range(2)] == ["retry: 2000", ""]
        sse.channels.tell(run, "run.ai_generated", {"n": 1})
        assert [await anext(lines) for _ in range(4)] == ["id: 2", "event: response", 'data: {"n":1}', ""]
        sse.channels.tell(run, "run.completed", {"n": 2})
        assert [line async for line in lines] == ["id: 3", "event: response", 'data: {"n":2}', ""]


async def test_silence_is_filled_with_the_latest_number() -> None:
    async with site(SseTransport(heartbeat=0.01), "/v1/ai/{}/events") as sse:
        run = sse.channels.start()
        async with sse.open(run) as (_, lines):
            assert [await anext(lines) for _ in range(4)] == ["retry: 2000", "", ": 1", ""]
            lost = sse.channels.write(run, "run.completed", {})
            assert f"id: {lost}" in [line async for line in lines]


async def test_a_socket_token_opens_its_own_channel_only(sse: Site) -> None:
    run, other = finished(sse.channels), finished(sse.channels)
    token = sse.channels.token(run)
    assert await sse.text(run, params={"token": token}, headers={}) == WHOLE
    assert len(sse.channels.used) == 1
    for channel, given, code in (
        (other, token, "token_invalid"),
        (run, "nonsense", "token_invalid"),
        (run, "", "token_invalid"),
        (run, sse.channels.token(run, ttl=-1), "token_expired"),
    ):
        async with sse.open(channel, params={"token": given}, headers={}) as (response, _):
            await response.aread()
            assert (response.status_code, response.json()["error"]["code"]) == (401, code)


async def test_a_channel_is_found_in_upper_case_too(sse: Site) -> None:
    run = finished(sse.channels)
    assert await sse.text(run.upper()) == WHOLE
    assert await sse.text(run.upper(), params={"token": sse.channels.token(run)}, headers={}) == WHOLE


async def test_under_the_strict_rule_a_token_serves_once() -> None:
    async with site(SseTransport(heartbeat=30), "/v1/ai/{}/events", strict=True) as sse:
        run = finished(sse.channels)
        token = sse.channels.token(run)
        assert await sse.text(run, params={"token": token}, headers={}) == WHOLE
        async with sse.open(run, params={"token": token}, headers={}) as (response, _):
            assert response.status_code == 401


@pytest.mark.parametrize("door", ["events", "timeline/events"])
async def test_who_may_not_read_is_told_why_in_the_one_error_body(door: str) -> None:
    transport = SseTransport(heartbeat=30) if door == "events" else TimelineTransport(heartbeat=30)
    async with site(transport, "/v1/ai/{}/" + door) as sse:
        run = finished(sse.channels)
        channels = sse.channels
        for key, channel, status in (
            ("wrong", run, 401),
            (channels.blind_key, run, 403),
            (channels.other_key, run, 404),
            (channels.key, "nowhere", 404),
        ):
            async with sse.open(channel, headers={"authorization": f"Bearer {key}"}) as (response, _):
                await response.aread()
                assert response.status_code == status
                assert response.headers["content-type"] == "application/json"
                body = response.json()
                assert body["status"] == status
                assert body["message"] == body["detail"] == body["error"]["message"]
                assert ("www-authenticate" in response.headers) == (status == 401)
        assert channels.hub.readers == 0


async def test_a_reader_who_leaves_is_let_go_at_once(sse: Site) -> None:
    run = sse.channels.start()
    async with sse.open(run) as (_, lines):
        await anext(lines)
        assert sse.channels.hub.readers == 1
    await sse.gone()


async def test_draining_ends_every_stream(sse: Site) -> None:
    runs = [sse.channels.start() for _ in range(3)]
    async with sse.open(runs[0]) as (_, one), sse.open(runs[1]) as (_, two), sse.open(runs[2]) as (_, three):
        for lines in (one, two, three):
            await anext(lines)
        await sse.transport.drain()
        for lines in (one, two, three):
            assert [line async for line in lines] == [""]
    await sse.gone()
    await sse.transport.drain()


async def test_once_the_hub_is_closed_readers_are_sent_away(sse: Site) -> None:
    run = sse.channels.start()
    sse.channels.hub.close("restarting")
    async with sse.open(run) as (response, _):
        assert response.status_code == 503


async def test_the_readers_of_a_run_share_the_bytes_of_an_event(sse: Site) -> None:
    run = sse.channels.start()
    async with sse.open(run) as (_, one), sse.open(run) as (_, two):
        for lines in (one, two):
            await anext(lines)
        sse.channels.tell(run, "run.completed", {"n": 1})
        assert [line async for line in one] == [line async for line in two]


@pytest.fixture
async def timeline() -> AsyncIterator[Site]:
    async with site(TimelineTransport(heartbeat=30), "/v1/ai/{}/timeline/events") as it:
        yield it


async def test_the_timeline_shows_every_entry_and_goes_on_after_the_end(timeline: Site) -> None:
    run = finished(timeline.channels)
    async with timeline.open(run) as (response, lines):
        assert response.headers["content-type"].startswith("text/event-stream")
        events = [[await anext(lines) for _ in range(4)] for _ in range(5)]
        assert [(event[0], event[1]) for event in events] == [
            ("id: 1", "event: run.accepted"),
            ("id: 2", "event: run.ai_generated"),
            ("id: 3", "event: delivery.delivered"),
            ("id: 4", "event: stage.chunk"),
            ("id: 5", "event: run.completed"),
        ]
        assert events[2][2] == (
            'data: {"number":3,"at":"2023-11-14T22:13:20.000Z","kind":"delivery.delivered","stage":null,"attempt":null,'
            '"public":false,"data":{}}'
        )
        timeline.channels.tell(run, "delivery.dead", {}, public=False)
        assert await anext(lines) == "id: 6"
    await timeline.gone()


async def test_the_timeline_is_found_in_upper_case_too(timeline: Site) -> None:
    run = finished(timeline.channels)
    async with timeline.open(run.upper()) as (_, lines):
        assert await anext(lines) == "id: 1"


async def test_the_timeline_resumes_and_is_drained(timeline: Site) -> None:
    run = finished(timeline.channels)
    headers = {"authorization": f"Bearer {timeline.channels.key}", "last-event-id": "4"}
    async with timeline.open(run, headers=headers) as (_, lines):
        assert await anext(lines) == "id: 5"
        await timeline.transport.drain()
        assert len([line async for line in lines]) == 3
    await timeline.gone()
