"""Every error riverflow raises: whose fault it is first, then what happened.

This module must not import anything of riverflow.

    RiverflowError
    ├── ConfigError                    the operator's, found while the app is built or started
    │   ├── PipelineError              a pipeline that cannot run
    │   ├── PluginError                a plugin that fails to load, clashes, or is not installed
    │   └── RawBodyRequired            a webhook receiver that no longer has the bytes as they came
    ├── RequestError                   the caller's; carries an HTTP status
    │   ├── InvalidRequest        400  malformed: not JSON, wrong type, missing field
    │   ├── Unprocessable         422  well-formed, but not acceptable
    │   ├── Unauthenticated       401
    │   │   └── WebhookVerificationError   a webhook that is not shown to be the sender's
    │   ├── Forbidden             403
    │   ├── NotFound              404
    │   ├── MethodNotAllowed      405
    │   ├── Conflict              409  exists already, or is not in a state that allows it
    │   │   └── NotWaiting        409  a callback for a stage that is not (or no longer) waiting
    │   ├── Expired               410  the time for it has passed
    │   ├── TooLarge              413
    │   ├── UriTooLong            414
    │   ├── RateLimited           429
    │   ├── HeadersTooLarge       431
    │   └── Overloaded            503
    ├── StageError                     one attempt's; retried where `retryable`
    │   ├── ProviderError              the provider answered badly or not at all
    │   ├── HttpError                  an outbound request got no answer (or was refused by policy)
    │   └── HandlerError
    │       └── Failure                declared by a handler: final, becomes the error form
    ├── StoreError
    │   ├── StoreUnavailable           try again
    │   ├── VersionConflict            somebody else was first: load, decide again
    │   └── SchemaMismatch             the database is of another riverflow
    └── SubscriptionClosed             the reader left, or fell too far behind
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

__all__ = [
    "ConfigError",
    "Conflict",
    "Expired",
    "Failure",
    "Forbidden",
    "HandlerError",
    "HeadersTooLarge",
    "HttpError",
    "InvalidRequest",
    "MethodNotAllowed",
    "NotFound",
    "NotWaiting",
    "Overloaded",
    "PipelineError",
    "PluginError",
    "ProviderError",
    "RateLimited",
    "RawBodyRequired",
    "RequestError",
    "RiverflowError",
    "SchemaMismatch",
    "StageError",
    "StoreError",
    "StoreUnavailable",
    "SubscriptionClosed",
    "TooLarge",
    "Unauthenticated",
    "Unprocessable",
    "UriTooLong",
    "VersionConflict",
    "WebhookVerificationError",
]


class RiverflowError(Exception):
    """Base of every error that riverflow raises on purpose."""

    retryable: ClassVar[bool] = False
    status: ClassVar[int] = 500


class ConfigError(RiverflowError):
    """The configuration cannot work; raised before anything is served."""


class PipelineError(ConfigError):
    """A pipeline whose stages are misnamed, misplaced or missing."""


class PluginError(ConfigError):
    """A plugin could not be loaded, clashes with another, or is not installed."""


class RawBodyRequired(ConfigError):
    """A webhook receiver was given something other than the body's bytes as they were received: nothing can be verified
    over it."""


class RequestError(RiverflowError):
    """The caller's request is refused.

    `code` is a stable machine-readable name, `kind` the OpenAI-style error type, `extra` is merged
    into the `error` object of the body (JSON values only), `retry_after` (seconds) becomes the header `Retry-After`.
    """

    status = 400
    kind: ClassVar[str] = "invalid_request_error"
    default_code: ClassVar[str] = "invalid_request_error"

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        extra: Mapping[str, Any] | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or self.default_code
        self.extra: Mapping[str, Any] = extra or {}
        self.retry_after = retry_after


class InvalidRequest(RequestError):
    """400: the request is malformed."""


class Unprocessable(RequestError):
    """422: the request is well-formed, but what it says is not acceptable."""

    status = 422
    default_code = "unprocessable"


class Unauthenticated(RequestError):
    """401: no credential, or one that is unknown, expired or revoked."""

    status = 401
    kind = "authentication_error"
    default_code = "invalid_api_key"


class WebhookVerificationError(Unauthenticated):
    """401: a webhook that is not shown to be the sender's.

    `message` is the same for all of them, for the answer; `reason` is a stable name of the check that failed (see
    `riverflow.webhooks.Reason`) and the error's note a sentence on it, both for logs only.
    """

    default_code = "webhook_unverified"

    def __init__(self, reason: str, note: str) -> None:
        super().__init__("the webhook could not be verified")
        self.reason = reason
        self.add_note(f"{reason}: {note}")


class Forbidden(RequestError):
    """403: the credential is good, but not for this."""

    status = 403
    kind = "permission_error"
    default_code = "forbidden"


class NotFound(RequestError):
    """404: nothing of that name in the caller's project."""

    status = 404
    default_code = "not_found"


