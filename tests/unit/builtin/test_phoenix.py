"""The Phoenix socket on a real connection: joins, pushes, closes, and every frame a client may think of."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from riverflow.builtin.phoenix import PhoenixTransport
from riverflow.builtin.phoenix.frames import serializer
from riverflow.builtin.phoenix.lobby import Lobby
from riverflow.errors import StoreUnavailable
from riverflow.testing import FakeClock, serve
from riverflow.testing.channels import ScriptedChannels, app_of

pytestmark = pytest.mark.anyio

OK = {"status": "ok", "response": {}}


def lobby_of(site: Site) -> Lobby:
    lobby = site.transport._lobby
    assert lobby is not None
    return lobby


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - a condition of the server, not of this test
            await asyncio.sleep(0.001)


class Client:
    """A socket of a client that speaks version 2."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection

    async def send(self, *message: Any) -> None:
        await self.connection.send(json.dumps(message))

    async def receive(self) -> Any:
        return json.loads(await asyncio.wait_for(self.connection.recv(), 5))

    async def ask(self, *message: Any) -> Any:
        await self.send(*message)
        return await self.receive()

    async def join(self, topic: str, ref: str = "6", payload: Any = None) -> None:
        assert await self.ask(ref, ref, topic, "phx_join", payload or {}) == [ref, ref, topic, "phx_reply", OK]

    async def refused(self, topic: str, ref: str = "6", payload: Any = None) -> str:
        """The reason that a join is refused with for good: the channel is closed too."""
        reply = await self.ask(ref, ref, topic, "phx_join", payload or {})
        assert await self.receive() == [ref, None, topic, "phx_close", {}]
        assert reply[:4] == [ref, ref, topic, "phx_reply"]
        assert reply[4]["status"] == "error"
        return str(reply[4]["response"]["reason"])

    async def alive(self) -> bool:
        """Whether it answers; and that nothing came before."""
        return await self.ask(None, "99", "phoenix", "heartbeat", {}) == [None, "99", "phoenix", "phx_reply", OK]

    async def closed(self) -> int:
        """The code that the server closes with, nothing coming before."""
        with pytest.raises(ConnectionClosed) as caught:
            await self.receive()
        assert caught.value.rcvd is not None
        return caught.value.rcvd.code


class Site:
    def __init__(self, base_url: str, **options: Any) -> None:
        self.clock = FakeClock()
        self.channels = ScriptedChannels(self.clock, **options)
        self.transport = PhoenixTransport(clock=self.clock, heartbeat=30, close_grace=1.0)
        self.base_url = base_url
        self._clients = AsyncExitStack()

    @property
    def app(self) -> Any:
        return app_of(self.transport, self.channels)

    def topic(self, run: str) -> str:
        return f"ai_response:{self.channels.project.id}:{run}"

    async def connect(self, token: str, query: str = "&vsn=2.0.0", **options: Any) -> Client:
        url = f"{self.base_url.replace('http', 'ws')}/socket/websocket?token={token}{query}"
        return Client(await self._clients.enter_async_context(connect(url, compression=None, **options)))

    async def joined(self, run: str, token: str | None = None) -> Client:
        client = await self.connect(token or self.channels.token(run))
        await client.join(self.topic(run))
        return client

    async def grace(self) -> None:
        """Wait until a socket waits to be closed, and let that time pass."""
        await until(lambda: (self.clock.next_due or 99) <= 1.0)
        await self.clock.advance(1.0)

    async def ends(self, client: Client) -> bool:
        """Whether a refused or replaced socket is served for a second, and then closed with 1000."""
        await until(lambda: (self.clock.next_due or 99) <= 1.0)
        await self.clock.advance(0.5)
        served = await client.alive()
        await self.clock.advance(0.5)
        return served and await client.closed() == 1000


@asynccontextmanager
async def a_site(**options: Any) -> AsyncIterator[Site]:
    site = Site("", **options)
    async with serve(site.app) as base_url:
        site.base_url = base_url
        async with site._clients:
            yield site


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    async with a_site() as it:
        yield it


