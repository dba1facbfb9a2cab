"""A body's content: whether these are the bytes as they came, and what they say once they are known to be signed.

Nothing here is asked before a signature holds, but for `raw`.
"""

from __future__ import annotations

import zlib
from collections.abc import Awaitable
from inspect import iscoroutine
from typing import Any

from .. import codec
from ..errors import InvalidRequest, RawBodyRequired, TooLarge

__all__ = ["inflated", "json_object", "raw"]

_GZIP = frozenset((b"gzip", b"x-gzip"))  # RFC 9110, 8.4.1.3
_PLAIN = frozenset((b"", b"identity"))


def raw(body: Any, limit: int) -> bytes:
    """The bytes of a body, at most `limit`. Raises TooLarge, and RawBodyRequired for whatever a framework, or a
    forgotten `await`, made of it."""
    if isinstance(body, bytes | bytearray | memoryview):
        return _bounded(bytes(body), limit)
    if iscoroutine(body):
        body.close()  # it would be reported as never awaited, on top of the error
    if isinstance(body, Awaitable):
        raise RawBodyRequired("the body is still to be awaited: verify(await request.body(), …)")
    raise RawBodyRequired(
        f"the signature is over the body's bytes as they came, and this is {type(body).__name__}: take `await "
        "request.body()` (Starlette, FastAPI), `request.get_data()` (Flask) or `request.body` (Django) before anything "
        "parses it"
    )


def inflated(body: bytes, coding: bytes, limit: int) -> bytes:
    """A signed body without its content coding. The signature is over the bytes as they were sent. Raises TooLarge
    beyond `limit` bytes, InvalidRequest where it is no (whole) gzip."""
    if coding.lower() in _PLAIN:
        return body
    if coding.lower() not in _GZIP:
        raise InvalidRequest("of content codings, only gzip is taken", code="unsupported_encoding")
    stream = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
    try:
        content = stream.decompress(body, limit + 1)
    except zlib.error:
        raise InvalidRequest("the body is not gzip", code="invalid_encoding") from None
    _bounded(content, limit)
    if not stream.eof or stream.unused_data:
        raise InvalidRequest("the gzip of the body is cut short, or more follows it", code="invalid_encoding")
    return content


def json_object(text: bytes) -> dict[str, Any]:
    """The JSON object that a body is. Raises InvalidRequest."""
    value = codec.decode(text)
    if not isinstance(value, dict):
        raise InvalidRequest("the body is not a JSON object", code="invalid_json")
    return value


def _bounded(content: bytes, limit: int) -> bytes:
    if len(content) > limit:
        raise TooLarge(f"the body is larger than {limit} bytes")
    return content
