"""The memory of what the newest runs have told: true, bounded, and silent where it is not sure."""

from __future__ import annotations

import pytest

from riverflow._channels import Hub
from riverflow._recent import BYTES, MESSAGES, SECONDS, Recent
from riverflow.errors import NotFound
from riverflow.models import Entry, Json
from riverflow.testing import FakeClock

pytestmark = pytest.mark.anyio


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def recent(clock: FakeClock) -> Recent:
    return Recent(clock.monotonic)


def message(kind: str, data: bytes = b"{}", *, public: bool = True) -> Entry:
    return Entry(kind=kind, at=0.0, public=public, data=Json(data))


def begin(recent: Recent, run: str = "r") -> None:
    recent.born("p", run)
    note(recent, run, 1, [message("run.accepted", public=False)])


def note(recent: Recent, run: str, first: int, entries: list[Entry]) -> None:
    recent.note(run, entries, first)


def told(recent: Recent, run: str = "r") -> tuple[list[int], int] | None:
    news = recent.news("p", run)
    return None if news is None else ([frame.number for frame in news.frames], news.last)


def test_it_has_the_public_entries_under_their_numbers(recent: Recent) -> None:
    begin(recent)
    note(recent, "r", 2, [message("stage.completed", public=False), message("run.ai_generated")])
    note(recent, "r", 4, [message("run.completed")])
    assert told(recent) == ([3, 4], 4)


def test_a_gap_is_another_writers_and_the_log_is_asked(recent: Recent) -> None:
    begin(recent)
    note(recent, "r", 3, [message("run.completed")])
    assert told(recent) is None


def test_a_run_of_another_project_or_of_elsewhere_is_the_logs(recent: Recent) -> None:
    begin(recent)
    note(recent, "elsewhere", 1, [message("run.completed")])
    assert recent.news("other", "r") is None
    assert told(recent, run="elsewhere") is None


async def test_an_old_run_is_the_logs(recent: Recent, clock: FakeClock) -> None:
    begin(recent)
    await clock.advance(SECONDS - 1)
    assert told(recent) == ([], 1)
    await clock.advance(2)
    assert told(recent) is None


def test_the_oldest_run_goes_when_there_is_too_much(recent: Recent) -> None:
    begin(recent, "first")
    begin(recent, "second")
    note(recent, "second", 2, [message("run.completed", b" " * (BYTES - 1500))])
    assert told(recent, run="first") is None
    assert told(recent, run="second") == ([2], 2)


def test_what_is_forgotten_leaves_its_room(recent: Recent) -> None:
    for _ in range(3):
        begin(recent)
        note(recent, "r", 2, [message("run.completed", b" " * (BYTES // 2))])
        recent.forget("r")
    begin(recent, "one")
    begin(recent, "other")
    recent.forget(None)
    begin(recent)
    note(recent, "r", 2, [message("run.completed", b" " * (BYTES - 2000))])
    assert told(recent) == ([2], 2)


def test_a_run_that_streams_is_the_logs(recent: Recent) -> None:
    begin(recent)
    for number in range(2, MESSAGES + 2):
        note(recent, "r", number, [message("stage.chunk")])
    assert told(recent) is not None
    note(recent, "r", MESSAGES + 2, [message("stage.chunk")])
    assert told(recent) is None


class UnreadLog:
    """A log that knows no run."""

    async def entries_after(self, *args: object, **options: object) -> None:
        return None


@pytest.mark.parametrize("after", [None, 0])
async def test_a_reader_of_a_young_run_is_answered_without_the_log(recent: Recent, after: int | None) -> None:
    hub = Hub(UnreadLog(), recent=recent)  # type: ignore[arg-type]
    hub.born("p", "r")
    hub.tell("r", [message("run.accepted", public=False), message("run.ai_generated", b"1")], 1)
    reader = await hub.subscribe("p", "r", after=after)
    hub.tell("r", [message("run.completed", b"2")], 3)
    assert [(frame.number, frame.data) async for frame in reader] == [(2, b"1"), (3, b"2")]


@pytest.mark.parametrize("whom", ["r", None])
async def test_news_of_another_writer_send_readers_to_the_log(recent: Recent, whom: str | None) -> None:
    hub = Hub(UnreadLog(), recent=recent)  # type: ignore[arg-type]
    hub.born("p", "r")
    hub.wake(whom)
    with pytest.raises(NotFound):
        await hub.subscribe("p", "r", after=0)


async def test_the_operator_is_answered_from_the_log(recent: Recent) -> None:
    hub = Hub(UnreadLog(), recent=recent)  # type: ignore[arg-type]
    hub.born("p", "r")
    with pytest.raises(NotFound):
        await hub.subscribe("p", "r", everything=True)
