"""The plan of a workflow as its pictures show it: the stages that a request would go through."""

from __future__ import annotations

from typing import Any

__all__ = ["stages_of"]


def stages_of(workflow: dict[str, Any]) -> list[dict[str, Any]]:
    """Name, kind and event of each stage of a workflow as the API answers it."""
    if workflow.get("pipeline") and isinstance(workflow["pipeline"], list):
        return [
            {"name": stage["name"], "kind": stage["kind"], "event_name": stage.get("event_name")}
            for stage in workflow["pipeline"]
        ]
    event = workflow["event_name"]
    enrich = [{"name": "enrich", "kind": "hand_off", "event_name": event}] if event else []
    ends = [{"name": name, "kind": name, "event_name": None} for name in ("generate", "finalise")]
    return [ends[0], *enrich, ends[1]]
