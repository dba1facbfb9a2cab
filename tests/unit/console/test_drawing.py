"""The arithmetic of the console: scales, charts, and how numbers are written."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest

from riverflow.console._charts import Column, Line, bars, ceiling, lines, spark
from riverflow.console._format import ago, count, duration, percent, size
from riverflow.console._scale import Scale


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0 ms"), (0.0004, "0 ms"), (0.85, "850 ms"), (0.9996, "1.00 s"), (1.237, "1.24 s"), (12.34, "12.3 s"),
        (59.96, "1 min"), (250, "4 min 10 s"), (7500, "2 h 5 min"), (7200, "2 h"), (90_000, "1 d 1 h"), (None, "–"),
    ],
)  # fmt: skip
def test_durations_are_written_as_people_say_them(seconds: float | None, text: str) -> None:
    assert duration(seconds) == text


def test_the_past_and_the_future_are_told_apart() -> None:
    assert [ago(at, 1000.0) for at in (1000, 988, 700, 1120, None)] == [
        "just now",
        "12 s ago",
        "5 min ago",
        "in 2 min",
        "–",
    ]
    assert ago(0.0, 1e9) == "01 Jan 1970"


def test_numbers_are_short_and_never_lie_about_all_or_nothing() -> None:
    assert [count(number) for number in (0, 999, 1204, 12_345, 3_100_000, None)] == [
        "0",
        "999",
        "1,204",
        "12.3 k",
        "3.1 M",
        "–",
    ]
    assert [percent(share) for share in (0, 0.0001, 0.5, 0.9999, 1, None)] == [
        "0 %",
        "< 0.1 %",
        "50 %",
        "> 99.9 %",
        "100 %",
        "–",
    ]
    assert [size(length) for length in (0, 812, 3400, 1_200_000)] == ["0 B", "812 B", "3.4 kB", "1.2 MB"]


def test_a_scale_is_even_where_nothing_is_cut() -> None:
    scale = Scale([100, 101, 103, 104])
    assert [round(scale.place(at), 6) for at in (99, 100, 101, 102, 104, 105)] == [0, 0, 25, 50, 100, 100]
    assert scale.cuts == ()


def test_a_long_idle_stretch_is_cut_and_said_to_be() -> None:
    scale = Scale([0, 1, 301, 302], busy=[(0, 1), (301, 302)])
    [cut] = scale.cuts
    assert cut.seconds == 300
    assert cut.end - cut.start == pytest.approx(30)
    assert scale.place(1) == pytest.approx(35)
    assert scale.place(302) == 100


def test_pauses_of_a_like_length_are_all_cut_so_that_the_work_between_them_is_seen() -> None:
    """A flow of 3 s, and a webhook tried again after 40 s, 42 s, 2 min and 10 min."""
    tries = [(2.7, 2.9), (43, 43.3), (85, 85.2), (205, 205.2), (805, 805.2)]
    scale = Scale([0, 2, 2.7, *(at for each in tries for at in each)], busy=[(0, 2.7), *tries])
    assert [round(cut.seconds) for cut in scale.cuts] == [40, 42, 120, 600]
    assert scale.place(2.7) > 30
    assert len({round(cut.end - cut.start, 6) for cut in scale.cuts}) == 1


def test_work_is_never_cut_however_long_it_takes() -> None:
    assert Scale([0, 1, 301, 302], busy=[(0, 302)]).cuts == ()


def test_a_scale_keeps_the_order_and_its_labels_apart() -> None:
    moments = [0, 0.02, 5, 35, 155, 755, 2555, 6155]
    scale = Scale(moments, busy=[(at, at + 0.02) for at in moments])
    places = [scale.place(at) for at in moments]
    assert places == sorted(places)
    marks = [tick.place for tick in scale.ticks]
    assert all(later - earlier >= 9 for earlier, later in pairwise(marks))


@pytest.mark.parametrize("moments", [[5.0], [5.0, 5.0]])
def test_a_scale_of_one_moment_is_a_point(moments: list[float]) -> None:
    scale = Scale(moments)
    assert scale.place(5.0) == 0
    assert len(scale.ticks) == 1


def test_a_ceiling_is_round_and_not_below() -> None:
    assert [ceiling(n) for n in (0, 0.3, 1, 7, 21, 26, 99, 100)] == [1, 0.5, 1, 10, 25, 50, 100, 100]


def test_bars_are_as_high_as_their_numbers() -> None:
    svg = bars(
        [Column("a", (("ok", "good", 8), ("bad", "failed", 2))), Column("b", (("ok", "good", 0),))], "Runs", height=102
    )
    heights = [float(h) for h in re.findall(r'class="c-bar [a-z]+".*?height="([\d.]+)"', svg)]
    assert heights == [80.0, 20.0]
    assert "<title>a: 8 good, 2 failed</title>" in svg
    assert "<title>b: nothing</title>" in svg
    assert 'aria-label="Runs"' in svg


def test_a_label_is_text() -> None:
    assert "<b>" not in bars([Column("<b>", (("ok", "<b>", 1),))], '"<b>')


def test_a_line_has_a_gap_where_nothing_is_known() -> None:
    [path] = re.findall(r'd="([^"]*)"', lines([Line("p50", "half", (1.0, 2.0, None, 4.0, 3.0))], "Latency"))
    assert path.count("M") == 2
    assert spark([None, 1.0], "ok") == ""
    assert spark([], "ok") == ""
