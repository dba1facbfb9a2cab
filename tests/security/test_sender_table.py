"""The table of docs/security.md names, for each case of the sender's list, the tests that say they hold it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
FILES = {
    "A": "tests/security/test_sender_addresses.py",
    "U": "tests/security/test_sender_urls.py",
    "N": "tests/security/test_sender_names.py",
    "O": "tests/security/test_sender_openings.py",
    "C": "tests/security/test_sender_clients.py",
    "S": "tests/security/test_sender_sent.py",
    "K": "tests/security/test_sender_kept.py",
    "M": "tests/security/test_sender_memory.py",
    "W": "tests/flows/test_flow_kept.py",
    "E": "tests/api/test_egress.py",
    "X": "riverflow/testing/suites/http_exchange.py",
    "G": "riverflow/testing/suites/http_guard.py",
    "T": "riverflow/testing/suites/http_tls.py",
    "H": "riverflow/testing/suites/http_hostile.py",
}
MINE = {*range(1, 28), 29, 30, 31, 35, 36}


def held() -> Iterator[tuple[int, str]]:
    """Each case with a test whose docstring names it."""
    for letter, path in FILES.items():
        for node in ast.walk(ast.parse((ROOT / path).read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
                said = re.match(r"Sender cases? ([0-9, and]+)", ast.get_docstring(node) or "")
                for number in re.findall(r"[0-9]+", said[1]) if said else ():
                    yield int(number), f"{letter} `{node.name}`"


def tabled() -> Iterator[tuple[int, str]]:
    """Each case with a test that the table names."""
    section = (ROOT / "docs/security.md").read_text().split("\n## Sender\n")[1].split("\n## ")[0]
    for row in re.findall(r"^\| ([0-9]+) \|.*\| (.*) \|$", section, re.MULTILINE):
        for test in re.findall(r"[A-Z] `test_\w+`", row[1]):
            yield int(row[0]), test


def test_the_table_and_the_tests_say_the_same() -> None:
    assert sorted(held()) == sorted(tabled())


def test_every_case_has_a_test() -> None:
    assert {number for number, _ in held()} == MINE


def test_the_legend_is_right() -> None:
    text = (ROOT / "docs/security.md").read_text()
    for letter, path in FILES.items():
        assert re.search(rf"`{letter}`\s+`{re.escape(path)}`", text), path
