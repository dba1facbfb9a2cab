"""`/v1/approvals`: what waits for a person, and his decision."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from .. import _payloads, codec
from .._approvals import MAX_NAME, MAX_REASON, Approval, Decision
from .._holds import id_of
from ..errors import InvalidRequest
from ..models import APPROVE, MaybeJson, Ruling, Run
from ._door import Call, Reply, Route, body_as

__all__ = ["ROUTES"]

MAX_LIMIT = 100
State = Literal["pending", "approved", "rejected", "expired", "ended"]
Name = Annotated[str, msgspec.Meta(max_length=MAX_NAME)]
Digest = Annotated[str, msgspec.Meta(max_length=64, description="SHA-256 (hex) of what was looked at.")]


class RulingShown(msgspec.Struct, kw_only=True):
    """A decision: who made it, by which way, when (ISO 8601, UTC), on what (SHA-256), and which places he changed (JSON
    pointers)."""

    decision: Literal["approve", "reject"]
    by: str
    way: Literal["api", "console", "link"]
    at: str
    sha256: str
    changed: list[str]
    reason: str | None


class ApprovalItem(msgspec.Struct, kw_only=True):
    """A run that waits for a person. Times are ISO 8601 in UTC."""

    id: str
    channel_id: str
    workflow: str
    stage: str
    event: str | None
    state: State
    requested_at: str | None
    deadline_at: str | None
    customer_data: Any


class ApprovalDetail(ApprovalItem, kw_only=True):
    """One approval. `data` is what is decided on, with its SHA-256; `ai_response` what the AI had said, `result` what
    was approved. `json_schema` is what an edit must satisfy, if anything; `on_timeout` what counts where nobody
    decides."""

    on_timeout: Literal["reject", "approve", "fail"]
    sha256: str
    data: Any
    ai_response: Any
    json_schema: Any
    result: Any
    ruling: RulingShown | None


class ApprovalList(msgspec.Struct, kw_only=True):
    """Newest first; the id of the last (first) is the next page's `starting_after` (`ending_before`)."""

    data: list[ApprovalItem]
    has_more: bool


class ApprovalsAsked(msgspec.Struct, kw_only=True):
    """Which of those that wait."""

    workflow: str | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=MAX_LIMIT)] = 50
    starting_after: str | None = None
    ending_before: str | None = None


