"""`/console/credential`: a project's own accounts with providers. What a key is, no answer says again."""

from __future__ import annotations

from typing import Any

import msgspec

from ..._directory import CREDENTIAL, Stored
from ..._intake import remote_url
from ...egress import Egress
from ...errors import HttpError, Unprocessable
from ...models import Credential
from .._door import Call
from ._resource import Resource, converted, origin, routes

__all__ = ["ROUTES"]

_SHOWN = 4  # characters of a key, where it is long enough to keep the others


class CredentialRequest(msgspec.Struct, kw_only=True, omit_defaults=True):
    """An account with a provider: its API key, the base URL of its API, or both. The URL may be a private address
    only where the root key names it."""

    provider: str
    api_key: str | None = None
    base_url: str | None = None


class CredentialResponse(msgspec.Struct, kw_only=True):
    """An account as it stands; `api_key` is masked."""

    provider: str
    api_key: str | None
    base_url: str | None
    source: str
    version: int
    updated_at: str | None
    warnings: tuple[str, ...] = ()


class Credentials(Resource):
    kind = CREDENTIAL
    takes = CredentialRequest
    gives = CredentialResponse
    fixed = ("provider",)

    async def build(self, call: Call, members: dict[str, Any], stored: Stored | None) -> tuple[str, Any]:
        before: Credential | None = stored.value if stored is not None else None
        if before is None or members.get("base_url") != before.base_url:
            members["by_operator"] = call.identity.root
        credential: Credential = converted(members, Credential, "credential")
        call.checks.provider(credential.provider)
        if not credential.api_key and not credential.base_url:
            raise Unprocessable("give an api_key, a base_url or both", extra={"param": "api_key"})
        if credential.api_key is not None and not _is_token(credential.api_key):
            raise Unprocessable(
                "api_key: a key is printable ASCII without spaces", code="invalid_api_key", extra={"param": "api_key"}
            )
        if credential.base_url is not None:
            _check_url(call, credential.base_url, by_operator=credential.by_operator)
        return credential.provider, credential

    def shown(self, call: Call, stored: Stored) -> dict[str, Any]:
        credential: Credential = stored.value
        return {
            "provider": credential.provider,
            "api_key": _masked(credential.api_key),
            "base_url": credential.base_url,
            **origin(stored),
        }


def _check_url(call: Call, url: str, *, by_operator: bool) -> None:
    if not by_operator:
        remote_url(url, call.settings, "base_url")
        return
    try:
        Egress.of(call.settings).check_url(url, "provider")
    except HttpError as error:
        raise Unprocessable(
            f"base_url: {error.message}; give an http(s) URL such as https://api.example.com/v1",
            code="invalid_url",
            extra={"param": "base_url"},
        ) from None


def _is_token(key: str) -> bool:
    """Whether a key can stand in a header (RFC 9110, 5.5)."""
    return all("!" <= character <= "~" for character in key)


def _masked(key: str | None) -> str | None:
    if key is None:
        return None
    return f"…{key[-_SHOWN:]}" if len(key) >= 4 * _SHOWN else "…"


ROUTES = routes(Credentials(), CredentialResponse)
