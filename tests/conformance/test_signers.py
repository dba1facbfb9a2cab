"""The built-in signers under the shipped suite, and against the receivers that were published: the Node and Python
snippets of the documentation, the tunnel's and the chatbot's checks, and the Standard Webhooks library."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import shutil
import subprocess
import time
from collections.abc import Mapping
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from riverflow import codec
from riverflow.builtin.signing import ModelRiverSigner, StandardSigner, XModelRiverSigner, riverflow_signers
from riverflow.models import OutgoingMessage
from riverflow.ports import Signer
from riverflow.testing import make_context
from riverflow.testing.suites.signer import SECRET, SignerSuite

SECRETS = [SECRET, "plain text", "pass wörd ✓"]

TRICKY: list[Any] = [
    {"n": 8.0, "big": 1e21, "small": 1e-7, "zero": -0.0, "third": 1 / 3, "edge": 1e16, "max": 2**53},
    {"name": "Zoë ✓ \u2028 😀", "control": "\x00\x1f\t\n", "quote": '"\\/<>'},
    {"b": 1, "10": 2, "a": 3, "2": 4, "nested": {"1": [], "0": {}}},
    {"deep": [[[{"data": {"data": 0}}]]], "empty": {}},
    {},
]

NODE = """
const crypto = require('crypto');
function verifyWebhookSignature(payload, signature, secret) {  // the documentation's, verbatim
  const expectedSignature = crypto
    .createHmac('sha256', secret)
    .update(JSON.stringify(payload))
    .digest('hex');
  return crypto.timingSafeEqual(Buffer.from(signature), Buffer.from(expectedSignature));
}
function verifyTimestamped(raw, timestamp, signature, secret) {  // the tunnel's and the chatbot's
  const body = JSON.parse(raw);
  const signed = timestamp + '.' + (body.data ? JSON.stringify(body.data) : raw);
  const expected = crypto.createHmac('sha256', secret).update(signed).digest('hex');
  return crypto.timingSafeEqual(Buffer.from(signature), Buffer.from(expected));
}
const cases = JSON.parse(require('fs').readFileSync(0, 'utf8'));
console.log(JSON.stringify(cases.map(({raw, secret, headers}) => [
  verifyWebhookSignature(JSON.parse(raw), headers['mr-signature'], secret),
  verifyTimestamped(raw, headers['X-ModelRiver-Timestamp'], headers['X-ModelRiver-Signature'], secret),
])));
"""


def outgoing(body: bytes) -> OutgoingMessage:
    return OutgoingMessage(
        id="dl_0001", timestamp=int(time.time()), body=body, channel_id="c-1", callback_url="https://r/c"
    )


def signed(body: bytes, secret: str) -> dict[str, str]:
    """All three at once, as a delivery is signed: they are additive."""
    headers: dict[str, str] = {}
    for factory in riverflow_signers().values():
        headers |= factory(make_context()).sign(outgoing(body), secret)
    return headers


def in_node(bodies: list[bytes], secret: str) -> list[list[bool]]:
    node = shutil.which("node")
    if node is None:
        pytest.skip("needs node")
    cases = [{"raw": body.decode(), "secret": secret, "headers": signed(body, secret)} for body in bodies]
    run = subprocess.run([node, "-e", NODE], input=json.dumps(cases).encode(), capture_output=True, check=True)
    return json.loads(run.stdout)


def hexdigest(secret: str, text: bytes) -> str:
    return hmac.new(secret.encode(), text, hashlib.sha256).hexdigest()


class TestModelRiver(SignerSuite):
    @pytest.fixture
    def signer(self) -> Signer:
        return ModelRiverSigner()

    def verify(self, message: OutgoingMessage, secret: str, headers: Mapping[str, str]) -> bool:
        return headers["mr-signature"] == hexdigest(secret, message.body)


class TestXModelRiver(SignerSuite):
    @pytest.fixture
    def signer(self) -> Signer:
        return XModelRiverSigner()

    def verify(self, message: OutgoingMessage, secret: str, headers: Mapping[str, str]) -> bool:
        data = json.dumps(json.loads(message.body)["data"], separators=(",", ":"))
        text = f"{headers['x-modelriver-timestamp']}.{data}".encode()
        return headers["x-modelriver-signature"] == hexdigest(secret, text)


class TestStandard(SignerSuite):
    @pytest.fixture
    def signer(self) -> Signer:
        return StandardSigner()

    def message(self, body: bytes = b'{"type":"task.completed","data":{"n":8}}') -> OutgoingMessage:
        return msgspec.structs.replace(super().message(body), timestamp=int(time.time()) // 100 * 100)

    def verify(self, message: OutgoingMessage, secret: str, headers: Mapping[str, str]) -> bool:
        try:
            Webhook(secret).verify(message.body, dict(headers))
        except WebhookVerificationError:
            return False
        return True


@pytest.mark.parametrize("secret", SECRETS)
def test_the_published_node_receivers_accept(secret: str) -> None:
    flat = [codec.splice(type="task.completed", data=codec.from_python(value)) for value in TRICKY]
    told = [codec.splice(type="task.ai_generated", ai_response={"data": codec.from_python(value)}) for value in TRICKY]
    values = [[], [1], "text", "", 0, 7, True, False, None, -0.0]
    plain = [codec.splice(type="t", data=codec.from_python(value)) for value in values]
    plain[-2] = b'{"type":"t","data":null}'
    bodies = [*flat, *told, *plain]
    assert in_node(bodies, secret) == [[True, True]] * len(bodies)


def test_the_published_python_receiver_accepts_python_json() -> None:
    for value in TRICKY:
        body = codec.python_json(codec.splice(type="task.completed", data=codec.from_python(value)))
        expected = hexdigest(SECRET, json.dumps(json.loads(body)).encode())  # the documentation's
        assert signed(body, SECRET)["mr-signature"] == expected


def test_the_timestamped_node_receivers_accept_python_json_too() -> None:
    bodies = [codec.python_json(codec.splice(type="t", data=codec.from_python(value))) for value in TRICKY]
    assert [timestamped for _, timestamped in in_node(bodies, SECRET)] == [True] * len(bodies)


@settings(max_examples=60)
@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers(-(2**53), 2**53)
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(max_size=8),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("ab01", max_size=3), inner, max_size=4),
        max_leaves=12,
    )
)
def test_python_json_is_signed_like_its_canonical_form(value: Any) -> None:
    """What stands after the dot does not depend on how the body around it was written."""
    body = codec.encode({"type": "t", "data": codec.from_python(value)})
    rewritten = codec.python_json(body)
    truthy = bool(value)
    one = XModelRiverSigner().sign(outgoing(body), SECRET)["X-ModelRiver-Signature"]
    other = XModelRiverSigner().sign(outgoing(rewritten), SECRET)["X-ModelRiver-Signature"]
    if truthy or isinstance(value, list | dict):
        assert one == other
    else:
        assert one != other  # the raw body stands for data that JavaScript takes for nothing


def test_the_names_and_headers_are_the_contracts() -> None:
    assert list(riverflow_signers()) == ["mr", "x-modelriver", "standard"]
    assert set(signed(b"{}", SECRET)) == {
        "mr-signature",
        "mr-timestamp",
        "mr-channel-id",
        "X-ModelRiver-Signature",
        "X-ModelRiver-Timestamp",
        "X-ModelRiver-Webhook-Id",
        "X-ModelRiver-Callback-Url",
        "webhook-id",
        "webhook-timestamp",
        "webhook-signature",
    }


def test_ids_and_times_are_passed_on() -> None:
    headers = signed(b"{}", SECRET)
    assert headers["mr-channel-id"] == "c-1"
    assert headers["webhook-id"] == headers["X-ModelRiver-Webhook-Id"] == "dl_0001"
    assert headers["X-ModelRiver-Callback-Url"] == "https://r/c"
    assert headers["mr-timestamp"] == headers["X-ModelRiver-Timestamp"] == headers["webhook-timestamp"]
    assert headers["mr-timestamp"].isdigit()


def test_without_a_callback_there_is_no_callback_header() -> None:
    message = msgspec.structs.replace(outgoing(b"{}"), callback_url=None)
    assert "X-ModelRiver-Callback-Url" not in XModelRiverSigner().sign(message, SECRET)


@pytest.mark.parametrize("body", [b'{"data":{"a":1}}', '{"data":"Zoë ✓"}'.encode()])
def test_standard_webhooks_library_signs_the_same(body: bytes) -> None:
    """The specification's own secret, of 24 bytes, padded and not, in either alphabet of base64."""
    for secret in (
        SECRET,
        "whsec_" + base64.b64encode(b"k" * 32).decode(),
        "whsec_" + base64.b64encode(b"k" * 32).decode().rstrip("="),
    ):
        headers = StandardSigner().sign(outgoing(body), secret)
        Webhook(secret).verify(body, dict(headers))
    key = b"\xfb\xff" * 16
    headers = StandardSigner().sign(outgoing(body), "whsec_" + base64.urlsafe_b64encode(key).decode().rstrip("="))
    Webhook(key).verify(body, dict(headers))


def test_a_secret_of_another_form_is_its_own_key() -> None:
    headers = StandardSigner().sign(outgoing(b"{}"), "plain")
    Webhook(b"plain").verify(b"{}", dict(headers))
