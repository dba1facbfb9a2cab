"""The header fields of a signature, read once and strictly: who signed what, and when.

It compares no signature. What is not plain ASCII, comes twice, or is longer than any sender makes it, is refused here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Literal, TypeAlias, cast

from ..errors import WebhookVerificationError

__all__ = ["SIGNATURE", "Headers", "Reason", "SignatureHeaders"]

Headers: TypeAlias = Mapping[str, str] | Iterable[tuple[str | bytes, str | bytes]]
"""A request's header fields: any framework's mapping, or pairs such as an ASGI scope has."""

Reason = Literal[
    "missing_signature",
    "missing_header",
    "repeated_header",
    "malformed_header",
    "malformed_timestamp",
    "too_old",
    "too_new",
    "no_active_secret",
    "dialect_not_accepted",
    "wrong_signature",
]
"""Why a webhook was refused. For logs: the answer does not say it."""

SIGNATURE = "webhook-signature"
_LIMITS = {
    "webhook-id": 256,
    "webhook-timestamp": 64,
    SIGNATURE: 65536,
    "mr-signature": 256,
    "mr-timestamp": 64,
    "x-modelriver-signature": 256,
    "x-modelriver-timestamp": 64,
    "content-encoding": 64,
}
_VISIBLE = re.compile(rb"[\x20-\x7e\t]*")  # RFC 9110, 5.5: field content, without obs-text
_SECONDS = re.compile(rb"[0-9]{1,10}")  # to the year 2286; milliseconds have 13 digits
_NAME = re.compile(rb"[\x21-\x2b\x2d\x2f-\x7e]+")  # no space, no comma, and no dot: it ends the id in the signed text


class SignatureHeaders:
    """The fields that matter here, each at most once, by lower-case name (RFC 9110, 5.1). A name that a proxy has
    spelt another way (`webhook_id`) is another field. Raises WebhookVerificationError."""

    def __init__(self, headers: Headers) -> None:
        self._fields: dict[str, bytes] = {}
        for name, value in _pairs(headers):
            known = _lower(name)
            if known in _LIMITS:
                self._keep(known, _visible(known, value))

    def __contains__(self, name: str) -> bool:
        return name in self._fields

    def get(self, name: str) -> bytes:
        """A field's value; empty where there is none."""
        return self._fields.get(name, b"")

    def id(self) -> bytes:
        """`webhook-id`: the same on every try."""
        value = self._required("webhook-id")
        if _NAME.fullmatch(value) is None:
            raise WebhookVerificationError("malformed_header", "webhook-id has a character that no id has")
        return value

    def timestamp(self, name: str) -> bytes:
        """A time of signing as its digits, Unix seconds."""
        value = self._required(name)
        if _SECONDS.fullmatch(value) is None:
            hint = ": these are milliseconds" if value.isdigit() and len(value) == 13 else ""
            raise WebhookVerificationError("malformed_timestamp", f"{name} is not whole Unix seconds{hint}")
        return value

    def _required(self, name: str) -> bytes:
        if not (value := self.get(name)):
            raise WebhookVerificationError("missing_header", f"there is a signature, but no {name}")
        return value

    def _keep(self, name: str, value: bytes) -> None:
        if name in self._fields and name != SIGNATURE:
            raise WebhookVerificationError("repeated_header", f"{name} comes more than once")
        value = b"%b %b" % (self._fields[name], value) if name in self._fields else value
        if len(value) > _LIMITS[name]:
            raise WebhookVerificationError("malformed_header", f"{name} is longer than {_LIMITS[name]} bytes")
        self._fields[name] = value


def _pairs(headers: Headers) -> Iterable[tuple[object, object]]:
    """Every field, repeated ones too, whatever the framework calls that."""
    for every in ("multi_items", "items"):
        if method := getattr(headers, every, None):
            pairs: Iterable[tuple[object, object]] = method()
            return pairs
    return cast("Iterable[tuple[object, object]]", headers)


def _lower(name: object) -> str:
    if isinstance(name, bytes):
        name = name.decode("latin-1")
    return name.lower() if isinstance(name, str) and name.isascii() else ""


def _visible(name: str, value: object) -> bytes:
    try:
        field = value.encode("ascii") if isinstance(value, str) else value
    except UnicodeEncodeError:
        field = None
    if not isinstance(field, bytes) or _VISIBLE.fullmatch(field) is None:
        raise WebhookVerificationError("malformed_header", f"{name} is not one line of visible ASCII")
    return field.strip(b" \t")
