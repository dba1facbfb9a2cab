"""The rules of a run, as a table and under random treatment."""

from __future__ import annotations

from typing import Any, get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from riverflow._machine import (
    TABLE,
    Answered,
    CallLost,
    CallOver,
    Cancelled,
    Extended,
    Input,
    Repeated,
    SetBack,
    StageFinished,
    TimedOut,
    decide,
    rebuild,
    start,
)
from riverflow._moves import Decision, call_of
from riverflow.errors import Expired, NotFound, NotWaiting, RequestError
from riverflow.models import CHECKPOINTS, FINAL_KINDS, Completed, Failed, Json, Phase, Plan, Record, Target, Waiting
from riverflow.pipeline import Pipeline, Stage

read = msgspec.json.decode

NOW = 1_700_000_000.0
RUN = "018bcfe5-6800-7000-8000-000000000001"
PROJECT = "018bcfe5-6800-7000-8000-00000000000f"

GENERATE = Stage(name="generate", kind="generate")
FINALISE = Stage(name="finalise", kind="finalise")
CHECK = Stage(name="check", kind="my_check")
VALIDATE = Stage.hand_off("validate", timeout=60.0)
FORMAT = Stage.hand_off("format")

DONE = Completed(data=Json(b'{"title":"Inception"}'), meta=Json(b'{"provider":"echo","model":"echo"}'))
ANSWER = Completed(data=Json(b'{"id":1}'), task_id="t1", metadata=Json(b'{"ms":3}'))
BROKEN = Failed(code="broken", message="It broke")


class Told:
    """Routing: the same targets for everything, and a note of what was asked."""

    def __init__(self, *urls: str) -> None:
        self.targets_given = tuple(Target(url=url) for url in urls)
        self.asked: list[tuple[str, str | None]] = []

    def targets(self, plan: Plan, type: str, event_name: str | None) -> tuple[Target, ...]:
        self.asked.append((type, event_name))
        return self.targets_given

    def operators(self, type: str) -> tuple[Target, ...]:
        return ()

    def callback_token(self, run_id: str, stage: str | None) -> str:
        return f"{run_id}/{stage}"


def plan_of(*stages: Stage) -> Plan:
    pipeline = Pipeline(stages)
    hand_offs = pipeline.hand_offs
    return Plan(
        workflow="movie",
        workflow_id="wf_1",
        stages=pipeline.stages,
        provider="echo",
        model="echo",
        event_name=hand_offs[0].event_name if hand_offs else None,
        base_url="https://example.com/river",
    )


def begin(*stages: Stage, routing: Told | None = None) -> Decision:
    return start(RUN, PROJECT, plan_of(*stages), Json(b"{}"), NOW, routing or Told(), [])


def go(record: Record, taken: Input, *, now: float = NOW, routing: Told | None = None) -> Decision:
    decision = decide(record, taken, now, routing or Told())
    assert isinstance(decision, Decision)
    return decision


def answered(outcome: Completed | Failed = ANSWER, *, stage: str | None = None, digest: str = "d1") -> Answered:
    return Answered(stage, outcome, digest)


def kinds(decision: Decision) -> list[str]:
    return [entry.kind for entry in decision.entries]


def at_phase(phase: str) -> Record:
    """A run of `generate → enrich → finalise` in a phase; `called`: its handler is being called."""
    running = begin(GENERATE, Stage.hand_off("enrich"), FINALISE).record
    if phase == "running":
        return running
    if phase == "called":
        return go(running, StageFinished(DONE), routing=Told("local:enrich")).record
    waiting = go(running, StageFinished(DONE)).record
    return waiting if phase == "waiting" else go(waiting, answered()).record


# The table --------------------------------------------------------------------------------------------------


def test_the_table_has_a_rule_for_every_phase_and_every_input() -> None:
    assert set(TABLE) == {(phase, taken) for phase in get_args(Phase) for taken in get_args(Input)}


