"""The room of the HTTP client's suite for receivers that mean harm: slow, endless, broken, lying.

Whatever they do, a request ends in time, what is kept is bounded, and the next request is answered by its own answer.
"""

from __future__ import annotations

import asyncio
import gzip
import socket
import struct
from contextlib import suppress

import pytest

from ...errors import HttpError
from ...ports import HttpClient, HttpRequest
from .http_case import HttpCase, Make
from .receiver import Receiver, answer

__all__ = ["Hostile"]

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
EVIL = answer(200, b"evil")
TAKEN = 16 * 1024 * 1024  # bytes of an endless answer that may have left the receiver: what buffers of sockets hold

MALFORMED = {
    "a megabyte in a header": OK + b"X: " + b"a" * 2**20 + b"\r\nContent-Length: 2\r\n\r\nok",
    "100 000 headers": OK + b"X: y\r\n" * 100_000 + b"\r\n",
    "lengths that differ": OK + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nokk",
    "a list of lengths": OK + b"Content-Length: 2, 3\r\n\r\nokk",
    "a negative length": OK + b"Content-Length: -2\r\n\r\nok",
    "a length with a sign": OK + b"Content-Length: +2\r\n\r\nok",
    "a length beyond all bounds": OK + b"Content-Length: 99999999999999999999999999\r\n\r\nok",
    "a negative chunk": CHUNKED + b"-2\r\nok\r\n0\r\n\r\n",
    "a chunk in another radix": CHUNKED + b"0x2\r\nok\r\n0\r\n\r\n",
    "a chunk longer than it says": CHUNKED + b"2\r\nokXX0\r\n\r\n",
    "a NUL in a header": OK + b"X: a\x00b\r\nContent-Length: 2\r\n\r\nok",
    "a space before the colon": OK + b"X : a\r\nContent-Length: 2\r\n\r\nok",
    "status 99": b"HTTP/1.1 099 No\r\nContent-Length: 0\r\n\r\n",
    "status 1000": b"HTTP/1.1 1000 No\r\nContent-Length: 0\r\n\r\n",
    "another protocol": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
}
"""What no client may take for an answer."""

ODD = {
    "64 kB in a header": OK + b"X: " + b"a" * 65536 + b"\r\nContent-Length: 2\r\n\r\nok",
    "10 000 headers": OK + b"".join(b"X%d: y\r\n" % n for n in range(10_000)) + b"Content-Length: 2\r\n\r\nok",
    "the same length twice": OK + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\nok",
    "length and chunks": OK + b"Content-Length: 9\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    "chunked twice": OK + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    "a folded header": OK + b"X: a\r\n b\r\nContent-Length: 2\r\n\r\nok",
}
"""What a client may refuse or read as RFC 9112 says, and in no third way."""

ENDLESS = {
    "headers": (OK, b"X: " + b"y" * 1000 + b"\r\n"),
    "header line": (OK + b"X: ", b"y" * 1000),
    "status line": (b"HTTP/1.1 200 ", b"y" * 1000),
    "trailers": (CHUNKED + b"2\r\nok\r\n0\r\n", b"X: yyyyyyyyyyyyyyyyyyyyyyyyy\r\n" * 30),
    "trailer line": (CHUNKED + b"2\r\nok\r\n0\r\nX: ", b"y" * 1000),
}
"""Heads and tails without end: beginning, and what comes again and again."""

UNASKED = {
    "after the answer": OK + b"Content-Length: 2\r\n\r\nok" + EVIL,
    "after the chunks": CHUNKED + b"2\r\nok\r\n0\r\n\r\n" + EVIL,
    "in an answer without a body": b"HTTP/1.1 204 No Content\r\nContent-Length: %d\r\n\r\n" % len(EVIL) + EVIL,
    "beyond the length, with chunks": OK + b"Content-Length: 9\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + EVIL,
}
"""A second answer that comes with the first one."""


class Flood:
    """A reply without end. `sent` are the bytes that the receiver got rid of so far; `over` is set when it could not go
    on."""

    def __init__(self, begin: bytes, again: bytes) -> None:
        self.begin, self.again = begin, again
        self.sent = 0
        self.over = asyncio.Event()

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        piece = self.begin
        try:
            while True:
                writer.write(piece)
                await writer.drain()
                self.sent += len(piece)
                piece = self.again
        finally:
            self.over.set()


def reset(writer: asyncio.StreamWriter) -> None:
    """End a connection with RST."""
    sock = writer.transport.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


