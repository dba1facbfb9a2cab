"""One plugin manager per app: built-ins, then installed plugins by name, then those given explicitly.

Plugins are asked while the app is built; each answer is kept with the name of who gave it. A name supplied twice is an
error that names both; nothing here runs a plugin's objects.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib import import_module, metadata
from typing import Any

import pluggy

from . import hookspecs
from .errors import PluginError
from .models import Entry

__all__ = ["BUILT_IN", "GROUP", "Plugins"]

logger = logging.getLogger("riverflow.plugins")

GROUP = "riverflow"

BUILT_IN = (
    "approval",
    "asgi",
    "echo",
    "generate",
    "handlers",
    "openai_compatible",
    "phoenix",
    "signing",
    "sqlite",
    "sse",
    "timeline",
    "webhook",
)

_ELSEWHERE = {
    "postgresql": "riverflow-postgres",
    "postgres": "riverflow-postgres",
    "redis": "riverflow-redis",
    "nats": "riverflow-nats",
    "anthropic": "riverflow-anthropic",
}


class Plugins:
    """The plugins of one app. `explicit` are modules or objects with hook implementations; `discover` also loads what
    is installed under the entry-point group `riverflow`.

    Raises PluginError where one fails to load, is registered twice, or implements a hook that does not exist.
    """

    def __init__(self, explicit: Iterable[object] = (), *, discover: bool = True) -> None:
        self._manager = pluggy.PluginManager("riverflow")
        self._manager.add_hookspecs(hookspecs)
        for name in BUILT_IN:
            self._register(import_module(f".builtin.{name}", __package__), f"riverflow.{name}")
        if discover:
            self._load_installed()
        for plugin in explicit:
            if isinstance(plugin, str):
                raise PluginError(f"plugins are modules or objects with hook implementations, not the text {plugin!r}")
            self._register(plugin, getattr(plugin, "__name__", None) or type(plugin).__qualname__)
        try:
            self._manager.check_pending()
        except pluggy.PluginValidationError as error:
            raise PluginError(str(error)) from error

    @property
    def names(self) -> tuple[str, ...]:
        """Who is loaded, in order."""
        return tuple(name for name, _ in self._manager.list_name_plugin())

    def hooks_of(self, name: str) -> tuple[str, ...]:
        """The hooks a plugin implements."""
        callers = self._manager.get_hookcallers(self._manager.get_plugin(name))
        return tuple(sorted(caller.name for caller in callers or ()))

    def supplied(self, hook: str) -> dict[str, Callable[..., Any]]:
        """Name → factory, merged over all plugins. Raises PluginError where two give the same name."""
        found: dict[str, Callable[..., Any]] = {}
        givers: dict[str, str] = {}
        for giver, offer in self._answers(hook):
            if not isinstance(offer, Mapping):
                raise PluginError(f"plugin {giver!r}: {hook} returns a mapping of name to factory, not {offer!r}")
            for name, factory in offer.items():
                if name in found:
                    raise PluginError(f"{hook}: {name!r} is supplied by both {givers[name]!r} and {giver!r}")
                found[name], givers[name] = factory, giver
        return found

    def chosen(self, hook: str, name: str) -> Callable[..., Any]:
        """One factory by name. Raises PluginError that lists what is installed and what to install."""
        offers = self.supplied(hook)
        if name not in offers:
            what = hook.removeprefix("riverflow_").rstrip("s")
            cure = f"; install {_ELSEWHERE[name]}" if name in _ELSEWHERE else ""
            raise PluginError(f"no {what} {name!r}; installed are {', '.join(sorted(offers))}{cure}")
        return offers[name]

    def listed(self, hook: str) -> list[Any]:
        """All answers of a hook that returns sequences, flattened in order of registration."""
        return [item for _, offer in self._answers(hook) for item in offer]

    def each(self, hook: str) -> list[Any]:
        """All answers of a hook that returns one thing each."""
        return [offer for _, offer in self._answers(hook)]

    def first(self, hook: str) -> Any:
        """The answer of a first-result hook, or None. The plugin registered last is asked first."""
        return getattr(self._manager.hook, hook)()

    def observer(self) -> Callable[[str, Sequence[Entry]], None] | None:
        """Tells every `riverflow_entry` implementation of entries; None where there is none, so it costs nothing.
        One that fails is logged by name and does not keep the others from hearing."""
        watchers = self._implementations("riverflow_entry")
        if not watchers:
            return None

        def observe(run_id: str, entries: Sequence[Entry]) -> None:
            for entry in entries:
                told = {"run_id": run_id, "entry": entry}
                for watcher in watchers:
                    try:
                        watcher.function(*(told[name] for name in watcher.argnames))
                    except Exception:
                        logger.exception("plugin %r: riverflow_entry failed", watcher.plugin_name)

        return observe

    def _answers(self, hook: str) -> Iterable[tuple[str, Any]]:
        for impl in self._implementations(hook):
            try:
                offer = impl.function()
            except Exception as error:
                raise PluginError(f"plugin {impl.plugin_name!r}: {hook} failed: {error}") from error
            if offer is not None:
                yield impl.plugin_name, offer

    def _implementations(self, hook: str) -> list[pluggy.HookImpl]:
        return list(getattr(self._manager.hook, hook).get_hookimpls())

    def _load_installed(self) -> None:
        """Entry points by name; pluggy's own loader walks every distribution and skips a clash without a word."""
        for point in sorted(metadata.entry_points(group=GROUP), key=lambda point: point.name):
            try:
                plugin = point.load()
            except Exception as error:
                raise PluginError(f"plugin {point.name!r} ({point.value}) failed to load: {error}") from error
            self._register(plugin, point.name)

    def _register(self, plugin: object, name: str) -> None:
        try:
            self._manager.register(plugin, name=name)
        except ValueError as error:
            raise PluginError(f"plugin {name!r} is registered twice: {error}") from error
        except pluggy.PluginValidationError as error:
            raise PluginError(f"plugin {name!r}: {error}") from error
