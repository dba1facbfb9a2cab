"""The verbs of approvals: find what waits for a person, look at one, decide it, and make a link to it.

A decision goes the way of every answer to a waiting stage. No rule of a run is made here, and nobody's rights are
judged.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Annotated, Literal

import msgspec

from . import _links, codec
from ._directory import Directory
from ._edits import changes, check_edit
from ._holds import already_decided, changed, digest_of, held, id_of, not_held
from ._machine import Answered, Repeated
from ._runner import Runner
from .errors import Expired, InvalidRequest, NotFound, Unprocessable
from .models import Completed, Failed, Json, MaybeJson, Record, Ruling, RunFilter, canonical_id
from .pipeline import APPROVAL, Stage
from .ports import Clock, RunLog, RunPage

__all__ = ["MAX_NAME", "MAX_REASON", "Approval", "Approvals", "Decided", "Decision", "Linked"]

MAX_REASON = 2000
MAX_NAME = 200
"""Characters of whom a link is for: a link has to be short enough to be one."""

_PREFIX = "apr_"
_OVERDUE = ("rejected", "approval_timeout")  # how a run ends on which nobody has decided

State = Literal["pending", "approved", "rejected", "expired", "ended"]
Way = Literal["api", "console", "link"]


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody says about an approval. `data` goes in the place of what is held; `sha256` is of what he has looked
    at, so that nobody approves what he has not seen."""

    decision: Literal["approve", "reject"]
    data: MaybeJson = None
    reason: Annotated[str, msgspec.Meta(max_length=MAX_REASON)] | None = None
    sha256: Annotated[str, msgspec.Meta(max_length=64)] | None = None


class Approval(msgspec.Struct, frozen=True, kw_only=True):
    """One approval as it stands. `data` is what is decided on, `result` what it became where it was approved;
    `requested_at` and `deadline_at` (Unix seconds) are there while it waits."""

    id: str
    record: Record
    stage: Stage
    state: State
    data: Json
    sha256: str
    requested_at: float | None
    deadline_at: float | None
    result: Json | None
    ruling: Ruling | None


class Decided(msgspec.Struct, frozen=True, kw_only=True):
    """A decision that counts: the approval after it, and whether it was `repeated`, having been made before."""

    approval: Approval
    ruling: Ruling
    repeated: bool


class Linked(msgspec.Struct, frozen=True, kw_only=True):
    """An approval that a link leads to, and whom the link was made for (empty: whoever has it)."""

    approval: Approval
    name: str


class Approvals:
    """The approvals of one store."""

    def __init__(self, log: RunLog, runner: Runner, directory: Directory, clock: Clock) -> None:
        self._log = log
        self._runner = runner
        self._directory = directory
        self._clock = clock

    async def pending(
        self,
        project_id: str,
        *,
        workflow: str | None = None,
        starting_after: str | None = None,
        ending_before: str | None = None,
        limit: int = 50,
    ) -> RunPage:
        """The runs that wait for a person, newest first: those older than the approval `starting_after`, or the nearest
        of those newer than `ending_before`. Raises InvalidRequest for two cursors, or one that is no approval's id."""
        wanted = RunFilter(approval=True, workflow=workflow)
        if starting_after and ending_before:
            raise _wrong("ending_before", "give starting_after or ending_before, not both")
        before = _cursor("starting_after", starting_after)
        after = _cursor("ending_before", ending_before)
        return await self._log.runs(project_id, wanted, before=before, after=after, limit=limit)

    async def count(self, project_id: str) -> int:
        """How many wait."""
        return (await self._log.standing(project_id)).approvals

    async def one(self, project_id: str, approval_id: str) -> Approval:
        """Raises NotFound."""
        run_id, stage = _place(approval_id)
        record = await self._runner.load(project_id, run_id)
        if record is None:
            raise _unknown(approval_id)
        return _approval(record, stage, approval_id)

    async def decide(self, project_id: str, approval_id: str, said: Decision, *, by: str, way: Way) -> Decided:
        """Approve, approve something else, or reject. Raises NotFound, Unprocessable (an edit that will not do, a
        rejection without a reason), Conflict (somebody was first, or what is held is not what he has seen) and Expired.
        The same decision again is answered like the first."""
        approval = await self.one(project_id, approval_id)
        if approval.state == "pending" and said.sha256 not in (None, approval.sha256):
            raise changed()
        edit = _edit(approval, said)
        reason = (said.reason or "").strip() or None
        if said.decision == "reject" and reason is None:
            raise Unprocessable(
                "say why it is rejected: the run ends with it", code="reason_required", extra={"param": "reason"}
            )
        rejected = said.decision == "reject"
        ruling = Ruling(
            decision=said.decision,
            by=by,
            way=way,
            at=self._clock.now(),
            sha256=approval.sha256,
            changed=tuple(change.pointer for change in changes(approval.data, edit)) if edit is not None else (),
            reason=reason,
        )
        outcome: Completed | Failed = Completed(data=edit if edit is not None else approval.data)
        if rejected:
            details = Json(codec.splice(stage=approval.stage.name))
            outcome = Failed(code="rejected", message=reason or "", details=details)
        digest = sha256(codec.encode((said.decision, edit, reason if rejected else None))).hexdigest()
        answered = Answered(approval.stage.name, outcome, digest, via="approval", ruling=ruling)
        taken = await self._runner.answer(project_id, approval.record.run.id, answered)
        if isinstance(taken, Repeated):
            again = await self.one(project_id, approval_id)
            return Decided(approval=again, ruling=taken.receipt.ruling or ruling, repeated=True)
        after = _approval(taken.record, approval.stage.name, approval_id)
        return Decided(approval=after, ruling=ruling, repeated=False)

    # Links

    async def link(self, project_id: str, approval_id: str, base_url: str, name: str = "") -> tuple[str, Approval]:
        """The address of a page on which one person (`name`, for the log) decides without an API key, once. Raises
        NotFound, Unprocessable (a name that is too long, or nobody knows what it would be reached by) and what else a
        decision raises."""
        approval = await self.one(project_id, approval_id)
        record, deadline = approval.record, approval.deadline_at
        if approval.ruling is not None:
            raise already_decided(approval.ruling)
        if approval.state != "pending" or deadline is None:
            raise not_held(record, approval.stage)
        if len(name) > MAX_NAME:
            raise Unprocessable(f"a name has at most {MAX_NAME} characters", extra={"param": "name"})
        base = record.plan.base_url or base_url
        if not base:
            raise Unprocessable("set public_url (RIVERFLOW_PUBLIC_URL) first", code="public_url_required")
        link = _links.mint(
            await self._directory.known_project(project_id),
            record.run.id,
            approval.stage.name,
            begun=record.begun,
            sha256=approval.sha256,
            expires_at=deadline,
            name=name,
        )
        return f"{base}/approve/{link}", approval

    async def follow(self, link: str) -> Linked:
        """The approval that a link leads to. Raises NotFound for a link that is none, Expired, and Conflict where what
        is held is not what the link was made for."""
        claims, signed = _links.read(link)
        try:
            project = await self._directory.known_project(claims.project_id)
        except NotFound:
            raise _links.unknown() from None
        if not signed.by(project):
            raise _links.unknown()
        approval = await self.one(project.id, id_of(claims.run_id, claims.stage))
        if approval.state == "pending":
            if self._clock.now() >= claims.expires_at:
                raise Expired("this link has expired", code="link_expired")
            if (claims.begun, claims.sha256) != (approval.record.begun, approval.sha256):
                raise changed()
        return Linked(approval=approval, name=claims.name)

    async def decide_by_link(self, link: str, said: Decision) -> Decided:
        """Decide as whom the link was made for. Raises as `follow` and `decide` do."""
        linked = await self.follow(link)
        claims, _ = _links.read(link)
        said = msgspec.structs.replace(said, sha256=claims.sha256)
        by = linked.name or "whoever has the link"
        return await self.decide(claims.project_id, linked.approval.id, said, by=by, way="link")


