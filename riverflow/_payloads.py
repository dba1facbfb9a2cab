"""What riverflow says on every wire: the channel messages, the webhook bodies, the callback URL.

Pure: values in, canonical JSON bytes out. Field names and shapes are the contract's (the seed pages, and
the hosted service's client); which message is due is decided elsewhere.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import msgspec

from . import codec
from .models import Failed, Json, Output, Plan, Record, Target
from .pipeline import Stage

__all__ = [
    "account",
    "ai_generated",
    "callback_url",
    "completed",
    "failed",
    "hand_off",
    "iso",
    "state",
    "task_completed",
    "task_failed",
    "written",
]

_members = msgspec.json.Decoder(dict[str, msgspec.Raw])


class _Message(msgspec.Struct):
    content: str | None = None


class _Choice(msgspec.Struct):
    message: _Message | None = None


class _ChatCompletion(msgspec.Struct):
    choices: list[_Choice] = []


_chat_completion = msgspec.json.Decoder(_ChatCompletion)


@lru_cache(maxsize=256)  # one decision says the same time in several places
def iso(at: float) -> str:
    """Unix seconds as ISO 8601 in UTC with milliseconds and `Z`, as the seed pages show it."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")[:-6] + "Z"


def callback_url(plan: Plan, channel_id: str, stage: Stage) -> str:
    """Where a backend answers: the plain URL for the first hand-off, with the stage's name for every other stage that
    waits, so that no answer can be taken for another's."""
    url = f"{plan.base_url}/v1/callback/{channel_id}"
    hand_offs = plan.pipeline.hand_offs
    return url if hand_offs and hand_offs[0].name == stage.name else f"{url}/{stage.name}"


# Channel messages ---------------------------------------------------------------------------------------


def ai_generated(record: Record, event_name: str) -> Json:
    """The intermediate message. It carries no AI response: nothing ungated reaches the browser."""
    return Json(
        codec.splice(
            status="ai_generated",
            channel_id=record.run.id,
            event_name=event_name,
            message="The AI response is ready and being processed",
            customer_data=record.plan.customer_data,
            meta=_meta(record, "pending"),
        )
    )


def completed(record: Record) -> Json:
    """The final message of a run that went well: `success` for a standard run, `completed` after a hand-off."""
    if record.run.status == "success":
        return Json(
            codec.splice(
                status="success",
                message="success",
                channel_id=record.run.id,
                data=record.data,
                content=_content(record),
                model=_made_by(record).model,
                customer_data=record.plan.customer_data,
                meta=_meta(record, "success"),
            )
        )
    answer = _newest_answer(record)
    return Json(
        codec.splice(
            status="completed",
            message="success",
            channel_id=record.run.id,
            data=record.data,
            ai_response=_ai_response(record, with_meta=True),
            task_id=answer.task_id if answer else None,
            callback_metadata=answer.metadata if answer else None,
            event_name=record.run.event_name,
            customer_data=record.plan.customer_data,
            meta=_meta(record, "completed"),
        )
    )


def failed(record: Record, failure: Failed) -> Json:
    """The final message of a run that failed. `error` is an object with `message`, as the browser client reads it."""
    return Json(
        codec.splice(
            status="error",
            channel_id=record.run.id,
            message=failure.message,
            error=_error(failure),
            event_name=record.run.event_name,
            customer_data=record.plan.customer_data,
            meta=_meta(record, "error", failure.meta),
        )
    )


def state(record: Record, message: Json | None, latest: int) -> bytes:
    """The answer of `GET ai/{channel_id}`: the newest message, or `pending`, with the run's own dates."""
    run = record.run
    shown: dict[str, Any] = (
        dict(_members.decode(message))
        if message is not None
        else {"status": run.status, "channel_id": run.id, "customer_data": record.plan.customer_data}
    )
    shown |= {
        "workflow": run.workflow,
        "created_at": iso(run.created_at),
        "finished_at": iso(run.finished_at) if run.finished_at is not None else None,
        "latest": latest,
    }
    return codec.encode(shown)


# Webhook bodies -----------------------------------------------------------------------------------------


