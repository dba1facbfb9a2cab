"""What a receiver answers, in no framework's words: status, header fields and body of each outcome.

It says the same to everybody who is refused; why is logged, never sent.
"""

from __future__ import annotations

import logging
import math
from typing import Final, NamedTuple

from ..codec import encode
from ..errors import RequestError, RiverflowError, WebhookVerificationError
from ..problems import problem_body

__all__ = ["DUPLICATE", "WRONG_METHOD", "Answer", "refusal"]

_log = logging.getLogger("riverflow.webhooks")

_JSON = {"content-type": "application/json", "cache-control": "no-store", "x-content-type-options": "nosniff"}


class Answer(NamedTuple):
    """An HTTP answer."""

    status: int
    headers: dict[str, str]
    body: bytes


DUPLICATE: Final = Answer(200, _JSON, encode({"received": True, "duplicate": True}))
"""To a message that was taken before: the sender must not try again."""

WRONG_METHOD: Final = Answer(405, _JSON | {"allow": "POST"}, encode({"message": "webhooks are POSTed"}))
"""To everything but a POST (RFC 9110, 15.5.6)."""


def refusal(error: RiverflowError) -> Answer:
    """The answer to a message that was not taken. Logs why."""
    why = error.reason if isinstance(error, WebhookVerificationError) else str(error)
    _log.log(logging.ERROR if error.status >= 500 else logging.WARNING, "webhook refused (%d): %s", error.status, why)
    headers = dict(_JSON)
    if error.status == 401:
        headers["www-authenticate"] = "Webhook-Signature"  # RFC 9110, 15.5.2 asks for a challenge
    if error.status == 503 or (isinstance(error, RequestError) and error.retry_after is not None):
        after = error.retry_after if isinstance(error, RequestError) else None
        headers["retry-after"] = str(math.ceil(after or 5))
    return Answer(error.status, headers, problem_body(error))
