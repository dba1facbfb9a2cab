"""Plugins and settings: what is loaded and by whom, and what everything is set to, secrets masked."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from importlib import metadata
from typing import Any

import msgspec

from ...config import Settings, open_part
from .._answers import Answer, Page
from .._pages import PageRoute
from .._visit import Visit

__all__ = ["PAGES"]

_MASK = "set (hidden)"


async def index(visit: Visit) -> Answer:
    """The operator's, for whoever has the default project; others share his process, and are told what is there."""
    house = visit.house
    operator = visit.project_id == house.directory.default_project
    plugins = [{"name": name, "hooks": house.plugins.hooks_of(name)} for name in house.plugins.names]
    facts = {
        "plugins": plugins,
        "names": house.names,
        "settings": _settings(house.settings) if operator else [],
        "handlers": sorted(house.handlers) if operator else [],
        "facts": {
            "riverflow": metadata.version("riverflow"),
            "Python": platform.python_version(),
            "Project": visit.project_id,
            "Store": type(house.store).__name__,
        },
    }
    return Page("settings.html", facts)


def _settings(settings: Settings) -> list[dict[str, Any]]:
    """Each setting as it came out of keyword, environment, file and default."""
    masked = settings.secret_names - {"database_url"}  # of which a part is open
    shown = [
        {
            "name": field.name,
            "value": _shown(getattr(settings, field.name), field.name in masked),
            "default": getattr(settings, field.name) == _default(field),
            "variable": None if field.name == "plugins" else f"RIVERFLOW_{field.name.upper()}",
        }
        for field in msgspec.structs.fields(settings)
    ]
    return sorted(shown, key=lambda each: each["default"])  # what was set comes first


def _shown(value: Any, secret: bool) -> str:
    if value is None or value == "" or value == {} or value == ():
        return "–"
    if secret:
        return ", ".join(value) if isinstance(value, Mapping) else _MASK
    if isinstance(value, float):
        return f"{value:.10g}"
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(open_part(value))


def _default(field: Any) -> Any:
    return field.default if field.default is not msgspec.NODEFAULT else field.default_factory()


PAGES = (PageRoute("GET", "settings", index),)
