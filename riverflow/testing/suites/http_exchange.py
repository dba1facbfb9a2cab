"""The room of the HTTP client's suite for what goes out, what comes back, its bounds, and how a connection fails.

Hostile receivers, TLS and the egress guard have rooms of their own.
"""

from __future__ import annotations

import asyncio
import zlib

import pytest

from ...ports import HttpClient
from .http_case import NAME, HttpCase, Make
from .receiver import Receiver, answer, receiving

__all__ = ["Exchange"]


class Exchange(HttpCase):
    """A request and its answer over plain HTTP."""

    # What goes out and what comes back

    async def test_the_request_goes_out_as_given(self, client: HttpClient, receiver: Receiver) -> None:
        """Sender cases 14 and 26: path and query byte for byte, without the fragment; `Accept-Encoding: identity`."""
        url = receiver.url(NAME, "/hook/a%2Fb;c?x=1&y=%20#part")
        headers = (("content-type", "text/x"), ("X-Mine", "1 2"), ("x%s", "100%d"))
        await client.send(self.post(url, headers=headers, body=b"\x00\xff"))
        (got,) = receiver.received
        assert got.line == "POST /hook/a%2Fb;c?x=1&y=%20 HTTP/1.1"
        assert got.body == b"\x00\xff"
        assert got.headers["host"] == f"{NAME}:{receiver.port}"
        assert got.headers["content-type"] == "text/x"
        assert got.headers["x-mine"] == "1 2"
        assert got.headers["x%s"] == "100%d"
        assert got.headers["content-length"] == "2"
        assert got.headers["accept-encoding"] == "identity"
        assert got.headers["user-agent"].startswith("riverflow")

    async def test_the_answer_comes_back_whole(self, client: HttpClient, receiver: Receiver) -> None:
        receiver.replies(answer(202, b"\x00body", "X-One: 1", "X-Two: a", "x-two: b"))
        response = await client.send(self.post(receiver.url()))
        assert (response.status, response.body, response.truncated) == (202, b"\x00body", False)
        assert response.headers["x-one"] == "1"
        assert response.headers["x-two"] == "a, b"

    async def test_a_header_that_is_not_ascii_does_no_harm(self, client: HttpClient, receiver: Receiver) -> None:
        receiver.replies(answer(200, b"ok", "X-One: 1", "X-Odd: \xe9"))
        response = await client.send(self.post(receiver.url()))
        assert (response.headers["x-one"], response.body) == ("1", b"ok")

    async def test_get_without_a_body(self, client: HttpClient, receiver: Receiver) -> None:
        await client.send(self.post(receiver.url(), method="GET", body=b"", headers=()))
        assert receiver.received[0].line.startswith("GET /hook ")
        assert "transfer-encoding" not in receiver.received[0].headers

    @pytest.mark.parametrize("status", [204, 400, 401, 404, 407, 421, 500, 503])
    async def test_every_status_is_an_answer(self, client: HttpClient, receiver: Receiver, status: int) -> None:
        receiver.replies(answer(status) if status != 204 else b"HTTP/1.1 204 No Content\r\n\r\n")
        assert (await client.send(self.post(receiver.url()))).status == status
        assert len(receiver.received) == 1

    @pytest.mark.parametrize("status", [300, 301, 302, 303, 307, 308])
    async def test_redirects_are_not_followed(self, client: HttpClient, receiver: Receiver, status: int) -> None:
        """Sender case 20: a redirect is an answer like any other."""
        receiver.replies(answer(status, b"", f"Location: {receiver.url(path='/other')}", "Refresh: 0; url=/other"))
        assert (await client.send(self.post(receiver.url()))).status == status
        assert len(receiver.received) == 1

    async def test_interim_answers_are_passed_over(self, client: HttpClient, receiver: Receiver) -> None:
        """Sender case 21."""
        receiver.replies(b"HTTP/1.1 103 Early Hints\r\n\r\n" * 3 + answer(200, b"ok"))
        assert (await client.send(self.post(receiver.url()))).body == b"ok"

    async def test_cookies_are_not_kept(self, client: HttpClient, receiver: Receiver) -> None:
        """Sender case 23."""
        receiver.replies(answer(200, b"", "Set-Cookie: a=b; Path=/"))
        await client.send(self.post(receiver.url()))
        await client.send(self.post(receiver.url()))
        assert "cookie" not in receiver.received[1].headers

    async def test_environment_proxies_are_ignored(
        self, make: Make, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Sender case 19: there is no proxy to configure, and the environment names none."""
        for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, "http://127.0.0.1:9")
        assert (await make().send(self.post(receiver.url()))).status == 200

    async def test_a_compressed_body_is_left_compressed(self, client: HttpClient, receiver: Receiver) -> None:
        """Sender case 26."""
        packed = zlib.compress(b"x" * 100_000)
        receiver.replies(answer(200, packed, "Content-Encoding: deflate"))
        assert (await client.send(self.post(receiver.url()))).body == packed

    async def test_connections_are_used_again(self, client: HttpClient, receiver: Receiver) -> None:
        for size in (0, 5, 1024):
            receiver.replies(answer(200, b"x" * size))
            await client.send(self.post(receiver.url()))
        chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"
        receiver.replies(chunked)
        assert (await client.send(self.post(receiver.url()))).body == b"ok"
        assert receiver.connections == 1

    async def test_a_connection_that_the_peer_closed_is_not_used(self, client: HttpClient, receiver: Receiver) -> None:
        receiver.replies(answer(200, b"", "Connection: close"))
        await client.send(self.post(receiver.url()))
        receiver.replies(answer(200, b"again"))
        assert (await client.send(self.post(receiver.url()))).body == b"again"

    async def test_many_at_once(self, client: HttpClient, receiver: Receiver) -> None:
        bodies = [str(number).encode() for number in range(40)]
        await asyncio.gather(*(client.send(self.post(receiver.url(), body=body)) for body in bodies))
        assert sorted(got.body for got in receiver.received) == sorted(bodies)

    # Bounds

    @pytest.mark.parametrize(("size", "kept", "truncated"), [(9, 9, False), (10, 10, False), (11, 10, True)])
    async def test_the_body_is_bounded(
        self, client: HttpClient, receiver: Receiver, size: int, kept: int, truncated: bool
    ) -> None:
        """Sender case 25."""
        receiver.replies(answer(200, b"x" * size))
        response = await client.send(self.post(receiver.url(), max_body=10))
        assert (len(response.body), response.truncated) == (kept, truncated)

    async def test_an_endless_body_is_cut(self, client: HttpClient, receiver: Receiver) -> None:
        """Sender case 25."""

        async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
            try:
                while True:
                    writer.write(b"x" * 65536)
                    await writer.drain()
            finally:
                receiver.left.set()

        receiver.replies(endless)
        response = await client.send(self.post(receiver.url()))
        assert (len(response.body), response.truncated) == (1024, True)
        await asyncio.wait_for(receiver.left.wait(), 5)

    @pytest.mark.parametrize(
        "drip",
        [b"HTTP/1.1 200 ", b"HTTP/1.1 200 OK\r\nX: ", b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n"],
        ids=["line", "header", "body"],
    )
    async def test_the_timeout_is_total(self, client: HttpClient, receiver: Receiver, drip: bytes) -> None:
        """Sender case 24: one byte at a time does not prolong it."""

        async def slowly(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(drip)
            for _ in range(90):
                writer.write(b"x")
                await writer.drain()
                await asyncio.sleep(0.05)

        receiver.replies(slowly)
        assert await self.refused(client, self.post(receiver.url(), timeout=0.3)) == "timeout"

    async def test_a_receiver_that_never_answers_times_out(self, client: HttpClient, receiver: Receiver) -> None:
        """Sender case 24: and the connection is closed."""
        receiver.replies(receiver.silent)
        assert await self.refused(client, self.post(receiver.url(), timeout=0.2)) == "timeout"
        await asyncio.wait_for(receiver.left.wait(), 5)

    async def test_a_connection_that_is_used_again_has_each_requests_own_time(
        self, client: HttpClient, receiver: Receiver
    ) -> None:
        """Neither does an earlier request's time cut a later one short, nor does it prolong it."""

        async def late(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await asyncio.sleep(0.5)
            writer.write(answer(200, b"late"))

        receiver.replies(answer(200), late, receiver.silent)
        await client.send(self.post(receiver.url(), timeout=0.3))
        assert (await client.send(self.post(receiver.url(), timeout=60.0))).body == b"late"
        refused = self.refused(client, self.post(receiver.url(), timeout=0.2))
        assert await asyncio.wait_for(refused, 5) == "timeout"
        assert receiver.connections == 1

    async def test_a_caller_may_leave(self, client: HttpClient, receiver: Receiver) -> None:
        """He is let go at once; the connection is closed then, or at the latest when the request's time is over."""
        receiver.replies(receiver.silent)
        sending = asyncio.create_task(client.send(self.post(receiver.url(), timeout=1.0)))
        await asyncio.wait_for(receiver.asked.wait(), 5)
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        await asyncio.wait_for(receiver.left.wait(), 5)

    @pytest.mark.parametrize(
        "said", [b"", b"HTTP/1.1 200 OK\r\nX: ", answer(200, b"x" * 20)[:-9]], ids=["nothing", "header", "body"]
    )
    async def test_cancelling_closes_the_connection(self, client: HttpClient, receiver: Receiver, said: bytes) -> None:
        """At once, long before the request's time is over."""

        async def saying(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(said)
            await receiver.silent(reader, writer)

        receiver.replies(saying)
        sending = asyncio.create_task(client.send(self.post(receiver.url(), timeout=60.0)))
        await asyncio.wait_for(receiver.asked.wait(), 5)
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        await asyncio.wait_for(receiver.left.wait(), 5)

    async def test_a_large_body_goes_out_whole(self, client: HttpClient, receiver: Receiver) -> None:
        body = bytes(range(256)) * 16 * 1024
        await client.send(self.post(receiver.url(), body=body))
        (got,) = receiver.received
        assert (got.headers["content-length"], got.body == body) == (str(len(body)), True)

    # Failures

    @pytest.mark.parametrize("scheme", ["http", "https"])
    async def test_nobody_listens(self, client: HttpClient, scheme: str) -> None:
        async with receiving() as gone:
            url = gone.url(scheme=scheme)
        assert await self.refused(client, self.post(url)) == "connection_error"

    async def test_an_unknown_name(self, client: HttpClient) -> None:
        assert await self.refused(client, self.post("http://unknown.test/")) == "connection_error"

    @pytest.mark.parametrize(
        "reply",
        [
            b"garbage\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n",
            b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 100_000 + b"\r\n",
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
        ],
        ids=["garbage", "chunk", "length", "headers", "upgrade"],
    )
    async def test_what_is_not_http(self, client: HttpClient, receiver: Receiver, reply: bytes) -> None:
        """Sender cases 21 and 25."""
        receiver.replies(reply)
        assert await self.refused(client, self.post(receiver.url())) == "protocol_error"

    @pytest.mark.parametrize("reply", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\nhalf"], ids=["head", "body"])
    async def test_a_connection_that_breaks(self, client: HttpClient, receiver: Receiver, reply: bytes) -> None:
        """Sender case 24."""

        async def breaking(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(reply)
            writer.close()

        receiver.replies(breaking)
        assert await self.refused(client, self.post(receiver.url())) in ("connection_error", "protocol_error")

    @pytest.mark.parametrize("value", ["a\r\nX-Evil: 1", "a\nb", "a\x00b", "é"])
    async def test_header_injection_is_refused(self, client: HttpClient, receiver: Receiver, value: str) -> None:
        """Sender case 30: before a connection is made."""
        assert await self.refused(client, self.post(receiver.url(), headers=(("x", value),))) == "protocol_error"
        assert await self.refused(client, self.post(receiver.url(), headers=((value, "x"),))) == "protocol_error"
        assert receiver.connections == 0

    async def test_what_is_known_of_a_receiver_vouches_for_no_value(
        self, client: HttpClient, receiver: Receiver
    ) -> None:
        """Sender case 30: the same headers to the same URL, with other values."""
        for value in ("1", "2"):
            await client.send(self.post(receiver.url(), headers=(("x", value), ("y", "3"))))
        assert [(got.headers["x"], got.headers["y"]) for got in receiver.received] == [("1", "3"), ("2", "3")]
        refusal = await self.refused(client, self.post(receiver.url(), headers=(("x", "1"), ("y", "3\r\nz: 4"))))
        assert (refusal, len(receiver.received)) == ("protocol_error", 2)

    @pytest.mark.parametrize("name", ["Host", "content-length", "Transfer-Encoding", "connection", "Cookie"])
    async def test_own_headers_cannot_be_set(self, client: HttpClient, receiver: Receiver, name: str) -> None:
        """Sender case 30: neither those that frame a message nor those of one hop."""
        assert await self.refused(client, self.post(receiver.url(), headers=((name, "1"),))) == "protocol_error"
        assert receiver.connections == 0

    async def test_after_the_end_nothing_is_sent(self, client: HttpClient, receiver: Receiver) -> None:
        await client.send(self.post(receiver.url()))
        await client.aclose()
        assert await self.refused(client, self.post(receiver.url())) == "connection_error"
        assert len(receiver.received) == 1