# Joining --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["ai_response:{project}:{run}", "ai_response:{run}"])
async def test_a_client_joins_and_is_pushed_what_happens_until_the_close(site: Site, form: str) -> None:
    run = site.channels.start()
    topic = form.format(project=site.channels.project.id, run=run)
    client = await site.connect(site.channels.token(run))
    await client.join(topic)
    site.channels.tell(run, "stage.chunk", {"text": "a"})
    assert await client.receive() == ["6", None, topic, "chunk", {"text": "a"}]
    site.channels.tell(run, "delivery.failed", {}, public=False)
    site.channels.tell(run, "run.ai_generated", {"status": "ai_generated"})
    assert await client.receive() == ["6", None, topic, "response", {"status": "ai_generated"}]
    site.channels.tell(run, "run.completed", {"status": "completed", "data": "é\u2028"})
    assert await client.receive() == ["6", None, topic, "response", {"status": "completed", "data": "é\u2028"}]
    assert await client.alive()
    await site.grace()
    assert await client.receive() == ["6", None, topic, "phx_close", {}]
    assert await client.closed() == 1000


@pytest.mark.parametrize("kind", ["run.ai_generated", "run.completed"])
async def test_the_latest_state_is_replayed_with_the_joins_own_ref(site: Site, kind: str) -> None:
    run = site.channels.start()
    site.channels.tell(run, "stage.chunk", {})
    site.channels.tell(run, kind, {"is": kind})
    client = await site.joined(run)
    assert await client.receive() == ["6", None, site.topic(run), "response", {"is": kind}]
    assert await client.alive()


async def test_a_join_may_ask_for_everything_after_a_number(site: Site) -> None:
    run = site.channels.start()
    for step in range(3):
        site.channels.tell(run, "stage.chunk", {"step": step})
    client = await site.connect(site.channels.token(run))
    await client.join(site.topic(run), payload={"after": 2})
    assert [(await client.receive())[4] for _ in range(2)] == [{"step": 1}, {"step": 2}]


@pytest.mark.parametrize("after", ["5", -1, 1.5, [], True, 2**63, 10**30])
async def test_a_number_that_is_none_is_refused(site: Site, after: Any) -> None:
    run = site.channels.start()
    client = await site.connect(site.channels.token(run))
    reply = await client.ask("1", "1", site.topic(run), "phx_join", {"after": after})
    assert reply[4] == {"status": "error", "response": {"reason": "invalid_after"}}


async def test_the_largest_number_that_is_one_is_taken(site: Site) -> None:
    run = site.channels.start()
    client = await site.connect(site.channels.token(run))
    await client.join(site.topic(run), payload={"after": 2**63 - 1})


async def test_a_topic_is_the_channels_in_upper_case_too(site: Site) -> None:
    run = site.channels.start()
    for topic in (f"ai_response:{run.upper()}", f"ai_response:{site.channels.project.id.upper()}:{run.upper()}"):
        client = await site.connect(site.channels.token(run))
        await client.join(topic)
        site.channels.tell(run, "stage.chunk", {})
        assert await client.receive() == ["6", None, topic, "chunk", {}]


PROJECT = "0190a000-0000-7000-8000-00000000000a"
OTHER = "0190a000-0000-7000-8000-0000000000ff"


@pytest.mark.parametrize(
    ("topic", "reason"),
    [
        (f"ai_response:{PROJECT}:{OTHER}", "unauthorized_project_access"),
        (f"ai_response:{OTHER}:RUN", "unauthorized_project_access"),
        (f"ai_response:{OTHER}", "unauthorized_project_access"),
        ("ai_response:mine:RUN", "invalid_project_uuid"),
        (f"ai_response:{PROJECT}:it", "invalid_channel_uuid"),
        ("ai_response:it", "invalid_channel_uuid"),
        ("ai_response", "invalid_channel_format"),
        (f"ai_response:{PROJECT}:RUN:", "invalid_channel_format"),
        ("room:RUN", "invalid_channel_format"),
        ("", "invalid_channel_format"),
    ],
)
async def test_a_topic_that_is_not_the_tokens_is_refused_for_good(site: Site, topic: str, reason: str) -> None:
    run = site.channels.start()
    client = await site.connect(site.channels.token(run))
    topic = topic.replace("RUN", run)
    assert await client.refused(topic) == reason
    assert await site.ends(client)


