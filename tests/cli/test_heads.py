"""The stand-alone server and requests whose heads do not come to an end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable

import httpx
import pytest

from riverflow import Riverflow
from riverflow.cli import heads
from riverflow.cli.server import listen, serving

pytestmark = pytest.mark.anyio


@pytest.fixture
async def address() -> AsyncIterator[tuple[str, int]]:
    river = Riverflow(database_url="memory://", api_key="k", env="development", environ={}, discover_plugins=False)
    listener = listen("127.0.0.1", 0)
    async with serving(river, listener):
        yield listener.getsockname()


async def answer_to(address: tuple[str, int], chunks: Iterable[bytes]) -> tuple[bytes, int]:
    """What comes back until the connection ends, and how many bytes were sent by then."""
    reader, writer = await asyncio.open_connection(*address)
    sent = 0

    async def pour() -> None:
        nonlocal sent
        for chunk in chunks:
            writer.write(chunk)
            await writer.drain()
            sent += len(chunk)

    pouring = asyncio.create_task(pour())
    try:
        async with asyncio.timeout(10):
            answer = await reader.read()
    except ConnectionError:
        answer = b""
    finally:
        pouring.cancel()
        await asyncio.wait([pouring])
        writer.close()
    return answer, sent


def endless(chunk: bytes) -> Iterable[bytes]:
    return (chunk for _ in range(100_000))


HEADS = {
    "fields": lambda: (b"GET / HTTP/1.1\r\n", *endless(b"x: " + b"y" * 1000 + b"\r\n")),
    "one field": lambda: (b"GET / HTTP/1.1\r\nx: ", *endless(b"y" * 1000)),
    "a name": lambda: (b"GET / HTTP/1.1\r\n", *endless(b"y" * 1000)),
    "a path": lambda: (b"GET /", *endless(b"y" * 1000)),
    "nothing": lambda: endless(b"\r\n" * 500),
    "trailers": lambda: (
        b"POST /v1/ai/async HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n",
        *endless(b"x: " + b"y" * 1000 + b"\r\n"),
    ),
}


@pytest.mark.parametrize("what", HEADS)
async def test_a_head_that_does_not_end_is_cut_off(address: tuple[str, int], what: str) -> None:
    answer, sent = await answer_to(address, HEADS[what]())
    assert sent < 20_000_000, "of 100 million; the buffers of the two sockets hold some that was never read"
    assert not answer or answer.startswith((b"HTTP/1.1 431 ", b"HTTP/1.1 400 ", b"HTTP/1.1 401 ")), answer[:200]
    async with httpx.AsyncClient(trust_env=False) as client:
        assert (await client.get("http://{}:{}/openapi.json".format(*address))).status_code == 200


@pytest.mark.parametrize("begun", [b"", b"GET /openapi.json HT", b"GET /openapi.json HTTP/1.1\r\nhost: x\r\n"])
async def test_a_head_that_does_not_come_is_not_waited_for(
    address: tuple[str, int], begun: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heads, "WITHIN", 0.05)
    assert await answer_to(address, [begun]) == (b"", len(begun))


async def test_a_head_in_pieces_is_answered_and_so_is_the_next_one(
    address: tuple[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heads, "WITHIN", 0.2)
    reader, writer = await asyncio.open_connection(*address)
    request = b"GET /openapi.json HTTP/1.1\r\nhost: x\r\nx-large: %b\r\n\r\n" % (b"y" * 30_000)
    for _ in range(8):
        for start in range(0, len(request), 5000):
            writer.write(request[start : start + 5000])
            await writer.drain()
            await asyncio.sleep(0.01)
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 ")
        length = next(line for line in head.splitlines() if line.lower().startswith(b"content-length"))
        await reader.readexactly(int(length.partition(b":")[2]))
    writer.close()
