"""The kinds of configuration documents, and one such document as it is read.

It names which members of a kind are secret; it neither reads nor seals them.
"""

from __future__ import annotations

import uuid
from functools import lru_cache
from typing import Any

import msgspec

from .models import ApiKey, Credential, Endpoint, Project, StructuredOutput, Workflow

__all__ = [
    "CREDENTIAL",
    "ENDPOINT",
    "KEY",
    "PROJECT",
    "SEALED_KINDS",
    "STRUCTURED_OUTPUT",
    "WORKFLOW",
    "Kind",
    "Stored",
    "identifier",
]


class Kind(msgspec.Struct, frozen=True):
    """A kind of configuration document: its name in the store and its struct. `secrets` are members that are sealed at
    rest, `lenient` those of them that may be kept as they are where there is no key to seal with."""

    name: str
    struct: Any
    secrets: tuple[str, ...] = ()
    lenient: tuple[str, ...] = ()


WORKFLOW = Kind("workflow", Workflow)
ENDPOINT = Kind("webhook", Endpoint, ("secret", "retired"))
STRUCTURED_OUTPUT = Kind("structured_output", StructuredOutput)
KEY = Kind("key", ApiKey)
CREDENTIAL = Kind("credential", Credential, ("api_key",))
# What a socket token opens, one run's messages, lies in the same file as its key: where there is no secret key, sockets
# work all the same, in every process of the file.
PROJECT = Kind("project", Project, ("secret", "retired", "token_secret"), lenient=("token_secret",))

SEALED_KINDS = (ENDPOINT, CREDENTIAL)
"""The kinds with secrets that projects have (beside projects themselves)."""


class Stored(msgspec.Struct, frozen=True, kw_only=True):
    """One configured thing: the struct, where it comes from, and its version (0: defined in code)."""

    name: str
    value: Any
    version: int = 0
    updated_at: float | None = None

    @property
    def in_code(self) -> bool:
        return self.version == 0


@lru_cache(maxsize=4096)  # 5 µs each, and every submission says its workflow's
def identifier(prefix: str, project_id: str, name: str) -> str:
    """A stable id for a named thing (`wf_…`, `schema_…`), the same in every process."""
    return f"{prefix}_{uuid.uuid5(uuid.NAMESPACE_URL, f'riverflow:{project_id}:{prefix}:{name}').hex[:20]}"
