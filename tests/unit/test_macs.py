"""HMAC-SHA256 by the keyed hashes, against the standard's own words and Python's implementation."""

import hmac

import pytest

from riverflow.macs import Keyed, mac

# RFC 4231, 4.2, 4.3, 4.4 and 4.7
CASES = [
    (b"\x0b" * 20, b"Hi There", "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"),
    (b"Jefe", b"what do ya want for nothing?", "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"),
    (b"\xaa" * 20, b"\xdd" * 50, "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"),
    (
        b"\xaa" * 131,
        b"Test Using Larger Than Block-Size Key - Hash Key First",
        "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
    ),
]


@pytest.mark.parametrize(("key", "said", "digest"), CASES, ids=["20", "4", "50", "131"])
def test_the_rfcs_vectors(key: bytes, said: bytes, digest: str) -> None:
    keyed = Keyed(key)
    assert keyed.digest(said).hex() == digest
    assert keyed.digest(said).hex() == digest, "a key is good for more than one"


@pytest.mark.parametrize("length", [0, 1, 63, 64, 65, 200])
def test_keys_of_any_length(length: int) -> None:
    key, said = bytes(range(length)), b"x" * 1500
    assert Keyed(key).digest(said) == hmac.digest(key, said, "sha256")


def test_a_secret_is_its_utf8_bytes() -> None:
    assert mac("whsec_é", b"said") == hmac.digest("whsec_é".encode(), b"said", "sha256")
