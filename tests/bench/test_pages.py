"""Which pages of the console `riverflow bench` measures, and what it says of a slow one."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner

pytest.importorskip("aiohttp")

from riverflow import bench as measuring
from riverflow.bench.console import LIMIT_MS, NOT_MEASURED, Answered, plain_pages
from riverflow.cli.bench import bench
from riverflow.console.pages import PAGES


def test_every_page_without_parameters_is_measured_or_an_exception_by_name() -> None:
    paths = {each.path for each in PAGES if each.method == "GET" and "{" not in each.path}
    measured = {path.removeprefix("console/") for path in plain_pages().values()}
    assert measured | set(NOT_MEASURED) == paths
    assert not measured & set(NOT_MEASURED)
    assert {"", "requests", "dead-letters", "approvals", "playground", "settings", "keys/new"} <= measured


@pytest.mark.parametrize(("median", "code"), [(LIMIT_MS - 1, 0), (LIMIT_MS + 1, 1)])
def test_a_slow_page_is_named_and_fails_the_command(monkeypatch: Any, median: float, code: int) -> None:
    pages = [
        Answered(page="overview", median_ms=5, worst_ms=LIMIT_MS * 2),
        Answered(page="one dead letter", median_ms=median, worst_ms=LIMIT_MS * 2),
    ]

    async def run(plan: Any, say: Any) -> Any:
        return SimpleNamespace(console=pages)

    monkeypatch.setattr(measuring, "run", run)
    monkeypatch.setattr(measuring, "table", lambda report: "the table\n")
    done = CliRunner().invoke(bench, ["console"])
    assert done.exit_code == code
    assert "the table" in done.output
    assert ("one dead letter" in done.output) == (code == 1)
    assert "overview" not in done.output
