"""What the rooms of the HTTP client's suite share: a receiver, a client under test, a request.

It asserts nothing about a client by itself.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from ...config import Settings
from ...errors import HttpError
from ...ports import HttpClient, HttpRequest
from ..clock import FakeClock
from .certificates import Authority
from .receiver import Receiver, receiving

__all__ = ["NAME", "HttpCase", "Make", "names"]

NAME = "receiver.test"  # no such name exists (RFC 6761, 6.2): whoever reaches it dialled what the guard vetted

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
Make = Callable[..., HttpClient]
"""Makes a client; what may be given: settings by name (`env` is `development` unless given), `resolve`, `authorities`,
`connect`, `read`."""


def names(**known: Sequence[Any]) -> Resolve:
    """A resolver: each name's answers, or a list of such to be given one after the other."""

    async def resolve(host: str, port: int) -> Sequence[str]:
        found = known.get(host.replace(".", "_"))
        if found is None:
            raise OSError("no such name")
        return found.pop(0) if isinstance(found, list) else found

    return resolve


class HttpCase:
    """The fixtures; see `HttpClientSuite` for how a client is built."""

    pytestmark = pytest.mark.anyio

    def build(
        self,
        *,
        settings: Settings,
        clock: FakeClock,
        resolve: Resolve,
        authorities: bytes | None,
        connect: float,
        read: float,
    ) -> HttpClient:
        """A client; to be overridden."""
        raise NotImplementedError("override `build`")

    @pytest.fixture
    def anyio_backend(self) -> str:
        return "asyncio"

    @pytest.fixture
    async def receiver(self) -> AsyncIterator[Receiver]:
        async with receiving() as receiver:
            yield receiver

    @pytest.fixture
    def authority(self, tmp_path: Path) -> Authority:
        return Authority(tmp_path)

    @pytest.fixture
    def clock(self) -> FakeClock:
        return FakeClock()

    @pytest.fixture
    async def make(self, clock: FakeClock) -> AsyncIterator[Make]:
        made: list[HttpClient] = []

        def make(
            env: Any = "development",
            resolve: Resolve | None = None,
            authorities: bytes | None = None,
            connect: float = 10.0,
            read: float = 15.0,
            **settings: Any,
        ) -> HttpClient:
            client = self.build(
                settings=Settings(env=env, **settings),
                clock=clock,
                resolve=resolve or names(receiver_test=("127.0.0.1",)),
                authorities=authorities,
                connect=connect,
                read=read,
            )
            made.append(client)
            return client

        yield make
        for client in made:
            await client.aclose()

    @pytest.fixture
    def client(self, make: Make) -> HttpClient:
        return make()

    def post(self, url: str, **members: Any) -> HttpRequest:
        """A request; `members` are those of HttpRequest."""
        defaults: dict[str, Any] = {
            "method": "POST",
            "headers": (("content-type", "application/json"),),
            "body": b'{"a":1}',
            "purpose": "delivery",
            "timeout": 10.0,
            "max_body": 1024,
        }
        return HttpRequest(url=url, **(defaults | members))

    async def refused(self, client: HttpClient, request: HttpRequest) -> str:
        """The code of the HttpError that a request ends in."""
        with pytest.raises(HttpError) as caught:
            await client.send(request)
        assert "127.0.0" not in caught.value.message
        return caught.value.code
