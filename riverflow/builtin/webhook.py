"""The sender of `http:` and `https:` URLs: one signed POST through the HttpClient port.

It signs nothing, retries nothing and decides no egress: that is the signers', the queue's and the client's work.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ..errors import HttpError
from ..hookspecs import hookimpl
from ..hops import HOPS
from ..models import Answer, Delivery
from ..ports import Context, HttpClient, HttpRequest, Sender

__all__ = ["WebhookSender"]

KEPT = 16 * 1024  # bytes of an answer that are kept

_OWN_HEADERS = (("content-type", "application/json"), (HOPS, "1"))


class WebhookSender:
    """POSTs a delivery's bytes as they are. Any answer is an answer; only 2xx is `ok`. What the egress guard refuses
    is final."""

    signs = True

    def __init__(self, http: HttpClient) -> None:
        self._http = http

    async def send(self, delivery: Delivery, signed: Mapping[str, str], timeout: float) -> Answer:
        """POST and read at most 16 kB of the answer, within `timeout` seconds in all."""
        request = HttpRequest(
            method="POST",
            url=delivery.url,
            headers=(*_OWN_HEADERS, *signed.items()),
            body=delivery.body,
            purpose="delivery",
            timeout=timeout,
            max_body=KEPT,
            tenant=delivery.project_id,
            trust=delivery.trust,
        )
        try:
            response = await self._http.send(request)
        except HttpError as error:
            return Answer(error=error.code, message=error.message, final=error.code == "policy")
        body = _whole(response.body) if response.truncated else response.body
        return Answer(status=response.status, body=body, headers=response.headers)


def _whole(body: bytes) -> bytes:
    """A body that was cut, without the first bytes of a UTF-8 character whose rest is missing."""
    for back in range(1, min(4, len(body)) + 1):
        byte = body[-back]
        if byte & 0b1100_0000 != 0b1000_0000:  # the character's first byte (RFC 3629, 3)
            length = 1 if byte < 0xC0 else 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4
            return body[:-back] if back < length else body
    return body


@hookimpl
def riverflow_senders() -> Mapping[str, Callable[[Context], Sender]]:
    """Webhooks."""

    def build(context: Context) -> Sender:
        return WebhookSender(context.http)

    return {"http": build, "https": build}
