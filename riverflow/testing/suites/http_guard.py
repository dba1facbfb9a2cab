"""The room of the HTTP client's suite for the egress guard: what is refused, and what is dialled.

The rules themselves have tests of their own; here is shown that a client keeps to them on the wire.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from ...ports import HttpClient
from ..clock import FakeClock
from .certificates import Authority
from .http_case import NAME, HttpCase, Make, names
from .receiver import Receiver, receiving

__all__ = ["Guarding"]

REVET = 61.0  # seconds after which a verdict must have been renewed


@contextmanager
def deaf() -> Iterator[int]:
    """A port that answers no more attempts to connect: its queue is full, and nobody takes from it."""
    with ExitStack() as stack:
        listening = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listening.getsockname())
        yield listening.getsockname()[1]


class Guarding(HttpCase):
    """Who is called, who is not, and over whose connection."""

    @pytest.mark.parametrize(
        "url",
        [
            "http://receiver.test/",
            "https://127.0.0.1/",
            "https://[::ffff:10.0.0.1]/",
            "https://2130706433/",
            "https://localhost/",
            "https://user:pass@receiver.test/",
            "ftp://receiver.test/",
        ],
    )
    async def test_production_refuses_by_the_url(self, make: Make, url: str) -> None:
        """Sender cases 1, 4, 8, 10, 11, 12: by the text alone."""
        assert await self.refused(make("production"), self.post(url)) == "policy"

    @pytest.mark.parametrize("answers", [("127.0.0.1",), ("93.184.216.34", "10.0.0.1"), ("::1",), ("100.64.0.1",)])
    async def test_production_refuses_by_any_address(
        self, make: Make, receiver: Receiver, answers: tuple[str, ...]
    ) -> None:
        """Sender cases 1, 3, 16: one bad answer is enough."""
        client = make("production", names(receiver_test=answers), egress_ports=(receiver.port,))
        assert await self.refused(client, self.post(receiver.url(NAME, scheme="https"))) == "policy"
        assert receiver.connections == 0

    @pytest.mark.parametrize("env", ["production", "development"])
    @pytest.mark.parametrize("purpose", ["delivery", "provider"])
    async def test_metadata_services_are_never_reached(self, make: Make, env: str, purpose: str) -> None:
        """Sender case 5: in no mode, for no purpose."""
        client = make(env, names(receiver_test=("169.254.169.254",)))
        for host in (NAME, "169.254.169.254", "[fd00:ec2::254]", "metadata.google.internal"):
            assert await self.refused(client, self.post(f"https://{host}/", purpose=purpose)) == "policy"

    async def test_the_operators_providers_may_be_private(self, make: Make, receiver: Receiver) -> None:
        response = await make("production").send(self.post(receiver.url(), purpose="provider"))
        assert response.status == 200

    async def test_a_name_is_not_resolved_for_each_request(self, make: Make, receiver: Receiver) -> None:
        client = make(resolve=names(receiver_test=[("127.0.0.1",)]))  # a second look-up would fail
        for path in ("/a", "/b", "/a"):
            await client.send(self.post(receiver.url(NAME, path)))
        assert len(receiver.received) == 3

    async def test_a_name_that_moves_to_a_bad_address_is_refused(
        self, make: Make, receiver: Receiver, clock: FakeClock
    ) -> None:
        """Sender cases 15 and 17: rebinding between two requests."""
        client = make(resolve=names(receiver_test=[("127.0.0.1",), ("169.254.169.254",)]))
        await client.send(self.post(receiver.url(NAME)))
        await clock.advance(REVET)
        assert await self.refused(client, self.post(receiver.url(NAME))) == "policy"
        assert len(receiver.received) == 1

    async def test_the_next_address_is_tried(self, make: Make, receiver: Receiver) -> None:
        client = make(resolve=names(receiver_test=("127.0.0.2", "127.0.0.1")))  # on the first, nobody listens
        assert (await client.send(self.post(receiver.url(NAME)))).status == 200

    async def test_nothing_is_sent_twice(self, make: Make) -> None:
        """Once a connection was made, another address is not tried: the first may have done its work."""

        async def breaking(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.close()

        async with receiving(host="0.0.0.0") as receiver:
            receiver.replies(breaking)
            client = make(resolve=names(receiver_test=("127.0.0.1", "127.0.0.2")))
            await self.refused(client, self.post(receiver.url(NAME)))
            assert len(receiver.received) == 1

    async def test_tenants_do_not_share_connections(self, client: HttpClient, receiver: Receiver) -> None:
        """Sender case 17."""
        for tenant in ("a", "b", "a", "", "b"):
            await client.send(self.post(receiver.url(NAME), tenant=tenant))
        assert [got.connection for got in receiver.received] == [1, 2, 1, 3, 2]

    async def test_an_opening_lets_one_project_in(self, make: Make, authority: Authority) -> None:
        """Sender case 36: what one project may reach, another may not, though the answer is known already."""
        async with receiving(authority.server(NAME)) as receiver:
            openings = {"egress_allow": ("127.0.0.0/8@a",), "egress_ports": (receiver.port,)}
            client = make("production", authorities=authority.pem, **openings)
            url = receiver.url(NAME, scheme="https")
            assert (await client.send(self.post(url, tenant="a"))).status == 200
            assert await self.refused(client, self.post(url, tenant="b")) == "policy"
            assert await self.refused(client, self.post(url)) == "policy"
            assert receiver.connections == 1

    @pytest.mark.parametrize(
        ("host", "sent"),
        [
            ("RECEIVER.test", NAME),
            (f"{NAME}.", NAME),
            ("127.0.0.1", "127.0.0.1"),
            ("127.0.0.1.", "127.0.0.1"),
            ("[::ffff:127.0.0.1]", "[::ffff:7f00:1]"),
            ("[0:0::ffff:7f00:1]", "[::ffff:7f00:1]"),
        ],
    )
    async def test_the_host_that_was_vetted_is_the_host_that_is_named(
        self, client: HttpClient, receiver: Receiver, host: str, sent: str
    ) -> None:
        """Sender cases 9, 10 and 12: whatever the spelling."""
        await client.send(self.post(receiver.url(host)))
        assert receiver.received[0].headers["host"] == f"{sent}:{receiver.port}"

    async def test_dialling_is_bounded_in_time(self, make: Make) -> None:
        """Sender case 24: a host that drops what it is sent costs the time to connect, not all that the request has."""
        with deaf() as port:
            client = make(connect=0.2)
            asking = self.refused(client, self.post(f"http://127.0.0.1:{port}/", timeout=60.0))
            assert await asyncio.wait_for(asking, 10) == "timeout"
