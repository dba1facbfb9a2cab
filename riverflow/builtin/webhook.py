"""The sender of `http:` and `https:` URLs: one signed POST through the HttpClient port.

It signs nothing, retries nothing and decides no egress: that is the signers', the queue's and the client's work.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ..errors import HttpError
from ..hookspecs import hookimpl
from ..models import Answer, Delivery
from ..ports import Context, HttpClient, HttpRequest, Sender

__all__ = ["WebhookSender"]

KEPT = 16 * 1024  # bytes of an answer that are kept

_CONTENT_TYPE = ("content-type", "application/json")


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
            headers=(_CONTENT_TYPE, *signed.items()),
            body=delivery.body,
            purpose="delivery",
            timeout=timeout,
            max_body=KEPT,
        )
        try:
            response = await self._http.send(request)
        except HttpError as error:
            return Answer(error=error.code, message=error.message, final=error.code == "policy")
        return Answer(status=response.status, body=response.body)


@hookimpl
def riverflow_senders() -> Mapping[str, Callable[[Context], Sender]]:
    """Webhooks."""

    def build(context: Context) -> Sender:
        return WebhookSender(context.http)

    return {"http": build, "https": build}
