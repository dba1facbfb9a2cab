"""Header rules that every client shares: what a request may not carry, and how an answer's headers are given back.

It knows no client and no URL.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ...errors import HttpError

__all__ = ["DEFAULTS", "check_outgoing", "joined"]

DEFAULTS = (("accept-encoding", "identity"),)  # so that a compressed bomb is nobody's to unpack

# They would change where a message goes or ends (RFC 9110, 7.2 and 8.6; RFC 9112, 6), or outlive one hop (7.6.1).
_RESERVED = frozenset(
    {"host", "content-length", "transfer-encoding", "connection", "keep-alive", "te", "trailer", "upgrade", "expect"}
    | {"proxy-authorization", "proxy-connection", "cookie"}
)


def check_outgoing(headers: Sequence[tuple[str, str]]) -> list[str]:
    """The names in lower case. Refuses those that are the client's own, and what is not printable ASCII: raises
    HttpError (`protocol_error`); the text shows no value."""
    names = [name.lower() for name, _ in headers]
    if not _RESERVED.isdisjoint(names):
        raise HttpError(f"reserved headers may not be set: {', '.join(_RESERVED & {*names})}", code="protocol_error")
    text = "".join([*names, *[value for _, value in headers]])
    if not (text.isascii() and text.isprintable()):
        raise HttpError("a header holds a character that headers cannot carry", code="protocol_error")
    return names


def joined(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Headers by lower-case name; repeated ones are joined by a comma (RFC 9110, 5.3)."""
    headers: dict[str, str] = {}
    for name, value in pairs:
        key = name.lower()
        headers[key] = f"{headers[key]}, {value}" if key in headers else value
    return headers
