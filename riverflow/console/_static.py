"""The console's style, scripts and mark: files beside this module, read once, compressed once, named by their digest.

It serves no other file, and decides nothing by a path.
"""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Mapping
from importlib.resources import files

import msgspec

from ._headers import ASSET

__all__ = ["Asset", "Assets"]

_TYPES: Mapping[str, bytes] = {
    "css": b"text/css; charset=utf-8",
    "js": b"text/javascript; charset=utf-8",
    "svg": b"image/svg+xml",
}


class Asset(msgspec.Struct, frozen=True):
    """One file: `version` changes with its content, so that browsers may keep it for good."""

    body: bytes
    packed: bytes
    type: bytes
    version: str

    def reply(self, accepts_gzip: bool) -> tuple[bytes, list[tuple[bytes, bytes]]]:
        """The body as it is sent, and its headers."""
        body = self.packed if accepts_gzip else self.body
        headers = [
            *ASSET,
            (b"content-type", self.type),
            (b"content-length", b"%d" % len(body)),
            (b"cache-control", b"public, max-age=31536000, immutable"),
        ]
        if accepts_gzip:
            headers.append((b"content-encoding", b"gzip"))
        return body, headers


class Assets:
    """The files of `static/` by name."""

    def __init__(self) -> None:
        self._files: dict[str, Asset] = {}
        for file in files(__package__).joinpath("static").iterdir():
            kind = _TYPES.get(file.name.rpartition(".")[2])
            if kind is not None:
                body = file.read_bytes()
                digest = hashlib.sha256(body).hexdigest()[:12]
                self._files[file.name] = Asset(body, gzip.compress(body, mtime=0), kind, digest)

    def find(self, name: str) -> Asset | None:
        return self._files.get(name)

    def version(self, name: str) -> str:
        """The digest of a file that is there."""
        return self._files[name].version
