"""The cases of ports.RunLog's lists: runs by filter and cursor, what stands open, and what has ended, counted."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from ...codec import from_python
from ...models import DeliveryStatus, FailedTry, Run, RunFilter, Standing, Summary, earliest_id, totals_of
from ...ports import Store
from .store_cases import MINE, NOW, THEIRS, StoreCases

__all__ = ["ListingCases"]

HOUR = 3600
BEGIN = NOW // HOUR * HOUR


class ListingCases(StoreCases):
    """What every RunLog promises to those who look for runs."""

    def summed_up(self, number: int, **summary: Any) -> Run:
        """A new run with a summary."""
        return self.run_of(number, summary=Summary(**summary))

    async def listed(self, store: Store, wanted: RunFilter, **page: Any) -> str:
        """The last digits of what a list has, in its order."""
        return "".join(run.id[-1] for run in (await store.log.runs(MINE, wanted, **page)).runs)

    async def ended_at(self, store: Store, run: Run, after: float, status: str = "success") -> Run:
        """A run that was accepted and ended so many seconds later."""
        await self.accept(store, run)
        ended = run.created_at + after
        return await self.follow(store, run, status=status, phase="done", stage="finalise", finished_at=ended)

    async def test_a_summary_is_read_back_as_it_was_written(self, store: Store) -> None:
        summary = Summary(
            tag="pg",
            provider="anthropic",
            model="claude-sonnet",
            duration_ms=1234,
            prompt_tokens=12,
            completion_tokens=345,
            attempts=2,
            failed=(FailedTry("openai", "gpt-4o", "timeout", 1000),),
            error="callback_timeout",
            replay_of=self.run_of(9).id,
            customer=from_python({"user": "Zoë 🚀", "n": 1.5}),
        )
        run = self.run_of(1)
        await self.accept(store, run)
        assert (await store.log.runs(MINE)).runs[0].summary == Summary()
        following = await self.follow(store, run, summary=summary)
        stored = await store.log.load(MINE, run.id)
        assert stored is not None
        assert stored.run == following
        assert (await store.log.runs(MINE)).runs == (following,)

    async def test_runs_are_listed_newest_first_by_page(self, store: Store) -> None:
        for number in (3, 1, 6, 2, 5, 4, 7):
            await self.accept(store, self.run_of(number, workflow="odd" if number % 2 else "even"))
        first = await store.log.runs(MINE, limit=4)
        assert [run.id[-1] for run in first.runs] == list("7654")
        assert first.has_more
        rest = await store.log.runs(MINE, limit=4, before=first.runs[-1].id)
        assert [run.id[-1] for run in rest.runs] == list("321")
        assert not rest.has_more

    async def test_a_page_back_has_the_nearest_of_the_newer(self, store: Store) -> None:
        for number in range(1, 8):
            await self.accept(store, self.run_of(number, workflow="odd" if number % 2 else "even"))
        back = await store.log.runs(MINE, after=self.run_of(3).id, limit=3)
        assert ([run.id[-1] for run in back.runs], back.has_more) == (list("654"), True)
        last = await store.log.runs(MINE, after=self.run_of(4).id, limit=3)
        assert ([run.id[-1] for run in last.runs], last.has_more) == (list("765"), False)
        assert (await store.log.runs(MINE, after=self.run_of(7).id)).runs == ()
        assert await self.listed(store, RunFilter(), after=self.run_of(2).id, before=self.run_of(5).id) == "43"

    async def test_a_page_that_is_just_full_is_the_last(self, store: Store) -> None:
        for number in (1, 2):
            await self.accept(store, self.run_of(number))
        assert not (await store.log.runs(MINE, limit=2)).has_more
        assert (await store.log.runs(MINE, limit=1)).has_more

    async def test_a_page_is_put_together_from_runs_of_every_kind(self, store: Store) -> None:
        """More kinds than a page has lines, some with many runs and some with one."""
        for number in range(1, 60):
            kind = f"flow{number % 17}" if number % 3 else "often"
            await self.accept(store, self.run_of(number, workflow=kind))
        seen: list[int] = []
        before = None
        while True:
            page = await store.log.runs(MINE, before=before, limit=7)
            seen += [int(run.id[-3:]) for run in page.runs]
            if not page.has_more:
                break
            before = page.runs[-1].id
        assert seen == list(range(59, 0, -1))

    async def test_each_word_of_a_filter_chooses(self, store: Store) -> None:
        await self.accept(store, self.summed_up(1, provider="openai", model="gpt-4o"))
        await self.accept(store, self.run_of(2, workflow="draft", event_name="enrich"))
        await self.accept(store, self.summed_up(3, tag="pg", provider="openai", model="o3"))
        await self.accept(store, self.summed_up(4, tag="test"))
        await self.ended_at(store, self.run_of(5), 1.0, "error")
        waiting = self.run_of(6, event_name="enrich")
        await self.accept(store, waiting)
        await self.follow(store, waiting, status="ai_generated", phase="waiting", deadline_at=NOW + 60)
        for wanted, numbers in (
            (RunFilter(), "654321"),
            (RunFilter(workflow="draft"), "2"),
            (RunFilter(event_name="enrich"), "62"),
            (RunFilter(provider="openai"), "31"),
            (RunFilter(provider="openai", model="o3"), "3"),
            (RunFilter(model="nobody's"), ""),
            (RunFilter(tags=("live",)), "6521"),
            (RunFilter(tags=("pg", "test")), "43"),
            (RunFilter(statuses=("error",)), "5"),
            (RunFilter(statuses=("ai_generated", "error")), "65"),
            (RunFilter(statuses=("pending",), workflow="chat", tags=("live",)), "1"),
            (RunFilter(phase="waiting"), "6"),
            (RunFilter(phase="done"), "5"),
        ):
            assert await self.listed(store, wanted) == numbers, wanted
            assert await self.listed(store, wanted, limit=1) == numbers[:1], wanted
            assert await self.listed(store, wanted, after=self.run_of(0).id, limit=1) == numbers[-1:], wanted

    async def test_a_run_is_listed_as_it_is_now(self, store: Store) -> None:
        """A filter goes by the newest state: the words of an earlier one no longer find it."""
        run = self.summed_up(1, provider="openai", model="gpt-4o")
        await self.accept(store, run)
        answered = Summary(provider="anthropic", model="claude", attempts=2)
        await self.follow(store, run, summary=answered, status="ai_generated", phase="waiting", deadline_at=NOW + 60)
        assert await self.listed(store, RunFilter(provider="openai")) == ""
        assert await self.listed(store, RunFilter(statuses=("pending",))) == ""
        assert await self.listed(store, RunFilter(provider="anthropic", phase="waiting")) == "1"

    async def test_runs_are_found_by_time_and_by_the_beginning_of_an_id(self, store: Store) -> None:
        times = (NOW, NOW + 0.5, NOW + 60, NOW + 3600)
        ids = [f"{earliest_id(at)}-7000-8000-{place:012d}" for place, at in enumerate(times, start=1)]
        for run_id, at in zip(ids, times, strict=True):
            await self.accept(store, self.run_of(0, id=run_id, created_at=at))
        assert await self.listed(store, RunFilter(since=NOW + 0.5)) == "432"
        assert await self.listed(store, RunFilter(until=NOW + 60)) == "21"
        assert await self.listed(store, RunFilter(since=NOW + 0.0001, until=NOW + 3600)) == "32"
        assert await self.listed(store, RunFilter(since=NOW + 0.0001, until=NOW + 3600), before=ids[2]) == "2"
        assert await self.listed(store, RunFilter(channel_id=ids[0])) == "1"
        assert await self.listed(store, RunFilter(channel_id=ids[0][:13])) == "1"
        assert await self.listed(store, RunFilter(channel_id=ids[3][:8])) == "4"
        assert await self.listed(store, RunFilter(channel_id="ff")) == ""

    @pytest.mark.parametrize(
        ("customer", "asked", "found"),
        [
            ({"user_id": "u1"}, ("user_id", "u1"), True),
            ({"user_id": "u1"}, ("user_id", "u"), False),
            ({"user_id": "u12"}, ("user_id", "u1"), False),
            ({"other": "u1"}, ("user_id", "u1"), False),
            ({"nested": {"user_id": "u1"}}, ("user_id", "u1"), False),
            ({"note": '"user_id":"u1"'}, ("user_id", "u1"), False),
            ({"n": 5}, ("n", "5"), True),
            ({"n": "5"}, ("n", "5"), True),
            ({"n": 55}, ("n", "5"), False),
            ({"n": 1.5}, ("n", "1.5"), True),
            ({"yes": True}, ("yes", "true"), True),
            ({"yes": True}, ("yes", "1"), False),
            ({"no": None}, ("no", "null"), True),
            ({"messages.0.content": 'Zoë says "hi"\\'}, ("messages.0.content", 'Zoë says "hi"\\'), True),
            ({}, ("user_id", "u1"), False),
        ],
    )
    async def test_customer_data_is_searched(
        self, store: Store, customer: dict[str, Any], asked: tuple[str, str], found: bool
    ) -> None:
        await self.accept(store, self.summed_up(1, customer=from_python(customer)))
        await self.accept(store, self.summed_up(2, tag="pg", customer=from_python(customer)))
        assert await self.listed(store, RunFilter(customer=asked, tags=("live",))) == ("1" if found else "")
        assert await self.listed(store, RunFilter(customer=asked), after=self.run_of(0).id) == ("21" if found else "")

    async def test_a_search_is_paged(self, store: Store) -> None:
        for number in range(1, 8):
            await self.accept(store, self.summed_up(number, customer=from_python({"odd": number % 2})))
        wanted = RunFilter(customer=("odd", "1"))
        first = await store.log.runs(MINE, wanted, limit=3)
        assert ([run.id[-1] for run in first.runs], first.has_more) == (list("753"), True)
        rest = await store.log.runs(MINE, wanted, limit=3, before=first.runs[-1].id)
        assert ([run.id[-1] for run in rest.runs], rest.has_more) == (["1"], False)
        back = await store.log.runs(MINE, wanted, limit=2, after=rest.runs[-1].id)
        assert ([run.id[-1] for run in back.runs], back.has_more) == (list("53"), True)

    async def test_what_stands_open_is_counted(self, store: Store) -> None:
        assert await store.log.standing(MINE) == Standing()
        runs = [self.run_of(number, workflow=f"flow{number % 2}") for number in range(1, 6)]
        for run in runs:
            await self.accept(store, run)
        await self.end(store, runs[0])
        for run in runs[1:3]:
            await self.follow(store, run, status="ai_generated", phase="waiting", deadline_at=NOW + 60)
        assert await store.log.standing(MINE) == Standing(running=2, waiting=2)
        assert await store.log.standing(THEIRS) == Standing()

    async def test_runs_that_wait_for_a_person_are_found_among_those_that_wait(self, store: Store) -> None:
        runs = [self.run_of(number, workflow=f"flow{number % 2}") for number in range(1, 6)]
        for run in runs:
            await self.accept(store, run)
        waiting: dict[str, Any] = {"status": "ai_generated", "phase": "waiting", "deadline_at": NOW + 60}
        for run in runs[:2]:
            await self.follow(store, run, **waiting)
        held = [await self.follow(store, run, **waiting, summary=Summary(approval=NOW)) for run in runs[2:]]
        wanted = RunFilter(approval=True)
        assert await self.listed(store, wanted) == "543"
        assert await self.listed(store, wanted, limit=2) == "54"
        assert await self.listed(store, wanted, limit=2, before=runs[3].id) == "3"
        assert await self.listed(store, wanted, after=runs[2].id) == "54"
        assert await self.listed(store, RunFilter(approval=True, workflow="flow0")) == "4"
        assert await self.listed(store, RunFilter(phase="waiting")) == "54321"
        assert await store.log.standing(MINE) == Standing(waiting=5, approvals=3)
        assert (await store.log.runs(THEIRS, wanted)).runs == ()
        following = await self.follow(store, held[0], phase="running", deadline_at=None, summary=Summary())
        ended: dict[str, Any] = {"status": "error", "phase": "done", "finished_at": NOW + 1}
        await self.follow(store, held[1], **ended)
        assert await self.listed(store, wanted) == "5"
        assert await store.log.standing(MINE) == Standing(running=1, waiting=3, approvals=1)
        assert (await store.log.load(MINE, following.id)).run == following  # type: ignore[union-attr]

    async def test_ended_runs_are_counted_by_period_status_and_duration(self, store: Store) -> None:
        ended = []
        for number, (at, after, status) in enumerate(
            (
                (BEGIN, 0.5, "success"),
                (BEGIN + 10, 0.5, "success"),
                (BEGIN + 10, 20.0, "success"),
                (BEGIN + 100, 0.5, "error"),
                (BEGIN + HOUR - 1, 2.0, "success"),  # it ends in the next hour
                (BEGIN + 2 * HOUR, 0.5, "success"),  # too late
            ),
            start=1,
        ):
            run = self.summed_up(number, prompt_tokens=number, completion_tokens=10 * number)
            ended.append(await self.ended_at(store, msgspec.structs.replace(run, created_at=at), after, status))
        await self.accept(store, self.run_of(99, created_at=BEGIN))  # not ended
        for bucket in (60, 900, HOUR, 2 * HOUR):
            totals = await store.log.totals(MINE, BEGIN, BEGIN + 2 * HOUR, bucket)
            counted = totals_of(ended[:5], bucket)
            assert sorted(totals, key=str) == sorted(counted, key=str), bucket
        assert await store.log.totals(MINE, BEGIN + 3 * HOUR, BEGIN + 4 * HOUR, HOUR) == ()

    async def test_totals_are_of_the_runs_that_are_wanted(self, store: Store) -> None:
        await self.ended_at(store, self.summed_up(1, provider="openai"), 1.0)
        await self.ended_at(store, self.summed_up(2, provider="openai", tag="pg"), 1.0)
        await self.ended_at(store, self.run_of(3, workflow="draft"), 1.0, "error")
        for wanted, runs in (
            (RunFilter(), 3),
            (RunFilter(tags=("live",)), 2),
            (RunFilter(provider="openai", tags=("live",)), 1),
            (RunFilter(workflow="draft"), 1),
            (RunFilter(statuses=("error",)), 1),
            (RunFilter(workflow="nobody's"), 0),
        ):
            for bucket in (60, HOUR):
                totals = await store.log.totals(MINE, BEGIN, BEGIN + HOUR, bucket, wanted)
                assert sum(total.runs for total in totals) == runs, (wanted, bucket)

    async def test_pruning_leaves_the_totals(self, store: Store) -> None:
        await self.ended_at(store, self.run_of(1), 1.0)
        before = await store.log.totals(MINE, BEGIN, BEGIN + HOUR, HOUR)
        assert await store.log.prune(NOW + 10) == 1
        assert (await store.log.runs(MINE)).runs == ()
        assert await store.log.totals(MINE, BEGIN, BEGIN + HOUR, HOUR) == before != ()

    async def test_minutes_are_there_for_two_days_and_hours_for_ever(self, store: Store) -> None:
        for number in range(1, 5):
            run = self.run_of(number, created_at=BEGIN + (number - 1) * 24 * HOUR)
            await self.ended_at(store, run, 1.0)
        end = BEGIN + 4 * 24 * HOUR
        hours = await store.log.totals(MINE, BEGIN, end, HOUR)
        assert [total.at for total in hours] == [BEGIN + day * 24 * HOUR for day in range(4)]
        minutes = await store.log.totals(MINE, BEGIN, end, 60)
        assert {total.at for total in minutes} >= {BEGIN + 24 * HOUR, BEGIN + 2 * 24 * HOUR, BEGIN + 3 * 24 * HOUR}

    async def test_another_project_s_runs_are_neither_listed_nor_counted(self, store: Store) -> None:
        await self.ended_at(store, self.summed_up(1, customer=from_python({"user_id": "u1"})), 1.0)
        await self.accept(store, self.run_of(2))
        for wanted in (RunFilter(), RunFilter(customer=("user_id", "u1")), RunFilter(channel_id=self.run_of(1).id)):
            assert (await store.log.runs(THEIRS, wanted)).runs == ()
            assert (await store.log.runs(THEIRS, wanted, after=self.run_of(0).id)).runs == ()
        assert await store.log.totals(THEIRS, BEGIN, BEGIN + HOUR, HOUR) == ()
        assert await store.queue.dead_letters(THEIRS) == 0

    async def test_what_was_given_up_is_counted(self, store: Store) -> None:
        run = self.run_of(1)
        owed = [self.delivery_of(run, name) for name in ("a", "b", "c", "d")]
        await self.accept(store, run, *owed)
        assert await store.queue.dead_letters(MINE) == 0
        ends: tuple[DeliveryStatus, ...] = ("dead", "expired", "delivered")
        for delivery, status in zip(owed, ends, strict=False):
            await store.queue.settle(self.settlement_of(delivery, status))
        assert await store.queue.dead_letters(MINE) == 2
        assert await store.queue.dead_letters(THEIRS) == 0
