"""The conformance suite of ports.Signer.

It asks only what the port promises: headers of its own, over the bytes that are sent, and nothing else.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping

import msgspec
import pytest

from ...models import OutgoingMessage
from ...ports import Signer

__all__ = ["SignerSuite"]

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, 5.6.2
_NOT_THEIRS = frozenset({"content-type", "content-length", "host", "user-agent", "transfer-encoding", "connection"})

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


class SignerSuite:
    """Subclass it, and override the fixture `signer`; `verify` too, to try the receiver's side::

    class TestMine(SignerSuite):
        @pytest.fixture
        def signer(self):
            return MySigner()

        def verify(self, message, secret, headers):
            return my_library.verify(message.body, headers, secret)
    """

    @pytest.fixture
    def signer(self) -> Signer:
        """The signer; to be overridden."""
        raise NotImplementedError("override the fixture `signer`")

    def verify(self, message: OutgoingMessage, secret: str, headers: Mapping[str, str]) -> bool:
        """What a receiver finds; `headers` have lower-case names. To be overridden."""
        pytest.skip("no receiver's side is given")

    def message(self, body: bytes = b'{"type":"task.completed","data":{"n":8}}') -> OutgoingMessage:
        return OutgoingMessage(
            id="dl_0001",
            timestamp=1_700_000_000,
            body=body,
            channel_id="018bcfe5-6800-7000-8000-000000000001",
            callback_url="https://river.example/v1/callback/018bcfe5-6800-7000-8000-000000000001",
        )

    def test_headers_are_fit_for_the_wire(self, signer: Signer) -> None:
        headers = signer.sign(self.message(), SECRET)
        assert headers
        for name, value in headers.items():
            assert _TOKEN.fullmatch(name)
            assert value.isascii()
            assert value.isprintable()
            assert value == value.strip()

    def test_headers_are_its_own(self, signer: Signer) -> None:
        assert _NOT_THEIRS.isdisjoint(name.lower() for name in signer.sign(self.message(), SECRET))

    def test_the_same_again_gives_the_same(self, signer: Signer) -> None:
        assert signer.sign(self.message(), SECRET) == signer.sign(self.message(), SECRET)

    def test_the_message_is_left_alone(self, signer: Signer) -> None:
        message = self.message()
        before = copy.deepcopy(message)
        signer.sign(message, SECRET)
        assert message == before

    def test_another_body_gives_another_signature(self, signer: Signer) -> None:
        other = self.message(b'{"type":"task.completed","data":{"n":9}}')
        assert signer.sign(self.message(), SECRET) != signer.sign(other, SECRET)

    def test_another_secret_gives_another_signature(self, signer: Signer) -> None:
        headers = signer.sign(self.message(), SECRET)
        assert signer.sign(self.message(), "whsec_" + "A" * 32) != headers
        assert signer.sign(self.message(), SECRET) == headers

    @pytest.mark.parametrize("secret", ["plain text", "whsec_", "whsec_not base64!", "пароль", "x" * 500])
    def test_any_secret_can_be_used(self, signer: Signer, secret: str) -> None:
        assert signer.sign(self.message(), secret)

    @pytest.mark.parametrize("body", [b"", b"{}", b"[]", b"null", b"not json", b"\xff\x00", b'{"data":', b"[" * 5000])
    def test_any_bytes_can_be_signed(self, signer: Signer, body: bytes) -> None:
        assert signer.sign(self.message(body), SECRET)

    def test_a_message_without_a_callback_url(self, signer: Signer) -> None:
        assert signer.sign(msgspec.structs.replace(self.message(), callback_url=None), SECRET)

    def test_no_secret_is_told(self, signer: Signer) -> None:
        told = f"{signer!r} {dict(signer.sign(self.message(), SECRET))}"
        assert SECRET not in told
        assert SECRET.removeprefix("whsec_") not in told

    def test_a_receiver_accepts_it(self, signer: Signer) -> None:
        message = self.message()
        assert self.verify(message, SECRET, _lower(signer.sign(message, SECRET)))

    def test_a_receiver_refuses_a_changed_body(self, signer: Signer) -> None:
        headers = _lower(signer.sign(self.message(), SECRET))
        assert not self.verify(self.message(b'{"type":"task.completed","data":{"n":9}}'), SECRET, headers)

    def test_a_receiver_refuses_another_secret(self, signer: Signer) -> None:
        headers = _lower(signer.sign(self.message(), "whsec_" + "A" * 32))
        assert not self.verify(self.message(), SECRET, headers)


def _lower(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}
