"""With whom a request is made: URL, headers and key, from the settings or from a project's credential.

It makes no request.
"""

from __future__ import annotations

import msgspec

from ...config import Settings
from ...models import Credential
from ...urls import Purpose

__all__ = ["Account"]

_DEFAULT_URL = Settings().openai_base_url
_HEADERS = (("content-type", "application/json"), ("accept", "application/json"))


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """Where chat completions are asked for, and as whom. `purpose` chooses the egress rule; `lacks_key` where nobody
    would answer without one."""

    url: str
    headers: tuple[tuple[str, str], ...]
    key: str | None
    purpose: Purpose
    lacks_key: bool

    @classmethod
    def at(cls, base_url: str, key: str | None, purpose: Purpose = "provider") -> Account:
        """An account at a base URL."""
        base_url = base_url.rstrip("/")
        return cls(
            url=f"{base_url}/chat/completions",
            headers=(*_HEADERS, ("authorization", f"Bearer {key}")) if key else _HEADERS,
            key=key,
            purpose=purpose,
            lacks_key=not key and base_url == _DEFAULT_URL,
        )

    @classmethod
    def of(cls, credential: Credential, base_url: str) -> Account:
        """A project's account: its own key, or none; `base_url` counts where it names no URL of its own."""
        if credential.base_url is None:
            return cls.at(base_url, credential.api_key)
        return cls.at(credential.base_url, credential.api_key, "provider" if credential.by_operator else "delivery")

    def __repr__(self) -> str:
        return f"Account(url={self.url!r}, …)"
