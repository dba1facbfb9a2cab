"""Who is asking: an API key as Bearer, or the host app's own authentication.

It maps a connection to an identity and decides nothing else; what the identity may do is the route's question.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Sequence

from . import _callbacks
from ._keys import KeyRing, digest_of
from ._origins import KEYS_ONLY
from .errors import NotFound, Unauthenticated
from .models import CALLBACK, Identity, Project
from .ports import Authenticator, Scope

__all__ = ["TOKEN_SUBJECT", "Gate", "bearer"]

TOKEN_SUBJECT = "callback_token"
_TOKEN = _callbacks.PREFIX.encode()


class Gate:
    """Asks for the key first, then the authenticators in order, unless the request counts for its key alone. `root` is
    whom the setting `api_key` stands for, `project` finds a project by its id (raises NotFound)."""

    def __init__(
        self,
        keys: KeyRing,
        api_key: str | None,
        root: Identity,
        authenticators: Sequence[Authenticator],
        project: Callable[[str], Awaitable[Project]],
    ) -> None:
        self._keys = keys
        self._project = project
        self._authenticators = tuple(authenticators)
        # Compared as SHA-256 digests through a dictionary: how long a look-up takes says nothing about the key.
        self._root: dict[bytes, Identity] = {digest_of(api_key.encode()): root} if api_key else {}

    async def authenticate(self, scope: Scope) -> Identity:
        """Raises Unauthenticated that says what is missing; a key that is unknown, expired or revoked is answered
        alike."""
        credential = bearer(scope)
        if credential is not None and credential.startswith(_TOKEN):
            return await self._answering(credential.decode("latin-1"), scope)
        if credential is not None:
            digest = digest_of(credential)
            identity = self._root.get(digest) or self._keys.look(digest) or await self._keys.identify(digest)
            if identity is not None:
                return identity
        for authenticator in () if scope.get(KEYS_ONLY) else self._authenticators:
            answer = authenticator(scope)
            known = await answer if inspect.isawaitable(answer) else answer
            if known is not None:
                return known
        if not self._root and not self._authenticators and not await self._keys.any():
            raise Unauthenticated(
                "nobody can come in: riverflow has no API key here; set RIVERFLOW_API_KEY, or make a key with "
                "`riverflow keys create`",
                code="no_api_key_configured",
            )
        if credential is None:
            raise Unauthenticated("give an API key: Authorization: Bearer <key>", code="missing_api_key")
        raise Unauthenticated("Invalid API key")

    async def _answering(self, token: str, scope: Scope) -> Identity:
        """Who has a callback's token may answer at the URL that it was minted for, and nothing else."""
        project_id, where = _callbacks.project_of(token), scope.get("path_params", {})
        if project_id is not None and "channel_id" in where:
            try:
                project = await self._project(project_id)
            except NotFound:
                pass
            else:
                if _callbacks.is_good(token, project, where["channel_id"], where.get("stage")):
                    return Identity(project_id=project_id, scopes=frozenset({CALLBACK}), subject=TOKEN_SUBJECT)
        raise Unauthenticated("Invalid callback token for this URL", code="invalid_callback_token")

    async def recognise(self, key: str) -> Identity | None:
        """Whom a key stands for that came by another way than a header (a login form)."""
        digest = digest_of(key.encode())
        return self._root.get(digest) or self._keys.look(digest) or await self._keys.identify(digest)


def bearer(scope: Scope) -> bytes | None:
    """The Bearer credential of a connection (RFC 6750, 2.1), or None."""
    for name, value in scope["headers"]:
        if name == b"authorization":
            scheme, _, credential = value.partition(b" ")
            return credential.strip() if scheme.lower() == b"bearer" else None
    return None
