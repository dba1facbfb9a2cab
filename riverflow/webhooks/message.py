"""A webhook that has been verified, and the request that answers it.

It holds only what a signature covers (but for `unsigned`, which says so) and sends nothing.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import msgspec

from .. import codec
from ..errors import ConfigError, NotWaiting
from .dialects import Dialect

__all__ = ["CallbackRequest", "Message"]


class CallbackRequest(msgspec.Struct, frozen=True):
    """A POST that answers a hand-off, for the HTTP client of your choice: `url`, `headers` (they carry the
    credential) and `body`."""

    url: str
    headers: dict[str, str]
    body: bytes

    def __repr__(self) -> str:
        return f"CallbackRequest({self.url!r}, {len(self.body)} bytes)"


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """A verified webhook.

    `id` is the same on each try of one message (`webhook-id`, or a digest of what was signed where the dialect signs no
    id; with `x-modelriver-data`, of this try alone). `timestamp` is the signed time of this try in Unix seconds, None
    where the dialect signs none. `payload` is the JSON object that was signed, `body` the bytes as they came.

    With `x-modelriver-data` only `data` is signed: `payload` is then `{"data": …}`, and the rest of the body stands in
    `unsigned`, which anybody may have written. `replay_keys` are what a replay store knows the message by.
    """

    id: str
    dialect: Dialect
    payload: dict[str, Any]
    body: bytes
    timestamp: int | None = None
    unsigned: dict[str, Any] = {}
    replay_keys: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"Message({self.id!r}, type={self.type!r}, dialect={self.dialect!r})"

    @property
    def type(self) -> str | None:
        """`task.ai_generated`, `task.completed`, `task.failed`, …"""
        return self._text("type")

    @property
    def event(self) -> str | None:
        """The workflow's event name."""
        return self._text("event")

    @property
    def channel_id(self) -> str | None:
        """The run that it is about."""
        return self._text("channel_id")

    @property
    def data(self) -> Any:
        """What there is to work on: the payload's `data` where it has one, else the AI's answer."""
        return self.payload["data"] if "data" in self.payload else self.ai_response.get("data")

    @property
    def ai_response(self) -> dict[str, Any]:
        """The AI's own answer: `{"data": …}`."""
        return self._object("ai_response")

    @property
    def customer_data(self) -> dict[str, Any]:
        """What the request gave to be echoed."""
        return self._object("customer_data")

    @property
    def callback_url(self) -> str | None:
        """Where the answer goes. None where none is due, where it is no http(s) URL, and where no signature covers it:
        the credential goes there too."""
        url = self._text("callback_url")
        return url if url is not None and _is_http(url) else None

    @property
    def callback_required(self) -> bool:
        """Whether the run waits for an answer."""
        return self.payload.get("callback_required") is True and self.callback_url is not None

    def answer(
        self, data: Any, *, task_id: str | None = None, metadata: Any = None, api_key: str | None = None
    ) -> CallbackRequest:
        """The request that answers with `data`, a JSON object (anything `codec.from_python` writes as one).

        `api_key` authorises it, unless the message brought a `callback_token` of its own. Raises NotWaiting where no
        answer is due, ConfigError without a credential, TypeError where `data` is no JSON object.
        """
        written = codec.from_python(data)
        if not bytes(written).startswith(b"{"):
            raise TypeError(f"a callback's data is a JSON object, not {type(data).__name__}")
        told = None if metadata is None else codec.from_python(metadata)
        return self._callback(api_key, data=written, task_id=task_id, metadata=told)

    def failure(self, code: str, message: str = "", *, api_key: str | None = None) -> CallbackRequest:
        """The request that ends the run as failed, with `code` such as `processing_failed`. It is final. Raises as
        `answer` does."""
        return self._callback(api_key, error=code, message=message or code)

    def _callback(self, api_key: str | None, **members: Any) -> CallbackRequest:
        url = self.callback_url
        if url is None:
            raise NotWaiting("this message has no signed callback_url: no answer is due")
        credential = self._text("callback_token") or api_key
        if not credential:
            raise ConfigError("a callback needs the API key: answer(…, api_key=…)")
        headers = {"authorization": f"Bearer {credential}", "content-type": "application/json"}
        return CallbackRequest(url, headers, codec.splice(**members))

    def _text(self, name: str) -> str | None:
        value = self.payload.get(name)
        return value if isinstance(value, str) else None

    def _object(self, name: str) -> dict[str, Any]:
        value = self.payload.get(name)
        return value if isinstance(value, dict) else {}


def _is_http(url: str) -> bool:
    if not url.isascii() or not url.isprintable() or " " in url or "\\" in url:
        return False
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and "@" not in parts.netloc
    except ValueError:
        return False
