"""Receiver case 12: ed25519 keys by `kid`, from a JWK Set at a pinned address, with cache and guard."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from riverflow.config import Settings
from riverflow.errors import ConfigError, StoreUnavailable, WebhookVerificationError
from riverflow.jwks import PAUSE, Jwks
from riverflow.testing import FakeClock
from riverflow.testing.suites.receiver import Receiver, answer, receiving
from riverflow.webhooks import verify

pytestmark = pytest.mark.anyio

NOW = 1_700_000_000
BODY = b'{"type":"task.completed"}'
ONE, TWO = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()


def jwk(private: Ed25519PrivateKey, kid: str, **changes: Any) -> dict[str, Any]:
    raw = private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    x = base64.urlsafe_b64encode(raw).decode().rstrip("=")
    return {"kty": "OKP", "crv": "Ed25519", "use": "sig", "alg": "EdDSA", "kid": kid, "x": x} | changes


def signed(private: Ed25519PrivateKey) -> dict[str, str]:
    signature = base64.b64encode(private.sign(b"msg_1.%d." % NOW + BODY)).decode()
    return {"webhook-id": "msg_1", "webhook-timestamp": str(NOW), "webhook-signature": f"v1a,{signature}"}


class Sender:
    """Publishes keys, and counts who asks."""

    def __init__(self, receiver: Receiver) -> None:
        self.receiver = receiver
        self.url = receiver.url()

    def publish(self, *keys: Any, status: int = 200) -> None:
        self.receiver.replies(answer(status, json.dumps({"keys": keys}).encode()))

    @property
    def asked(self) -> int:
        return len(self.receiver.received)


@pytest.fixture
async def sender() -> AsyncIterator[Sender]:
    async with receiving() as receiver:
        yield Sender(receiver)


@pytest.fixture
async def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def jwks(sender: Sender, clock: FakeClock) -> AsyncIterator[Jwks]:
    async with Jwks(sender.url, settings=Settings(env="development"), clock=clock) as jwks:
        yield jwks


async def test_case_12_a_key_is_found_by_its_name_and_fetched_once(sender: Sender, jwks: Jwks) -> None:
    sender.publish(jwk(ONE, "one"), jwk(TWO, "two"))
    found = await asyncio.gather(*(jwks.secrets(name) for name in ("one", "two") * 20))
    assert sender.asked == 1
    assert verify(BODY, signed(ONE), found[0], now=NOW).id == "msg_1"
    assert verify(BODY, signed(TWO), await jwks.secrets(), now=NOW).id == "msg_1"
    with pytest.raises(WebhookVerificationError):
        verify(BODY, signed(TWO), found[0], now=NOW)  # the name says which key, and no other will do
    assert sender.asked == 1


async def test_case_12_a_new_key_is_fetched_and_unknown_names_are_no_nuisance(
    sender: Sender, jwks: Jwks, clock: FakeClock
) -> None:
    sender.publish(jwk(ONE, "one"))
    await jwks.secrets("one")
    sender.publish(jwk(ONE, "one"), jwk(TWO, "two"))
    for number in range(50):
        with pytest.raises(WebhookVerificationError):
            await jwks.secrets(f"made up {number}")
    assert sender.asked == 1
    await clock.advance(PAUSE)
    assert len(await jwks.secrets("two")) == 1
    assert sender.asked == 2


async def test_case_12_keys_that_are_withdrawn_end_and_an_outage_is_bridged_for_a_day(
    sender: Sender, jwks: Jwks, clock: FakeClock
) -> None:
    sender.publish(jwk(ONE, "one"))
    await jwks.secrets("one")
    await clock.leap(3600)
    sender.publish(jwk(TWO, "two"))
    with pytest.raises(WebhookVerificationError) as unknown:
        await jwks.secrets("one")
    assert unknown.value.reason == "unknown_key"
    sender.publish(status=500)
    await clock.leap(86_399)
    assert len(await jwks.secrets("two")) == 1
    await clock.leap(3602)
    with pytest.raises(StoreUnavailable):  # fails closed
        await jwks.secrets("two")


@pytest.mark.parametrize(
    "key",
    [
        jwk(ONE, "k", kty="RSA"),
        jwk(ONE, "k", kty="oct", k="c2VjcmV0"),
        jwk(ONE, "k", crv="X25519"),
        jwk(ONE, "k", alg="none"),
        jwk(ONE, "k", alg="HS256"),
        jwk(ONE, "k", use="enc"),
        jwk(ONE, "k", x="c2hvcnQ"),
        jwk(ONE, "k", x="!"),
    ],
    ids=["RSA", "oct", "X25519", "alg none", "HS256", "for encryption", "too short", "no base64"],
)
async def test_case_12_other_kinds_of_keys_are_not_keys(sender: Sender, jwks: Jwks, key: dict[str, Any]) -> None:
    sender.publish(key)
    with pytest.raises(StoreUnavailable):
        await jwks.secrets("k")
    assert sender.asked == 1


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"<html>", b'{"keys":1}', b'{"keys":[1]}', b"\xff", b" " * 70_000 + b"{}"]
)
async def test_case_12_what_is_no_key_set_changes_nothing(
    sender: Sender, jwks: Jwks, clock: FakeClock, body: bytes
) -> None:
    sender.publish(jwk(ONE, "one"))
    await jwks.secrets("one")
    sender.receiver.replies(answer(200, body))
    await clock.leap(3601)
    assert len(await jwks.secrets("one")) == 1
    assert sender.asked == 2


async def test_case_12_the_guard_stands_before_it(sender: Sender) -> None:
    """In production neither plain http nor a private address is asked, and no redirect leads there."""
    sender.publish(jwk(ONE, "one"))
    for url in (sender.url, sender.url.replace("http:", "https:"), "https://169.254.169.254/jwks"):
        async with Jwks(url, clock=FakeClock()) as jwks:
            with pytest.raises(StoreUnavailable):
                await jwks.secrets("one")
    assert sender.asked == 0
    with pytest.raises(ConfigError):
        Jwks("file:///etc/passwd")
    async with Jwks(sender.url, settings=Settings(env="development"), clock=FakeClock()) as jwks:
        sender.receiver.replies(answer(302, b"", f"Location: {sender.url}"))
        with pytest.raises(StoreUnavailable):
            await jwks.secrets("one")
    assert sender.asked == 1
