"""The one error body of the HTTP API, from any riverflow error.

This module must not decide which error is right, nor log anything.
"""

from __future__ import annotations

import math
from http import HTTPStatus
from typing import Any

from .codec import encode
from .errors import RateLimited, RequestError, RiverflowError

__all__ = ["SAFE_HEADERS", "problem_body", "problem_messages"]

Headers = tuple[tuple[bytes, bytes], ...]

SAFE_HEADERS: Headers = (
    (b"cache-control", b"no-store"),  # tokens, secrets, and answers that are somebody's (RFC 9111, 5.2.2.5)
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),  # a socket token may stand in a URL
)
"""What every answer of the API says to browsers and caches."""

_HEADERS = ((b"content-type", b"application/json"), *SAFE_HEADERS)
_SOON = 1.0  # seconds: what a 503 asks to wait where nobody knows better


def problem_body(error: RiverflowError) -> bytes:
    """The JSON body of an error: RFC 9457 members beside the OpenAI-style `error` object and a top-level `message`.

    Only a RequestError speaks for itself; what went wrong inside is told by the status alone.
    """
    phrase = HTTPStatus(error.status).phrase
    if isinstance(error, RequestError):
        message, inner = error.message, {"type": error.kind, "code": error.code, **error.extra}
    elif error.status == HTTPStatus.SERVICE_UNAVAILABLE:
        message, inner = "try again later", {"type": "service_unavailable_error", "code": "service_unavailable"}
    else:
        message, inner = phrase, {"type": "server_error", "code": "internal_error"}
    return encode(
        {
            "message": message,
            "error": {"message": message, **inner},
            "type": "about:blank",
            "title": phrase,
            "status": error.status,
            "detail": message,
        }
    )


def problem_messages(error: RiverflowError) -> tuple[dict[str, Any], dict[str, Any]]:
    """The two ASGI messages (`http.response.start` and `.body`) that answer a request with the error.

    A 401 names the scheme to use (RFC 9110, 11.6.1), a 503 and whatever knows it say when to come back (10.2.3).
    """
    body = problem_body(error)
    headers = [*_HEADERS, (b"content-length", b"%d" % len(body)), *_told(error)]
    return (
        {"type": "http.response.start", "status": error.status, "headers": headers},
        {"type": "http.response.body", "body": body},
    )


def _told(error: RiverflowError) -> Headers:
    told: Headers = error.headers if isinstance(error, RateLimited) else ()
    if error.status == HTTPStatus.UNAUTHORIZED:
        told = (*told, (b"www-authenticate", b"Bearer"))
    after = error.retry_after if isinstance(error, RequestError) else None
    if after is None and error.status == HTTPStatus.SERVICE_UNAVAILABLE:
        after = _SOON
    return told if after is None else (*told, (b"retry-after", b"%d" % max(1, math.ceil(after))))
