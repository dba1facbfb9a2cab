"""What is kept of a receiver's answer: of which attempts, how much, and in which form.

What we sent it as a secret is taken out should it say it back; what a terminal or a page could obey is made harmless.
It writes nothing: the settlement does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, Literal

import msgspec

from . import _callbacks, _links
from .models import Answer

__all__ = ["Keep", "Keeper", "headers_of", "text_of", "without"]

SHOWN_BODY = 2_000  # characters of a receiver's answer that are kept
SHOWN_HEADERS = 30
SHOWN_HEADER = 200  # characters of one

Keep = Literal["own", "failed", "all", "none"]
"""Of which attempts the answer is kept: of those that failed, in the default project alone (`own`: who runs riverflow
runs that one, other projects may be tenants, and an answer could show them what only the server reaches) or in every
project; of all; of none."""

_CREDENTIALS = frozenset({"set-cookie", "authorization", "authentication-info", "proxy-authentication-info"})
_SIGNATURES = ("mr-signature", "webhook-signature", "x-modelriver-signature")
_HIDDEN = "***"

_CONTROLS = (*range(0x20), *range(0x7F, 0xA0))
_DIRECTIONS = (0x061C, 0x200E, 0x200F, *range(0x2028, 0x202F), *range(0x2066, 0x206A))  # and two kinds of line ends
_HARMLESS: Final = dict.fromkeys({*_CONTROLS, *_DIRECTIONS} - {0x09, 0x0A}, "\ufffd")


class Keeper:
    """Says of which attempts the answer is kept. `own_project()` is the default project's id; `keeps_good` says whether
    those of deliveries that went well are."""

    def __init__(self, keep: Keep, own_project: Callable[[], str]) -> None:
        self.keeps_good = keep == "all"
        self._keep = keep
        self._own_project = own_project

    def keeps(self, project_id: str, answer: Answer) -> bool:
        """Whether an attempt's answer is written down."""
        return (self.keeps_good or not answer.ok) and self.shows(project_id)

    def shows(self, project_id: str) -> bool:
        """Whether the project may see what receivers say."""
        return self._keep != "none" and (self._keep != "own" or project_id == self._own_project())


def text_of(body: bytes) -> str | None:
    """The beginning of an answer as text."""
    text = _masked(body)[: SHOWN_BODY * 4].decode("utf-8", "replace")[:SHOWN_BODY]
    return text.translate(_HARMLESS) or None


def headers_of(headers: Mapping[str, str]) -> dict[str, str]:
    """What an operator needs to see of an answer that failed: the first headers, cut, and no credentials."""
    shown = [(name, value) for name, value in headers.items() if name not in _CREDENTIALS]
    return {name: _harmless(value) for name, value in shown[:SHOWN_HEADERS]}


def without(answer: Answer, signed: Mapping[str, str]) -> Answer:
    """The answer without the signatures that it was sent, which hold for some minutes more."""
    body, headers = answer.body, answer.headers
    for secret in _secrets(signed):
        body = body.replace(secret.encode(), _HIDDEN.encode())
        if any(secret in value for value in headers.values()):
            headers = {name: value.replace(secret, _HIDDEN) for name, value in headers.items()}
    if body == answer.body and headers is answer.headers:
        return answer
    return msgspec.structs.replace(answer, body=body, headers=headers)


def _secrets(signed: Mapping[str, str]) -> list[str]:
    """What is not to be said back, also as JSON may write it; the longest first, for one may hold another."""
    values = {value for name, text in signed.items() if name.lower() in _SIGNATURES for value in text.split() if value}
    values |= {value.removeprefix("v1,") for value in values}
    return sorted(values | {value.replace("/", "\\/") for value in values}, key=len, reverse=True)


def _harmless(value: str) -> str:
    return _masked(value.encode()).decode()[:SHOWN_HEADER].translate(_HARMLESS)


def _masked(text: bytes) -> bytes:
    """Without what would let a reader answer or decide in the receiver's place."""
    return _links.masked(_callbacks.masked(text))
