"""The sender of `asgi:///path` URLs: a signed delivery into the app that riverflow is mounted into, off the network.

It chooses no app and vets no URL: only code and configuration may name such a URL, which is checked where it is read.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

from ..asgi_client import request
from ..hookspecs import hookimpl
from ..hops import HOPS
from ..models import Answer, Delivery
from ..ports import ASGIApp, Context, Sender

__all__ = ["AsgiSender"]

KEPT = 16 * 1024  # bytes of an answer that are kept

_log = logging.getLogger("riverflow.asgi")


class AsgiSender:
    """POSTs a delivery to the wrapped app.

    The answer is taken as soon as it is complete; what the app still does afterwards (background tasks) goes on, as it
    would under a server. An app that has not answered within the timeout is cancelled.
    """

    signs = True

    def __init__(self, wrapped: Callable[[], ASGIApp | None], public_url: str | None = None) -> None:
        parts = urlsplit(public_url or "http://localhost")
        self._wrapped = wrapped
        self._scheme, self._host = parts.scheme, parts.netloc
        self._running: set[asyncio.Task[None]] = set()

    async def send(self, delivery: Delivery, signed: Mapping[str, str], timeout: float) -> Answer:
        """Call the app and read its answer, for `timeout` seconds at most."""
        app = self._wrapped()
        if app is None:
            return Answer(error="no_app", message="riverflow is not mounted into an app in this process")
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        task = asyncio.create_task(self._call(app, delivery, signed, answer))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        try:
            async with asyncio.timeout(timeout):
                return await answer
        except TimeoutError:
            return Answer(error="timeout", message=f"the app did not answer within {timeout:g} s")
        finally:
            if answer.cancelled() or not answer.done():
                task.cancel()

    async def aclose(self) -> None:
        """Cancel what apps still do after their answers, and wait for it to end."""
        tasks = tuple(self._running)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _call(
        self, app: ASGIApp, delivery: Delivery, signed: Mapping[str, str], answer: asyncio.Future[Answer]
    ) -> None:
        headers = {"host": self._host, "content-type": "application/json", HOPS: "1", **signed}
        headers["content-length"] = str(len(delivery.body))
        path = delivery.url.partition("://")[2] or "/"
        try:
            async with request(app, "POST", path, headers=headers, body=delivery.body, scheme=self._scheme) as response:
                body = await response.read(KEPT)
                _give(answer, Answer(status=response.status, body=body[:KEPT], headers=response.headers))
        except Exception as error:
            if answer.done():
                _log.warning("%s failed after its answer (channel %s)", path, delivery.run_id, exc_info=error)
            _give(answer, Answer(error="app_error", message=f"the app raised {type(error).__name__}"))


def _give(answer: asyncio.Future[Answer], value: Answer) -> None:
    if not answer.done():
        answer.set_result(value)


@hookimpl
def riverflow_senders() -> Mapping[str, Callable[[Context], Sender]]:
    """Deliveries into the wrapped app."""
    return {"asgi": lambda context: AsgiSender(context.wrapped, context.settings.public_url)}