REFUSED: list[tuple[str, Input, type[RequestError]]] = [
    ("running", TimedOut(), NotWaiting),
    ("running", answered(), NotWaiting),
    ("running", answered(stage="generate"), NotWaiting),
    ("running", answered(stage="nowhere"), NotFound),
    ("running", Extended(None), NotWaiting),
    ("running", CallOver("generate"), NotWaiting),
    ("running", CallLost("generate", 1), NotWaiting),
    ("called", TimedOut(), NotWaiting),
    ("called", StageFinished(DONE), NotWaiting),
    ("called", CallOver("generate"), NotWaiting),
    ("called", CallLost("generate", 1), NotWaiting),
    ("called", CallLost("enrich", 2), NotWaiting),
    ("called", answered(stage="generate"), NotWaiting),
    ("waiting", CallOver("enrich"), NotWaiting),
    ("waiting", CallLost("enrich", 1), NotWaiting),
    ("done", CallOver("enrich"), NotWaiting),
    ("done", CallLost("enrich", 1), NotWaiting),
    ("waiting", StageFinished(DONE), NotWaiting),
    ("waiting", StageFinished(BROKEN), NotWaiting),
    ("waiting", SetBack(), NotWaiting),
    ("done", SetBack(), NotWaiting),
    ("waiting", answered(stage="generate"), NotWaiting),
    ("waiting", answered(stage="finalise"), NotWaiting),
    ("waiting", answered(stage="nowhere"), NotFound),
    ("done", StageFinished(DONE), NotWaiting),
    ("done", TimedOut(), NotWaiting),
    ("done", Cancelled(), NotWaiting),
    ("done", answered(digest="another"), NotWaiting),
    ("done", answered(stage="generate"), NotWaiting),
    ("done", answered(stage="nowhere"), NotFound),
]


@pytest.mark.parametrize(("phase", "taken", "error"), REFUSED, ids=lambda value: getattr(value, "__name__", None))
def test_what_the_table_does_not_take_is_refused_and_changes_nothing(
    phase: str, taken: Input, error: type[RequestError]
) -> None:
    record = at_phase(phase)
    before = msgspec.json.encode(record)
    routing = Told("https://example.com/")
    with pytest.raises(error):
        decide(record, taken, NOW, routing)
    assert msgspec.json.encode(record) == before
    assert routing.asked == []


# Moves ------------------------------------------------------------------------------------------------------


def test_a_run_starts_with_its_plan_and_request_in_the_log() -> None:
    plan = plan_of(GENERATE, FINALISE)
    decision = start(RUN, PROJECT, plan, Json(b'{"x":1}'), NOW, Told(), ["mind the gap"])
    assert kinds(decision) == ["run.accepted"]
    assert not decision.entries[0].public
    assert read(decision.entries[0].data)["request"] == {"x": 1}
    assert read(decision.entries[0].data)["warnings"] == ["mind the gap"]
    assert decision.run_next == GENERATE
    run = decision.record.run
    assert (run.status, run.phase, run.stage, run.version, run.generation) == ("pending", "running", "generate", 1, 1)


def test_a_standard_run_ends_with_success() -> None:
    routing = Told("https://example.com/hook")
    decision = go(begin(GENERATE, FINALISE).record, StageFinished(DONE), routing=routing)
    assert kinds(decision) == ["stage.completed", "run.completed"]
    assert [entry.public for entry in decision.entries] == [False, True]
    run = decision.record.run
    assert (run.status, run.phase, run.finished_at, run.deadline_at) == ("success", "done", NOW, None)
    assert routing.asked == [("task.completed", None)]
    [delivery] = decision.deliveries
    assert (delivery.type, delivery.expires_at, delivery.attempt) == ("task.completed", None, 1)
    assert decision.run_next is None
    assert decision.closes is None


def test_a_hand_off_mints_callback_delivery_and_deadline_in_one_decision() -> None:
    routing = Told("https://example.com/hook", "local:enrich")
    record = begin(GENERATE, Stage.hand_off("enrich"), FINALISE).record
    decision = go(record, StageFinished(DONE), routing=routing)
    assert kinds(decision) == ["stage.completed", "run.ai_generated"]
    run = decision.record.run
    assert (run.status, run.phase, run.stage, run.deadline_at) == ("ai_generated", "waiting", "enrich", NOW + 300)
    assert [d.lane for d in decision.deliveries] == ["http", "local:enrich"]
    assert {d.expires_at for d in decision.deliveries} == {NOW + 300}
    assert len({d.id for d in decision.deliveries}) == 2
    assert all("." not in d.id for d in decision.deliveries)
    body = read(decision.deliveries[0].body)
    assert body["callback_url"] == f"https://example.com/river/v1/callback/{RUN}"


