"""Pipelines: ordered, named, validated when built."""

from __future__ import annotations

import pytest

from riverflow.errors import ConfigError, PipelineError
from riverflow.models import Workflow
from riverflow.pipeline import Pipeline, Stage

GENERATE = Stage(name="generate", kind="generate")
FINALISE = Stage(name="finalise", kind="finalise")
ENRICH = Stage.hand_off("enrich")


def names(pipeline: Pipeline) -> list[str]:
    return [stage.name for stage in pipeline]


def test_the_default_with_and_without_an_event() -> None:
    assert names(Pipeline.default("new_movie")) == ["generate", "enrich", "finalise"]
    assert Pipeline.default("new_movie")["enrich"].event_name == "new_movie"
    for nothing in (None, ""):
        assert names(Pipeline.default(nothing)) == ["generate", "finalise"]


def test_a_workflows_own_event_wins_over_the_requests() -> None:
    assert Workflow(name="w", event_name="mine").stages("asked")["enrich"].event_name == "mine"
    assert Workflow(name="w").stages("asked")["enrich"].event_name == "asked"
    assert names(Workflow(name="w").stages()) == ["generate", "finalise"]
    own = (GENERATE, Stage.hand_off("check"), FINALISE)
    assert names(Workflow(name="w", event_name="mine", pipeline=own).stages("asked")) == [
        "generate",
        "check",
        "finalise",
    ]


def test_its_parts_are_found() -> None:
    pipeline = Pipeline([GENERATE, ENRICH, Stage(name="check", kind="mine"), Stage.hand_off("shape"), FINALISE])
    assert len(pipeline) == 5
    assert [stage.name for stage in pipeline.hand_offs] == ["enrich", "shape"]
    assert pipeline["check"].kind == "mine"
    assert pipeline.after("enrich").name == "check"
    assert pipeline.after("shape") == FINALISE
    assert "check" in pipeline
    assert "other" not in pipeline
    assert repr(pipeline) == "Pipeline(generate → enrich → check → shape → finalise)"


def test_a_hand_offs_event_is_named_after_it_unless_said_otherwise() -> None:
    assert Stage.hand_off("validate").event_name == "validate"
    assert Stage.hand_off("validate", event_name="validate_movie").event_name == "validate_movie"


BAD: list[tuple[list[Stage], str]] = [
    ([], "finalise"),
    ([FINALISE], "before 'finalise'"),
    ([GENERATE], "finalise"),
    ([FINALISE, GENERATE], "finalise"),
    ([GENERATE, FINALISE, Stage(name="end", kind="finalise")], "finalise"),
    ([GENERATE, Stage(name="again", kind="generate"), FINALISE], "at most one 'generate'"),
    ([ENRICH, GENERATE, FINALISE], "before the first hand-off"),
    ([GENERATE, ENRICH, Stage.hand_off("enrich"), FINALISE], "'enrich' is used twice"),
    ([GENERATE, Stage(name="enrich", kind="hand_off"), FINALISE], "'enrich' needs an event_name"),
    ([GENERATE, Stage.hand_off("enrich", timeout=0), FINALISE], "'enrich': timeout"),
    ([GENERATE, Stage.hand_off("enrich", timeout=-1), FINALISE], "'enrich': timeout"),
    ([GENERATE, Stage.hand_off("enrich", timeout=float("nan")), FINALISE], "'enrich': timeout"),
    ([Stage(name="Generate", kind="generate"), FINALISE], "'Generate'"),
    ([Stage(name="1st", kind="generate"), FINALISE], "'1st'"),
    ([Stage(name="a b", kind="generate"), FINALISE], "'a b'"),
    ([Stage(name="a/b", kind="generate"), FINALISE], "'a/b'"),
    ([Stage(name="", kind="generate"), FINALISE], "''"),
    ([Stage(name="a\n", kind="generate"), FINALISE], "lower-case"),
    ([Stage(name="x" * 65, kind="generate"), FINALISE], "64 at most"),
]


@pytest.mark.parametrize(("stages", "said"), BAD, ids=lambda value: value if isinstance(value, str) else "")
def test_what_cannot_run_is_refused_when_built_and_named(stages: list[Stage], said: str) -> None:
    with pytest.raises(PipelineError) as refused:
        Pipeline(stages)
    assert said in str(refused.value)
    assert isinstance(refused.value, ConfigError)
    with pytest.raises(PipelineError):
        Pipeline.of(tuple(stages))


def test_the_same_stages_are_validated_once() -> None:
    stages = (GENERATE, ENRICH, FINALISE)
    assert Pipeline.of(stages) is Pipeline.of(tuple(stages))
