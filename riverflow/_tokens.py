"""Socket tokens: mints and reads the JWTs (HS256; RFC 7519, RFC 7515) that let a browser into one channel.

This module knows no store and no clock, and never says more about a bad token than "invalid" or "expired".
"""

from __future__ import annotations

import base64
import binascii
import hmac
import math

import msgspec

from ._macs import mac
from .errors import Unauthenticated
from .models import Project, TokenClaims

__all__ = ["mint", "peek", "read", "topic_of"]

_decoder = msgspec.json.Decoder(TokenClaims)
_MAX_LENGTH = 4096


def _encode(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


# Pinned as bytes: a token with any other header, `"alg":"none"` above all (RFC 8725, 3.1), is not ours.
_HEADER = _encode(b'{"alg":"HS256","typ":"JWT"}')


def topic_of(project_id: str, channel_id: str) -> str:
    """The channel's topic in the form that is handed out (`websocket_channel`)."""
    return f"ai_response:{project_id}:{channel_id}"


def mint(project: Project, channel_id: str, *, expires_at: float, jti: str) -> str:
    """A token for one channel of a project until `expires_at` (Unix seconds, rounded up to whole ones)."""
    claims = TokenClaims(
        project_id=project.id,
        channel_id=channel_id,
        topic=topic_of(project.id, channel_id),
        exp=math.ceil(expires_at),
        jti=jti,
    )
    signed = _HEADER + b"." + _encode(msgspec.json.encode(claims))
    return (signed + b"." + _signature(signed, project.token_secret)).decode("ascii")


def read(token: str, secret: str, now: float) -> TokenClaims:
    """The claims of a token that `secret` signed and that is not expired at `now` (Unix seconds).

    Raises Unauthenticated with code `token_invalid` or `token_expired`.
    """
    signed, signature, claims = _split(token)
    if not hmac.compare_digest(signature, _signature(signed, secret)):
        raise _invalid()
    if now >= claims.exp:
        raise Unauthenticated("the socket token has expired", code="token_expired")
    return claims


def peek(token: str) -> TokenClaims:
    """What a token claims, unverified: only good for finding the project whose secret then verifies it.

    Raises Unauthenticated with code `token_invalid`.
    """
    return _split(token)[2]


def _split(token: str) -> tuple[bytes, bytes, TokenClaims]:
    """The signed text, the signature as written, and the claims."""
    if len(token) > _MAX_LENGTH:
        raise _invalid()
    try:
        header, payload, signature = token.encode("ascii").split(b".")
        claims = _decoder.decode(_decode(payload))
    except (ValueError, RecursionError, msgspec.MsgspecError):  # wrong parts, not ASCII, not base64, not the claims
        raise _invalid() from None
    if header != _HEADER:
        raise _invalid()
    return header + b"." + payload, signature, claims


def _decode(part: bytes) -> bytes:
    padded = part + b"=" * (-len(part) % 4)
    try:
        return base64.b64decode(padded, altchars=b"-_", validate=True)
    except binascii.Error as error:
        raise ValueError(str(error)) from None


def _signature(signed: bytes, secret: str) -> bytes:
    return _encode(mac(secret, signed))


def _invalid() -> Unauthenticated:
    return Unauthenticated("the socket token is not valid", code="token_invalid")
