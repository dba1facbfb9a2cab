"""The log of a run as sentences: what each entry means, and what there is to look at in it.

A kind of entry that is not known here is shown by its own name; nothing is left out.
"""

from __future__ import annotations

from typing import Any

import msgspec

from .. import codec
from .._queries import RequestDetail
from ..errors import InvalidRequest
from ._format import duration
from ._lanes import place_of

__all__ = ["Told", "story_of"]

_SECTIONS = (("request_headers", "Request headers"), ("response_headers", "Response headers"), ("response", "Response"))

_OUTCOMES = {
    "delivered": "Delivered to",
    "retrying": "Failed, will retry:",
    "dead": "Failed for good:",
    "expired": "Expired:",
}


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """One entry: when, how it went (icon and tone), in words, and its data. `sections` are parts of the data that are
    worth a heading of their own."""

    number: int
    at: float
    kind: str
    public: bool
    icon: str
    tone: str
    title: str
    detail: str
    data: str
    sections: tuple[tuple[str, Any], ...] = ()


def story_of(detail: RequestDetail) -> tuple[Told, ...]:
    """All entries that were read, in order."""
    sent = {each.number: each.request_headers for owed in detail.deliveries for each in owed.attempts}
    return tuple(_told(entry, sent.get(entry.number)) for entry in detail.entries)


def _told(entry: Any, sent: dict[str, str] | None) -> Told:
    data = _decoded(entry.data.text) if entry.data.whole else {}
    icon, tone, title, detail = _words(entry, data)
    parts = data | {"request_headers": sent}
    sections = tuple((name, parts[key]) for key, name in _SECTIONS if parts.get(key))
    return Told(
        number=entry.number,
        at=entry.at,
        kind=entry.kind,
        public=entry.public,
        icon=icon,
        tone=tone,
        title=title,
        detail=detail,
        data=entry.data.text,
        sections=sections,
    )


def _decoded(text: str) -> dict[str, Any]:
    try:
        data = codec.decode(text.encode())
    except InvalidRequest:
        return {}
    return data if isinstance(data, dict) else {}


def _words(entry: Any, data: dict[str, Any]) -> tuple[str, str, str, str]:
    stage = entry.stage or ""
    if entry.kind == "delivery.attempted":
        return _attempted(entry, data)
    if entry.kind == "stage.failed":
        return "bad", "bad", f"{stage} failed", f"{data.get('code', '')}: {data.get('message', '')}".strip(": ")
    if entry.kind == "callback.received":
        good = data.get("form") == "success"
        said = "success" if good else f"error: {data.get('code') or data.get('message') or ''}"
        via = data.get("via", "callback")
        return "inbound", "ok" if good else "bad", f"{stage} was answered", f"{said}, by {via}"
    if entry.kind == "approval.decided":
        return _ruled(stage, data.get("ruling") or {})
    if entry.kind == "stage.completed":
        return "check", "ok", f"{stage} finished", "" if (entry.attempt or 1) == 1 else f"attempt {entry.attempt}"
    place, type, said = place_of(str(data.get("url", ""))), str(data.get("type", "")), str(data.get("message") or "")
    known = {
        "run.accepted": ("check", "idle", "Accepted", ""),
        "run.ai_generated": ("broadcast", "think", "AI response pushed to the client", "ai_generated"),
        "run.completed": ("broadcast", "ok", "Result pushed to the client", str(data.get("status", ""))),
        "run.failed": ("broadcast", "bad", "Failure pushed to the client", str(data.get("message", ""))),
        "callback.timed_out": (
            "wait",
            "bad",
            f"{stage} timed out waiting for its callback",
            f"due by {data.get('deadline_at', '')}",
        ),
        "stage.retrying": (
            *("again", "wait", f"{stage} raised an error; retrying"),
            f"{data.get('error', '')} · next attempt at {data.get('next_attempt_at', '')}",
        ),
        "stage.interrupted": ("again", "idle", f"{stage} was interrupted", str(data.get("message", ""))),
        "stage.progress": ("wait", "wait", said or f"Progress from {stage}", _progress(stage, data)),
        "callback.extended": ("wait", "wait", f"{stage} got more time", f"until {data.get('deadline_at', '')}"),
        "delivery.replayed": ("again", "wait", f"Delivery to {place} replayed", type),
        "delivery.exhausted": ("bad", "bad", f"Delivery to {place} exhausted its retries", type),
        "endpoint.disabled": ("warn", "bad", "Endpoint disabled", str(data.get("reason") or "")),
        "approval.requested": (
            "approvals",
            "wait",
            f"{stage} is awaiting approval",
            f"due by {data.get('deadline_at', '')}",
        ),
        "approval.expired": (
            "wait",
            "bad",
            f"Approval of {stage} expired",
            f"default: {data.get('action', '')}",
        ),
        "stage.unattended": ("warn", "wait", f"No receiver for {stage}", str(data.get("message", ""))),
    }
    return known.get(entry.kind, ("idle", "idle", entry.kind, stage))


def _progress(stage: str, data: dict[str, Any]) -> str:
    percent = data.get("percent")
    return f"{stage}, {percent:g} %" if isinstance(percent, int | float) else stage


def _ruled(stage: str, ruling: dict[str, Any]) -> tuple[str, str, str, str]:
    good = ruling.get("decision") == "approve"
    changed = f"changed {', '.join(ruling['changed'])}" if ruling.get("changed") else ""
    said = " · ".join(filter(None, (f"through {ruling.get('way', '')}", changed, ruling.get("reason"))))
    title = f"{stage} was {'approved' if good else 'rejected'} by {ruling.get('by', '')}"
    return "approvals", "ok" if good else "bad", title, said


def _attempted(entry: Any, data: dict[str, Any]) -> tuple[str, str, str, str]:
    place, outcome = place_of(str(data.get("url", ""))), data.get("outcome", "")
    icon, tone = {
        "delivered": ("ok", "ok"),
        "retrying": ("again", "wait"),
        "dead": ("bad", "bad"),
        "expired": ("gone", "idle"),
    }.get(outcome, ("idle", "idle"))
    took = duration((data.get("duration_ms") or 0) / 1000)
    answer = data.get("status") or data.get("error") or outcome
    title = f"{_OUTCOMES.get(outcome, outcome)} {place}"
    message = data.get("message")
    detail = f"{data.get('type', '')} · attempt {entry.attempt or 1} · {answer} after {took}"
    return icon, tone, title, f"{detail} · {message}" if message else detail
