"""One run as a fixture: a file from which a test, the echo provider or the scripted one can answer as it was answered.

Pure: a record in, a value out. What the run has not come to is not in it.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from ..models import Json, MaybeJson, Record
from ._detail import TryShown

__all__ = ["Fixture", "FixtureAnswer", "FixtureTry", "fixture_of"]

FORMAT = "riverflow.fixture/1"


class FixtureTry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An attempt of a provider; `reason` is the code of one that failed."""

    provider: str
    model: str
    success: bool
    reason: str | None = None


class FixtureAnswer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a backend or a handler answered to a stage."""

    stage: str
    data: Json
    task_id: str | None = None
    metadata: MaybeJson = None


class Fixture(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A run to be told again. `answer` is the provider's answer as the run kept it; `sample_data` is what a workflow
    needs to have the provider `echo` answer alike; `callbacks` is what was answered to each hand-off."""

    format: str
    channel_id: str
    workflow: str
    status: str
    request: Json
    customer_data: Json
    event_name: str | None = None
    schema: MaybeJson = None
    tries: tuple[FixtureTry, ...] = ()
    answer: MaybeJson = None
    sample_data: MaybeJson = None
    callbacks: tuple[FixtureAnswer, ...] = ()


class _Message(msgspec.Struct):
    content: MaybeJson = None


class _Choice(msgspec.Struct):
    message: _Message | None = None


class _ChatCompletion(msgspec.Struct):
    choices: list[_Choice] = []


_chat_completion = msgspec.json.Decoder(_ChatCompletion)


def fixture_of(record: Record, tries: Sequence[TryShown]) -> Fixture:
    """The fixture of a run, ended or not."""
    run, plan, generated = record.run, record.plan, record.generated
    answered = {receipt.stage for receipt in record.receipts if receipt.form == "success"}
    return Fixture(
        format=FORMAT,
        channel_id=run.id,
        workflow=run.workflow,
        status=run.status,
        event_name=run.event_name,
        request=record.request,
        customer_data=plan.customer_data,
        schema=plan.schema,
        tries=tuple(
            FixtureTry(provider=each.provider, model=each.model, success=each.success, reason=each.reason)
            for each in tries
        ),
        answer=generated.data if generated is not None else None,
        sample_data=_sample(generated.data, structured=plan.schema is not None) if generated is not None else None,
        callbacks=tuple(
            FixtureAnswer(stage=each.stage, data=each.data, task_id=each.task_id, metadata=each.metadata)
            for each in record.outputs
            if each.stage in answered
        ),
    )


def _sample(answer: Json, *, structured: bool) -> Json | None:
    """The value itself, where a schema asked for one; else the text in the provider's object, where there is any."""
    if structured:
        return answer
    try:
        choices = _chat_completion.decode(answer).choices
    except msgspec.ValidationError:
        return None
    return choices[0].message.content if choices and choices[0].message is not None else None
