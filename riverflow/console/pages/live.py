"""The live feed: one stream of server-sent events for each open page."""

from __future__ import annotations

from ...errors import NotFound
from ...models import canonical_id
from ...ports import Receive, Scope, Send
from .._answers import Answer, Stream
from .._pages import PageRoute
from .._visit import Visit

__all__ = ["PAGES"]


async def live(visit: Visit) -> Answer:
    """`?run=` listens to one run, else to everything. Raises NotFound for a run of somebody else's."""
    house, run_id = visit.house, canonical_id(visit.query.get("run", ""))
    if run_id is not None and await house.store.log.load(visit.project_id, run_id) is None:
        raise NotFound("There is no such request.")

    async def still_allowed() -> bool:
        again = Visit(house=house, scope=visit.scope, path=visit.path, crumb=visit.crumb)
        await house.entrance.meet(again)
        return again.who is not None and visit.who is not None and again.who.project_id == visit.who.project_id

    async def stream(scope: Scope, receive: Receive, send: Send) -> None:
        await house.pulse.serve(scope, receive, send, run_id, visit.crumb, still_allowed)

    return Stream(stream)


PAGES = (PageRoute("GET", "live", live),)