class DecisionRequest(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """`data` goes in the place of what is held, where it is given (for an approval); a rejection has a `reason`, which
    the browser is told. Where `sha256` is given and something else is held, nothing is decided (409)."""

    decision: Literal["approve", "reject"]
    data: Any = msgspec.UNSET
    reason: Annotated[str, msgspec.Meta(max_length=MAX_REASON)] | None = None
    sha256: Digest | None = None


class DecisionResponse(msgspec.Struct, kw_only=True):
    """The decision that counts, and the run's state after it; the same decision again is answered alike."""

    message: str
    id: str
    channel_id: str
    stage: str
    status: str
    ruling: RulingShown


class LinkRequest(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Whom the link is for: that is who has decided, if it is used."""

    name: Name = ""


class LinkResponse(msgspec.Struct, kw_only=True):
    """A page on which whoever has its address may decide, once, until the approval expires. It is bound to what is held
    now."""

    url: str
    sha256: str
    expires_at: str


async def read_all(call: Call) -> Reply:
    asked = call.query()
    page = await call.engine.approvals.pending(
        call.project_id,
        workflow=asked.get("workflow") or None,
        starting_after=asked.get("starting_after") or None,
        ending_before=asked.get("ending_before") or None,
        limit=_limit(asked.get("limit")),
    )
    listed = ApprovalList(data=[ApprovalItem(**_of_run(run)) for run in page.runs], has_more=page.has_more)
    return Reply(codec.encode(listed))


async def read(call: Call) -> Reply:
    approval = await call.engine.approvals.one(call.project_id, call.param("approval_id"))
    return Reply(codec.encode(detail_of(approval)))


async def decide(call: Call) -> Reply:
    asked: DecisionRequest = body_as(call, DecisionRequest, "decision")
    parts = _parts.decode(codec.canonical(call.body))
    said = Decision(decision=asked.decision, data=parts.data, reason=asked.reason, sha256=asked.sha256)
    decided = await call.engine.approvals.decide(
        call.project_id, call.param("approval_id"), said, by=call.identity.subject, way="api"
    )
    run = decided.approval.record.run
    response = DecisionResponse(
        message="success",
        id=decided.approval.id,
        channel_id=run.id,
        stage=decided.approval.stage.name,
        status=run.status,
        ruling=_ruling(decided.ruling),
    )
    return Reply(codec.encode(response))


async def link(call: Call) -> Reply:
    asked: LinkRequest = body_as(call, LinkRequest, "link", optional=True)
    url, approval = await call.engine.approvals.link(
        call.project_id, call.param("approval_id"), call.public_url, asked.name.strip()
    )
    expires_at = _payloads.iso(approval.deadline_at or 0.0)
    return Reply(codec.encode(LinkResponse(url=url, sha256=approval.sha256, expires_at=expires_at)), 201)


class _Parts(msgspec.Struct):
    data: MaybeJson = None


_parts = msgspec.json.Decoder(_Parts)


def detail_of(approval: Approval) -> ApprovalDetail:
    """An approval with all that a person needs to decide it."""
    record = approval.record
    generated = record.generated
    ends = {"requested_at": approval.requested_at, "deadline_at": approval.deadline_at}
    return ApprovalDetail(
        **_of_run(record.run)
        | {name: None if at is None else _payloads.iso(at) for name, at in ends.items()}
        | {"id": approval.id, "stage": approval.stage.name, "state": approval.state},
        on_timeout=approval.stage.on_timeout or "reject",
        sha256=approval.sha256,
        data=approval.data,
        ai_response=generated.data if generated is not None else None,
        json_schema=record.plan.schema,
        result=approval.result,
        ruling=_ruling(approval.ruling) if approval.ruling is not None else None,
    )


def _of_run(run: Run) -> dict[str, Any]:
    summary = run.summary
    return {
        "id": id_of(run.id, run.stage),
        "channel_id": run.id,
        "workflow": run.workflow,
        "stage": run.stage,
        "event": run.event_name,
        "state": "pending",
        "requested_at": _payloads.iso(summary.approval) if summary.approval is not None else None,
        "deadline_at": _payloads.iso(run.deadline_at) if run.deadline_at is not None else None,
        "customer_data": summary.customer,
    }


def _ruling(ruling: Ruling) -> RulingShown:
    return RulingShown(
        decision=ruling.decision,
        by=ruling.by,
        way=ruling.way,
        at=_payloads.iso(ruling.at),
        sha256=ruling.sha256,
        changed=list(ruling.changed),
        reason=ruling.reason,
    )


def _limit(text: str | None) -> int:
    if not text:
        return 50
    if not (text.isascii() and text.isdigit() and len(text) < 5 and 1 <= int(text) <= MAX_LIMIT):
        raise InvalidRequest(
            f"limit: give a number from 1 to {MAX_LIMIT}", code="invalid_parameter", extra={"param": "limit"}
        )
    return int(text)


ROUTES = (
    Route(
        method="GET",
        path="/v1/approvals",
        verb=read_all,
        scope=APPROVE,
        summary="Runs that wait for a person's decision, newest first.",
        query=ApprovalsAsked,
        gives=ApprovalList,
        errors=(400, 401, 403, 404),
    ),
    Route(
        method="GET",
        path="/v1/approvals/{approval_id}",
        verb=read,
        scope=APPROVE,
        summary="One approval: what is decided on, and what was decided.",
        gives=ApprovalDetail,
        errors=(401, 403, 404),
    ),
    Route(
        method="POST",
        path="/v1/approvals/{approval_id}",
        verb=decide,
        scope=APPROVE,
        summary="Approve (as it is, or edited) or reject.",
        takes=DecisionRequest,
        gives=DecisionResponse,
        errors=(400, 401, 403, 404, 409, 410, 413, 422),
    ),
    Route(
        method="POST",
        path="/v1/approvals/{approval_id}/link",
        verb=link,
        scope=APPROVE,
        summary="A signed link, for mail or chat, to decide one approval once.",
        takes=LinkRequest,
        gives=LinkResponse,
        status=201,
        errors=(400, 401, 403, 404, 409, 410, 413, 422),
    ),
)
