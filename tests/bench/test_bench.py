"""`riverflow bench` end to end at its smallest: real processes, every mode, the table and the JSON."""

from __future__ import annotations

import os
from pathlib import Path

import click
import msgspec
import pytest

pytest.importorskip("aiohttp")

from riverflow.bench import PARTS, Plan, Report, run, table
from riverflow.bench.control import BenchError, Child
from riverflow.bench.flows import MODES
from riverflow.cli.bench import bench

pytestmark = [pytest.mark.anyio, pytest.mark.slow]


def plan(folder: Path, *parts: str) -> Plan:
    return Plan(
        parts=parts,
        rounds=1,
        flows=64,
        slow_flows=4,
        folder=folder,
        history=1000,
        waiting=100,
        listed=3000,
        subscribers=256,
    )


async def test_every_mode_is_measured_beside_the_floor(tmp_path: Path) -> None:
    told: list[str] = []
    report = await run(plan(tmp_path, *MODES), told.append)
    assert [each.title[0] for each in report.flows] == ["R", "I", "W", "S", "R", "R"]
    for each in report.flows:
        assert each.river.cpu_us > 0
        assert each.floor.cpu_us > 0
        assert each.ratio == pytest.approx(each.river.cpu_us / each.floor.cpu_us)
        assert each.floor.commits == 0
        assert each.river.commits > 0
        assert each.p50_ms <= each.p99_ms
    assert len(told) == 6
    assert "| R  remote: webhook, callback |" in table(report)
    assert msgspec.json.decode(msgspec.json.encode(report), type=Report).rounds == 1


async def test_what_stands_beside_the_modes(tmp_path: Path) -> None:
    report = await run(plan(tmp_path, "durability", "history", "recovery", "passthrough"), lambda text: None)
    assert report.durability is not None
    assert report.history is not None
    assert {name: median > 0 for name, (median, _) in report.history.items()} == {"done": True, "waiting": True}
    assert report.recovery is not None
    assert report.recovery["claims_s"] >= report.recovery["serves_s"] > 0
    assert report.passthrough_us is not None
    assert "synchronous FULL" in table(report)
    assert "beside 100 runs that wait" in table(report)
    assert os.listdir(tmp_path) == []


async def test_every_page_of_the_console_is_looked_at(tmp_path: Path) -> None:
    told: list[str] = []
    report = await run(plan(tmp_path, "console"), told.append)
    pages = {each.page for each in report.console}
    assert {"overview", "one request", "one dead letter", "one approval", "playground", "settings"} < pages
    assert {"requests: that failed", "requests: by customer data that nobody has"} < pages
    assert all(0 < each.median_ms <= each.worst_ms for each in report.console)
    assert "| the console over 3000 runs |" in table(report)
    assert f"| {report.console[0].page} |" in table(report)
    assert told[0].startswith("console: 3000 runs written")


async def test_idle_subscribers_are_all_told(tmp_path: Path) -> None:
    report = await run(plan(tmp_path, "idle"), lambda text: None)
    assert [each.transport for each in report.idle] == ["sse", "ws"]
    assert all(each.push_us > 0 for each in report.idle)


def test_the_command_offers_every_part() -> None:
    (argument,) = (each for each in bench.params if each.name == "parts")
    assert isinstance(argument.type, click.Choice)
    assert tuple(argument.type.choices) == PARTS


async def test_a_process_that_does_not_start_is_named() -> None:
    with pytest.raises(BenchError, match="floor: ended with exit code 1"):
        await Child.start("floor", "riverflow.bench.system", {"kind": "floor"})


async def test_bad_receivers_beside_a_good_one(tmp_path: Path) -> None:
    report = await run(plan(tmp_path, "neighbours"), lambda text: None)
    assert report.neighbours is not None
    assert report.neighbours.p99_beside_ms >= report.neighbours.p50_beside_ms > 0
    assert "beside one that never answers" in table(report)
