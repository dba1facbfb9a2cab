"""What goes to a terminal: colour only where it is wanted, and JSON that stays JSON."""

from __future__ import annotations

import io
import json

import pytest

from riverflow.cli.terminal import Screen


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


VALUE = {"title": "Amélie", "rating": 8.0, "none": None, "deep": {"list": [1, [], {}], "long": ["x" * 60, "y" * 60]}}


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")


def test_json_is_json() -> None:
    assert json.loads(Screen(io.StringIO()).json(VALUE)) == VALUE


def test_what_fits_is_on_one_line() -> None:
    lines = Screen(io.StringIO()).json(VALUE).splitlines()
    assert '    "list": [1, [], {}],' in lines
    assert max(map(len, lines)) <= 110


def test_a_terminal_gets_colour() -> None:
    screen = Screen(Terminal())
    assert "\x1b[" in screen.json(VALUE)
    assert screen.paint("x", fg="red") != "x"


@pytest.mark.parametrize(("name", "value"), [("NO_COLOR", "1"), ("TERM", "dumb")])
def test_unless_it_says_no(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    assert "\x1b" not in Screen(Terminal()).json(VALUE)


def test_a_file_gets_none() -> None:
    assert "\x1b" not in Screen(io.StringIO()).json(VALUE)