async def test_a_bad_token_is_told_by_the_join_and_the_socket_closed_in_time(site: Site) -> None:
    run = site.channels.start()
    for token, reason in (
        ("", "token_invalid"),
        ("a.b.c", "token_invalid"),
        (site.channels.token(run, ttl=-1), "token_expired"),
    ):
        client = await site.connect(token)
        assert await client.refused(site.topic(run)) == reason
        assert await site.ends(client)
    assert site.channels.hub.readers == 0


async def test_a_run_that_is_gone_is_refused(site: Site) -> None:
    client = await site.connect(site.channels.token(OTHER))
    assert await client.refused(site.topic(OTHER)) == "not_found"
    assert await site.ends(client)


async def test_trouble_that_passes_is_told_and_the_socket_stays_for_another_try(site: Site) -> None:
    run = site.channels.start()
    read = site.channels._log.entries_after

    async def fail(*args: Any, **options: Any) -> Any:
        raise StoreUnavailable("locked")

    site.channels._log.entries_after = fail  # type: ignore[method-assign]
    client = await site.connect(site.channels.token(run))
    for ref in ("5", "6"):  # each try gives it time for another
        await site.clock.advance(40)
        reply = await client.ask(ref, ref, site.topic(run), "phx_join", {})
        assert reply[4] == {"status": "error", "response": {"reason": "unavailable"}}
    await site.clock.advance(40)
    site.channels._log.entries_after = read  # type: ignore[method-assign]
    await client.join(site.topic(run), "7")


# Tokens ---------------------------------------------------------------------------------------------------


async def test_the_newest_socket_of_a_token_wins(site: Site) -> None:
    run = site.channels.start()
    token = site.channels.token(run)
    older = await site.joined(run, token)
    newer = await site.joined(run, token)
    assert await older.receive() == ["6", None, site.topic(run), "phx_close", {}]
    assert site.channels.hub.readers == 1
    other = await site.joined(run)
    site.channels.tell(run, "run.completed", {})
    assert (await newer.receive())[3] == (await other.receive())[3] == "response"
    assert site.channels.used == ["tok_1", "tok_1", "tok_2"]
    assert await older.alive()


async def test_a_socket_that_gave_way_is_closed_in_time_or_comes_back_as_the_newest(site: Site) -> None:
    run = site.channels.start()
    topic, token = site.topic(run), site.channels.token(run)
    first = await site.joined(run, token)
    second = await site.joined(run, token)
    assert await first.receive() == ["6", None, topic, "phx_close", {}]
    await first.join(topic, "7")
    assert await second.receive() == ["6", None, topic, "phx_close", {}]
    assert site.channels.hub.readers == 1
    assert await site.ends(second)
    assert await first.alive()


async def test_a_socket_that_left_takes_no_newer_one_with_it(site: Site) -> None:
    run = site.channels.start()
    token = site.channels.token(run)
    first = await site.joined(run, token)
    second = await site.joined(run, token)
    await first.connection.close()
    await until(lambda: len(lobby_of(site)._sockets) == 1)
    third = await site.joined(run, token)
    assert (await second.receive())[3] == "phx_close"
    assert await third.alive()


async def test_a_join_again_on_the_same_socket_is_no_second_use() -> None:
    async with a_site(strict=True) as site:
        run = site.channels.start()
        token = site.channels.token(run)
        client = await site.joined(run, token)
        await client.send("7", "7", site.topic(run), "phx_join", {})
        assert await client.receive() == ["6", None, site.topic(run), "phx_close", {}]
        assert (await client.receive())[4] == OK
        second = await site.connect(token)
        assert await second.refused(site.topic(run)) == "token_used"
        assert await client.alive()
        assert site.channels.hub.readers == 1


