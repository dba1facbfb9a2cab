"""What all pages of one console stand on.

It holds and hands out; it decides nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from .._directory import Directory
from .._engine import Engine
from .._plugins import Plugins
from .._queries import Queries
from ..config import Settings
from ..errors import NotFound, StoreError
from ..ports import Clock, Handler, Ids, Store
from ._api import Api
from ._entrance import Entrance
from ._pulse import Pulse
from ._static import Assets
from ._templates import Templates
from ._visit import Visit

__all__ = ["House"]


class House(msgspec.Struct, kw_only=True):
    """The engine and what is beside it, as a page may use them."""

    engine: Engine
    queries: Queries
    directory: Directory
    store: Store
    settings: Settings
    plugins: Plugins
    handlers: Mapping[str, Handler]
    names: dict[str, list[str]]  # what is installed: providers, stages, signers, stores, senders, transports
    clock: Clock
    ids: Ids
    entrance: Entrance
    api: Api
    assets: Assets
    templates: Templates
    pulse: Pulse

    def project_name(self, visit: Visit) -> str:
        """The name of the visitor's project, where it is known here."""
        if visit.who is None:
            return ""
        try:
            return self.directory.project(visit.project_id).name
        except NotFound:
            return ""

    async def tallies(self, visit: Visit) -> dict[str, int]:
        """How much waits for somebody, by the path of its page; nothing, where the store does not answer."""
        if visit.who is None:
            return {}
        try:
            approvals = await self.engine.approvals.count(visit.project_id)
            return {"approvals": approvals, "dead-letters": await self.store.queue.dead_letters(visit.project_id)}
        except StoreError:
            return {}

    async def ask(
        self,
        visit: Visit,
        method: str,
        path: str,
        body: Any = None,
        query: Mapping[str, str] | None = None,
        **params: str,
    ) -> Any:
        """What the HTTP API answers this visitor. Raises RequestError."""
        assert visit.who is not None
        return await self.api.ask(visit.who, visit.scope, method, path, body, query, **params)
