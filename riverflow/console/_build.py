"""From the parts of a started riverflow to its console. Nothing here runs afterwards."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from .._gate import Gate
from .._plugins import Plugins
from ..ports import Clock, Handler, Store
from ..routes import Doors, Route
from ._api import Api
from ._app import Console
from ._approve import ApproveLinks
from ._entrance import Entrance
from ._house import House
from ._pages import Table
from ._pulse import Pulse
from ._sessions import Sessions
from ._static import Assets
from ._templates import Templates
from ._visit import Visit
from .pages import PAGES

__all__ = ["Ground", "build_console"]


class Ground(msgspec.Struct, frozen=True, kw_only=True):
    """What a console is built on. `names` are those of what is installed, by what it is; `hosted` says that the host
    app's own login may let somebody in."""

    doors: Doors
    routes: Iterable[Route]
    gate: Gate
    store: Store
    plugins: Plugins
    names: Mapping[str, Iterable[str]]
    handlers: Mapping[str, Handler]
    clock: Clock
    hosted: bool


def build_console(ground: Ground) -> Console:
    """The app, ready to serve."""
    doors = ground.doors
    assets = Assets()
    table = Table(PAGES)
    entrance = Entrance(
        gate=ground.gate,
        keys=doors.keys,
        limits=doors.limits,
        sessions=Sessions(ground.store.documents, ground.clock),
        settings=doors.settings,
        project_id=doors.directory.default_project,
        hosted=ground.hosted,
    )
    house = House(
        engine=doors.engine,
        queries=doors.engine.queries,
        directory=doors.directory,
        store=ground.store,
        settings=doors.settings,
        plugins=ground.plugins,
        names={kind: sorted(names) for kind, names in ground.names.items()},
        handlers=ground.handlers,
        clock=ground.clock,
        ids=doors.ids,
        entrance=entrance,
        api=Api(doors, ground.routes),
        assets=assets,
        templates=_templates(assets, table, development=doors.settings.development),
        pulse=Pulse(doors.engine.hub, doors.settings.heartbeat),
    )
    return Console(house, entrance, table, ApproveLinks(house))


def _templates(assets: Assets, table: Table, *, development: bool) -> Templates:
    def asset(visit: Visit, name: str) -> str:
        return visit.to(f"static/{name}", v=assets.version(name))

    def has(path: str) -> bool:
        return table.find("GET", path)[0] is not None

    return Templates({"asset": asset, "has": has, "development": development})
