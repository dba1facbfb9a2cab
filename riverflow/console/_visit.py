"""One request to the console as a page sees it: who asks, what for, and how to link to other pages.

It reads what came in and decides nothing about it.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Mapping
from hashlib import sha256
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, quote, urlencode

import msgspec

from ..errors import InvalidRequest
from ..models import Identity
from ..ports import Scope

if TYPE_CHECKING:
    from ._house import House

__all__ = [
    "FORM",
    "FORM_OF_STRANGERS",
    "Visit",
    "cookies_of",
    "header_of",
    "query_of",
    "same_token",
    "token_for",
]

_FIELDS = 500  # of a form or a query, that are read

FORM = 1 << 20
"""Bytes of a form that are read: a long document fits, and to decode it holds nobody up."""

FORM_OF_STRANGERS = 1 << 14
"""The same of somebody who is not logged in: he has only a key to type."""


class Visit(msgspec.Struct, kw_only=True):
    """A request to one page. `path` is below the console, without slashes at its ends; `crumb` is the value of the
    cookie, to which the tokens of this visitor's forms are bound; of what comes twice in the query the last counts."""

    house: House
    scope: Any
    path: str
    query: dict[str, str] = {}
    params: Mapping[str, str] = {}
    who: Identity | None = None
    crumb: str = ""
    session: bool = False  # he has logged in here, and can log out
    open: bool = False  # nobody has to log in (development, loopback, no key)
    fields: dict[str, list[str]] = {}

    @property
    def project_id(self) -> str:
        assert self.who is not None
        return self.who.project_id

    @property
    def method(self) -> str:
        method: str = self.scope["method"]
        return method

    # Links: relative ones, so that a proxy may serve all this under another path than riverflow knows.

    def to(self, path: str = "", /, **query: Any) -> str:
        """A relative link to a path below the console; members of the query that are None or empty are left out."""
        up = "../" * self.path.count("/") or "./"
        kept = {name: value for name, value in query.items() if value not in (None, "")}
        return up + quote(path, safe="/:@~!$&'()*+,;=") + (f"?{urlencode(kept)}" if kept else "")

    def here(self, /, **changes: Any) -> str:
        """This page with some members of the query changed."""
        return self.to(self.path, **{**self.query, **changes})

    # Forms

    def read_form(self, body: bytes) -> None:
        """Raises InvalidRequest for what no form of ours sends."""
        kind = header_of(self.scope, b"content-type").partition(";")[0].strip().lower()
        if kind != "application/x-www-form-urlencoded":
            raise InvalidRequest("forms come as application/x-www-form-urlencoded")
        try:
            pairs = parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=_FIELDS, errors="strict")
        except ValueError:
            raise InvalidRequest("the form cannot be read") from None
        fields: dict[str, list[str]] = {}
        for name, value in pairs:
            fields.setdefault(name, []).append(value)
        self.fields = fields

    def field(self, name: str) -> str:
        """A field of the form, without white space around it; empty where it is not there."""
        return (self.fields.get(name) or [""])[-1].strip()

    def token(self) -> str:
        """A fresh token for a form of this visitor's."""
        return token_for(self.crumb)

    def token_good(self) -> bool:
        return same_token(self.crumb, self.field("token"))


def query_of(scope: Scope) -> dict[str, str]:
    """The members of a request's query. Raises InvalidRequest for more than anybody sends."""
    text = scope.get("query_string", b"").decode("latin-1")
    try:
        return dict(parse_qsl(text, max_num_fields=_FIELDS))
    except ValueError:
        raise InvalidRequest(f"the query has over {_FIELDS} members") from None


def token_for(crumb: str) -> str:
    """Another text each time, so that compressed pages tell nothing of it."""
    salt = secrets.token_urlsafe(12)
    return f"{salt}.{_seal(crumb, salt)}"


def same_token(crumb: str, token: str) -> bool:
    """Whether a token was made for this crumb."""
    salt, _, seal = token.partition(".")
    return bool(crumb and salt) and hmac.compare_digest(_seal(crumb, salt).encode(), seal.encode())


def _seal(crumb: str, salt: str) -> str:
    return hmac.new(crumb.encode(), f"riverflow console form {salt}".encode(), sha256).hexdigest()


def header_of(scope: Scope, wanted: bytes) -> str:
    """A request header, or nothing."""
    for name, value in scope["headers"]:
        if name == wanted:
            text: str = value.decode("latin-1")
            return text
    return ""


def cookies_of(scope: Scope) -> dict[str, str]:
    """The cookies of a request (RFC 6265, 5.4)."""
    found: dict[str, str] = {}
    for name, value in scope["headers"]:
        if name == b"cookie":
            for pair in value.decode("latin-1").split(";"):
                key, _, content = pair.strip().partition("=")
                found.setdefault(key, content)
    return found
