"""Links for mail and chat: what lets somebody decide one approval without an API key.

A link is a project's HMAC over its claims: nothing is stored for it. It is used up when the approval is decided,
which is the machine's question. This module knows no store and no clock.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import re

import msgspec

from ._macs import mac
from .errors import NotFound
from .models import Project

__all__ = ["PREFIX", "Claims", "masked", "mint", "read"]

PREFIX = "rap_"
_MAC_BYTES = 24
_LINK = re.compile(r"rap_([A-Za-z0-9_-]{1,2000})\.([A-Za-z0-9_-]{32})")
_WRITTEN = re.compile(rb"rap_[A-Za-z0-9_-]{1,2000}\.[A-Za-z0-9_-]{32}")


class Claims(msgspec.Struct, frozen=True, array_like=True):
    """What a link says: which approval (the stage in the generation in which it began), of what content (SHA-256, hex),
    until when (Unix seconds), and whom it was made for (empty: whoever has it)."""

    project_id: str
    run_id: str
    stage: str
    begun: int
    sha256: str
    expires_at: float
    name: str = ""


_decoder = msgspec.json.Decoder(Claims)


def mint(
    project: Project, run_id: str, stage: str, *, begun: int, sha256: str, expires_at: float, name: str = ""
) -> str:
    """The link's secret part."""
    claims = msgspec.json.encode(Claims(project.id, run_id, stage, begun, sha256, expires_at, name))
    return f"{PREFIX}{_written(claims)}.{_mac(project.token_secret, claims)}"


def read(link: str) -> tuple[Claims, Signed]:
    """What a link says, and with what to check that the project of which it says so has made it. Raises NotFound."""
    found = _LINK.fullmatch(link)
    if found is None:
        raise unknown()
    try:
        said = base64.urlsafe_b64decode(found[1] + "=" * (-len(found[1]) % 4))
        return _decoder.decode(said), Signed(said, found[2])
    except (binascii.Error, UnicodeDecodeError, msgspec.MsgspecError):
        raise unknown() from None


class Signed(msgspec.Struct, frozen=True):
    """Claims as they were written, and their signature."""

    said: bytes
    mac: str

    def by(self, project: Project) -> bool:
        """Whether the project has made it. Compared in constant time."""
        return hmac.compare_digest(self.mac, _mac(project.token_secret, self.said))


def unknown() -> NotFound:
    return NotFound("this link is not valid", code="link_invalid")


def masked(text: bytes) -> bytes:
    """A body or log line without the links in it, for showing."""
    return _WRITTEN.sub(b"rap_***", text) if PREFIX.encode() in text else text


def _mac(secret: str, claims: bytes) -> str:
    return _written(mac(secret, b"approval\0" + claims)[:_MAC_BYTES])


def _written(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")
