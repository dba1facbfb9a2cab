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
from ._messages import AiGenerated, ChannelCompleted, ChannelFailed, ChannelSuccess, HandOff, TaskCompleted, TaskFailed
from .models import Failed, Json, Output, Plan, Record, Target
from .pipeline import Stage

__all__ = [
    "account",
    "ai_generated",
    "callback_place",
    "callback_url",
    "completed",
    "failed",
    "hand_off",
    "iso",
    "progress",
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


def iso(at: float) -> str:
    """Unix seconds as ISO 8601 in UTC with milliseconds and `Z`, as the seed pages show it."""
    second, milliseconds = divmod(int(at * 1000), 1000)
    return f"{_to_the_second(second)}.{milliseconds:03d}Z"


@lru_cache(maxsize=256)  # many things happen in one second: 1.5 µs a time instead of 4.5
def _to_the_second(at: int) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat()[:19]


def callback_url(plan: Plan, channel_id: str, stage: Stage) -> str:
    """Where a backend answers: the plain URL for the first hand-off, with the stage's name for every other stage that
    waits, so that no answer can be taken for another's."""
    url = f"{plan.base_url}/v1/callback/{channel_id}"
    place = callback_place(plan, stage)
    return url if place is None else f"{url}/{place}"


def callback_place(plan: Plan, stage: Stage) -> str | None:
    """What the callback URL of a stage ends with; None: the plain one."""
    hand_offs = plan.pipeline.hand_offs
    return None if hand_offs and hand_offs[0].name == stage.name else stage.name


# Channel messages ---------------------------------------------------------------------------------------


def ai_generated(record: Record, event_name: str) -> Json:
    """The intermediate message. It carries no AI response: nothing ungated reaches the browser."""
    message = AiGenerated(
        status="ai_generated",
        channel_id=record.run.id,
        event_name=event_name,
        message="The AI response is ready and being processed",
        customer_data=record.plan.customer_data,
        meta=_meta(record, "pending"),
    )
    return Json(codec.encode(message))


def completed(record: Record) -> Json:
    """The final message of a run that went well: `success` for a standard run, `completed` after a hand-off."""
    if record.run.status == "success":
        message = ChannelSuccess(
            status="success",
            message="success",
            channel_id=record.run.id,
            data=record.data,
            content=_content(record),
            model=_made_by(record).model,
            customer_data=record.plan.customer_data,
            meta=_meta(record, "success"),
        )
        return Json(codec.encode(message))
    answer = _newest_answer(record)
    last = ChannelCompleted(
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
    return Json(codec.encode(last))


def failed(record: Record, failure: Failed) -> Json:
    """The final message of a run that failed. `error` is an object with `message`, as the browser client reads it."""
    message = ChannelFailed(
        status="error",
        channel_id=record.run.id,
        message=failure.message,
        error=_error(failure),
        event_name=record.run.event_name,
        customer_data=record.plan.customer_data,
        meta=_meta(record, "error", failure.meta),
    )
    return Json(codec.encode(message))


def progress(record: Record, stage: Stage, said: Json, now: float) -> Json:
    """How far a hand-off is, under the event `progress`: what its backend said, with where and when."""
    head = {"channel_id": record.run.id, "stage": stage.name, "event_name": record.run.event_name, "at": iso(now)}
    return Json(codec.encode({**_members.decode(said), **head}))


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


def hand_off(record: Record, stage: Stage, event_name: str, now: float, callback_token: str) -> bytes:
    """`task.ai_generated`: told to the backend, which must call back. Hand-offs after the first also carry
    `stage` and the `data` of the stage before, which is what they work on."""
    later = len(record.outputs) > 1
    maker = _made_by(record)
    body = HandOff(
        type="task.ai_generated",
        event=event_name,
        channel_id=record.run.id,
        ai_response=_ai_response(record),
        callback_url=callback_url(record.plan, record.run.id, stage),
        callback_token=callback_token,
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
    return codec.encode(body)


def task_completed(record: Record, now: float) -> bytes:
    """`task.completed`. For an event-driven run it also carries the event and the AI's own answer."""
    event_driven = record.run.status == "completed"
    answer = _newest_answer(record) if event_driven else None
    body = TaskCompleted(
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
    return codec.encode(body)


def task_failed(record: Record, failure: Failed, now: float) -> bytes:
    """`task.failed`: riverflow's own form, in the shape of `task.completed` with `error` in the place of `data`."""
    body = TaskFailed(
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
    return codec.encode(body)


def written(body: bytes, target: Target) -> bytes:
    """A body as one target wants it: wrapped (the event repeated under `data`) and in its encoding."""
    if target.body == "wrapped":
        members: dict[str, Any] = dict(_members.decode(body))
        if "data" not in members:
            body = codec.encode(members | {"data": msgspec.Raw(body)})
    return codec.python_json(body) if target.encoding == "python-json" else body


# Parts --------------------------------------------------------------------------------------------------


_OWN_HEAD = b'{"status":"success",'
"""How the account of the built-in generate stage begins, which has no `workflow`: 4 of a run's microseconds less."""


def account(meta: Json) -> Json:
    """A provider's account as it is kept: without the members that each message gives it anew."""
    text = bytes(meta)
    if text.startswith(_OWN_HEAD) and b'"workflow":' not in text:
        return Json(b"{" + text[len(_OWN_HEAD) :])
    members = _members.decode(meta)
    members.pop("status", None)
    members.pop("workflow", None)
    return Json(codec.encode(members))


def _meta(record: Record, status: str, meta: Json | None = None) -> Json:
    """The account under this message's own status (the browser client takes a failure whose meta says success for a
    success)."""
    output = record.generated
    kept = account(meta) if meta is not None else output.meta if output is not None else None
    return _with_head(_head(status, record.run.workflow), kept)


@lru_cache(maxsize=256)
def _head(status: str, workflow: str | None = None) -> bytes:
    return codec.splice(status=status, workflow=workflow)


def _with_head(head: bytes, kept: Json | None) -> Json:
    """An account with members before it: bytes are spliced, nothing is decoded."""
    tail = bytes(kept) if kept is not None else b"{}"
    return Json(head if tail == b"{}" else b"%b,%b" % (head[:-1], tail[1:]))


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
    data = _approved(record, output) if record.receipts else output.data
    if with_meta:
        return {"data": data, "meta": _with_head(_head("success"), output.meta)}
    return {"data": data}


def _approved(record: Record, output: Output) -> Json:
    """The AI's answer as it may leave: where persons had it before anybody else, as they approved it."""
    ruled = {receipt.stage for receipt in record.receipts if receipt.ruling is not None}
    data = output.data
    for following in record.outputs[record.outputs.index(output) + 1 :] if ruled else ():
        if following.stage not in ruled:
            break
        data = following.data
    return data


def _newest_answer(record: Record) -> Output | None:
    """The newest output that a backend or handler gave, or that stands for one that did not come."""
    answered = [receipt.stage for receipt in record.receipts if receipt.ruling is None]
    for output in reversed(record.outputs):
        if output.stage in answered or output.stage in [stage.name for stage in record.plan.pipeline.hand_offs]:
            return output
    return None


def _error(failure: Failed) -> dict[str, Any]:
    details: dict[str, Any] = {"code": failure.code}
    if failure.details is not None:
        details = {**_members.decode(failure.details), **details}
    return {"message": failure.message, "code": failure.code, "details": details}
