"""Sender cases 21, 25 and 26: whatever a receiver sends, the process does not grow with it."""

from __future__ import annotations

import subprocess
import sys
from typing import get_args, get_type_hints

import pytest

from riverflow.config import Settings

CLIENTS = [name for name in get_args(get_type_hints(Settings)["http_client"]) if name != "auto"]
GROWTH = 48  # MiB; each attack sends as much as it can for a second, hundreds of them
PROGRAM = """
import asyncio, resource, sys, zlib
from riverflow.builtin.http import build_client
from riverflow.config import Settings
from riverflow.errors import HttpError
from riverflow.ports import HttpRequest
from riverflow.testing import FakeClock
from riverflow.testing.suites.http_hostile import CHUNKED, ENDLESS, OK, Flood
from riverflow.testing.suites.receiver import answer, receiving

attacks = [
    *ENDLESS.values(),
    (OK + b"Content-Length: 99999999999\\r\\n\\r\\n", bytes(65536)),
    (OK + b"\\r\\n", bytes(65536)),
    (CHUNKED + b"fffffff\\r\\n", bytes(65536)),
    (CHUNKED, b"1\\r\\nx\\r\\n" * 1000),
    (CHUNKED + b"2;", b"y" * 1000),
    (b"", b"HTTP/1.1 103 Early Hints\\r\\nLink: x\\r\\n\\r\\n" * 100),
]


def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


async def main():
    client = build_client(Settings(env="development", http_client=sys.argv[1]), FakeClock())

    async def send(receiver):
        request = HttpRequest(method="POST", url=receiver.url(), headers=(), body=b"{}", purpose="delivery",
                              timeout=1.0, max_body=16384)
        try:
            await client.send(request)
        except HttpError:
            pass

    async with receiving() as receiver:
        packed = zlib.compress(bytes(2**20))
        for reply in (answer(200, b"ok"), answer(200, packed, "Content-Encoding: deflate")):
            receiver.replies(reply)
            await send(receiver)
        before = peak()
        for begin, again in attacks:
            receiver.replies(Flood(begin, again))
            await asyncio.gather(*(send(receiver) for _ in range(4)))
        print(peak() - before)
    await client.aclose()


asyncio.run(main())
"""


@pytest.mark.parametrize("client", CLIENTS)
def test_memory_is_bounded(client: str) -> None:
    """Sender cases 21, 25 and 26: endless heads, bodies, chunks, trailers and interim answers, four at a time."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, client], capture_output=True, text=True, timeout=55, check=False
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < GROWTH
