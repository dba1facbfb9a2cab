"""The room of the HTTP client's suite for TLS: whom a client believes, and to whom it shows itself.

Certificates are made here for each test; no public authority is asked.
"""

from __future__ import annotations

import asyncio
import ssl
import warnings
from datetime import timedelta

import pytest

from ...models import Trust
from ...ports import HttpClient
from .certificates import Authority
from .http_case import NAME, HttpCase, Make
from .receiver import receiving

__all__ = ["Tls"]


class Tls(HttpCase):
    """A request over TLS."""

    async def test_tls_to_a_name(self, make: Make, authority: Authority) -> None:
        """Sender case 15: the name that was asked for is what TLS and HTTP are told."""
        async with receiving(authority.server(NAME)) as receiver:
            response = await make(authorities=authority.pem).send(self.post(receiver.url(NAME, scheme="https")))
            assert response.status == 200
            assert receiver.names == [NAME]
            assert receiver.received[0].headers["host"] == f"{NAME}:{receiver.port}"

    async def test_tls_to_an_address(self, make: Make, authority: Authority) -> None:
        """Sender case 22: an address is no server name (RFC 6066, 3), and must stand in the certificate."""
        async with receiving(authority.server("127.0.0.1")) as receiver:
            client = make(authorities=authority.pem)
            assert (await client.send(self.post(receiver.url(scheme="https")))).status == 200
            assert receiver.names == [None]
        async with receiving(authority.server(NAME)) as receiver:
            assert await self.refused(client, self.post(receiver.url(scheme="https"))) == "tls_error"

    async def test_tls_that_is_not_trusted(self, client: HttpClient, authority: Authority) -> None:
        """Sender case 22: an authority of the receiver's own."""
        async with receiving(authority.server(NAME)) as receiver:
            assert await self.refused(client, self.post(receiver.url(NAME, scheme="https"))) == "tls_error"
            assert not receiver.received

    async def test_tls_of_another_name(self, make: Make, authority: Authority) -> None:
        """Sender case 22: the wrong name."""
        async with receiving(authority.server("other.test")) as receiver:
            client = make(authorities=authority.pem)
            assert await self.refused(client, self.post(receiver.url(NAME, scheme="https"))) == "tls_error"
            assert not receiver.received

    async def test_tls_that_has_expired(self, make: Make, authority: Authority) -> None:
        """Sender case 22: expired."""
        async with receiving(authority.server(NAME, valid=timedelta(minutes=-1))) as receiver:
            client = make(authorities=authority.pem)
            assert await self.refused(client, self.post(receiver.url(NAME, scheme="https"))) == "tls_error"
            assert not receiver.received

    async def test_tls_that_is_weak(self, make: Make, authority: Authority) -> None:
        """Sender case 22: a version that is no longer safe (RFC 8996)."""
        context = authority.server(NAME)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
        context.set_ciphers("ALL:@SECLEVEL=0")
        async with receiving(context) as receiver:
            client = make(authorities=authority.pem)
            assert await self.refused(client, self.post(receiver.url(NAME, scheme="https"))) == "tls_error"
            assert not receiver.received

    async def test_there_is_no_fall_back_to_plain_http(self, client: HttpClient) -> None:
        """Sender case 22: nothing is said in the clear to a peer that speaks no TLS."""
        heard: asyncio.Queue[bytes] = asyncio.Queue()

        async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
            heard.put_nowait(await reader.read())
            writer.close()

        async with await asyncio.start_server(plain, "127.0.0.1", 0) as server:
            url = f"https://{NAME}:{server.sockets[0].getsockname()[1]}/hook"
            assert await self.refused(client, self.post(url)) == "tls_error"
            assert b"HTTP" not in await heard.get()
            assert heard.empty()

    async def test_an_authority_is_trusted_for_its_own_requests_only(
        self, client: HttpClient, authority: Authority
    ) -> None:
        """Sender cases 17 and 22: a private authority of one endpoint vouches for no other, nor does its connection."""
        trust = Trust(authorities=authority.pem.decode())
        async with receiving(authority.server(NAME)) as receiver:
            url = receiver.url(NAME, scheme="https")
            assert (await client.send(self.post(url, trust=trust))).status == 200
            assert await self.refused(client, self.post(url)) == "tls_error"
            assert (await client.send(self.post(url, trust=trust))).status == 200
            assert len(receiver.received) == 2

    async def test_a_clients_certificate_is_shown_to_its_endpoint_only(self, make: Make, authority: Authority) -> None:
        """Sender case 22."""
        trust = Trust(authorities=authority.pem.decode(), certificate=authority.client("sender.test"))
        async with receiving(authority.asking(NAME)) as receiver:
            client = make(authorities=authority.pem)
            url = receiver.url(NAME, scheme="https")
            assert (await client.send(self.post(url, trust=trust))).status == 200
            await self.refused(client, self.post(url))
            assert len(receiver.received) == 1

    @pytest.mark.parametrize(
        "trust", [Trust(authorities="no PEM"), Trust(certificate="no PEM")], ids=["authorities", "certificate"]
    )
    async def test_what_is_no_certificate_is_said(self, client: HttpClient, trust: Trust) -> None:
        assert await self.refused(client, self.post("https://receiver.test:8443/", trust=trust)) == "tls_error"
