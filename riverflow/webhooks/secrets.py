"""The secrets a receiver checks with: which forms they come in, which keys they are, how long they count.

It reads no environment and computes no signature; a public key is never taken for a shared one.
"""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

import msgspec

from ..errors import ConfigError

__all__ = ["MAX_SECRETS", "Key", "Keyring", "Secret", "Secrets"]

MAX_SECRETS = 16
"""Secrets of one receiver: each costs every message a few digests."""

_SHARED, _PUBLIC, _PRIVATE = "whsec_", "whpk_", "whsk_"  # Standard Webhooks 1.0, "signature scheme"
_KEY_BYTES = range(24, 65)  # the same: 192 to 512 bits
_LEAST = 8  # characters of a secret that is plain text
_ED25519 = 32  # bytes of a public key (RFC 8032, 5.1.5)


class Secret(msgspec.Struct, frozen=True):
    """One secret of an endpoint.

    `value` is text as the sender showed it (`whsec_…` in either base64 alphabet, padded or not; `whpk_…` for ed25519;
    or any other text, which counts as its UTF-8 bytes), or the key's bytes. After `expires_at` (Unix seconds) nothing
    is accepted with it: that is how the old secret of a rotation ends.
    """

    value: str | bytes
    expires_at: float | None = None

    def __repr__(self) -> str:
        return f"Secret('…', expires_at={self.expires_at!r})"


Secrets: TypeAlias = str | bytes | Secret | Iterable[str | bytes | Secret]


class Key(msgspec.Struct, frozen=True):
    """What a secret is to each dialect. `text` keys the two ModelRiver dialects, each of `standard` may be the key of a
    `v1` signature, `public` checks `v1a`. A public key has neither of the others."""

    text: bytes | None = None
    standard: tuple[bytes, ...] = ()
    public: Callable[[bytes, bytes], bool] | None = None
    expires_at: float = math.inf

    def __repr__(self) -> str:
        return f"Key({'ed25519' if self.public else 'hmac'})"


class Keyring:
    """The keys of a receiver, newest first as they were given.

    Raises ConfigError where there is none, or one that cannot be a secret: an absent secret never means an unchecked
    message.
    """

    def __init__(self, secrets: Secrets) -> None:
        given = [secrets] if isinstance(secrets, str | bytes | Secret) else _listed(secrets)
        if not 0 < len(given) <= MAX_SECRETS:
            raise ConfigError(f"give 1 to {MAX_SECRETS} webhook secrets; there are {len(given)}")
        self._keys = tuple(_key(secret if isinstance(secret, Secret) else Secret(secret)) for secret in given)

    def __repr__(self) -> str:
        return f"Keyring({len(self._keys)})"

    def active(self, now: float) -> tuple[Key, ...]:
        """The keys that count at `now`."""
        return tuple(key for key in self._keys if now < key.expires_at)


def _listed(secrets: Any) -> list[Any]:
    if secrets is None:
        raise ConfigError("the webhook secret is None: is its environment variable set?")
    try:
        return list(secrets)
    except TypeError:
        raise ConfigError(f"a webhook secret is text, bytes or Secret, not {type(secrets).__name__}") from None


def _key(secret: Secret) -> Key:
    value, expires_at = secret.value, _expiry(secret.expires_at)
    if isinstance(value, str):
        return msgspec.structs.replace(_text_key(value), expires_at=expires_at)
    if not isinstance(value, bytes):
        raise ConfigError(f"a webhook secret is text or bytes, not {type(value).__name__}: is it set?")
    if len(value) < _LEAST:
        raise ConfigError(f"a webhook secret has {_LEAST} bytes or more; one has {len(value)}")
    return Key(text=value, standard=(value,), expires_at=expires_at)


def _expiry(expires_at: Any) -> float:
    if expires_at is None:
        return math.inf
    if isinstance(expires_at, bool) or not isinstance(expires_at, int | float) or not math.isfinite(expires_at):
        raise ConfigError("expires_at of a webhook secret is Unix seconds")
    return float(expires_at)


def _text_key(value: str) -> Key:
    if value != value.strip():
        raise ConfigError("a webhook secret has white space around it: strip what it is read from")
    if len(value) < _LEAST:
        raise ConfigError(f"a webhook secret has {_LEAST} characters or more; one has {len(value)}")
    if value.startswith(_PRIVATE):
        raise ConfigError(f"a {_PRIVATE} secret is the sender's private key: a receiver needs the {_PUBLIC} key")
    if value.startswith(_PUBLIC):
        return Key(public=_ed25519(_decoded(value.removeprefix(_PUBLIC))))
    text = value.encode()
    if not value.startswith(_SHARED):
        # The libraries of Standard Webhooks decode a secret without its prefix, riverflow signs with its text.
        decoded = _decoded(value)
        return Key(text=text, standard=(text, decoded) if decoded and len(decoded) in _KEY_BYTES else (text,))
    decoded = _decoded(value.removeprefix(_SHARED))
    if decoded is None:
        raise ConfigError(f"a webhook secret begins with {_SHARED}, but what follows is not base64: was it cut?")
    if len(decoded) not in _KEY_BYTES:
        raise ConfigError(f"a {_SHARED} secret holds 24 to 64 bytes; one holds {len(decoded)}")
    return Key(text=text, standard=(decoded, text))


def _decoded(encoded: str) -> bytes | None:
    """Base64 in either alphabet (RFC 4648, 4 and 5), padded or not; None where it is none."""
    standard = encoded.rstrip("=").replace("-", "+").replace("_", "/")
    try:
        return base64.b64decode(standard + "=" * (-len(standard) % 4), validate=True)
    except (binascii.Error, ValueError):
        return None


def _ed25519(key: bytes | None) -> Callable[[bytes, bytes], bool]:
    """Whether a signature is that of a text, by this public key."""
    if key is None or len(key) != _ED25519:
        raise ConfigError(f"a {_PUBLIC} secret holds the {_ED25519} bytes of an ed25519 public key in base64")
    try:
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    except ImportError:
        raise ConfigError("ed25519 signatures need `cryptography`: pip install 'riverflow[vault]'") from None
    public = Ed25519PublicKey.from_public_bytes(key)

    def verifies(signature: bytes, signed: bytes) -> bool:
        try:
            public.verify(signature, signed)
        except InvalidSignature:
            return False
        return True

    return verifies