@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode])
async def test_the_token_may_come_as_a_subprotocol(site: Site, encode: Callable[[bytes], bytes]) -> None:
    run = site.channels.start()
    text = encode(site.channels.token(run).encode()).decode().rstrip("=")
    protocols = ["phoenix", f"base64url.bearer.phx.{text}"]
    url = f"{site.base_url.replace('http', 'ws')}/socket/websocket?vsn=2.0.0"
    async with connect(url, subprotocols=protocols, compression=None) as connection:  # type: ignore[arg-type]
        assert connection.subprotocol == "phoenix"
        await Client(connection).join(site.topic(run))


@pytest.mark.parametrize("text", ["%", "A", "AAAA", "gICA", ""])
async def test_a_subprotocol_that_is_no_token_is_an_invalid_token(site: Site, text: str) -> None:
    protocols = ["phoenix", f"base64url.bearer.phx.{text}"]
    url = f"{site.base_url.replace('http', 'ws')}/socket/websocket?vsn=2.0.0"
    async with connect(url, subprotocols=protocols) as connection:  # type: ignore[arg-type]
        reply = await Client(connection).ask("1", "1", "ai_response:x", "phx_join", {})
        assert reply[4]["response"]["reason"] == "token_invalid"


# Leaving and joining again --------------------------------------------------------------------------------


async def test_a_leave_is_answered_and_ends_the_pushes(site: Site) -> None:
    run = site.channels.start()
    topic = site.topic(run)
    client = await site.joined(run)
    assert await client.ask("6", "8", topic, "phx_leave", {}) == ["6", "8", topic, "phx_reply", OK]
    assert await client.receive() == ["6", None, topic, "phx_close", {}]
    site.channels.tell(run, "run.completed", {})
    assert await client.alive()
    assert site.channels.hub.readers == 0


async def test_after_a_drop_join_leave_join_replays_to_each_join_and_closes_after_the_last(site: Site) -> None:
    """What phoenix.js sends when old and new channel objects share a topic."""
    run = site.channels.start()
    site.channels.tell(run, "run.completed", {"n": 1})
    topic = site.topic(run)
    client = await site.connect(site.channels.token(run))
    await client.send("6", "9", topic, "phx_join", {})
    assert (await client.receive())[:4] == ["6", "9", topic, "phx_reply"]
    assert await client.receive() == ["6", None, topic, "response", {"n": 1}]
    await until(lambda: (site.clock.next_due or 99) <= 1.0)
    await client.send("6", "10", topic, "phx_leave", {})
    assert (await client.receive())[:4] == ["6", "10", topic, "phx_reply"]
    assert await client.receive() == ["6", None, topic, "phx_close", {}]
    await site.clock.advance(30)
    assert await client.alive()
    await client.join(topic, "11")
    assert await client.receive() == ["11", None, topic, "response", {"n": 1}]
    await site.grace()
    assert await client.receive() == ["11", None, topic, "phx_close", {}]
    assert await client.closed() == 1000


async def test_a_late_leave_of_an_older_join_does_not_end_the_newer(site: Site) -> None:
    run = site.channels.start()
    topic = site.topic(run)
    client = await site.joined(run)
    await client.send("7", "7", topic, "phx_join", {})
    assert await client.receive() == ["6", None, topic, "phx_close", {}]
    assert (await client.receive())[4] == OK
    assert (await client.ask("6", "8", topic, "phx_leave", {}))[4] == OK
    assert await client.receive() == ["6", None, topic, "phx_close", {}]
    site.channels.tell(run, "run.completed", {})
    assert await client.receive() == ["7", None, topic, "response", {}]


async def test_a_refused_second_join_leaves_the_first_in_peace(site: Site) -> None:
    run = site.channels.start()
    client = await site.joined(run)
    assert await client.refused(f"ai_response:{OTHER}", "7") == "unauthorized_project_access"
    site.channels.tell(run, "run.completed", {})
    assert (await client.receive())[:2] == ["6", None]


