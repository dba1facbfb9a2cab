"""The HTTP clients under the shipped suite, and the choice between them."""

from __future__ import annotations

import asyncio
import os
import socket
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import msgspec
import pytest

from riverflow.builtin.http import build_client
from riverflow.builtin.http.httptools_client import HttptoolsClient
from riverflow.builtin.http.httpx_client import HttpxClient
from riverflow.builtin.http.limits import Limits
from riverflow.config import Settings
from riverflow.errors import ConfigError
from riverflow.ports import HttpClient
from riverflow.testing import FakeClock
from riverflow.testing.suites.certificates import Authority
from riverflow.testing.suites.http import HttpClientSuite
from riverflow.testing.suites.receiver import answer, receiving


def built(name: Any, *, settings: Settings, clock: Any, connect: float, read: float, **options: Any) -> HttpClient:
    chosen = msgspec.structs.replace(settings, http_client=name)
    return build_client(chosen, clock, limits=Limits(connect=connect, read=read), **options)


class TestHttpx(HttpClientSuite):
    def build(self, **options: Any) -> HttpClient:
        return built("httpx", **options)


class TestHttptools(HttpClientSuite):
    @pytest.fixture(params=[False, True], ids=["asyncio", "uvloop"])
    def anyio_backend(self, request: pytest.FixtureRequest) -> Any:
        return "asyncio", {"use_uvloop": request.param}

    def build(self, **options: Any) -> HttpClient:
        return built("httptools", **options)

    async def test_a_destination_that_has_to_go_finishes_its_requests(
        self, make: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("riverflow.builtin.http.httptools_client.POOLS", 1)
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
        authority = Authority(tmp_path)
        tls = authority.server("receiver.test")
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
            sending = asyncio.create_task(make(authorities=authority.pem).send(self.post(url)))
            await asyncio.wait_for(asked.wait(), 5)
            sending.cancel()
            await playing


def without_httptools(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "riverflow.builtin.http.find_spec", lambda name: None if name == "httptools" else find_spec(name)
    )


def test_riverflows_own_is_taken_where_it_can_be() -> None:
    assert isinstance(build_client(Settings(), FakeClock()), HttptoolsClient)
    assert isinstance(build_client(Settings(http_client="httpx"), FakeClock()), HttpxClient)


def test_httpx_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    without_httptools(monkeypatch)
    assert isinstance(build_client(Settings(), FakeClock()), HttpxClient)


def test_a_client_that_is_asked_for_must_be_there(monkeypatch: pytest.MonkeyPatch) -> None:
    without_httptools(monkeypatch)
    with pytest.raises(ConfigError, match=r"'httptools'.*riverflow\[server\]"):
        build_client(Settings(http_client="httptools"), FakeClock())