def test_a_handler_in_the_process_is_called_and_nothing_is_owed_for_it() -> None:
    record = begin(GENERATE, Stage.hand_off("enrich"), FINALISE).record
    decision = go(record, StageFinished(DONE), routing=Told("local:enrich"))
    assert kinds(decision) == ["stage.completed", "run.ai_generated"]
    run = decision.record.run
    assert (run.status, run.phase, run.stage, run.deadline_at) == ("ai_generated", "running", "enrich", NOW + 300)
    assert (decision.deliveries, decision.run_next, run.is_called) == ((), None, True)
    assert decision.call is not None
    assert (decision.call.lane, decision.call.attempt, decision.call.expires_at) == ("local:enrich", 1, NOW + 300)


def test_a_call_ends_with_the_answer_of_whoever_comes_first_or_with_time() -> None:
    called = at_phase("called")
    ended = go(called, answered())
    assert kinds(ended) == ["callback.received", "stage.completed", "run.completed"]
    assert (ended.record.run.status, ended.closes) == ("completed", None)
    more = go(called, Extended(None, 400.0)).record
    assert (more.run.phase, more.run.deadline_at) == ("running", NOW + 400)
    assert kinds(go(more, TimedOut("it slept"), now=NOW + 400)) == ["callback.timed_out", "run.failed"]
    with pytest.raises(Expired):
        go(called, answered(), now=NOW + 300.5)


def test_a_call_without_an_answer_leaves_the_run_waiting() -> None:
    over = go(at_phase("called"), CallOver("enrich"))
    assert (over.record.run.phase, over.record.run.deadline_at) == ("waiting", NOW + 300)
    assert (over.entries, over.deliveries, over.call) == ((), (), None)


def test_a_call_whose_process_is_gone_is_owed_with_its_beginnings_counted() -> None:
    called = at_phase("called")
    claimed = msgspec.structs.replace(called, run=msgspec.structs.replace(called.run, generation=2))
    lost = go(claimed, CallLost("enrich", 2), now=NOW + 20)
    assert (lost.record.run.phase, lost.record.run.deadline_at) == ("waiting", NOW + 300)
    [owed] = lost.deliveries
    first = go(
        begin(GENERATE, Stage.hand_off("enrich"), FINALISE).record, StageFinished(DONE), routing=Told("local:enrich")
    )
    assert first.call is not None
    assert (owed.id, owed.url, owed.lane, owed.expires_at) == (
        first.call.id,
        first.call.url,
        first.call.lane,
        first.call.expires_at,
    )
    assert (owed.attempt, owed.due_at) == (2, NOW + 20)
    assert read(owed.body) | {"timestamp": ""} == read(first.call.owed.body) | {"timestamp": ""}
    stopped = go(called, SetBack()).record
    assert call_of(stopped, Stage.hand_off("enrich"), NOW, "").attempt == 1, "the next one, whoever looks at it before"
    again = msgspec.structs.replace(stopped, run=msgspec.structs.replace(stopped.run, generation=2))
    assert go(again, CallLost("enrich", 2)).deliveries[0].attempt == 1, "a stop is no attempt"


def test_a_hand_off_that_nobody_takes_says_so_and_the_deadline_runs() -> None:
    decision = go(begin(GENERATE, Stage.hand_off("enrich"), FINALISE).record, StageFinished(DONE))
    assert kinds(decision)[-1] == "stage.unattended"
    assert decision.deliveries == ()
    assert decision.record.run.deadline_at == NOW + 300


def test_an_answer_ends_the_run_and_closes_what_still_tells_the_stage() -> None:
    decision = go(at_phase("waiting"), answered())
    assert kinds(decision) == ["callback.received", "stage.completed", "run.completed"]
    assert decision.closes == "enrich"
    assert decision.record.run.status == "completed"
    final = read(decision.entries[-1].data)
    assert (final["data"], final["task_id"], final["callback_metadata"]) == ({"id": 1}, "t1", {"ms": 3})
    assert final["ai_response"]["data"] == {"title": "Inception"}