async def test_joining_again_does_not_look_like_being_cut_where_sending_takes_its_time() -> None:
    clock = FakeClock()
    channels = ScriptedChannels(clock)
    run = channels.start()
    [route] = PhoenixTransport(clock=clock, heartbeat=30, close_grace=1.0).routes(channels)
    incoming: asyncio.Queue[Any] = asyncio.Queue()
    sent: list[Any] = []

    async def send(message: Any) -> None:
        for _ in range(5):
            await asyncio.sleep(0)
        sent.append(message)

    scope = {"query_string": f"vsn=2.0.0&token={channels.token(run)}".encode()}
    incoming.put_nowait({"type": "websocket.connect"})
    served = asyncio.ensure_future(route.app(scope, incoming.get, send))
    topic = f"ai_response:{run}"
    for ref in ("1", "2"):
        incoming.put_nowait({"type": "websocket.receive", "text": json.dumps([ref, ref, topic, "phx_join", {}])})
    await until(lambda: len(sent) == 4)
    incoming.put_nowait({"type": "websocket.receive", "text": json.dumps(["2", "3", topic, "phx_leave", {}])})
    await until(lambda: len(sent) == 6)
    incoming.put_nowait({"type": "websocket.disconnect", "code": 1001})
    await asyncio.wait_for(served, 5)
    messages = [json.loads(message["text"]) for message in sent[1:]]
    assert [(message[0], message[3]) for message in messages] == [
        ("1", "phx_reply"),
        ("1", "phx_close"),
        ("2", "phx_reply"),
        ("2", "phx_reply"),
        ("2", "phx_close"),
    ]


async def test_a_reader_who_is_cut_is_told_to_join_again(site: Site) -> None:
    run = site.channels.start()
    topic = site.topic(run)
    client = await site.joined(run)
    await until(lambda: site.channels.hub.readers == 1)
    for reader in tuple(site.channels.hub._readers[run]):
        reader.cut("too_slow")
    assert await client.receive() == ["6", None, topic, "phx_error", {}]
    site.channels.tell(run, "run.completed", {"n": 1})
    await client.join(topic, "7")
    assert await client.receive() == ["7", None, topic, "response", {"n": 1}]


# Everything else a client may send ------------------------------------------------------------------------


async def test_both_heartbeats_are_answered(site: Site) -> None:
    run = site.channels.start()
    client = await site.joined(run)
    assert await client.alive()
    topic = site.topic(run)
    assert await client.ask("6", "7", topic, "heartbeat", {}) == ["6", "7", topic, "phx_reply", OK]


async def test_version_1_speaks_objects(site: Site) -> None:
    run = site.channels.start()
    topic = site.topic(run)
    for query in ("", "&vsn=1.0.0"):
        client = await site.connect(site.channels.token(run), query)
        connection = client.connection
        await connection.send(json.dumps({"topic": topic, "event": "phx_join", "payload": {}, "ref": "1"}))
        assert await client.receive() == {"topic": topic, "event": "phx_reply", "payload": OK, "ref": "1"}
        site.channels.tell(run, "run.ai_generated", {"n": 1})
        assert await client.receive() == {"topic": topic, "event": "response", "payload": {"n": 1}, "ref": None}
        await connection.send(json.dumps({"topic": "phoenix", "event": "heartbeat", "payload": {}, "ref": 2}))
        assert (await client.receive())["ref"] == 2
        await connection.send(json.dumps({"topic": topic, "event": "phx_leave", "payload": {}, "ref": "3"}))
        assert (await client.receive())["event"] == "phx_reply"
        assert (await client.receive())["event"] == "phx_close"
        run = site.channels.start()
        topic = site.topic(run)


async def test_a_version_that_does_not_exist_is_refused_by_the_join(site: Site) -> None:
    run = site.channels.start()
    client = await site.connect(site.channels.token(run), "&vsn=3.0.0")
    assert await client.refused(site.topic(run)) == "unsupported_version"
    assert await site.ends(client)


