"""Header rules that every client shares: what a request may not carry, and how an answer's headers are given back.

It knows no client and no URL.
"""

from __future__ import annotations

from collections.abc import Iterable

from ...errors import HttpError

__all__ = ["DEFAULTS", "check_names", "check_text", "joined"]

DEFAULTS = (("accept-encoding", "identity"),)  # so that a compressed bomb is nobody's to unpack

# They would change where a message goes or ends (RFC 9110, 7.2 and 8.6; RFC 9112, 6), or outlive one hop (7.6.1).
_RESERVED = frozenset(
    {"host", "content-length", "transfer-encoding", "connection", "keep-alive", "te", "trailer", "upgrade", "expect"}
    | {"proxy-authorization", "proxy-connection", "cookie"}
)


_PRINTABLE = bytes(range(0x20, 0x7F))


def check_names(names: Iterable[str]) -> frozenset[str]:
    """The names in lower case. Refuses those that are the client's own, and what is not printable ASCII: raises
    HttpError (`protocol_error`)."""
    lower = frozenset(name.lower() for name in names)
    if reserved := _RESERVED & lower:
        raise HttpError(f"reserved headers may not be set: {', '.join(reserved)}", code="protocol_error")
    check_text(names)
    return lower


def check_text(parts: Iterable[str]) -> None:
    """Refuses what is not printable ASCII: raises HttpError (`protocol_error`) that shows no value."""
    text = "".join(parts)
    # With a kB, `translate` is 2.5 times as fast as `str.isprintable`, and 5 times as fast as a regular expression.
    if not text.isascii() or text.encode().translate(None, _PRINTABLE):
        raise HttpError("a header holds a character that headers cannot carry", code="protocol_error")


def joined(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Headers by lower-case name; repeated ones are joined by a comma (RFC 9110, 5.3)."""
    headers: dict[str, str] = {}
    for name, value in pairs:
        key = name.lower()
        headers[key] = f"{headers[key]}, {value}" if key in headers else value
    return headers