class MethodNotAllowed(RequestError):
    """405: the path is served, but not by this method."""

    status = 405
    default_code = "method_not_allowed"


class Conflict(RequestError):
    """409: it exists already, or its state does not allow the request."""

    status = 409
    default_code = "conflict"


class NotWaiting(Conflict):
    """409: a callback for a stage that is not, or no longer, waiting for one."""

    default_code = "not_waiting"


class Expired(RequestError):
    """410: the time for it has passed."""

    status = 410
    default_code = "expired"


class TooLarge(RequestError):
    """413: the body is over the configured limit."""

    status = 413
    default_code = "body_too_large"


class UriTooLong(RequestError):
    """414: path and query are over the limit."""

    status = 414
    default_code = "uri_too_long"


class RateLimited(RequestError):
    """429: too many requests; try again after `retry_after` seconds. `headers` go with the answer and say which limit
    it was."""

    status = 429
    kind = "rate_limit_error"
    default_code = "rate_limit_exceeded"

    def __init__(self, message: str, *, retry_after: float, headers: tuple[tuple[bytes, bytes], ...] = ()) -> None:
        super().__init__(message, retry_after=retry_after)
        self.headers = headers


class HeadersTooLarge(RequestError):
    """431: the header fields are over the limit, one of them or all together."""

    status = 431
    default_code = "headers_too_large"


class Overloaded(RequestError):
    """503: not able to take the request now."""

    status = 503
    retryable = True
    kind = "service_unavailable_error"
    default_code = "service_unavailable"


class StageError(RiverflowError):
    """One attempt of a stage failed."""

    retryable = True


class ProviderError(StageError):
    """A provider's attempt failed.

    `code` names the cause (`timeout`, `rate_limited`, `upstream_error`, `invalid_output`,
    `missing_credentials`, `connection_error`, …), `upstream_status` is the provider's HTTP status where it
    answered, `again` says whether the same request may succeed later.
    """

    def __init__(self, message: str, *, code: str, upstream_status: int | None = None, again: bool = True) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.upstream_status = upstream_status
        self.again = again


class HttpError(StageError):
    """An outbound request got no answer.

    `code` is one of `timeout`, `connection_error`, `tls_error`, `protocol_error` or `policy` (refused by
    the egress guard: no packet was sent).
    """

    def __init__(self, message: str, *, code: str) -> None:
        super().__init__(message)
        self.message = message
        self.code = code


class HandlerError(StageError):
    """An in-process handler failed."""


class Failure(HandlerError):
    """Raise this in a handler to fail the run with the callback's error form. It is final: no retry.

    `code` and `message` are what a remote backend would send as `error` and `message`.
    """

    retryable = False

    def __init__(self, code: str, message: str = "") -> None:
        super().__init__(message or code)
        self.code = code
        self.message = message or code


class StoreError(RiverflowError):
    """The store could not do what was asked."""


class StoreUnavailable(StoreError):
    """The store does not answer now (locked, disk full, connection lost)."""

    retryable = True
    status = 503


class VersionConflict(StoreError):
    """The run or document has changed since it was read, or its lease has passed to another process."""

    retryable = True
    status = 409


class SchemaMismatch(StoreError):
    """The database was written by a newer riverflow (or one too old to migrate)."""


class SubscriptionClosed(RiverflowError):
    """A subscription ended before its run did; `reason` is for the reader."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