def test_a_declared_failure_ends_the_run_as_error() -> None:
    routing = Told("local:task.failed")
    decision = go(at_phase("waiting"), answered(BROKEN), routing=routing)
    assert kinds(decision) == ["callback.received", "run.failed"]
    assert decision.closes == "enrich"
    assert decision.record.run.status == "error"
    assert routing.asked == [("task.failed", "enrich")]
    assert read(decision.deliveries[0].body)["error"]["code"] == "broken"


def test_a_stage_that_fails_ends_the_run_before_anything_is_told() -> None:
    decision = go(at_phase("running"), StageFinished(BROKEN))
    assert kinds(decision) == ["stage.failed", "run.failed"]
    assert [entry.kind for entry in decision.entries if entry.public] == ["run.failed"]
    assert decision.closes is None


def test_a_stage_that_is_set_back_is_begun_again_and_a_stop_is_no_attempt() -> None:
    record = at_phase("running")
    broke = go(record, SetBack("ValueError", 5.0))
    assert (kinds(broke), broke.entries[0].attempt, broke.run_next) == (["stage.retrying"], 1, None)
    assert read(broke.entries[0].data)["error"] == "ValueError"
    claimed = msgspec.structs.replace(broke.record, run=msgspec.structs.replace(broke.record.run, generation=2))
    stopped = go(claimed, SetBack())
    assert (kinds(stopped), stopped.entries[0].attempt) == (["stage.interrupted"], 2)
    again = msgspec.structs.replace(stopped.record, run=msgspec.structs.replace(stopped.record.run, generation=3))
    assert again.attempt == 2
    log = (*begin(GENERATE, Stage.hand_off("enrich"), FINALISE).entries, *stopped.entries)
    assert rebuild(again.run, log).attempt == 2
    done = go(again, StageFinished(DONE))
    assert (done.entries[0].attempt, done.record.attempt) == (2, 1)
    assert rebuild(done.record.run, (*log, done.entries[0])).attempt == 1


def test_the_end_tells_what_the_handler_said_of_itself() -> None:
    decision = go(at_phase("waiting"), TimedOut("the library is closed"), now=NOW + 300)
    error = read(decision.entries[-1].data)["error"]
    assert "the library is closed" in error["message"]
    assert (error["code"], error["details"]["reason"]) == ("callback_timeout", "the library is closed")


def test_the_deadline_ends_the_run() -> None:
    decision = go(at_phase("waiting"), TimedOut(), now=NOW + 300)
    assert kinds(decision) == ["callback.timed_out", "run.failed"]
    assert decision.closes == "enrich"
    error = read(decision.entries[-1].data)["error"]
    assert error["code"] == "callback_timeout"
    assert error["details"]["stage"] == "enrich"


def test_an_answer_counts_up_to_its_deadline_and_not_after() -> None:
    assert go(at_phase("waiting"), answered(), now=NOW + 300).record.run.status == "completed"
    with pytest.raises(Expired):
        decide(at_phase("waiting"), answered(), NOW + 300.001, Told())


def test_an_answer_after_the_timeout_is_told_that_it_is_late_and_after_a_cancel_that_the_run_ended() -> None:
    timed_out = go(at_phase("waiting"), TimedOut(), now=NOW + 300).record
    with pytest.raises(Expired) as late:
        decide(timed_out, answered(), NOW + 301, Told())
    assert late.value.code == "callback_expired"
    cancelled = go(at_phase("waiting"), Cancelled()).record
    with pytest.raises(NotWaiting) as ended:
        decide(cancelled, answered(), NOW + 301, Told())
    assert ended.value.code == "run_ended"


@pytest.mark.parametrize("phase", ["running", "waiting"])
def test_cancel_ends_a_run_in_any_phase(phase: str) -> None:
    decision = go(at_phase(phase), Cancelled())
    assert kinds(decision) == ["run.failed"]
    assert read(decision.entries[0].data)["error"]["code"] == "cancelled"
    assert decision.closes == ("enrich" if phase == "waiting" else None)


