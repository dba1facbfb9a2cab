"""What a receiver asks for in its headers, however it is written (security case 28)."""

from __future__ import annotations

from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from riverflow._orders import Orders, orders_of, retry_after

NOW = 1_700_000_000.0  # Tue, 14 Nov 2023 22:13:20 GMT


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("120", 120),
        (" 120 ", 120),
        ("0", 0),
        (formatdate(NOW + 90, usegmt=True), 90),
        ("Tue, 14 Nov 2023 22:14:20 GMT", 60),
        ("Tuesday, 14-Nov-23 22:14:20 GMT", 60),
        ("Tue Nov 14 22:14:20 2023", 60),
        ("Wed Nov  8 22:14:20 2023", 0),
        (formatdate(NOW - 90, usegmt=True), 0),
        ("5, 10", 10),
        ("10,5,7", 10),
        ("30, Tue, 14 Nov 2023 22:14:20 GMT", 60),
        ("Tue, 14 Nov 2023 22:14:20 GMT, 90", 90),
        ("9" * 200, float("9" * 200)),
    ],
    ids=lambda value: str(value)[:32],
)
def test_times_that_can_be_read(value: str, seconds: float) -> None:
    assert retry_after(value, NOW) == seconds


@pytest.mark.parametrize(
    "value",
    [
        "",
        "-5",
        "+5",
        "1.5",
        "1e3",
        "0x10",
        "soon",
        "5 minutes",
        "NaN",
        "١٢",
        "Tue, 99 Nov 2023 22:14:20 GMT",
        "\x00",
        "5;q=1",
    ],
)
def test_times_that_cannot(value: str) -> None:
    assert retry_after(value, NOW) is None


@given(st.text(max_size=2000))
def test_nothing_that_is_written_is_an_error(value: str) -> None:
    seconds = retry_after(value, NOW)
    assert seconds is None or seconds >= 0


def test_what_is_endless_is_not_read_to_the_end() -> None:
    assert retry_after("1," * 100_000 + "77", NOW) == 1


@pytest.mark.parametrize(
    ("headers", "orders"),
    [
        ({}, Orders()),
        ({"retry-after": "7"}, Orders(retry_after=7)),
        ({"webhook-delivery": "abort-message"}, Orders(abort=True)),
        ({"webhook-delivery": " Disable "}, Orders(disable=True)),
        ({"webhook-delivery": "disable, abort-message", "retry-after": "x"}, Orders(abort=True, disable=True)),
        ({"webhook-delivery": "disabled"}, Orders()),
        ({"webhook-delivery": ""}, Orders()),
    ],
)
def test_orders(headers: dict[str, str], orders: Orders) -> None:
    assert orders_of(headers, NOW) == orders