def _edit(approval: Approval, said: Decision) -> Json | None:
    """What is approved in the place of what is held; None where nothing is changed."""
    if said.decision == "reject" or said.data is None:
        return None
    edit = codec.canonical(bytes(said.data))
    if bytes(edit) == bytes(approval.data):
        return None
    if approval.state == "pending":
        check_edit(approval.data, edit, approval.record.plan.schema)
    return edit


def _approval(record: Record, name: str, approval_id: str) -> Approval:
    if name not in record.plan.pipeline or record.plan.pipeline[name].kind != APPROVAL:
        raise _unknown(approval_id)
    stage = record.plan.pipeline[name]
    output = next((output for output in record.outputs if output.stage == name), None)
    ruling = next((receipt.ruling for receipt in record.receipts if receipt.stage == name), None)
    run = record.run
    pending = run.phase == "waiting" and run.stage == name
    if not pending and ruling is None and output is None and not (run.phase == "done" and run.stage == name):
        raise _unknown(approval_id)  # the run has not come so far, or never will
    data = held(record, name)
    return Approval(
        id=id_of(run.id, name),
        record=record,
        stage=stage,
        state=_state(record, pending, ruling, passed=output is not None),
        data=data,
        sha256=digest_of(data),
        requested_at=run.summary.approval if pending else None,
        deadline_at=run.deadline_at if pending else None,
        result=output.data if output is not None else None,
        ruling=ruling,
    )


def _state(record: Record, pending: bool, ruling: Ruling | None, *, passed: bool) -> State:
    """`passed`: the run has come to its next stage. What ended for another reason than its deadline has not expired."""
    if pending:
        return "pending"
    if ruling is not None:
        return "approved" if ruling.decision == "approve" else "rejected"
    return "expired" if passed or record.run.summary.error in _OVERDUE else "ended"


def _place(approval_id: str) -> tuple[str, str]:
    """The run and the stage in an approval's id. Raises NotFound."""
    hexadecimal, _, stage = approval_id.removeprefix(_PREFIX).partition("_")
    run_id = canonical_id(hexadecimal)
    if not approval_id.startswith(_PREFIX) or run_id is None or not stage:
        raise _unknown(approval_id)
    return run_id, stage


def _cursor(name: str, text: str | None) -> str | None:
    """The run of an approval's id. Raises InvalidRequest."""
    try:
        return _place(text)[0] if text else None
    except NotFound:
        raise _wrong(name, f"{name}: {text!r} is not an approval's id") from None


def _wrong(param: str, message: str) -> InvalidRequest:
    return InvalidRequest(message, code="invalid_parameter", extra={"param": param})


def _unknown(approval_id: str) -> NotFound:
    return NotFound(f"no approval {approval_id[:120]!r} in this project", code="approval_not_found")