def test_the_same_answer_again_changes_nothing_and_names_the_first() -> None:
    done = at_phase("done")
    for stage in (None, "enrich"):
        repeated = decide(done, answered(stage=stage), NOW + 10_000, Told())
        assert isinstance(repeated, Repeated)
        assert (repeated.receipt.stage, repeated.receipt.form) == ("enrich", "success")


def test_hand_offs_in_a_row_each_have_a_callback_of_their_own() -> None:
    routing = Told("https://example.com/hook")
    record = begin(GENERATE, VALIDATE, FORMAT, FINALISE).record
    first = go(record, StageFinished(DONE), routing=routing)
    assert first.record.run.deadline_at == NOW + 60
    second = go(first.record, answered(digest="v"), now=NOW + 5, routing=routing)
    assert kinds(second) == ["callback.received", "stage.completed"]
    assert second.closes == "validate"
    assert second.record.run.deadline_at == NOW + 305
    one, two = [read(decision.deliveries[0].body) for decision in (first, second)]
    assert one["callback_url"] == f"https://example.com/river/v1/callback/{RUN}"
    assert two["callback_url"] == f"https://example.com/river/v1/callback/{RUN}/format"
    assert (one["event"], two["event"]) == ("validate", "format")
    assert two["data"] == {"id": 1}
    assert first.deliveries[0].id != second.deliveries[0].id

    assert isinstance(decide(second.record, answered(digest="v"), NOW + 6, Told()), Repeated)
    with pytest.raises(NotWaiting, match="first answer counts"):
        decide(second.record, answered(digest="x"), NOW + 6, Told())
    third = go(second.record, answered(stage="format", digest="f"), now=NOW + 6)
    assert kinds(third) == ["callback.received", "stage.completed", "run.completed"]
    assert [output.stage for output in third.record.outputs] == ["generate", "validate", "format"]


def test_an_answer_to_a_later_hand_off_does_not_pass_for_the_present_one() -> None:
    record = go(begin(GENERATE, VALIDATE, FORMAT, FINALISE).record, StageFinished(DONE)).record
    with pytest.raises(NotWaiting, match="not waiting"):
        decide(record, answered(stage="format"), NOW, Told())


def test_a_stage_of_ones_own_runs_between_hand_offs_and_may_wait() -> None:
    record = go(begin(GENERATE, VALIDATE, CHECK, FINALISE).record, StageFinished(DONE)).record
    decision = go(record, answered())
    assert decision.run_next == CHECK
    assert (decision.record.run.phase, decision.record.run.deadline_at) == ("running", None)
    routing = Told("https://example.com/approve")
    waiting = go(decision.record, StageFinished(Waiting(event_name="approve", timeout=9)), routing=routing)
    assert waiting.record.run.deadline_at == NOW + 9
    assert routing.asked == [("task.ai_generated", "approve")]
    assert read(waiting.deliveries[0].body)["callback_url"].endswith(f"{RUN}/check")
    assert go(waiting.record, answered(stage="check", digest="c")).record.run.status == "completed"


def test_stages_of_ones_own_that_wait_never_share_a_callback() -> None:
    """Without any hand-off in the pipeline, too: the first one's answer again must not decide the second."""
    routing = Told("https://example.com/approve")
    again = Stage(name="again", kind="my_check")
    record = go(begin(GENERATE, CHECK, again, FINALISE).record, StageFinished(DONE)).record
    first = go(record, StageFinished(Waiting(event_name="approve")), routing=routing)
    record = go(first.record, answered(stage="check", digest="c")).record
    second = go(record, StageFinished(Waiting(event_name="approve")), routing=routing)
    urls = [read(decision.deliveries[0].body)["callback_url"] for decision in (first, second)]
    assert [url.rpartition("/")[2] for url in urls] == ["check", "again"]
    assert isinstance(decide(second.record, answered(stage="check", digest="c"), NOW, Told()), Repeated)


