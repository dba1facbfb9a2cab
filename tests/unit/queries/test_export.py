"""Exports: whole, in pieces, and no spreadsheet takes them for formulas."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from riverflow._queries import RequestRow, exported
from riverflow._queries._rows import row_of
from riverflow.codec import from_python
from riverflow.models import Run, Summary

pytestmark = pytest.mark.anyio

ROW = row_of(
    Run(
        id="018bcfe5-6800-7000-8000-000000000001", project_id="p", workflow="movie", event_name=None, status="success",
        stage="finalise", phase="done", version=3, generation=1, created_at=1_700_000_000.25,
        finished_at=1_700_000_001.75,
        summary=Summary(provider="openai", model="gpt-4o", customer=from_python({"user": "Zoë, \"1\""})),
    )
)  # fmt: skip


async def rows(number: int, **changes: Any) -> AsyncIterator[RequestRow]:
    for _ in range(number):
        yield msgspec.structs.replace(ROW, **changes)


async def text(number: int, format: str, **changes: Any) -> str:
    return b"".join([part async for part in exported(rows(number, **changes), format)]).decode()


@pytest.mark.parametrize("number", [0, 1, 199, 200, 201, 400, 555])
async def test_any_number_of_rows_is_exported_whole(number: int) -> None:
    assert len(json.loads(await text(number, "json"))) == number
    assert len(list(csv.reader(io.StringIO(await text(number, "csv"))))) == number + 1


async def test_it_comes_in_pieces() -> None:
    assert len([part async for part in exported(rows(1000), "csv")]) == 6


async def test_a_row_has_its_columns() -> None:
    (shown,) = json.loads(await text(1, "json"))
    assert shown["channel_id"] == ROW.channel_id
    assert shown["created_at"] == "2023-11-14T22:13:20.250Z"
    assert shown["total_ms"] == 1500
    assert shown["customer_data"] == {"user": 'Zoë, "1"'}
    (row,) = csv.DictReader(io.StringIO(await text(1, "csv")))
    assert row["finished_at"] == "2023-11-14T22:13:21.750Z"
    assert row["event_name"] == ""
    assert json.loads(row["customer_data"]) == {"user": 'Zoë, "1"'}


@pytest.mark.parametrize("formula", ["=1+1", "+1", "-1", "@SUM(A1)", "\tx", "\rx"])
async def test_no_cell_is_a_formula(formula: str) -> None:
    (row,) = csv.DictReader(io.StringIO(await text(1, "csv", workflow=formula), newline=""))
    assert row["workflow"] == f"'{formula}"
    (shown,) = json.loads(await text(1, "json", workflow=formula))
    assert shown["workflow"] == formula