class Hostile(HttpCase):
    """Receivers that mean harm, on real sockets."""

    async def answered(self, client: HttpClient, request: HttpRequest) -> bytes | None:
        """The answer's body; None where it was refused as no valid HTTP."""
        try:
            return (await client.send(request)).body
        except HttpError as error:
            if error.code != "protocol_error":
                raise
            return None

    async def served_after(self, client: HttpClient, receiver: Receiver) -> None:
        """The next request of the same client to the same receiver is answered by its own answer."""
        receiver.replies(answer(200, b"good"))
        assert (await client.send(self.post(receiver.url()))).body == b"good"

    @pytest.mark.parametrize("reply", MALFORMED.values(), ids=MALFORMED)
    async def test_what_is_malformed_is_no_answer(self, client: HttpClient, receiver: Receiver, reply: bytes) -> None:
        """Sender case 25."""
        receiver.replies(reply)
        assert await self.refused(client, self.post(receiver.url())) == "protocol_error"
        await self.served_after(client, receiver)

    @pytest.mark.parametrize("reply", ODD.values(), ids=ODD)
    async def test_what_is_odd_is_read_in_one_way(self, client: HttpClient, receiver: Receiver, reply: bytes) -> None:
        """Sender case 25."""
        receiver.replies(reply)
        assert await self.answered(client, self.post(receiver.url())) in (b"ok", None)
        await self.served_after(client, receiver)

    @pytest.mark.parametrize(("begin", "again"), ENDLESS.values(), ids=ENDLESS)
    async def test_what_has_no_end_is_cut(
        self, client: HttpClient, receiver: Receiver, begin: bytes, again: bytes
    ) -> None:
        """Sender case 25: long before the request's time is over."""
        flood = Flood(begin, again)
        receiver.replies(flood)
        assert await self.refused(client, self.post(receiver.url(), timeout=30.0)) == "protocol_error"
        await asyncio.wait_for(flood.over.wait(), 5)
        assert flood.sent < TAKEN

    @pytest.mark.parametrize(
        "again", [b"HTTP/1.1 103 Early Hints\r\n\r\n" * 20, b"HTTP/1.1 100 Continue\r\n\r\n" * 20], ids=["103", "100"]
    )
    async def test_a_flood_of_interim_answers_ends(self, client: HttpClient, receiver: Receiver, again: bytes) -> None:
        """Sender case 21: they do not prolong the request."""
        flood = Flood(b"", again)
        receiver.replies(flood)
        code = await self.refused(client, self.post(receiver.url(), timeout=0.5))
        assert code in ("protocol_error", "timeout")
        await asyncio.wait_for(flood.over.wait(), 5)

    @pytest.mark.parametrize("again", [b"0" * 1000, b"2;" + b"y" * 1000], ids=["size", "extension"])
    async def test_an_endless_chunk_head_ends(self, client: HttpClient, receiver: Receiver, again: bytes) -> None:
        """Sender case 25."""
        flood = Flood(CHUNKED, again)
        receiver.replies(flood)
        code = await self.refused(client, self.post(receiver.url(), timeout=0.5))
        assert code in ("protocol_error", "timeout")
        await asyncio.wait_for(flood.over.wait(), 5)

    @pytest.mark.parametrize("reply", UNASKED.values(), ids=UNASKED)
    async def test_a_second_answer_is_not_taken_for_the_next(
        self, client: HttpClient, receiver: Receiver, reply: bytes
    ) -> None:
        """Sender case 25: nobody answers a request before it was made."""
        receiver.replies(reply)
        assert await self.answered(client, self.post(receiver.url())) in (b"ok", b"", None)
        await self.served_after(client, receiver)

    async def test_an_answer_nobody_asked_for_is_not_taken(self, client: HttpClient, receiver: Receiver) -> None:
        """Sender case 25: nor is one that comes while the connection is idle."""
        first, closed = asyncio.Event(), asyncio.Event()

        async def later(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(answer(200, b"ok"))
            await writer.drain()
            await first.wait()
            writer.write(EVIL)
            await writer.drain()
            await reader.read()
            closed.set()

        receiver.replies(later)
        assert (await client.send(self.post(receiver.url()))).body == b"ok"
        first.set()
        with suppress(TimeoutError):  # a client may hang up at once, or when it wants the connection again
            await asyncio.wait_for(closed.wait(), 0.3)
        await self.served_after(client, receiver)

    async def test_a_receiver_that_never_reads_times_out(self, client: HttpClient) -> None:
        """Sender case 24: a body that nobody takes does not hold the request."""
        with socket.create_server(("127.0.0.1", 0)) as listening:  # the system accepts; nobody reads
            url = f"http://127.0.0.1:{listening.getsockname()[1]}/"
            assert await self.refused(client, self.post(url, body=bytes(32 * 2**20), timeout=0.5)) == "timeout"

    @pytest.mark.parametrize("said", [b"", OK, OK + b"Content-Length: 20\r\n\r\nhalf"], ids=["nothing", "head", "body"])
    @pytest.mark.parametrize("how", ["reset", "half-close"])
    async def test_a_connection_that_is_cut(
        self, client: HttpClient, receiver: Receiver, how: str, said: bytes
    ) -> None:
        """Sender case 24: reset after the request and mid-body, and half-closed."""

        async def cutting(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(said)
            await writer.drain()
            if how == "reset":
                reset(writer)
            else:
                writer.write_eof()
                await receiver.silent(reader, writer)

        receiver.replies(cutting)
        code = await self.refused(client, self.post(receiver.url(), timeout=5.0))
        assert code in ("connection_error", "protocol_error")
        await self.served_after(client, receiver)

    @pytest.mark.parametrize("said", [b"", b"half"], ids=["head", "body"])
    async def test_an_answer_that_stops_midway_is_given_up(self, make: Make, receiver: Receiver, said: bytes) -> None:
        """Sender case 24: the limit for one read, within the request's total."""

        async def stopping(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(OK + b"Content-Length: 20\r\n\r\n" + said)
            await receiver.silent(reader, writer)

        receiver.replies(stopping)
        client = make(read=0.2)
        asking = self.refused(client, self.post(receiver.url(), timeout=60.0))
        assert await asyncio.wait_for(asking, 10) == "timeout"
        await asyncio.wait_for(receiver.left.wait(), 5)

    async def test_thinking_is_not_stopping(self, make: Make, receiver: Receiver) -> None:
        """Before its head an answer may take what the request has; after it, each piece renews the patience."""

        async def thinking(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await asyncio.sleep(0.5)
            writer.write(OK + b"Content-Length: 6\r\n\r\n")
            for _ in range(6):
                await asyncio.sleep(0.1)
                writer.write(b"x")

        receiver.replies(thinking)
        assert (await make(read=0.4).send(self.post(receiver.url()))).body == b"xxxxxx"

    async def test_slow_receivers_hold_their_own_requests_only(self, client: HttpClient, receiver: Receiver) -> None:
        """Sender cases 24 and 29: who never answers delays nobody else, and all are let go in time."""
        all_ask = asyncio.Event()

        async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            if len(receiver.received) == 100:
                all_ask.set()
            await receiver.silent(reader, writer)

        receiver.replies(*[silent] * 100, answer(200, b"quick"))
        slow = [asyncio.create_task(self.refused(client, self.post(receiver.url(), timeout=2.0))) for _ in range(100)]
        await asyncio.wait_for(all_ask.wait(), 5)
        assert (await client.send(self.post(receiver.url(), timeout=2.0))).body == b"quick"
        assert set(await asyncio.gather(*slow)) == {"timeout"}

    @pytest.mark.parametrize("status", [401, 407])
    async def test_a_challenge_is_not_answered(self, client: HttpClient, receiver: Receiver, status: int) -> None:
        """Sender case 21: no credential is sent, then or with the next request."""
        challenges = [f"{name}: Basic realm=x" for name in ("WWW-Authenticate", "Proxy-Authenticate")]
        receiver.replies(answer(status, b"", *challenges))
        for _ in range(2):
            assert (await client.send(self.post(receiver.url()))).status == status
        assert len(receiver.received) == 2
        assert not any({"authorization", "proxy-authorization"} & got.headers.keys() for got in receiver.received)

    async def test_hints_to_go_elsewhere_are_ignored(self, client: HttpClient, receiver: Receiver) -> None:
        """Sender cases 20 and 23: Alt-Svc, HSTS, Refresh and what HTML says."""
        hints = (
            'Alt-Svc: h2="127.0.0.1:9"; ma=86400',
            "Strict-Transport-Security: max-age=31536000",
            "Refresh: 0; url=/other",
            "Location: /other",
            "Content-Type: text/html",
        )
        receiver.replies(answer(200, b'<meta http-equiv="refresh" content="0; url=/other">', *hints))
        for _ in range(2):
            assert (await client.send(self.post(receiver.url()))).status == 200
        assert [got.line for got in receiver.received] == ["POST /hook HTTP/1.1"] * 2

    @pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd", "gzip, gzip, br", "x-unknown"])
    @pytest.mark.parametrize("purpose", ["delivery", "provider"])
    async def test_a_bomb_stays_packed(
        self, client: HttpClient, receiver: Receiver, encoding: str, purpose: str
    ) -> None:
        """Sender case 26: nothing is unpacked, so what comes in is all there is, and a torn stream is no crash."""
        packed = gzip.compress(bytes(10 * 2**20))
        for body in (packed, packed[:-9]):
            receiver.replies(answer(200, body, f"Content-Encoding: {encoding}"))
            response = await client.send(self.post(receiver.url(), purpose=purpose, max_body=4096))
            assert (response.body, response.truncated) == (body[:4096], True)
            whole = await client.send(self.post(receiver.url(), purpose=purpose, max_body=2**20))
            assert (whole.body, whole.headers["content-encoding"]) == (body, encoding)
