"""The conformance suite of ports.Transport, over real sockets.

It asks what a browser may rely on whatever the wire; how a wire frames and closes, the transport's own tests say.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any

import msgspec
import pytest

from ...config import Settings
from ...ports import Context, Transport
from ..channels import ScriptedChannels, app_of
from ..context import make_context
from ..server import serve

__all__ = ["Refused", "TransportSite", "TransportSuite"]

_PATIENCE = 10.0

Events = AsyncGenerator[tuple[str, Any], None]


class Refused(Exception):
    """A reader's client raises it where the transport does not let him in."""


class TransportSite(msgspec.Struct, frozen=True):
    """A transport that is served at `base_url` (`http://127.0.0.1:…`), over channels that the test writes to."""

    base_url: str
    transport: Transport
    channels: ScriptedChannels


class TransportSuite:
    """Subclass it in a test module, make the transport, and read as its client would::

        class TestMine(TransportSuite):
            def make(self, context):
                return MyTransport(context)

            async def read(self, base_url, channel_id, token, after=None):
                async with my_client(base_url, channel_id, token, after) as client:
                    async for message in client:
                        yield message.event, message.payload

    `read` is one reader: an async generator of (event, decoded payload) that ends when the transport ends it, leaves
    when it is closed, and raises Refused where it is not let in. `resumes`: whether `after` can be asked for.
    """

    pytestmark = pytest.mark.anyio
    resumes: bool = True

    @pytest.fixture
    def anyio_backend(self) -> str:
        return "asyncio"

    def make(self, context: Context) -> Transport:
        """The transport; to be overridden."""
        raise NotImplementedError("override `make`")

    def read(self, base_url: str, channel_id: str, token: str, after: int | None = None) -> Events:
        """One reader; to be overridden."""
        raise NotImplementedError("override `read`")

    @pytest.fixture
    async def site(self) -> AsyncIterator[TransportSite]:
        context = make_context(settings=Settings(close_grace=0.0))
        transport, channels = self.make(context), ScriptedChannels(context.clock)
        async with serve(app_of(transport, channels)) as base_url:
            yield TransportSite(base_url, transport, channels)

    def reader(self, site: TransportSite, run: str, *, token: str | None = None, after: int | None = None) -> Events:
        """A reader of a run with a good token, unless another is given."""
        return self.read(site.base_url, run, site.channels.token(run) if token is None else token, after)

    # What is told ----------------------------------------------------------------------------------------

    async def test_a_run_is_followed_to_its_end(self, site: TransportSite) -> None:
        run = site.channels.start()
        async with asyncio.timeout(_PATIENCE), aclosing(self.reader(site, run)) as events:
            site.channels.tell(run, "run.ai_generated", {"n": 1})
            assert await anext(events) == ("response", {"n": 1})
            site.channels.tell(run, "stage.chunk", {"n": 2})
            assert await anext(events) == ("chunk", {"n": 2})
            site.channels.tell(run, "run.completed", {"n": 3, "text": 'é\u2028"\n'})
            assert [event async for event in events] == [("response", {"n": 3, "text": 'é\u2028"\n'})]
        await _nobody_left(site)

    async def test_who_comes_late_is_told_the_end(self, site: TransportSite) -> None:
        run = site.channels.start()
        site.channels.tell(run, "run.failed", {"status": "error"})
        events = await self._all(site, run)
        assert events == [("response", {"status": "error"})]

    async def test_what_is_private_is_not_told(self, site: TransportSite) -> None:
        run = site.channels.start()
        site.channels.tell(run, "delivery.failed", {"secret": True}, public=False)
        site.channels.tell(run, "run.completed", {"n": 1})
        assert await self._all(site, run) == [("response", {"n": 1})]

    async def test_a_reader_goes_on_after_the_number_he_saw(self, site: TransportSite) -> None:
        if not self.resumes:
            pytest.skip("this transport does not resume")
        run = site.channels.start()
        for n in (2, 3, 4):
            site.channels.tell(run, "stage.chunk", {"n": n})
        site.channels.tell(run, "run.completed", {"n": 5})
        assert [payload["n"] for _, payload in await self._all(site, run, after=3)] == [4, 5]

    async def test_readers_of_one_run_are_all_told_and_of_another_are_not(self, site: TransportSite) -> None:
        run, other = site.channels.start(), site.channels.start()
        readers = [asyncio.create_task(self._all(site, which)) for which in (run, run, other)]
        await _readers(site, 3)
        site.channels.tell(run, "run.completed", {"n": 1})
        site.channels.tell(other, "run.completed", {"n": 2})
        told = await asyncio.wait_for(asyncio.gather(*readers), _PATIENCE)
        assert [[payload["n"] for _, payload in events] for events in told] == [[1], [1], [2]]

    # Who is let in ---------------------------------------------------------------------------------------

    @pytest.mark.parametrize("flaw", ["none", "nonsense", "another channel's", "expired"])
    async def test_a_bad_token_is_refused(self, site: TransportSite, flaw: str) -> None:
        run, other = site.channels.start(), site.channels.start()
        site.channels.tell(run, "run.completed", {"n": 1})
        token = {
            "none": "",
            "nonsense": "a.b.c",
            "another channel's": site.channels.token(other),
            "expired": site.channels.token(run, ttl=-1),
        }[flaw]
        with pytest.raises(Refused):
            await self._all(site, run, token=token)
        await _nobody_left(site)

    # Coming and going ------------------------------------------------------------------------------------

    async def test_a_reader_who_leaves_is_let_go(self, site: TransportSite) -> None:
        run = site.channels.start()
        site.channels.tell(run, "run.ai_generated", {"n": 1})
        async with asyncio.timeout(_PATIENCE), aclosing(self.reader(site, run)) as events:
            await anext(events)
            assert site.channels.hub.readers == 1
        await _nobody_left(site)

    async def test_draining_lets_every_reader_go(self, site: TransportSite) -> None:
        runs = [site.channels.start() for _ in range(3)]
        readers = [asyncio.create_task(self._all(site, run)) for run in runs]
        await _readers(site, 3)
        async with asyncio.timeout(_PATIENCE):
            await site.transport.drain()
            await asyncio.wait(readers)
        assert [task.result() for task in readers] == [[], [], []]
        await _nobody_left(site)

    async def test_draining_without_readers_and_twice_is_draining(self, site: TransportSite) -> None:
        await site.transport.drain()
        await site.transport.drain()

    async def test_its_routes_lie_below_the_prefix(self) -> None:
        context = make_context()
        routes = self.make(context).routes(ScriptedChannels(context.clock))
        assert routes
        assert all(route.path.startswith("/") and route.type in ("http", "websocket") for route in routes)

    async def _all(self, site: TransportSite, run: str, **options: Any) -> list[tuple[str, Any]]:
        async with asyncio.timeout(_PATIENCE):
            return [event async for event in self.reader(site, run, **options)]


async def _readers(site: TransportSite, number: int) -> None:
    async with asyncio.timeout(_PATIENCE):
        while site.channels.hub.readers != number:  # noqa: ASYNC110 - a condition of the server, not of the test
            await asyncio.sleep(0.001)


async def _nobody_left(site: TransportSite) -> None:
    await _readers(site, 0)
