"""Secrets at rest: the secret members of a document are sealed with AES-256-GCM, under a key that only the environment
has.

Each sealed member is bound to its place (project, kind, name and member), so that it opens nowhere else. This module
reads no store and knows no document's meaning; who may read one is decided elsewhere.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import logging
import os
import re
from collections.abc import Sequence
from typing import Any, Protocol

import msgspec

from . import codec
from ._kinds import Kind
from .config import Settings
from .errors import ConfigError

__all__ = ["SecretKey", "Vault", "new_key"]

logger = logging.getLogger("riverflow.vault")

ALGORITHM = "A256GCM"  # RFC 7518, 5.3: AES in Galois/Counter Mode with a 256-bit key
KEY_BYTES = 32
NONCE_BYTES = 12  # NIST SP 800-38D, 8.2.2: random, good for 2^32 seals a key
CURE = "set RIVERFLOW_SECRET_KEY (setting secret_key); `riverflow secrets new-key` prints a new one"


class _Aead(Protocol):
    """cryptography's AESGCM, which is imported where there is a key only."""

    def encrypt(self, nonce: bytes, data: bytes, associated_data: bytes) -> bytes: ...
    def decrypt(self, nonce: bytes, data: bytes, associated_data: bytes) -> bytes: ...


class _Sealed(msgspec.Struct, frozen=True):
    """A sealed member as it stands in a document, in the place of its value: `key` is the key's id, `text` the base64
    of nonce, ciphertext and tag. (A member's own value is never an object of this form.)"""

    sealed: str
    key: str
    text: str


class SecretKey:
    """One key. `id` is eight hex digits of its digest, which give nothing of it away."""

    def __init__(self, key: bytes) -> None:
        self.id = hashlib.sha256(b"riverflow secret key\x00" + key).hexdigest()[:8]
        self._aead = _aead(key)

    def seal(self, data: bytes, place: bytes) -> _Sealed:
        nonce = os.urandom(NONCE_BYTES)
        text = base64.b64encode(nonce + self._aead.encrypt(nonce, data, place))
        return _Sealed(ALGORITHM, self.id, text.decode("ascii"))

    def open(self, sealed: _Sealed, place: bytes) -> bytes:
        """Raises ValueError where it was not sealed with this key, for this place, or was changed since."""
        from cryptography.exceptions import InvalidTag

        text = base64.b64decode(sealed.text, validate=True)
        try:
            return self._aead.decrypt(text[:NONCE_BYTES], text[NONCE_BYTES:], place)
        except InvalidTag as error:
            raise ValueError("it does not open") from error


class Vault:
    """Writes and reads documents whose secrets are sealed.

    The first of `keys` seals, all of them open. Without any, secrets are kept as they are where `plain` allows it
    (development), else only members that are `lenient`.
    """

    def __init__(self, keys: Sequence[SecretKey], *, plain: bool) -> None:
        self._keys = {key.id: key for key in keys}
        self._newest = keys[0] if keys else None
        self._plain = plain

    @classmethod
    def of(cls, settings: Settings) -> Vault:
        """The vault of the setting `secret_key`. Raises ConfigError where that holds no keys, or the extra that seals
        is not installed."""
        keys = [SecretKey(key) for key in _parsed(settings.secret_key or "")]
        if not keys and settings.development:
            logger.warning("secrets are kept unencrypted, which only development allows; %s", CURE)
        return cls(keys, plain=settings.development)

    @property
    def key_ids(self) -> tuple[str, ...]:
        """The keys' ids, newest first."""
        return tuple(self._keys)

    def pack(self, kind: Kind, project_id: str, name: str, value: msgspec.Struct) -> bytes:
        """A document's body. Raises ConfigError where a secret would lie open."""
        if not kind.secrets:
            return codec.encode(value)
        members: dict[str, Any] = msgspec.to_builtins(value)
        for member in kind.secrets:
            if members.get(member):
                members[member] = self._closed(kind, project_id, name, member, members[member])
        return codec.encode(members)

    def unpack(self, kind: Kind, project_id: str, name: str, body: bytes) -> Any:
        """A document's struct. Raises ConfigError where no key opens it."""
        if not kind.secrets:
            return msgspec.json.decode(body, type=kind.struct)
        members: dict[str, Any] = codec.decode(body)
        for member in kind.secrets:
            sealed = _sealed(members.get(member))
            if sealed is not None:
                members[member] = self._opened(kind, project_id, name, member, sealed)
        return msgspec.convert(members, kind.struct)

    def sealed_with(self, kind: Kind, body: bytes) -> set[str | None]:
        """The ids of the keys that seal a document's secrets; None stands for a secret that is not sealed."""
        members: dict[str, Any] = codec.decode(body)
        kept = [members[member] for member in kind.secrets if members.get(member)]
        return {sealed.key if (sealed := _sealed(value)) is not None else None for value in kept}

    def _closed(self, kind: Kind, project_id: str, name: str, member: str, value: Any) -> Any:
        if self._newest is not None:
            return self._newest.seal(codec.encode(value), _place(kind, project_id, name, member))
        if self._plain or member in kind.lenient:
            return value
        raise ConfigError(f"no {kind.name}'s {member} is kept unencrypted in production: {CURE}")

    def _opened(self, kind: Kind, project_id: str, name: str, member: str, sealed: _Sealed) -> Any:
        key = self._keys.get(sealed.key)
        if key is None:
            there = f"only {', '.join(self._keys)}" if self._keys else "no key at all"
            raise ConfigError(
                f"the {kind.name} {name!r} is sealed with the secret key {sealed.key}, and secret_key holds {there}: "
                "add the missing key to RIVERFLOW_SECRET_KEY, after the newest one"
            )
        try:
            return codec.decode(key.open(sealed, _place(kind, project_id, name, member)))
        except ValueError:
            raise ConfigError(
                f"the {kind.name} {name!r}: its {member} does not open with the key {key.id} that it names; it was "
                "changed, or moved here from another place"
            ) from None


def new_key() -> str:
    """A new key as the setting takes it: base64 of 32 random bytes."""
    return base64.b64encode(os.urandom(KEY_BYTES)).decode("ascii")


def _place(kind: Kind, project_id: str, name: str, member: str) -> bytes:
    return codec.encode([project_id, kind.name, name, member])


def _sealed(value: Any) -> _Sealed | None:
    if isinstance(value, dict) and value.get("sealed") == ALGORITHM:
        return msgspec.convert(value, _Sealed)
    return None


def _parsed(text: str) -> list[bytes]:
    """The keys in a setting, divided by commas or spaces. Raises ConfigError, which quotes nothing."""
    keys: list[bytes] = []
    for number, part in enumerate(re.split(r"[,\s]+", text.strip()) if text.strip() else (), start=1):
        try:
            standard = part.replace("-", "+").replace("_", "/").rstrip("=")
            key = base64.b64decode(standard + "=" * (-len(standard) % 4), validate=True)
        except binascii.Error:
            key = b""
        if len(key) != KEY_BYTES:
            raise ConfigError(
                f"secret_key: key number {number} is not the base64 text of {KEY_BYTES} bytes; "
                "`riverflow secrets new-key` prints one"
            )
        keys.append(key)
    return keys


def _aead(key: bytes) -> _Aead:
    try:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    except ImportError:
        raise ConfigError("secret_key is set, and what seals is an extra: pip install 'riverflow[vault]'") from None
    return AESGCM(key)
