"""Who is told of what: the routing rules over a project's endpoints and a process's handlers.

Pure: it reads no store and sends nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec

from . import _callbacks, _links
from .models import Endpoint, Plan, Project, Target, local_url
from .ports import Handler

__all__ = ["WhoIsTold"]

REMEMBERED = 1000  # answers for one project


class WhoIsTold(msgspec.Struct, frozen=True):
    """The routing rules over one project's endpoints and this process's handlers (machine.Routing)."""

    endpoints: tuple[Endpoint, ...]
    handlers: Mapping[str, Handler]
    project: Project
    _known: dict[tuple[object, ...], tuple[Target, ...]] = msgspec.field(default_factory=dict)

    def targets(self, plan: Plan, type: str, event_name: str | None) -> tuple[Target, ...]:
        """Hand-off: a handler wins, else the request's own URL, else every endpoint whose filter takes the event.
        Completion: the handler for it and the endpoints; event-driven runs tell only endpoints that name it.
        Failure: the handler for it and the endpoints that name it. The request's own URL stands in for all of them.
        A run whose backend is simulated tells nobody."""
        if plan.simulated:
            return ()
        key = (type, event_name, plan.event_name is None, plan.webhook_url, len(self.handlers))
        known = self._known.get(key)
        if known is None:
            known = self._targets(plan, type, event_name)
            if len(self._known) < REMEMBERED:  # names and URLs come from requests
                self._known[key] = known
        return known

    def _targets(self, plan: Plan, type: str, event_name: str | None) -> tuple[Target, ...]:
        if type == "task.ai_generated":
            if event_name is not None and event_name in self.handlers:
                return (Target(url=local_url(event_name)),)
            return self._remote(plan, lambda e: _takes(e, type, event_name))
        local = (Target(url=local_url(type)),) if type in self.handlers else ()
        if type == "task.completed" and plan.event_name is None:
            return local + self._remote(plan, lambda e: _takes(e, type))
        candidates = [e for e in self.endpoints if plan.webhook_url in (None, e.url)]
        return local + tuple(_target(e) for e in candidates if e.enabled and _names(e, type))

    def operators(self, type: str) -> tuple[Target, ...]:
        """Who is told how riverflow itself fares (models.OPERATIONS): the handler for it and the endpoints that name
        it; `*` does not."""
        local = (Target(url=local_url(type)),) if type in self.handlers else ()
        return local + tuple(_target(e) for e in self.endpoints if e.enabled and type in e.events)

    def callback_token(self, run_id: str, stage: str | None) -> str:
        """What opens the callback URL of a stage (None: the plain one) without an API key."""
        return _callbacks.mint(self.project, run_id, stage)

    def approval_link(self, run_id: str, stage: str, begun: int, sha256: str, expires_at: float) -> str:
        """What lets somebody decide an approval without an API key."""
        return _links.mint(self.project, run_id, stage, begun=begun, sha256=sha256, expires_at=expires_at)

    def _remote(self, plan: Plan, takes: Callable[[Endpoint], bool]) -> tuple[Target, ...]:
        url = plan.webhook_url
        if url is not None:
            registered = [e for e in self.endpoints if e.url == url]
            return tuple(_target(e) for e in registered if e.enabled)[:1] if registered else (Target(url=url),)
        return tuple(_target(e) for e in self.endpoints if e.enabled and takes(e))


def _takes(endpoint: Endpoint, *names: str | None) -> bool:
    return not endpoint.events or _names(endpoint, *names)


def _names(endpoint: Endpoint, *names: str | None) -> bool:
    return "*" in endpoint.events or any(name in endpoint.events for name in names)


def _target(endpoint: Endpoint) -> Target:
    return Target(url=endpoint.url, endpoint_id=endpoint.id, encoding=endpoint.encoding, body=endpoint.body)
