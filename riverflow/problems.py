"""The one error body of the HTTP API, from any riverflow error.

This module must not decide which error is right, nor log anything.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from .codec import encode
from .errors import RequestError, RiverflowError

__all__ = ["problem_body", "problem_messages"]

_HEADERS = (
    (b"content-type", b"application/json"),
    (b"cache-control", b"no-store"),
)


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

    A 401 names the scheme to use (RFC 9110, 11.6.1).
    """
    body = problem_body(error)
    headers = [*_HEADERS, (b"content-length", b"%d" % len(body))]
    if error.status == HTTPStatus.UNAUTHORIZED:
        headers.append((b"www-authenticate", b"Bearer"))
    return (
        {"type": "http.response.start", "status": error.status, "headers": headers},
        {"type": "http.response.body", "body": body},
    )
