"""The HTTP clients under the shipped suite, and the choice between them."""

from __future__ import annotations

import asyncio
import os
import socket
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from riverflow.builtin.http import build_client
from riverflow.builtin.http.aiohttp_client import AiohttpClient
from riverflow.builtin.http.by_purpose import ByPurpose
from riverflow.builtin.http.httpx_client import HttpxClient
from riverflow.builtin.http.pyreqwest_client import PyreqwestClient
from riverflow.config import Settings
from riverflow.errors import ConfigError
from riverflow.ports import HttpClient, HttpRequest, HttpResponse
from riverflow.testing import FakeClock
from riverflow.testing.suites.http import HttpClientSuite, names
from riverflow.testing.suites.receiver import answer, certificate, receiving


class TestHttpx(HttpClientSuite):
    def build(self, *, env: Any, clock: Any, resolve: Any, authorities: Any) -> HttpClient:
        settings = Settings(env=env, http_client="httpx")
        return build_client(settings, clock, resolve=resolve, authorities=authorities)


class TestAiohttp(HttpClientSuite):
    def build(self, *, env: Any, clock: Any, resolve: Any, authorities: Any) -> HttpClient:
        settings = Settings(env=env, http_client="aiohttp")
        return build_client(settings, clock, resolve=resolve, authorities=authorities)

    async def test_a_destination_that_has_to_go_finishes_its_requests(
        self, make: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("riverflow.builtin.http.aiohttp_client.SESSIONS", 1)
        client, go = make(), asyncio.Event()

        async def late(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await go.wait()
            writer.write(answer(200, b"late"))
            await first.silent(reader, writer)

        async with receiving() as first, receiving() as second:
            first.replies(late)
            sending = asyncio.create_task(client.send(self.post(first.url())))
            await asyncio.wait_for(first.asked.wait(), 5)
            await client.send(self.post(second.url()))
            go.set()
            assert (await sending).body == b"late"
            await asyncio.wait_for(first.left.wait(), 5)  # its connection is not kept

    async def test_cancelling_over_tls_waits_for_no_farewell(self, make: Any, tmp_path: Path) -> None:
        """A peer that answers no `close_notify` (RFC 8446, 6.1) must not keep the connection."""
        tls, authority = certificate(tmp_path, "receiver.test")
        loop, asked = asyncio.get_running_loop(), asyncio.Event()

        def peer(listening: socket.socket) -> None:
            accepted, _ = listening.accept()
            with tls.wrap_socket(accepted, server_side=True) as wrapped:
                wrapped.recv(65536)
                loop.call_soon_threadsafe(asked.set)
                with socket.socket(fileno=os.dup(wrapped.fileno())) as raw, suppress(ConnectionResetError):
                    raw.settimeout(5)  # a TimeoutError where the connection is kept
                    while raw.recv(65536):
                        pass

        with socket.create_server(("127.0.0.1", 0)) as listening:
            playing = asyncio.create_task(asyncio.to_thread(peer, listening))
            url = f"https://receiver.test:{listening.getsockname()[1]}/"
            sending = asyncio.create_task(make(authorities=authority).send(self.post(url)))
            await asyncio.wait_for(asked.wait(), 5)
            sending.cancel()
            await playing


class TestPyreqwest(HttpClientSuite):
    aborts = (
        False  # pyreqwest 0.15 has no way to stop a request that was sent whole; `auto` uses it for deliveries only
    )

    def build(self, *, env: Any, clock: Any, resolve: Any, authorities: Any) -> HttpClient:
        settings = Settings(env=env, http_client="pyreqwest")
        return build_client(settings, clock, resolve=resolve, authorities=authorities)

    async def test_a_name_that_its_parser_reads_otherwise_is_refused(self, make: Any) -> None:
        """A pin for one spelling would not hold for another."""
        client = make(resolve=names(**{"xn--0_test": ("127.0.0.1",)}))
        assert await self.refused(client, self.post("http://xn--0.test/")) == "policy"


def without(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    monkeypatch.setattr("riverflow.builtin.http.find_spec", lambda name: None if name in names else find_spec(name))


def by_purpose(client: HttpClient) -> tuple[type, type]:
    assert isinstance(client, ByPurpose)
    return type(client.clients["provider"]), type(client.clients["delivery"])


def test_each_purpose_has_its_client() -> None:
    assert by_purpose(build_client(Settings(), FakeClock())) == (AiohttpClient, PyreqwestClient)


@pytest.mark.parametrize(
    ("missing", "chosen"),
    [("aiohttp", (HttpxClient, PyreqwestClient)), ("pyreqwest", (AiohttpClient, HttpxClient))],
)
def test_httpx_is_taken_for_what_is_not_there(
    monkeypatch: pytest.MonkeyPatch, missing: str, chosen: tuple[type, type]
) -> None:
    without(monkeypatch, missing)
    assert by_purpose(build_client(Settings(), FakeClock())) == chosen


def test_an_aiohttp_that_is_too_old_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("riverflow.builtin.http.version", lambda name: "3.9.5")
    assert by_purpose(build_client(Settings(), FakeClock())) == (HttpxClient, PyreqwestClient)


def test_httpx_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    without(monkeypatch, "aiohttp", "pyreqwest")
    assert isinstance(build_client(Settings(), FakeClock()), HttpxClient)


@pytest.mark.parametrize("name", ["aiohttp", "pyreqwest"])
def test_a_client_that_is_asked_for_must_be_there(monkeypatch: pytest.MonkeyPatch, name: Any) -> None:
    without(monkeypatch, name)
    with pytest.raises(ConfigError, match=f"'{name}'.*riverflow\\[server\\]"):
        build_client(Settings(http_client=name), FakeClock())


class Named:
    """ports.HttpClient that says its name and whether it is closed."""

    def __init__(self, name: bytes) -> None:
        self.name = name
        self.closed = False

    async def send(self, request: HttpRequest) -> HttpResponse:
        return HttpResponse(status=200, headers={}, body=self.name, truncated=False)

    async def aclose(self) -> None:
        self.closed = True


@pytest.mark.anyio
async def test_requests_go_by_purpose() -> None:
    clients: dict[Any, Named] = {"provider": Named(b"provider"), "delivery": Named(b"delivery")}
    client = ByPurpose(clients)
    for purpose in clients:
        request = HttpRequest(
            method="GET", url="http://a.test/", headers=(), body=b"", purpose=purpose, timeout=1.0, max_body=9
        )
        assert (await client.send(request)).body == purpose.encode()
    await client.aclose()
    assert all(each.closed for each in clients.values())
