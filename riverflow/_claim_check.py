"""Webhook bodies that are larger than receivers take: what is large is left out, and the body says where it can be had.

Pure. It signs nothing and sends nothing; in-process handlers are given everything.
"""

from __future__ import annotations

import msgspec

from . import codec
from .models import Record

__all__ = ["LARGEST", "fitting"]

LARGEST = 4 * 1024 * 1024
"""Bytes of a body that goes out whole: about what servers take that were set up for large bodies at all."""

_LARGE = ("ai_response", "data", "callback_metadata", "customer_data", "error")
_members = msgspec.json.Decoder(dict[str, msgspec.Raw])
_NULL = msgspec.Raw(b"null")


def fitting(body: bytes, record: Record) -> bytes:
    """The body, or (over `LARGEST`) one that has null in the place of its large members and a `claim_check`: their
    names, the size of the whole in `bytes`, and the `url` of the run's timeline, whose entries hold what each stage has
    made, for a key with the scope `read`."""
    if len(body) <= LARGEST:
        return body
    members, left_out, size = _members.decode(body), [], len(body)
    for name in sorted((name for name in _LARGE if name in members), key=lambda name: -len(bytes(members[name]))):
        size -= len(bytes(members[name]))
        members[name] = _NULL
        left_out.append(name)
        if size <= LARGEST:
            break
    url = f"{record.plan.base_url}/v1/ai/{record.run.id}/timeline"
    said = {"members": sorted(left_out), "bytes": len(body), "url": url}
    return codec.encode(members | {"claim_check": said})
