"""The signature dialects: for each, which text its sender signed, found by computing the signature again.

Nothing here reads a clock, a header's shape or a payload. Each secret costs a fixed number of digests, however many
signatures a header lists; a signature is only ever compared by `hmac.compare_digest`, as bytes.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import json
import re
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from typing import Final, Literal

import msgspec

from .. import codec
from ..errors import InvalidRequest
from .headers import SIGNATURE, SignatureHeaders
from .secrets import Key

__all__ = ["DIALECTS", "MR", "X_MODELRIVER", "Dialect", "Proof", "modelriver", "standard", "x_modelriver"]

X_MODELRIVER, MR = "x-modelriver-signature", "mr-signature"

Dialect = Literal["standard", "x-modelriver", "x-modelriver-data", "mr", "mr-javascript", "mr-python"]
"""How a message was signed.

`standard`: Standard Webhooks, `v1` or `v1a`: id, time and body. `x-modelriver`: time and body. `x-modelriver-data`:
time and the body's `data` alone, as `JSON.stringify` writes it. `mr`: the body. `mr-javascript` and `mr-python`: the
body as `JSON.stringify(JSON.parse(body))` or `json.dumps(json.loads(body))` write it.
"""

DIALECTS: Final[frozenset[Dialect]] = frozenset(
    ("standard", "x-modelriver", "x-modelriver-data", "mr", "mr-javascript", "mr-python")
)

_VERSION = re.compile(rb"v[0-9]+[a-z]?")
_HEX = re.compile(rb"[0-9a-f]{64}")
_MAX_ASYMMETRIC = 16  # `v1a` entries that are tried: each costs 100 µs, a shared key's only its comparison
_FALSY = frozenset((b"null", b"false", b"0", b'""'))  # JavaScript's falsy values, in canonical JSON


class Proof(msgspec.Struct, frozen=True):
    """A signature that holds: `text` is the JSON it covers, `marks` are digests of what was signed, by which a replay
    is known. With `whole`, `text` is the body (or the body written anew), else its `data` alone."""

    dialect: Dialect
    text: bytes
    marks: tuple[str, ...]

    @property
    def whole(self) -> bool:
        return self.dialect != "x-modelriver-data"

    @property
    def written_anew(self) -> bool:
        """Whether `text` is not the body's own bytes."""
        return self.dialect in ("mr-javascript", "mr-python", "x-modelriver-data")

    @property
    def id(self) -> str:
        """For a message whose dialect signs none. It is the same on each try where the whole body is signed."""
        return f"sig_{self.marks[-1] if self.whole else self.marks[0]}"


def standard(keys: Iterable[Key], headers: SignatureHeaders, body: bytes) -> Proof | None:
    """`webhook-signature`: base64 HMAC-SHA256 (`v1`) or ed25519 (`v1a`) of `id.timestamp.body`, one of a list."""
    name = headers.id()
    signed = b"%b.%b.%b" % (name, headers.timestamp("webhook-timestamp"), body)
    entries = _entries(headers.get(SIGNATURE))
    shared = [signature for version, signature in entries if version == b"v1"]
    asymmetric = [signature for version, signature in entries if version == b"v1a"]
    for key in keys:
        if _any_shared(key, signed, shared) or _any_asymmetric(key, signed, asymmetric):
            return Proof("standard", body, (_mark("id", name),))
    return None


def x_modelriver(keys: Iterable[Key], headers: SignatureHeaders, body: bytes) -> Proof | None:
    """`X-ModelRiver-Signature`: hex HMAC-SHA256 of the timestamp, a dot, and the body or its `data`."""
    given, timestamp = headers.get(X_MODELRIVER), headers.timestamp("x-modelriver-timestamp")
    if _HEX.fullmatch(given) is None:
        return None
    keys = tuple(keys)
    if key := _signer(keys, b"%b.%b" % (timestamp, body), given):
        return Proof("x-modelriver", body, _timed_marks(key, given, body))
    data = _signed_data(body)
    if data is not None and (key := _signer(keys, b"%b.%b" % (timestamp, data), given)):
        return Proof("x-modelriver-data", data, _timed_marks(key, given, body))
    return None


