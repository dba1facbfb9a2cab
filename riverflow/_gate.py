"""Who is asking: an API key as Bearer, or the host app's own authentication.

It maps a connection to an identity and decides nothing else; what the identity may do is the route's question.
"""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Sequence

from ._directory import Directory
from .errors import Unauthenticated
from .models import Identity
from .ports import Authenticator, Scope

__all__ = ["Gate"]


class Gate:
    """Asks for the key first, then the authenticators in order."""

    def __init__(self, directory: Directory, api_key: str | None, authenticators: Sequence[Authenticator]) -> None:
        self._authenticators = tuple(authenticators)
        # Compared as SHA-256 digests through a dictionary: how long a look-up takes says nothing about the key.
        self._keys: dict[bytes, Identity] = {}
        if api_key:
            self._keys[_digest(api_key.encode())] = Identity(project_id=directory.default_project)

    async def authenticate(self, scope: Scope) -> Identity:
        """Raises Unauthenticated that says what is missing."""
        credential = bearer(scope)
        if credential is not None:
            identity = self._keys.get(_digest(credential))
            if identity is not None:
                return identity
        for authenticator in self._authenticators:
            answer = authenticator(scope)
            known = await answer if inspect.isawaitable(answer) else answer
            if known is not None:
                return known
        if not self._keys and not self._authenticators:
            raise Unauthenticated(
                "nobody can come in: riverflow has no API key here; set RIVERFLOW_API_KEY", code="no_api_key_configured"
            )
        if credential is None:
            raise Unauthenticated("give an API key: Authorization: Bearer <key>", code="missing_api_key")
        raise Unauthenticated("Invalid API key")


def bearer(scope: Scope) -> bytes | None:
    """The Bearer credential of a connection (RFC 6750, 2.1), or None."""
    for name, value in scope["headers"]:
        if name == b"authorization":
            scheme, _, credential = value.partition(b" ")
            return credential.strip() if scheme.lower() == b"bearer" else None
    return None


def _digest(key: bytes) -> bytes:
    return hashlib.sha256(key).digest()