@pytest.mark.parametrize(
    "frame",
    ["", "[]", "{}", "null", "[1,2,3]", '["1","1","t","e"]', '[{},"1","t","e",{}]', "[" * 5000, b"\x00\x01", "\ufeff",
     '["1","1","\\ud800","phx_join",{}]', '["6","7","phoenix","phx_leave"', '["6","7","T","shout",{"a":1}]',
     '["6","7","T","phx_reply",{}]', '["6","7","T","heartbeat"]'],
)  # fmt: skip
async def test_frames_that_mean_nothing_are_ignored(site: Site, frame: str | bytes) -> None:
    run = site.channels.start()
    client = await site.joined(run)
    await client.connection.send(frame.replace("T", site.topic(run)) if isinstance(frame, str) else frame)
    assert await client.alive()


async def test_a_frame_too_big_closes_the_socket(site: Site) -> None:
    run = site.channels.start()
    client = await site.joined(run)
    await client.send(None, "1", "phoenix", "heartbeat", {"filler": "x" * 65_536})
    assert await client.closed() == 1009


async def test_a_socket_that_joins_nothing_is_closed_in_time(site: Site) -> None:
    client = await site.connect("")
    assert await client.alive()
    await site.clock.advance(59)
    assert await client.alive()
    await site.clock.advance(1)
    assert await client.closed() == 1000


async def test_a_client_that_vanishes_frees_its_reader(site: Site) -> None:
    run = site.channels.start()
    client = await site.joined(run)
    assert site.channels.hub.readers == 1
    client.connection.transport.abort()
    await until(lambda: site.channels.hub.readers == 0)
    await until(lambda: site.clock.timers == 0)


async def test_draining_tells_clients_to_come_back_and_takes_no_new_ones(site: Site) -> None:
    run = site.channels.start()
    joined, idle = await site.joined(run), await site.connect("")
    await site.transport.drain()
    assert await joined.closed() == 1012
    assert await idle.closed() == 1012
    await until(lambda: site.channels.hub.readers == 0)
    with pytest.raises(InvalidStatus, match="403"):
        await site.connect(site.channels.token(run))
    await site.transport.drain()


async def test_a_client_that_does_not_read_holds_up_nobody(site: Site) -> None:
    run = site.channels.start()
    token = site.channels.token(run)
    deaf = await site.joined(run, token)
    deaf.connection.transport.pause_reading()
    quick = await site.joined(run)
    for step in range(60):
        site.channels.tell(run, "stage.chunk", {"step": step, "filler": "x" * 200_000})
        assert (await quick.receive())[4]["step"] == step
    newest = await site.joined(run, token)
    site.channels.tell(run, "run.completed", {})
    assert (await newest.receive())[3] == "response"
    deaf.connection.transport.abort()


@given(st.text(max_size=60), st.sampled_from([None, "1.0.0", "2.0.0"]))
@settings(max_examples=200)
def test_any_text_is_a_message_or_nothing(text: str, vsn: str | None) -> None:
    reader = serializer(vsn)
    assert reader is not None
    assert reader.decode(text) is None


@given(
    ref=st.one_of(st.none(), st.text(), st.integers(min_value=-(2**63), max_value=2**63)),
    topic=st.text(alphabet=st.characters(codec="utf-8")),
    payload=st.dictionaries(st.text(alphabet=st.characters(codec="utf-8")), st.integers(min_value=0, max_value=99)),
)
def test_what_is_written_is_read_back(ref: Any, topic: str, payload: dict[str, int]) -> None:
    writer = serializer("2.0.0")
    assert writer is not None
    if isinstance(ref, str):
        ref = ref.encode("utf-8", "replace").decode("utf-8")
    message = writer.decode(writer.encode(ref, ref, topic, "e", json.dumps(payload)))
    assert message is not None
    assert (message.ref, message.topic, json.loads(bytes(message.payload))) == (ref, topic, payload)