def hand_off(record: Record, stage: Stage, event_name: str, now: float) -> bytes:
    """`task.ai_generated`: told to the backend, which must call back. Hand-offs after the first also carry
    `stage` and the `data` of the stage before, which is what they work on."""
    later = len(record.outputs) > 1
    maker = _made_by(record)
    return codec.splice(
        type="task.ai_generated",
        event=event_name,
        channel_id=record.run.id,
        ai_response=_ai_response(record),
        callback_url=callback_url(record.plan, record.run.id, stage),
        callback_required=True,
        stage=stage.name if later else None,
        data=record.data if later else None,
        meta={
            "workflow_id": record.plan.workflow_id,
            "workflow_name": record.plan.workflow,
            "project_id": record.run.project_id,
            "provider": maker.provider,
            "model": maker.model,
        },
        customer_data=record.plan.customer_data,
        timestamp=iso(now),
    )


def task_completed(record: Record, now: float) -> bytes:
    """`task.completed`. For an event-driven run it also carries the event and the AI's own answer."""
    event_driven = record.run.status == "completed"
    answer = _newest_answer(record) if event_driven else None
    return codec.splice(
        type="task.completed",
        event=record.run.event_name if event_driven else None,
        workflow=record.run.workflow,
        status=record.run.status,
        channel_id=record.run.id,
        data=record.data,
        ai_response=_ai_response(record) if event_driven else None,
        task_id=answer.task_id if answer else None,
        callback_metadata=answer.metadata if answer else None,
        meta=_meta(record, record.run.status),
        customer_data=record.plan.customer_data,
        timestamp=iso(now),
    )


def task_failed(record: Record, failure: Failed, now: float) -> bytes:
    """`task.failed`: riverflow's own form, in the shape of `task.completed` with `error` in the place of `data`."""
    return codec.splice(
        type="task.failed",
        event=record.run.event_name,
        workflow=record.run.workflow,
        status="error",
        channel_id=record.run.id,
        error=_error(failure),
        message=failure.message,
        meta=_meta(record, "error", failure.meta),
        customer_data=record.plan.customer_data,
        timestamp=iso(now),
    )


def written(body: bytes, target: Target) -> bytes:
    """A body as one target wants it: wrapped (the event repeated under `data`) and in its encoding."""
    if target.body == "wrapped":
        members: dict[str, Any] = dict(_members.decode(body))
        if "data" not in members:
            body = codec.encode(members | {"data": msgspec.Raw(body)})
    return codec.python_json(body) if target.encoding == "python-json" else body


# Parts --------------------------------------------------------------------------------------------------


def account(meta: Json) -> Json:
    """A provider's account as it is kept: without the members that each message gives it anew."""
    members = _members.decode(meta)
    members.pop("status", None)
    members.pop("workflow", None)
    return Json(codec.encode(members))


def _meta(record: Record, status: str, meta: Json | None = None) -> Json:
    """The account under this message's own status (the browser client takes a failure whose meta says success for a
    success)."""
    output = record.generated
    kept = account(meta) if meta is not None else output.meta if output is not None else None
    return _with_head({"status": status, "workflow": record.run.workflow}, kept)


def _with_head(head: dict[str, str], kept: Json | None) -> Json:
    """An account with members before it: bytes are spliced, nothing is decoded."""
    text = codec.encode(head)
    tail = bytes(kept) if kept is not None else b"{}"
    return Json(text if tail == b"{}" else text[:-1] + b"," + tail[1:])


class _Maker(msgspec.Struct):
    provider: str | None = None
    model: str | None = None


_maker = msgspec.json.Decoder(_Maker)


def _made_by(record: Record) -> _Maker:
    """Who really answered."""
    output = record.generated
    maker = _maker.decode(output.meta) if output is not None and output.meta is not None else _Maker()
    return _Maker(provider=maker.provider or record.plan.provider, model=maker.model or record.plan.model)


def _content(record: Record) -> str | None:
    """The text of an unstructured answer."""
    try:
        choices = _chat_completion.decode(record.data).choices
    except msgspec.ValidationError:
        return None
    return choices[0].message.content if choices and choices[0].message else None


def _ai_response(record: Record, *, with_meta: bool = False) -> dict[str, Any]:
    output = record.generated
    if output is None:
        return {"data": record.data}
    if with_meta:
        return {"data": output.data, "meta": _with_head({"status": "success"}, output.meta)}
    return {"data": output.data}


def _newest_answer(record: Record) -> Output | None:
    """The newest output that a backend or handler gave."""
    answered = {receipt.stage for receipt in record.receipts}
    return next((output for output in reversed(record.outputs) if output.stage in answered), None)


def _error(failure: Failed) -> dict[str, Any]:
    details: dict[str, Any] = {"code": failure.code}
    if failure.details is not None:
        details = {**_members.decode(failure.details), **details}
    return {"message": failure.message, "code": failure.code, "details": details}
