"""Callback tokens: what lets a backend answer one hand-off without an API key.

A token is a project's HMAC over one callback URL: nothing is stored for it, it opens nothing else, and whether the
stage behind the URL still waits is the machine's question. A stage hands off once in a run, so run and stage name the
hand-off. This module knows no store and no clock.
"""

from __future__ import annotations

import base64
import hmac
import re

from ._macs import mac
from .models import Project, canonical_id

__all__ = ["PREFIX", "is_good", "masked", "mint", "project_of"]

PREFIX = "rcb_"
_MAC_BYTES = 24
_TOKEN = re.compile(r"rcb_([0-9a-f]{32})_([A-Za-z0-9_-]{32})")
_WRITTEN = re.compile(rb"rcb_[0-9a-f]{32}_[A-Za-z0-9_-]{32}")


def mint(project: Project, run_id: str, stage: str | None) -> str:
    """The token of one callback URL; `stage` None is the plain URL, of the first hand-off."""
    return f"{PREFIX}{project.id.replace('-', '')}_{_mac(project.token_secret, run_id, stage)}"


def project_of(token: str) -> str | None:
    """The id of the project that a token says it is of, unverified; None where it is no token."""
    found = _TOKEN.fullmatch(token)
    return canonical_id(found[1]) if found else None


def is_good(token: str, project: Project, run_id: str, stage: str | None) -> bool:
    """Whether a token was minted for this URL. Compared in constant time."""
    found = _TOKEN.fullmatch(token)
    return found is not None and hmac.compare_digest(found[2], _mac(project.token_secret, run_id, stage))


def masked(text: bytes) -> bytes:
    """A body or log line without the tokens in it, for showing."""
    return _WRITTEN.sub(b"rcb_***", text) if PREFIX.encode() in text else text


def _mac(secret: str, run_id: str, stage: str | None) -> str:
    said = mac(secret, f"callback\0{run_id}\0{stage or ''}".encode())
    return base64.urlsafe_b64encode(said[:_MAC_BYTES]).decode("ascii")
