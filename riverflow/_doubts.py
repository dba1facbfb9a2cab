"""What may keep an accepted run from succeeding: it is said to the caller, beside his channel id.

Pure: plan, routing, settings and project in, sentences out; it decides nothing but what must not be tried at all.
"""

from __future__ import annotations

from ._moves import Routing
from .config import Settings
from .errors import Unprocessable
from .models import Plan, Project, Target, is_local

__all__ = ["doubts"]


def doubts(plan: Plan, routing: Routing, settings: Settings, project: Project) -> list[str]:
    """The warnings of an answer. Raises Unprocessable for what must not be tried."""
    if plan.simulated:
        return []
    type = "task.completed" if plan.event_name is None else "task.ai_generated"
    targets = routing.targets(plan, type, plan.event_name)
    found = []
    if plan.event_name is not None and not targets:
        found.append(
            f"no handler and no enabled webhook endpoint takes {plan.event_name!r}: unless a callback comes, the "
            f"run fails {plan.callback_timeout:g} seconds after the AI has answered"
        )
    if plan.event_name is not None and not plan.base_url and _remote(targets):
        if not settings.development:
            raise Unprocessable(
                "set public_url (RIVERFLOW_PUBLIC_URL) first: a backend is told to call back there",
                code="public_url_required",
            )
        found.append("public_url is not set: the backend is told a callback URL without a host")
    secret = settings.webhook_secret or project.issued_at is not None
    if plan.webhook_url is not None and not secret and any(each.endpoint_id is None for each in _remote(targets)):
        found.append(
            "webhook_url is not a registered endpoint, no webhook_secret is set and the project was issued none: the "
            "receiver cannot verify the signature"
        )
    return found


def _remote(targets: tuple[Target, ...]) -> list[Target]:
    return [target for target in targets if not is_local(target.url)]
