"""Pages from templates: Jinja with escaping on, loaded when the first page is asked for.

Jinja is an extra; where it is not installed, that is said. This module knows no page by name.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from . import _format
from ._charts import bars, lines, spark
from ._icons import icon
from ._markup import json_text, json_view

if TYPE_CHECKING:
    from jinja2 import Environment

__all__ = ["MISSING", "Templates"]

_UNDER_ALL = ("base.html", "outside.html", "parts.html", "plan.html", "gantt.html")  # what other templates stand on

MISSING = "The console needs Jinja2, which is not installed: pip install 'riverflow[console]'"


class Templates:
    """The templates of one console. `shared` is what every page may use beside its own facts."""

    def __init__(self, shared: Mapping[str, Any]) -> None:
        self._shared = shared
        self._environment: Environment | None = None
        self._compiled: set[str] = set()

    async def ready(self) -> bool:
        """False where Jinja is not installed."""
        if self._environment is None:
            self._environment = await asyncio.to_thread(_load, self._shared)
        return self._environment is not None

    async def render(self, name: str, facts: Mapping[str, Any]) -> str:
        """A page; `ready` came first. A template is compiled in a thread when it is first asked for: that takes up to
        200 ms, for which no run should wait."""
        assert self._environment is not None
        if name not in self._compiled:
            await asyncio.to_thread(_compile, self._environment, name)
            self._compiled.add(name)
        return self._environment.get_template(name).render(facts)


def _compile(environment: Environment, name: str) -> None:
    for each in (*_UNDER_ALL, name):
        environment.get_template(each)


def _load(shared: Mapping[str, Any]) -> Environment | None:
    try:
        from jinja2 import Environment, PackageLoader, StrictUndefined
    except ImportError:
        return None
    environment = Environment(
        loader=PackageLoader("riverflow.console"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    filters: dict[str, Callable[..., Any]] = {name: getattr(_format, name) for name in _format.__all__}
    environment.filters.update(filters, json_view=json_view, json_text=json_text)
    environment.globals.update(shared, icon=icon, bars=bars, lines=lines, spark=spark)
    return environment
