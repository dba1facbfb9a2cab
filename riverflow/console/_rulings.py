"""What the pages of an approval have in common: what they show of it, and how a form becomes a decision.

It asks nothing and decides nothing.
"""

from __future__ import annotations

from typing import Any

import msgspec

from .. import codec
from .._approvals import MAX_REASON, Approval, Decision
from .._edits import Change, changes
from ..errors import InvalidRequest, RequestError
from ..models import Json
from ._editing import Problem, problem_of
from ._markup import json_text
from ._visit import Visit

__all__ = ["customer_of", "decision_of", "facts_of"]

_MEANINGS = {
    "reject": "it is auto-rejected",
    "approve": "it is auto-approved",
    "fail": "the request fails",
}


class _Shown(msgspec.Struct, frozen=True):
    """A change as two texts; None where there is nothing."""

    pointer: str
    before: str | None
    after: str | None


def facts_of(approval: Approval, error: RequestError | None = None, typed: Visit | None = None) -> dict[str, Any]:
    """What a template is told. `typed` is the form that `error` is about: nobody types twice."""
    record = approval.record
    generated = record.generated
    since = changes(generated.data, approval.data) if generated is not None else ()
    result = changes(approval.data, approval.result) if approval.result is not None else ()
    violations = error.extra.get("violations", ()) if error is not None else ()
    return {
        "approval": approval,
        "run": record.run,
        "customer": customer_of(record.plan.customer_data),
        "then": _MEANINGS[approval.stage.on_timeout or "reject"],
        "since": [_shown(change) for change in since],
        "result": [_shown(change) for change in result],
        "ai": generated.data if generated is not None and since else None,
        "schema": record.plan.schema,
        "text": typed.field("data") if typed is not None and typed.field("data") else json_text(approval.data),
        "reason": typed.field("reason") if typed is not None else "",
        "max_reason": MAX_REASON,
        "violations": violations,
        "problem": _problem(error) if error is not None else None,
    }


def decision_of(visit: Visit) -> Decision:
    """What a form says. Raises InvalidRequest that names the field."""
    word = visit.field("decision")
    if word not in ("approve", "reject"):
        raise InvalidRequest("approve or reject", extra={"param": "decision"})
    reason = visit.field("reason")
    if len(reason) > MAX_REASON:
        raise InvalidRequest(f"a reason has at most {MAX_REASON} characters", extra={"param": "reason"})
    sha256 = visit.field("sha256") or None
    if word == "reject":
        return Decision(decision="reject", reason=reason, sha256=sha256)
    return Decision(decision="approve", data=_data(visit), reason=reason or None, sha256=sha256)


def customer_of(customer_data: Json) -> dict[str, Any]:
    """Customer data by member."""
    members = codec.decode(customer_data)
    return members if isinstance(members, dict) else {}


def _data(visit: Visit) -> Json | None:
    text = visit.field("data")
    if not text:
        return None
    try:
        return codec.canonical(text.encode())
    except RequestError as error:
        raise InvalidRequest(f"This is not JSON: {error.message}", extra={"param": "data"}) from None


def _problem(error: RequestError) -> Problem:
    if error.extra.get("violations"):
        return Problem("The changed data will not do; see below.", "data")
    return problem_of(error)


def _shown(change: Change) -> _Shown:
    return _Shown(change.pointer or "/", _text(change.before), _text(change.after))


def _text(value: Any) -> str | None:
    return None if value is msgspec.UNSET else json_text(codec.encode(value))