def test_a_pipeline_may_begin_with_a_hand_off() -> None:
    decision = begin(Stage.hand_off("enrich"), FINALISE, routing=Told("https://example.com/hook"))
    assert kinds(decision) == ["run.accepted", "run.ai_generated"]
    assert decision.run_next is None
    assert len(decision.deliveries) == 1
    assert go(decision.record, answered()).record.run.status == "completed"


# Under random treatment -------------------------------------------------------------------------------------

STAGES = st.sampled_from(["generate", "validate", "check", "format", "finalise", "nowhere", None])
OUTCOMES = st.sampled_from([DONE, ANSWER, BROKEN])
INPUTS = st.one_of(
    st.builds(StageFinished, st.one_of(OUTCOMES, st.just(Waiting(event_name="more", timeout=5.0)))),
    st.builds(SetBack, st.sampled_from([None, "ValueError"]), st.just(5.0)),
    st.builds(Answered, STAGES, OUTCOMES, st.sampled_from(["d1", "d2"])),
    st.just(TimedOut()),
    st.just(Cancelled()),
    st.builds(CallOver, st.sampled_from(["validate", "format"])),
    st.builds(CallLost, st.sampled_from(["validate", "format"]), st.sampled_from([1, 2])),
)
PLANS = st.sampled_from(
    [
        (GENERATE, FINALISE),
        (GENERATE, VALIDATE, FINALISE),
        (GENERATE, VALIDATE, CHECK, FORMAT, FINALISE),
        (CHECK, GENERATE, FINALISE),
        (VALIDATE, FINALISE),
    ]
)


@given(stages=PLANS, treatment=st.lists(st.tuples(INPUTS, st.floats(0, 200)), max_size=25), targets=st.integers(0, 3))
def test_whatever_comes_a_run_ends_once_and_tells_its_story_in_order(
    stages: tuple[Stage, ...], treatment: list[tuple[Any, float]], targets: int
) -> None:
    routing = Told(*(["local:validate"] if targets == 3 else ["https://example.com/a", "local:validate"][:targets]))
    decision = begin(*stages, routing=routing)
    record, now, log, lost = decision.record, NOW, list(decision.entries), 0
    minted = [*decision.deliveries, *filter(None, [decision.call])]
    for taken, passed in treatment:
        now += passed
        ended = record.run.phase == "done"
        try:
            result = decide(record, taken, now, routing)
        except RequestError:
            continue
        if isinstance(result, Repeated):
            assert result.receipt in record.receipts
            continue
        assert not ended, "no entries after the end"
        assert result.record.run.version == record.run.version + 1
        assert (result.record.run.id, result.record.run.generation) == (RUN, 1)
        assert result.record.outputs[: len(record.outputs)] == record.outputs, "a finished stage stays finished"
        hands_off = isinstance(taken, StageFinished) and isinstance(taken.outcome, Waiting)  # told once, by the first
        assert result.entries or hands_off or isinstance(taken, CallOver | CallLost)
        assert all(entry.at == now for entry in result.entries)
        run = result.record.run
        ends = bool(result.entries) and result.entries[-1].kind in FINAL_KINDS
        assert (run.phase == "done") == ends == (run.finished_at is not None)
        follows = (result.run_next is not None) + (result.call is not None)
        assert follows == (run.phase == "running" and not isinstance(taken, SetBack))
        assert run.is_called == (result.call is not None) or isinstance(taken, SetBack)
        late = isinstance(taken, CallOver | CallLost)
        assert run.phase != "waiting" or (run.deadline_at is not None and (late or run.deadline_at > now))
        log += result.entries
        minted += (*result.deliveries, *filter(None, [result.call]))
        lost += isinstance(taken, CallLost)
        record = result.record
    final = [entry for entry in log if entry.kind in FINAL_KINDS]
    assert len(final) == (record.run.phase == "done")
    assert final == log[-1:] or not final
    names = [output.stage for output in record.outputs]
    assert names == [stage.name for stage in stages][: len(names)], "each stage once, in order"
    assert len({delivery.id for delivery in minted}) >= len(minted) - lost, "a call that is lost is made again"
    rebuilt = rebuild(record.run, tuple(entry for entry in log if entry.kind in CHECKPOINTS))
    assert msgspec.json.encode(rebuilt) == msgspec.json.encode(record), "the log alone is enough"