def modelriver(keys: Iterable[Key], headers: SignatureHeaders, body: bytes) -> Proof | None:
    """`mr-signature`: hex HMAC-SHA256 of the body, or of what a receiver that parsed it would write again."""
    given = headers.get(MR)
    if _HEX.fullmatch(given) is None:
        return None
    keys = tuple(keys)
    if _signer(keys, body, given):
        return Proof("mr", body, (_mark("mr", given),))
    forms: tuple[tuple[Dialect, bytes | None], ...] = (
        ("mr-javascript", _javascript(body)),
        ("mr-python", _python(body)),
    )
    for dialect, text in forms:
        if text is not None and _signer(keys, text, given):
            return Proof(dialect, text, (_mark("mr", given),))
    return None


def _entries(header: bytes) -> Sequence[tuple[bytes, bytes]]:
    """`v1,<signature>` entries. Spaces part them; a proxy that joins repeated fields puts commas there too (RFC 9110,
    5.3). What has no version before it counts for nothing."""
    entries: list[tuple[bytes, bytes]] = []
    version: bytes | None = None
    for token in header.replace(b",", b" ").split():
        if _VERSION.fullmatch(token):
            version = token
        elif version is not None:
            entries.append((version, token))
            version = None
    return entries


def _any_shared(key: Key, signed: bytes, given: Sequence[bytes]) -> bool:
    found = False
    for secret in key.standard:
        wanted = base64.b64encode(hmac.digest(secret, signed, "sha256"))
        for signature in given:
            found |= hmac.compare_digest(wanted, signature)
    return found


def _any_asymmetric(key: Key, signed: bytes, given: Sequence[bytes]) -> bool:
    if key.public is None:
        return False
    for signature in given[:_MAX_ASYMMETRIC]:
        try:
            decoded = base64.b64decode(signature, validate=True)
        except binascii.Error:
            continue
        if key.public(decoded, signed):
            return True
    return False


def _signer(keys: Iterable[Key], signed: bytes, given: bytes) -> Key | None:
    """Whose hex signature it is. Every key is tried, the right one or not."""
    found: Key | None = None
    for key in keys:
        if key.text is not None and hmac.compare_digest(_hexdigest(key.text, signed), given):
            found = found or key
    return found


def _timed_marks(key: Key, given: bytes, body: bytes) -> tuple[str, ...]:
    """Each try is signed anew with its time; what its tries have in common is the body: `mr` over it."""
    again = () if key.text is None else (_mark("mr", _hexdigest(key.text, body)),)
    return (_mark("x-modelriver", given), *again)


def _hexdigest(key: bytes, signed: bytes) -> bytes:
    return hmac.digest(key, signed, "sha256").hex().encode()


def _mark(kind: str, signed: bytes) -> str:
    """A digest that tells nothing of what it is made of: replay stores keep it."""
    return blake2b(b"%b:%b" % (kind.encode(), signed), digest_size=20).hexdigest()


class _Wrapped(msgspec.Struct):
    data: msgspec.Raw = msgspec.Raw(b"null")


_wrapped = msgspec.json.Decoder(_Wrapped)


def _signed_data(body: bytes) -> bytes | None:
    """`JSON.stringify(body.data)` where JavaScript takes `data` for true; else the body itself was signed."""
    try:
        data = bytes(codec.canonical(_wrapped.decode(body).data))
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError, InvalidRequest):
        return None
    return None if data in _FALSY else data


def _javascript(body: bytes) -> bytes | None:
    try:
        return bytes(codec.canonical(body))
    except InvalidRequest:
        return None


def _python(body: bytes) -> bytes | None:
    try:
        return json.dumps(json.loads(body)).encode("ascii")
    except (ValueError, RecursionError):
        return None
